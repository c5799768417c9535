package flow_test

import (
	"math/rand/v2"
	"testing"

	"github.com/weft-net/weft/flow"
	ft "github.com/weft-net/weft/flow/flowtest"
)

// cut makes the fragments of an IPv4 or IPv6 datagram that carries layers, each with so many bytes of it.
func cut(ns int64, six bool, id uint16, size int, layers ...ft.Layer) (parts []flow.Packet) {
	protocols := map[bool]ft.Layer{false: ft.IPv4{Src: ip.Src, Dst: ip.Dst}, true: ip6}
	header := map[bool]int{false: 20, true: 40}[six]
	whole := ft.Packet(append([]ft.Layer{protocols[six]}, layers...)...)
	protocol := whole[9]
	if six {
		protocol = whole[6]
	}
	payload := whole[header:]
	for offset := 0; offset < len(payload); offset += size {
		more := offset+size < len(payload)
		piece := ft.Payload(payload[offset:min(offset+size, len(payload))])
		if six {
			parts = append(parts, at(ns, there, ip6, ft.IPv6Fragment{ID: uint32(id), Offset: offset, More: more, NextHeader: protocol}, piece))
		} else {
			parts = append(parts, at(ns, there, ft.IPv4{Src: ip.Src, Dst: ip.Dst, ID: id, MF: more, Offset: offset, Protocol: protocol}, piece))
		}
	}
	return parts
}

// dnsOf makes a DNS message that fills several fragments.
func dnsOf(t testing.TB) []ft.Layer {
	return []ft.Layer{ft.UDP{Src: 4000, Dst: 53}, ft.Payload(dnsMessage(t))}
}

func TestDatagramsArePutTogether(t *testing.T) {
	for _, six := range []bool{false, true} {
		for _, on := range []bool{false, true} {
			table, reports := watch(flow.Options{IPDefrag: on, ExtraLayers: flow.ExtraDNS})
			parts := cut(start, six, 7, 200, dnsOf(t)...)
			add(table, parts...)
			table.Close()
			if len(*reports) != 1 {
				t.Fatalf("IPv6 %t, defragmentation %t: %d flows", six, on, len(*reports))
			}
			f := (*reports)[0]
			if f.Transport.B != 53 || f.Metric.ABPackets != int64(len(parts)) || *f.IPMetric != (flow.IPMetric{Fragments: int64(len(parts))}) {
				t.Errorf("IPv6 %t, defragmentation %t: %+v, %+v, %+v", six, on, f.Transport, f.Metric, f.IPMetric)
			}
			if whole := f.DNS != nil && f.DNS.ID == 4711 && len(f.DNS.Answers) == 7 && len(f.DNS.Authorities) == 2; whole != on || f.DNS.ID != 4711 {
				t.Errorf("IPv6 %t, defragmentation %t: DNS %+v", six, on, f.DNS)
			}
			l := table.Ledger()
			if on && l.Faults != [flow.NumFaults]uint64{} || !l.Balanced() || l.Reported != uint64(len(parts)) {
				t.Errorf("IPv6 %t, defragmentation %t: ledger %+v", six, on, l)
			}
		}
	}
}

// What a fragmented tunnel carries is counted once, with its whole length, when the datagram is whole.
func TestTunnelInFragments(t *testing.T) {
	carried := []ft.Layer{back, ip, ft.TCP{Src: 1, Dst: 2, Seq: 10, Flags: ft.ACK}, ft.Zeros(1400)}
	layers := append([]ft.Layer{ft.UDP{Src: 9, Dst: 4789}, ft.VXLAN{VNI: 42}}, carried...)
	table, reports := watch(flow.Options{IPDefrag: true, ReassembleTCP: true, RawPacketLimit: 1})
	add(table, cut(start, false, 7, 800, layers...)...)
	table.Close()
	if len(*reports) != 2 {
		t.Fatalf("%d flows, want the tunnel and what it carries", len(*reports))
	}
	outer, inner := (*reports)[0], (*reports)[1]
	want := flow.Metric{ABPackets: 1, ABBytes: int64(len(ft.Packet(carried...))), Start: start / 1e6, Last: start / 1e6}
	if inner.ParentUUID != outer.UUID || *inner.Metric != want || inner.TCPMetric.ABBytes != 1400 || outer.Metric.ABPackets != 2 {
		t.Errorf("tunnel %+v, carried %+v, %+v", outer.Metric, inner.Metric, inner.TCPMetric)
	}
	if len(inner.LastRawPackets) != 1 || int64(len(inner.LastRawPackets[0].Data)) != want.ABBytes || inner.LastRawPackets[0].LinkType != flow.LinkEthernet {
		t.Errorf("raw packets %+v", inner.LastRawPackets)
	}
}

