package flow_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"

	"github.com/weft-net/weft/flow"
	ft "github.com/weft-net/weft/flow/flowtest"
)

// heap is the memory in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func dnsQuestion(t testing.TB, id uint16, answer bool) ft.Payload {
	return serialize(t, &layers.DNS{
		ID: id, QR: answer, Questions: []layers.DNSQuestion{{Name: []byte("example.org"), Type: layers.DNSTypeA, Class: layers.DNSClassIN}},
	})
}

func TestExtraLayers(t *testing.T) {
	dhcp := func(xid uint32) ft.Payload {
		return serialize(t, &layers.DHCPv4{Operation: layers.DHCPOpRequest, HardwareLen: 6, Xid: xid, ClientHWAddr: make([]byte, 6)})
	}
	vrrp := func(priority uint8) []ft.Layer {
		return []ft.Layer{there, ft.IPv4{Src: "10.0.0.2", Dst: "224.0.0.18"}, ft.VRRP{Router: 5, Priority: priority, Addrs: []string{"10.0.0.9"}}}
	}
	packets := []flow.Packet{
		at(start, there, ip, ft.UDP{Src: 4000, Dst: 53}, dnsQuestion(t, 1, false)),
		at(start+1e6, back, ipB, ft.UDP{Src: 53, Dst: 4000}, dnsQuestion(t, 1, true)),
		at(start, there, ip, ft.UDP{Src: 68, Dst: 67}, dhcp(77)),
		at(start, there, ip, ft.UDP{Src: 68, Dst: 67}, dhcp(78)),
		at(start, vrrp(100)...),
		at(start, vrrp(90)...),
		at(start, there, ip, ft.UDP{Src: 4001, Dst: 53}, ft.Payload("not DNS")), // shorter than a header
	}
	for _, on := range []flow.ExtraLayers{0, flow.ExtraDNS, flow.ExtraDHCPv4, flow.ExtraVRRP, flow.ExtraDNS | flow.ExtraDHCPv4 | flow.ExtraVRRP} {
		table, reports := watch(flow.Options{ExtraLayers: on})
		add(table, packets...)
		table.Close()
		if len(*reports) != 4 {
			t.Fatalf("%d flows", len(*reports))
		}
		dns, dhcp, vrrp, none := (*reports)[0].DNS, (*reports)[1].DHCPv4, (*reports)[2].VRRPv2, (*reports)[3].DNS
		if got := dns != nil; got != (on&flow.ExtraDNS != 0) || got && (!dns.QR || !dns.Timestamp.Equal(time.Unix(0, start+1e6)) || dns.Questions[0].Name != "example.org") {
			t.Errorf("layers %b: DNS %+v, want the message seen last", on, dns)
		}
		if got := dhcp != nil; got != (on&flow.ExtraDHCPv4 != 0) || got && dhcp.Xid != 77 {
			t.Errorf("layers %b: DHCPv4 %+v, want the first message", on, dhcp)
		}
		if got := vrrp != nil; got != (on&flow.ExtraVRRP != 0) || got && (vrrp.Priority != 100 || vrrp.VirtualRtrID != 5) {
			t.Errorf("layers %b: VRRPv2 %+v, want the first message", on, vrrp)
		}
		l := table.Ledger()
		if want := uint64(on & flow.ExtraDNS >> 1); none != nil || l.Faults[flow.FaultMessage] != want || !l.Balanced() {
			t.Errorf("layers %b: %+v, ledger %+v", on, none, l)
		}
	}
}

// TestMessagesAreBounded floods a table with DNS messages that are large when decoded.
func TestMessagesAreBounded(t *testing.T) {
	m := &layers.DNS{Questions: []layers.DNSQuestion{{Name: []byte("example.org"), Type: layers.DNSTypeA, Class: layers.DNSClassIN}}}
	for range 100 {
		m.Answers = append(m.Answers, layers.DNSResourceRecord{Name: []byte("example.org"), Type: layers.DNSTypeA, Class: layers.DNSClassIN, IP: []byte{1, 2, 3, 4}})
	}
	message := ft.Payload(serialize(t, m))
	table, _ := watch(flow.Options{ExtraLayers: flow.ExtraDNS, MaxFlows: 1 << 16})
	before := heap()
	for n := range 10_000 {
		add(table, at(start, there, ip, ft.UDP{Src: uint16(1000 + n), Dst: 53}, message))
	}
	if grown := heap() - before; grown > 96<<20 || grown < 8<<20 {
		t.Errorf("%d bytes more than before", grown)
	}
	if n := table.Ledger().Faults[flow.FaultNotKept]; n == 0 || n >= 10_000 {
		t.Errorf("%d of 10000 messages not kept", n)
	}
}

