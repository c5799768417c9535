package flow_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weft-net/weft/flow"
	ft "github.com/weft-net/weft/flow/flowtest"
)

var ip6 = ft.IPv6{Src: "fd00::2", Dst: "fd00::1"}

// frames are packets with the paths of the flows that they move, the outermost first.
var frames = []struct {
	paths  string
	layers []ft.Layer
}{
	{"Ethernet/IPv4/TCP", []ft.Layer{there, ip, ft.TCP{Src: 1000, Dst: 80, Flags: ft.SYN}}},
	{"Ethernet/IPv4/TCP", []ft.Layer{there, ft.IPv4{Src: "10.0.0.2", Dst: "10.0.0.1", Options: []byte{7, 7, 4, 0}}, ft.TCP{Src: 1000, Dst: 80}}},
	{"Ethernet/IPv4/UDP/DNS", []ft.Layer{there, ip, ft.UDP{Src: 1000, Dst: 53}, ft.Zeros(30)}},
	{"Ethernet/IPv4/SCTP", []ft.Layer{there, ip, ft.SCTP{Src: 1000, Dst: 80}}},
	{"Ethernet/IPv4/ICMPv4", []ft.Layer{there, ip, ft.ICMPv4{Type: 8, ID: 7, Seq: 1}}},
	{"Ethernet/IPv6/ICMPv6/ICMPv6Echo", []ft.Layer{there, ip6, ft.ICMPv6{Type: 128, ID: 7, Seq: 1}}},
	{"Ethernet/IPv6/IPv6HopByHop/IPv6Destination/UDP", []ft.Layer{there, ip6, ft.IPv6Extension{Kind: ft.HopByHop}, ft.IPv6Extension{Kind: ft.DestinationOptions}, ft.UDP{Src: 1, Dst: 2}}},
	{"Ethernet/IPv6/IPv6Fragment/UDP", []ft.Layer{there, ip6, ft.IPv6Fragment{ID: 1, More: true}, ft.UDP{Src: 1, Dst: 2}, ft.Zeros(40)}},
	{"Ethernet/Dot1Q/Dot1Q/IPv4/UDP", []ft.Layer{there, ft.VLAN{ID: 10, QinQ: true}, ft.VLAN{ID: 20}, ip, ft.UDP{Src: 1, Dst: 2}}},
	{"Ethernet/ARP", []ft.Layer{there, ft.ARP{SrcMAC: macA, SrcIP: "10.0.0.2", DstIP: "10.0.0.1"}}},
	{"Ethernet/MPLS/MPLS IPv4/UDP", []ft.Layer{there, ft.MPLS{Label: 100, NoBottom: true}, ft.MPLS{Label: 101}, ip, ft.UDP{Src: 1, Dst: 2}}},
	{"Ethernet/IPv4/UDP/VXLAN Ethernet/IPv4/TCP", []ft.Layer{there, ip, ft.UDP{Src: 1, Dst: 4789}, ft.VXLAN{VNI: 42}, back, ip, ft.TCP{Src: 1, Dst: 2}}},
	{"Ethernet/IPv4/UDP/Geneve Ethernet/IPv4/TCP", []ft.Layer{there, ip, ft.UDP{Src: 1, Dst: 6081}, ft.Geneve{VNI: 42, Options: make([]byte, 8)}, back, ip, ft.TCP{Src: 1, Dst: 2}}},
	{"Ethernet/IPv4/GRE IPv6/UDP", []ft.Layer{there, ip, ft.GRE{HasKey: true, Key: 9, HasChecksum: true}, ip6, ft.UDP{Src: 1, Dst: 2}}},
	{"Ethernet/IPv4/GRE/ERSPAN Type II Ethernet/IPv4/UDP", []ft.Layer{there, ip, ft.GRE{HasSequence: true}, ft.ERSPAN{Session: 1}, there, ip, ft.UDP{Src: 1, Dst: 2}}},
	{"Ethernet/IPv4 IPv4/UDP", []ft.Layer{there, ip, ip, ft.UDP{Src: 1, Dst: 2}}},
	{"Ethernet/IPv6 IPv4/UDP", []ft.Layer{there, ip6, ip, ft.UDP{Src: 1, Dst: 2}}},
}