// A TCP segment in fragments skips nothing of its stream.
func TestTCPInFragments(t *testing.T) {
	for _, on := range []bool{false, true} {
		table, reports := watch(flow.Options{IPDefrag: on, ExtraTCPMetric: true})
		add(table, cut(start, false, 7, 400, ft.TCP{Src: 1, Dst: 2, Seq: 10, Flags: ft.FIN | ft.ACK}, ft.Zeros(1000))...)
		add(table, at(start, there, ip, ft.TCP{Src: 1, Dst: 2, Seq: 1011, Flags: ft.ACK}, ft.Zeros(1)))
		table.Close()
		m := (*reports)[0].TCPMetric
		if whole := m.ABSegmentSkipped == 0 && m.ABSegmentOutOfOrder == 0 && m.ABFinStart != 0; whole != on || len(*reports) != 1 {
			t.Errorf("defragmentation %t: %d flows, %+v", on, len(*reports), m)
		}
	}
}

func TestFragmentsThatAreNoDatagram(t *testing.T) {
	good := func(id uint16) []flow.Packet {
		return cut(start, false, id, 200, ft.UDP{Src: 1, Dst: 2}, ft.Zeros(592))
	}
	overlap := at(start, there, ft.IPv4{Src: ip.Src, Dst: ip.Dst, ID: 7, MF: true, Offset: 104, Protocol: 17}, ft.Zeros(200))
	twoEnds := at(start, there, ft.IPv4{Src: ip.Src, Dst: ip.Dst, ID: 7, Offset: 800, Protocol: 17}, ft.Zeros(8))
	short := good(7)[1]
	short.Data = short.Data[:100]
	for _, test := range []struct {
		name    string
		packets []flow.Packet
		errors  int64
		fault   flow.Fault
		faults  uint64
	}{
		{"overlapping", append(good(7)[:1], overlap), 1, flow.FaultFragment, 1},
		{"what follows an overlap", append(good(7)[:1], overlap, good(7)[2]), 2, flow.FaultFragment, 1},
		{"two ends", append(good(7)[:1:1], good(7)[2], twoEnds), 1, flow.FaultFragment, 1},
		{"repeated", append(good(7)[:2:2], good(7)[1], good(7)[2]), 0, flow.FaultFragment, 0},
		{"never complete", append(good(7)[:2:2], good(8)[:1]...), 0, flow.FaultIncomplete, 2},
		{"cut by the capture", []flow.Packet{good(7)[0], short, good(7)[2]}, 0, flow.FaultTruncated, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			table, reports := watch(flow.Options{IPDefrag: true})
			add(table, test.packets...)
			table.Advance(start + 31*second)
			l := table.Ledger()
			if l.Faults[test.fault] != test.faults || !l.Balanced() || l.Counted != uint64(len(test.packets)) {
				t.Errorf("ledger %+v, want %d of %s", l, test.faults, test.fault)
			}
			table.Close()
			if f := (*reports)[0]; f.IPMetric.FragmentErrors != test.errors || f.IPMetric.Fragments != int64(len(test.packets)) {
				t.Errorf("%+v, want %d errors", f.IPMetric, test.errors)
			}
		})
	}
}

// TestFloodOfFragments sends first fragments whose rest never comes: memory stays bounded, each is counted, and each is a fault.
func TestFloodOfFragments(t *testing.T) {
	for _, on := range []bool{false, true} {
		table, _ := watch(flow.Options{IPDefrag: on, MaxFlows: 1000})
		before := heap()
		const floods = 60_000
		first := cut(start, false, 0, 1400, ft.UDP{Src: 1, Dst: 2}, ft.Zeros(1992))[0]
		for n := range floods {
			first.Data[18], first.Data[19], first.Data[37] = byte(n>>8), byte(n), byte(n) // another datagram, another port
			first.Time = start + int64(n)*1000
			table.Add(flow.LinkEthernet, []flow.Packet{first})
		}
		if grown := heap() - before; grown > 24<<20 {
			t.Errorf("defragmentation %t: %d bytes more than before", on, grown)
		}
		table.Close()
		l := table.Ledger()
		if !l.Balanced() || l.Counted != floods || l.Reported != floods {
			t.Errorf("defragmentation %t: ledger %+v", on, l)
		}
		if got := l.Faults[flow.FaultIncomplete] + l.Faults[flow.FaultFragment]; on && got != floods {
			t.Errorf("%d datagrams are a fault, of %d", got, floods)
		}
	}
}