func TestReassemblyOfAFlow(t *testing.T) {
	segments := func(seqs ...uint32) (packets []flow.Packet) {
		packets = append(packets, at(start, there, ip, ft.TCP{Src: 1000, Dst: 80, Seq: 9, Flags: ft.SYN}))
		for _, seq := range seqs {
			packets = append(packets, at(start, there, ip, ft.TCP{Src: 1000, Dst: 80, Seq: seq, Flags: ft.ACK}, ft.Zeros(100)))
		}
		return append(packets,
			at(start, back, ipB, ft.TCP{Src: 80, Dst: 1000, Seq: 99, Flags: ft.SYN | ft.ACK}),
			at(start, back, ipB, ft.TCP{Src: 80, Dst: 1000, Seq: 100, Flags: ft.ACK}, ft.Zeros(50)),
			at(start, back, ipB, ft.TCP{Src: 80, Dst: 1000, Seq: 150, Flags: ft.RST}))
	}
	both := flow.TCPMetric{ABSawStart: 1, BASawStart: 1, BASawEnd: 1, BAPackets: 1, BABytes: 50}
	for _, test := range []struct {
		name    string
		packets []flow.Packet
		want    func(*flow.TCPMetric)
	}{
		{"in order", segments(10, 110, 210), func(m *flow.TCPMetric) { m.ABPackets, m.ABBytes = 3, 300 }},
		{"out of order", segments(110, 10, 210), func(m *flow.TCPMetric) { m.ABPackets, m.ABBytes, m.ABSegmentOutOfOrder = 3, 300, 1 }},
		{"sent again", segments(10, 10, 110), func(m *flow.TCPMetric) { m.ABPackets, m.ABBytes = 3, 300 }},
		{"missing", segments(10, 310), func(m *flow.TCPMetric) {
			m.ABPackets, m.ABBytes, m.ABSegmentOutOfOrder, m.ABSegmentSkipped, m.ABSegmentSkippedBytes = 2, 200, 1, 1, 200
		}},
		{"a SYN again", slices.Insert(segments(10, 110), 2, segments()[0]), func(m *flow.TCPMetric) { m.ABPackets, m.ABBytes = 2, 200 }},
	} {
		table, reports := watch(flow.Options{ReassembleTCP: true})
		add(table, test.packets...)
		table.Advance(start + 2*second)
		table.Close()
		got, want := *(*reports)[0].TCPMetric, both
		test.want(&want)
		got.ABSynStart, got.BASynStart, got.BARstStart, got.ABSynTTL, got.BASynTTL = 0, 0, 0, 0, 0
		if got != want || len(*reports) != 1 {
			t.Errorf("%s: %d reports, %+v, want %+v", test.name, len(*reports), got, want)
		}
	}
	table, reports := watch(flow.Options{})
	add(table, segments(10)...)
	table.Close()
	if (*reports)[0].TCPMetric != nil {
		t.Error("a TCPMetric that nobody asked for")
	}
}

func TestApplicationsOfPorts(t *testing.T) {
	names, err := flow.NewApplications([]string{"TCP:443:https", "UDP:7777:game", "SCTP:132:m2ua", "UDP:4789:overlay"})
	if err != nil {
		t.Fatal(err)
	}
	table, reports := watch(flow.Options{Applications: names})
	add(table,
		at(start, there, ip, ft.TCP{Src: 443, Dst: 1000}), at(start, there, ip, ft.UDP{Src: 7777, Dst: 9}),
		at(start, there, ip, ft.SCTP{Src: 132, Dst: 9}), at(start, there, ip, ft.UDP{Src: 443, Dst: 9}), at(start, there, ip, ft.TCP{Src: 7777, Dst: 9}),
		at(start, there, ip, ft.ICMPv4{Type: 8}), at(start, there, ip, ft.UDP{Src: 1, Dst: 4789}, ft.VXLAN{VNI: 3}, there, ip, ft.UDP{Src: 2, Dst: 3}),
	)
	found := 0
	table.Scan(0, 100, &flow.Prefilter{Application: []string{"HTTPS"}}, func(*flow.Flow) bool { found++; return true })
	table.Close()
	var got []string
	for _, r := range *reports {
		got = append(got, r.Application)
	}
	if want := []string{"HTTPS", "GAME", "M2UA", "UDP", "TCP", "ICMPv4", "OVERLAY", "UDP"}; !slices.Equal(got, want) || found != 1 {
		t.Errorf("applications %q, %d found by name", got, found)
	}
}

// A report brings the packets kept since the report before; a question for all of them gets all.
func TestRawPacketsAreReportedOnce(t *testing.T) {
	table, reports := watch(flow.Options{RawPacketLimit: 4, Update: 10 * time.Second})
	for s := range int64(60) {
		if s%7 == 0 {
			add(table, at(start+s*second, there, ip, ft.UDP{Src: 4000, Dst: 99}, ft.Zeros(int(s))))
		}
		table.Advance(start + s*second)
	}
	all := rawPackets(table, 100, (*reports)[0].UUID)[(*reports)[0].UUID]
	table.Close()
	var got []string
	var indexes []int64
	for _, r := range *reports {
		got = append(got, fmt.Sprintf("%d of %d", len(r.LastRawPackets), r.RawPacketsCaptured))
		for _, p := range r.LastRawPackets {
			indexes = append(indexes, p.Index)
		}
	}
	if want := []string{"1 of 1", "1 of 2", "2 of 4", "0 of 4", "0 of 4", "0 of 4", "0 of 4"}; !slices.Equal(got, want) || !slices.Equal(indexes, []int64{0, 1, 2, 3}) {
		t.Errorf("reports brought %q, indexes %v, want %q", got, indexes, want)
	}
	if len(all) != 4 {
		t.Errorf("%d packets on demand", len(all))
	}
}