func TestPaths(t *testing.T) {
	for _, test := range frames {
		table, reports := watch(flow.Options{})
		add(table, at(start, test.layers...))
		table.Close()
		var paths []string
		for i, r := range *reports {
			paths = append(paths, r.LayersPath)
			if i > 0 && r.ParentUUID != (*reports)[i-1].UUID || i == 0 && r.ParentUUID != "" {
				t.Errorf("%s: the parent of flow %d is %q", test.paths, i, r.ParentUUID)
			}
		}
		if got := strings.Join(paths, " "); got != test.paths {
			t.Errorf("paths %q, want %q", got, test.paths)
		}
		if l := table.Ledger(); l.Faults != [flow.NumFaults]uint64{} || l.Counted != 1 || l.Reported != 1 {
			t.Errorf("%s: ledger %+v", test.paths, l)
		}
	}
}

func TestLinkTypes(t *testing.T) {
	for link, layers := range map[flow.LinkType][]ft.Layer{
		flow.LinkLinuxSLL: {ft.SLL{}}, flow.LinkLinuxSLL2: {ft.SLL2{}}, flow.LinkRaw: {}, flow.LinkIPv4: {}, flow.LinkNull: {ft.Loopback{}},
		flow.LinkLoop: {ft.Loopback{BigEndian: true}},
	} {
		table, reports := watch(flow.Options{})
		table.Add(link, []flow.Packet{at(start, append(layers, ip, ft.UDP{Src: 1, Dst: 2})...), {Time: start}})
		table.Close()
		if l := table.Ledger(); l.Counted != 1 || l.Drops[flow.CauseDecoder] != 1 || !l.Balanced() {
			t.Errorf("link type %d: ledger %+v", link, l)
		}
		if len(*reports) != 1 || !strings.HasSuffix((*reports)[0].LayersPath, "IPv4/UDP") || (*reports)[0].Link != nil {
			t.Errorf("link type %d: %+v", link, *reports)
		}
	}
}

func TestThirtyTunnelsAreSafe(t *testing.T) {
	layers := []ft.Layer{there}
	for range 30 {
		layers = append(layers, ip)
	}
	table, reports := watch(flow.Options{})
	add(table, at(start, append(layers, ft.UDP{Src: 1, Dst: 2})...))
	table.Close()
	if l := table.Ledger(); l.Faults[flow.FaultDepth] != 1 || l.Counted != 1 || len(*reports) != 9 {
		t.Errorf("%d flows, ledger %+v", len(*reports), l)
	}
}

func TestFragmentsBelongToTheirFlow(t *testing.T) {
	table, reports := watch(flow.Options{})
	fragment := func(offset int, more bool, layers ...ft.Layer) flow.Packet {
		p := ft.IPv4{Src: "10.0.0.2", Dst: "10.0.0.1", ID: 5, MF: more, Offset: offset, Protocol: 17}
		return at(start, append([]ft.Layer{there, p}, layers...)...)
	}
	add(table,
		fragment(0, true, ft.UDP{Src: 1, Dst: 2, Length: 1008}, ft.Zeros(792)),
		fragment(800, false, ft.Zeros(208)), fragment(400, true, ft.Zeros(80)),
	)
	table.Close()
	f := (*reports)[0]
	if len(*reports) != 1 || f.IPMetric.Fragments != 3 || f.Metric.ABPackets != 3 || f.LayersPath != "Ethernet/IPv4/UDP" {
		t.Errorf("%d flows, %+v", len(*reports), f)
	}
	if n := table.Ledger().Faults[flow.FaultFragment]; n != 1 {
		t.Errorf("%d overlaps, want 1", n)
	}
}

func TestTrackingIDs(t *testing.T) {
	see := func(mode flow.LayerMode, layers ...ft.Layer) flow.Flow {
		table, reports := watch(flow.Options{LayerMode: mode})
		add(table, at(start, layers...))
		table.Close()
		return (*reports)[0].Flow
	}
	udp, answer := ft.UDP{Src: 1, Dst: 2}, ft.UDP{Src: 2, Dst: 1}
	a, b := see(flow.LayerModeL2, there, ip, udp), see(flow.LayerModeL2, back, ipB, answer)
	routed := see(flow.LayerModeL2, ft.Ethernet{Src: macA, Dst: "02:00:00:00:00:0c"}, ip, udp)
	l3 := see(flow.LayerModeL3, there, ip, udp)
	if a.TrackingID != b.TrackingID || a.L3TrackingID != b.L3TrackingID || a.UUID != b.UUID {
		t.Errorf("the directions differ: %+v, %+v", a, b)
	}
	if a.TrackingID == routed.TrackingID || a.L3TrackingID != routed.L3TrackingID {
		t.Errorf("behind a router: %+v, %+v", a, routed)
	}
	if l3.TrackingID != a.L3TrackingID || l3.Link == nil {
		t.Errorf("L3 mode: %+v", l3)
	}
}