// TestFragmentsOfTwoTunnels puts datagrams of the same addresses and number together in each tunnel on its own.
func TestFragmentsOfTwoTunnels(t *testing.T) {
	table, reports := watch(flow.Options{IPDefrag: true, ExtraLayers: flow.ExtraDNS})
	parts := cut(start, false, 7, 200, dnsOf(t)...)
	rng := rand.New(rand.NewPCG(1, 2))
	var packets []flow.Packet
	for vni := range uint32(3) {
		for _, p := range parts[1:] {
			packets = append(packets, at(start, there, ip, ft.UDP{Src: 9, Dst: 4789}, ft.VXLAN{VNI: vni + 1}, ft.Payload(p.Data)))
		}
	}
	rng.Shuffle(len(packets), func(i, j int) { packets[i], packets[j] = packets[j], packets[i] })
	for vni := range uint32(3) {
		add(table, at(start, there, ip, ft.UDP{Src: 9, Dst: 4789}, ft.VXLAN{VNI: vni + 1}, ft.Payload(parts[0].Data)))
	}
	add(table, packets...)
	table.Close()
	found := 0
	for _, r := range *reports {
		if r.ParentUUID != "" && r.DNS != nil && r.IPMetric.Fragments == int64(len(parts)) && r.IPMetric.FragmentErrors == 0 {
			found++
		}
	}
	if found != 3 || len(*reports) != 6 {
		t.Errorf("%d flows, %d of them whole messages in tunnels, want 6 and 3", len(*reports), found)
	}
}

// TestFragmentsKeepTheirPorts counts the benchmark's traffic, in which a hundred thousand flows live at once and every tenth has datagrams in
// fragments: of a thousand later fragments at most one is counted without its ports. What a table that is too small
// forgets depends on the packets alone.
func TestFragmentsKeepTheirPorts(t *testing.T) {
	packets := traffic(100_000, 1_000_000, ft.Tunnels())
	for _, flows := range []int{1 << 21, 1 << 17} {
		var ledgers [2]flow.Ledger
		for i := range ledgers {
			fragments := int64(0)
			table := flow.NewTable(flow.Options{MaxFlows: flows, Report: func(f *flow.Flow, _ flow.Reason) {
				if f.IPMetric != nil {
					fragments += f.IPMetric.Fragments
				}
			}})
			table.Add(flow.LinkEthernet, packets)
			table.Close()
			ledgers[i] = table.Ledger()
			lost := float64(ledgers[i].Faults[flow.FaultOrphan])
			if fragments < 4000 || lost > float64(fragments/2)/1000 {
				t.Errorf("%d flows: %.0f of %d fragments without ports", flows, lost, fragments)
			}
		}
		if ledgers[0] != ledgers[1] {
			t.Errorf("%d flows: twice the same packets give %+v\nand %+v", flows, ledgers[0], ledgers[1])
		}
	}
}

// TestForgottenFirstFragments sends the rest of a flood of datagrams: those that began last keep their ports, each of the others is a fault.
func TestForgottenFirstFragments(t *testing.T) {
	const floods, remembered, repeated = 20_000, 4096, 3
	table, reports := watch(flow.Options{MaxFlows: 1000})
	parts := cut(start, false, 0, 1400, ft.UDP{Src: 1, Dst: 2}, ft.Zeros(1992))
	send := func(p flow.Packet, n int) {
		p.Data[18], p.Data[19] = byte(n>>8), byte(n) // another datagram
		table.Add(flow.LinkEthernet, []flow.Packet{p})
	}
	for n := range floods * repeated {
		send(parts[0], n/repeated) // the same number again takes another place: the first one of it will not be asked for
	}
	const kept = remembered / repeated
	for n := floods - 1; n >= 0; n-- {
		send(parts[1], n)
		if l := table.Ledger(); l.Faults[flow.FaultOrphan] != uint64(max(floods-n-kept-1, 0)) && l.Faults[flow.FaultOrphan] != uint64(max(floods-n-kept, 0)) {
			t.Fatalf("datagram %d of %d: %d orphans", n, floods, l.Faults[flow.FaultOrphan])
		}
	}
	table.Close()
	if l := table.Ledger(); !l.Balanced() || l.Counted != floods*(repeated+1) || len(*reports) != 2 {
		t.Errorf("%d flows, ledger %+v", len(*reports), l)
	}
}