// Packets without a limit are kept as long as there is room, which flows that end give back.
func TestRawPacketsAreBounded(t *testing.T) {
	table, reports := watch(flow.Options{RawPacketLimit: -1, MaxFlows: 4})
	before := heap()
	for n := range 60_000 {
		add(table, at(start, there, ip, ft.UDP{Src: 4000, Dst: uint16(100 + n/30_000)}, ft.Zeros(3000)))
	}
	if grown := heap() - before; grown > 80<<20 || grown < 48<<20 {
		t.Errorf("%d bytes more than before", grown)
	}
	for port := range uint16(4) {
		add(table, at(start, there, ip, ft.UDP{Src: 1, Dst: port + 1}, ft.Zeros(3000)))
	}
	if n := (*reports)[0].RawPacketsCaptured; n < 15_000 || n >= 30_000 {
		t.Errorf("%d packets of the first flow", n)
	}
	table.Close()
	kept := uint64(0)
	for _, r := range *reports {
		kept += uint64(len(r.LastRawPackets))
	}
	if n := table.Ledger().Faults[flow.FaultNotKept]; n == 0 || n+kept != 60_004 {
		t.Errorf("%d packets kept and %d not", kept, n)
	}
	if !slices.ContainsFunc(*reports, func(r told) bool { return r.Transport.A == 1 && r.RawPacketsCaptured == 1 }) {
		t.Error("no packet of the flows that came when there was room again")
	}
}

// Packets longer than 64 KiB are what segmentation offload gives: their IP length does not fit its field.
func TestSuperPackets(t *testing.T) {
	const payload = 180_000
	length4 := func(b []byte) { binary.BigEndian.PutUint16(b[16:], 0) }
	length6 := func(b []byte) { binary.BigEndian.PutUint16(b[18:], 0) }
	jumbo := ft.IPv6Extension{Kind: ft.HopByHop, Data: []byte{0xc2, 4, 0, 2, 0xbf, 0x54}} // RFC 2675
	for _, test := range []struct {
		name   string
		ip     []ft.Layer
		fix    func([]byte)
		header int
	}{
		{"IPv4", []ft.Layer{ip}, length4, 14 + 20 + 20},
		{"IPv6", []ft.Layer{ip6}, length6, 14 + 40 + 20},
		{"IPv6 jumbogram", []ft.Layer{ip6, jumbo}, length6, 14 + 48 + 20},
	} {
		for _, snap := range []int{96, 70_000, 1 << 20} {
			table, reports := watch(flow.Options{ExtraTCPMetric: true, ReassembleTCP: true, RawPacketLimit: 1})
			for n := range uint32(3) {
				p := at(start, append(append([]ft.Layer{there}, test.ip...), ft.TCP{Src: 1, Dst: 2, Seq: 1 + n*payload, Flags: ft.ACK}, ft.Zeros(payload))...)
				test.fix(p.Data)
				p.Data = p.Data[:min(snap, len(p.Data))]
				add(table, p)
			}
			table.Close()
			f := (*reports)[0]
			if want := int64(3 * (test.header + payload)); f.Metric.ABBytes != want || table.Ledger().CountedBytes != uint64(want) {
				t.Errorf("%s, %d bytes kept: %d bytes counted, want %d", test.name, snap, f.Metric.ABBytes, want)
			}
			if m := f.TCPMetric; m.ABSegmentSkipped != 0 || m.ABSegmentOutOfOrder != 0 || m.ABBytes != 3*payload || len(*reports) != 1 {
				t.Errorf("%s, %d bytes kept: %+v", test.name, snap, m)
			}
			if f.Transport.B != 2 || table.Ledger().Faults != [flow.NumFaults]uint64{} {
				t.Errorf("%s: %+v, ledger %+v", test.name, f.Transport, table.Ledger())
			}
		}
	}
}

// Lengths as no packet has, one after the other, do not overflow what counts them.
func TestLengthsBeyondReason(t *testing.T) {
	table, reports := watch(flow.Options{})
	p := at(start, there, ip, ft.UDP{Src: 1, Dst: 2})
	const most = 1<<31 - 1
	for range 10 {
		p.Length = 1<<32 - 1
		add(table, p)
	}
	p.Length = -5
	add(table, p)
	table.Close()
	if want := int64(10*most + len(p.Data)); (*reports)[0].Metric.ABBytes != want || table.Ledger().CountedBytes != uint64(want) {
		t.Errorf("%d bytes, ledger %+v, want %d", (*reports)[0].Metric.ABBytes, table.Ledger(), want)
	}
}