func TestLifeOfTCP(t *testing.T) {
	const ms = int64(1e6)
	table, reports := watch(flow.Options{ExtraTCPMetric: true})
	ab := func(at64 int64, tcp ft.TCP, n int) flow.Packet {
		tcp.Src, tcp.Dst = 1000, 80
		return at(start+at64*ms, there, ip, tcp, ft.Zeros(n))
	}
	ba := func(at64 int64, tcp ft.TCP, n int) flow.Packet {
		tcp.Src, tcp.Dst = 80, 1000
		return at(start+at64*ms, back, ipB, tcp, ft.Zeros(n))
	}
	add(table,
		ab(0, ft.TCP{Seq: 9, Flags: ft.SYN}, 0), ba(20, ft.TCP{Seq: 99, Ack: 10, Flags: ft.SYN | ft.ACK}, 0),
		ab(21, ft.TCP{Seq: 10, Ack: 100, Flags: ft.ACK}, 100), ab(22, ft.TCP{Seq: 10, Ack: 100, Flags: ft.ACK}, 100), // again
		ab(23, ft.TCP{Seq: 210, Ack: 100, Flags: ft.ACK}, 50), // skips 100
		ab(30, ft.TCP{Seq: 260, Ack: 100, Flags: ft.FIN | ft.ACK}, 0), ba(40, ft.TCP{Seq: 100, Ack: 261, Flags: ft.FIN | ft.ACK}, 0),
		ab(41, ft.TCP{Seq: 261, Ack: 101, Flags: ft.ACK}, 0),
	)
	table.Advance(start + 2*second)
	f := (*reports)[0]
	base := start / ms
	want := flow.TCPMetric{
		ABSynStart: base, BASynStart: base + 20, ABSynTTL: 64, BASynTTL: 60, ABFinStart: base + 30, BAFinStart: base + 40,
		ABSegmentOutOfOrder: 1, ABSegmentSkipped: 1, ABSegmentSkippedBytes: 100,
	}
	if len(*reports) != 1 || f.why != flow.Ended || f.FinishType != flow.FinishFIN || *f.TCPMetric != want || f.Metric.RTT != 20*ms {
		t.Errorf("%d reports, %v finish %v RTT %d, %+v, want %+v", len(*reports), f.why, f.FinishType, f.Metric.RTT, *f.TCPMetric, want)
	}
}

func TestEcho(t *testing.T) {
	table, reports := watch(flow.Options{})
	add(table, at(start, there, ip, ft.ICMPv4{Type: 8, ID: 7, Seq: 1}), at(start+640, back, ipB, ft.ICMPv4{Type: 0, ID: 7, Seq: 1}))
	table.Close()
	f := (*reports)[0]
	if len(*reports) != 1 || f.Metric.RTT != 640 || *f.ICMP != (flow.ICMP{Type: flow.ICMPEcho, ID: 7}) {
		t.Errorf("%d reports, RTT %d, %+v", len(*reports), f.Metric.RTT, f.ICMP)
	}
}

// FuzzDecode holds any bytes to no panic and a ledger that balances.
func FuzzDecode(f *testing.F) {
	for _, test := range frames {
		f.Add(uint16(flow.LinkEthernet), ft.Packet(test.layers...))
		f.Add(uint16(flow.LinkIPv4), ft.Packet(test.layers...)[14:])
	}
	f.Fuzz(func(t *testing.T, link uint16, data []byte) {
		table, reports := watch(flow.Options{ExtraTCPMetric: true, RawPacketLimit: 2})
		table.Add(flow.LinkType(link), []flow.Packet{{Data: data, Length: len(data), Time: start}, {Data: slices.Clone(data), Time: start}})
		table.Close()
		if l := table.Ledger(); !l.Balanced() || l.Received != 2 || l.Reported != l.Counted || l.Flows != uint64(len(*reports)) {
			t.Errorf("ledger %+v, %d reports", l, len(*reports))
		}
	})
}
