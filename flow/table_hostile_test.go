package flow_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	ft "github.com/weft-net/weft/flow/flowtest"
)

// nest puts a packet into that many tunnels: the addresses at each depth name it and the branch.
func nest(ns int64, branch, depth int, rng *rand.Rand) flow.Packet {
	layers := []ft.Layer{there}
	for d := range depth {
		outer := ft.IPv4{Src: fmt.Sprintf("10.%d.%d.1", d, branch), Dst: fmt.Sprintf("10.%d.%d.2", d, branch)}
		switch rng.IntN(3) {
		case 0:
			layers = append(layers, outer, ft.UDP{Src: 9, Dst: 4789}, ft.VXLAN{VNI: 7}, there)
		case 1:
			layers = append(layers, outer, ft.GRE{})
		default:
			layers = append(layers, outer)
		}
	}
	layers = append(layers, ft.IPv4{Src: fmt.Sprintf("10.%d.%d.1", depth, branch), Dst: fmt.Sprintf("10.%d.%d.2", depth, branch)}, ft.UDP{Src: 1, Dst: uint16(1 + rng.IntN(3))})
	return at(ns, layers...)
}

// TestTinyTables holds tables of few flows, where a flow around a tunnel is evicted by the flows of its own packet, to the same
// account as any: each packet once, each flow begun and ended once, each child with the flow that carried it.
func TestTinyTables(t *testing.T) {
	for limit := 1; limit <= 8; limit++ {
		rng := rand.New(rand.NewPCG(uint64(limit), 3))
		seen, ended := map[string]flow.Flow{}, map[string]bool{}
		var roots, ends uint64
		table := flow.NewTable(flow.Options{
			NodeTID: "n", MaxFlows: limit, Update: time.Millisecond, IPDefrag: limit&1 == 0, ReassembleTCP: limit&2 == 0, RawPacketLimit: limit & 4,
			Report: func(f *flow.Flow, why flow.Reason) {
				if ended[f.UUID] {
					t.Fatalf("%d flows: a report of %s after its end", limit, f.UUID)
				}
				if why == flow.Started && seen[f.UUID].UUID != "" {
					t.Fatalf("%d flows: %s began twice", limit, f.UUID)
				}
				seen[f.UUID] = *f.Clone()
				if why == flow.Ended || why == flow.Evicted {
					ended[f.UUID] = true
					ends++
				}
				if f.ParentUUID == "" {
					roots += uint64(f.LastUpdateMetric.ABPackets + f.LastUpdateMetric.BAPackets)
				}
			},
		})
		const packets = 20_000
		var batch []flow.Packet
		for n := range packets {
			now := start + int64(n)*2000 // many of a flow's lives begin in one millisecond
			batch = append(batch, nest(now, rng.IntN(3), rng.IntN(7), rng))
			if rng.IntN(40) == 0 {
				add(table, batch...)
				batch = batch[:0]
				if l := table.Ledger(); !l.Balanced() || l.FlowsLive > uint64(limit) {
					t.Fatalf("%d flows: ledger %+v", limit, l)
				}
			}
			if rng.IntN(500) == 0 {
				table.Advance(now + second*int64(rng.IntN(2)))
			}
		}
		add(table, batch...)
		table.Close()
		l := table.Ledger()
		if l.Received != packets || l.Counted != packets || l.Reported != packets || roots != packets || l.FlowsLive != 0 {
			t.Errorf("%d flows: ledger %+v, %d packets in reports", limit, l, roots)
		}
		if ends != l.Flows || uint64(len(seen)) != l.Flows {
			t.Errorf("%d flows: %d began, %d ended, %d ids", limit, l.Flows, ends, len(seen))
		}
		for id, f := range seen {
			depth, branch := place(f)
			parent, known := seen[f.ParentUUID]
			if depth == 0 != (f.ParentUUID == "") || depth > 0 && !known {
				t.Fatalf("%d flows: %s at depth %d has the parent %q", limit, id, depth, f.ParentUUID)
			}
			if known {
				if d, b := place(parent); d != depth-1 || b != branch {
					t.Fatalf("%d flows: %s at depth %d of branch %d is in a flow at depth %d of branch %d", limit, id, depth, branch, d, b)
				}
			}
		}
	}
}

// place reads where nest put a flow.
func place(f flow.Flow) (depth, branch int) {
	b := addrOf(f.Network.A).As4()
	return int(b[1]), int(b[2])
}

// A connection that is reset and begins again within a millisecond is another flow.
func TestFlowThatBeginsAgain(t *testing.T) {
	table, reports := watch(flow.Options{})
	for n := range int64(5) {
		add(table,
			at(start+n*1000, there, ip, ft.TCP{Src: 1000, Dst: 80, Seq: 9, Flags: ft.SYN}),
			at(start+n*1000, back, ipB, ft.TCP{Src: 80, Dst: 1000, Flags: ft.RST}))
	}
	table.Close()
	ids := map[string]bool{}
	for _, r := range *reports {
		ids[r.UUID] = true
	}
	if len(*reports) != 5 || len(ids) != 5 {
		t.Errorf("%d flows ended, with %d ids", len(*reports), len(ids))
	}
}

// Where all packets have the same time, as some files have it, or one that goes back, flows that begin again are others, however many
// ended since. What they are tracked by stays.
func TestFlowsOfOneMoment(t *testing.T) {
	for name, limit := range map[string]int{"room for all": 1 << 16, "a full table": 100} {
		for _, step := range []int64{0, -1e9} {
			table, reports := watch(flow.Options{MaxFlows: limit})
			const ports, rounds = 3000, 3
			for round := range int64(rounds) {
				for port := range uint16(ports) {
					add(table,
						at(start+round*step, there, ip, ft.TCP{Src: 1000 + port, Dst: 80, Seq: 9, Flags: ft.SYN}),
						at(start+round*step, back, ipB, ft.TCP{Src: 80, Dst: 1000 + port, Flags: ft.RST}))
				}
			}
			table.Close()
			ids, tracked := map[string]bool{}, map[string]bool{}
			for _, r := range *reports {
				ids[r.UUID], tracked[r.TrackingID] = true, true
			}
			if len(*reports) != ports*rounds || len(ids) != ports*rounds || len(tracked) != ports {
				t.Errorf("%s, %d ns between rounds: %d flows ended, with %d ids and %d tracking ids", name, step, len(*reports), len(ids), len(tracked))
			}
		}
	}
}

// A record that moves the start of its flow back leaves the id, which another flow of that moment must not get.
func TestRecordsOfOneMoment(t *testing.T) {
	table, reports := watch(flow.Options{})
	a, b := addrOf("10.0.0.9"), addrOf("10.0.0.1")
	for n := range 3 {
		for _, began := range []int64{start, start - second} {
			table.Record(flow.Record{Source: a, Destination: b, SourcePort: 1000, DestinationPort: 80, Protocol: 6, Packets: 1, Start: began, End: start})
		}
		table.Advance(start + int64(n+1)*700*second)
	}
	ids := map[string]bool{}
	for _, r := range *reports {
		if ids[r.UUID] = true; r.Start != (start-second)/1e6 {
			t.Errorf("a flow that starts at %d", r.Start)
		}
	}
	if len(ids) != 3 {
		t.Errorf("%d reports of %d flows, want 3", len(*reports), len(ids))
	}
}

// TestFloodOfSYNs sends connections that never answer, each from elsewhere, at full rate: memory stays bounded and the ledger exact.
func TestFloodOfSYNs(t *testing.T) {
	const limit, floods = 1 << 12, 600_000
	var reported, evicted, kept uint64
	table := flow.NewTable(flow.Options{
		NodeTID: "n", MaxFlows: limit, ExtraTCPMetric: true, ReassembleTCP: true, IPDefrag: true, ExtraLayers: 7, RawPacketLimit: 1,
		Report: func(f *flow.Flow, why flow.Reason) {
			reported += uint64(f.LastUpdateMetric.ABPackets + f.LastUpdateMetric.BAPackets)
			kept += uint64(len(f.LastRawPackets))
			if why == flow.Evicted {
				evicted++
			}
		},
	})
	p := at(start, there, ip, ft.TCP{Src: 1000, Dst: 80, Flags: ft.SYN})
	batch := make([]flow.Packet, 256)
	for i := range batch {
		batch[i] = flow.Packet{Data: append([]byte(nil), p.Data...), Length: len(p.Data)}
	}
	before := heap()
	for n := 0; n < floods; n += len(batch) {
		for i := range batch {
			binary.BigEndian.PutUint32(batch[i].Data[26:], uint32(n+i)*2654435761) // another source
			batch[i].Time = start + int64(n+i)*700
		}
		table.Add(flow.LinkEthernet, batch)
		table.Advance(start + int64(n)*700)
	}
	if grown := heap() - before; grown > limit*2048 {
		t.Errorf("%d bytes for %d flows", grown, limit)
	}
	table.Close()
	sent := uint64((floods + len(batch) - 1) / len(batch) * len(batch))
	if l := table.Ledger(); l.Received != sent || l.Counted != sent || l.Reported != sent || reported != sent || l.Flows != sent || l.FlowsEvicted != evicted || evicted != sent-limit || kept != sent {
		t.Errorf("ledger %+v, %d sent, %d reported, %d flows evicted, %d packets kept", l, sent, reported, evicted, kept)
	}
}

// TestTimeThatGoesBackwards adds packets whose timestamps jump, as a clock that is set or a damaged file gives them: all are
// counted, jumps are a fault, flows end, and no round trip is measured over them.
func TestTimeThatGoesBackwards(t *testing.T) {
	table, reports := watch(flow.Options{ExtraTCPMetric: true, IPDefrag: true})
	ab := func(ns int64, seq, ack uint32, flags uint8, n int) flow.Packet {
		return at(ns, there, ip, ft.TCP{Src: 1000, Dst: 80, Seq: seq, Ack: ack, Flags: flags}, ft.Zeros(n))
	}
	ba := func(ns int64, seq, ack uint32, flags uint8, n int) flow.Packet {
		return at(ns, back, ipB, ft.TCP{Src: 80, Dst: 1000, Seq: seq, Ack: ack, Flags: flags}, ft.Zeros(n))
	}
	const hour = 3600 * second
	add(table,
		ab(start, 9, 0, ft.SYN, 0), ba(start-hour, 99, 10, ft.SYN|ft.ACK, 0),
		ab(start, 10, 100, ft.ACK, 100), ba(start-hour, 100, 110, ft.ACK, 100), ab(start-2*hour, 110, 200, ft.ACK, 0),
		at(start, there, ip, ft.ICMPv4{Type: 8, ID: 7, Seq: 1}), at(start-second/2, back, ipB, ft.ICMPv4{Type: 0, ID: 7, Seq: 1}),
		at(start+1000*hour, there, ip, ft.UDP{Src: 1, Dst: 2}), at(-hour, there, ip, ft.UDP{Src: 3, Dst: 4}),
	)
	for _, f := range cut(start+hour, false, 1, 800, ft.UDP{Src: 5, Dst: 6}, ft.Zeros(1000)) {
		f.Time -= int64(len(f.Data)) * second // the second fragment is the earlier one
		add(table, f)
	}
	for _, now := range []int64{start + 1000*hour, start - hour, 0, start, start + second, start + hour} {
		table.Advance(now)
	}
	table.Close()
	l := table.Ledger()
	if l.Faults[flow.FaultTime] != 3 || !l.Balanced() || l.Counted != 11 || l.Reported != 11 || l.FlowsLive != 0 {
		t.Errorf("ledger %+v", l)
	}
	over := map[string]int{}
	for _, r := range *reports {
		if r.why == flow.Ended {
			over[r.UUID]++
		}
		if r.Metric.RTT != 0 || r.LastUpdateMetric.RTT != 0 || r.Last < r.Start {
			t.Errorf("%s: round trip %d, running %d, from %d to %d", r.Application, r.Metric.RTT, r.LastUpdateMetric.RTT, r.Start, r.Last)
		}
	}
	if len(over) != 6 || uint64(len(over)) != l.Flows {
		t.Errorf("%d flows ended of %d", len(over), l.Flows)
	}
}

// TestThirtyTunnelsOfEachKind nests tunnels deeper than they are followed: the packet is counted once, and the rest is a fault.
func TestThirtyTunnelsOfEachKind(t *testing.T) {
	for _, on := range []bool{false, true} {
		for name, tunnel := range map[string][]ft.Layer{
			"IPv4 in IPv4": {ip}, "IPv4 in IPv6": {ip6, ip}, "GRE": {ip, ft.GRE{}}, "VXLAN": {there, ip, ft.UDP{Src: 9, Dst: 4789}, ft.VXLAN{VNI: 7}},
			"Geneve": {there, ip, ft.UDP{Src: 9, Dst: 6081}, ft.Geneve{VNI: 7}}, "ERSPAN": {there, ip, ft.GRE{HasSequence: true}, ft.ERSPAN{}},
		} {
			var layers []ft.Layer
			for range 30 {
				layers = append(layers, tunnel...)
			}
			if _, ethernet := layers[0].(ft.Ethernet); !ethernet {
				layers = append([]ft.Layer{there}, layers...)
			} else {
				layers = append(layers, there)
			}
			table, reports := watch(flow.Options{IPDefrag: on, ReassembleTCP: on, RawPacketLimit: 1})
			add(table, at(start, append(layers, ip, ft.TCP{Src: 1, Dst: 2})...))
			table.Close()
			if l := table.Ledger(); l.Faults[flow.FaultDepth] != 1 || l.Counted != 1 || l.Reported != 1 || len(*reports) != 9 {
				t.Errorf("%s: %d flows, ledger %+v", name, len(*reports), l)
			}
		}
	}
}

// TestFragmentsWithinFragments puts datagrams together that are fragments of datagrams, deeper than they are followed.
func TestFragmentsWithinFragments(t *testing.T) {
	// A datagram whose first fragment holds all of another whose first fragment holds all of another …
	payload, protocol := ft.Packet(ft.UDP{Src: 1, Dst: 2}, ft.Zeros(16)), uint8(17)
	var packet flow.Packet
	const last = 40
	var tail []flow.Packet
	for depth := range uint16(12) {
		header := ft.IPv4{Src: ip.Src, Dst: ip.Dst, ID: depth, MF: true, Protocol: protocol}
		packet = at(start, there, header, ft.Payload(payload[:len(payload)&^7]))
		header.MF, header.Offset = false, len(payload)&^7
		tail = append(tail, at(start, there, header, ft.Zeros(last)))
		payload, protocol = append(packet.Data[14:], make([]byte, -(len(packet.Data)-14)&7)...), 4
	}
	for _, on := range []bool{false, true} {
		table, reports := watch(flow.Options{IPDefrag: on})
		add(table, packet, tail[len(tail)-1])
		table.Close()
		l := table.Ledger()
		if !l.Balanced() || l.Counted != 2 || l.Reported != 2 {
			t.Errorf("defragmentation %t: ledger %+v", on, l)
		}
		// Whole is the outermost only: of those in it the rest did not come.
		if want := map[bool]int{false: 9, true: 2}[on]; len(*reports) != want || on && l.Faults[flow.FaultIncomplete] != 1 {
			t.Errorf("defragmentation %t: %d flows, ledger %+v", on, len(*reports), l)
		}
	}
}

// FuzzTable adds packets of any bytes to a table with every option on. A packet is a length, a step of time and its bytes.
func FuzzTable(f *testing.F) {
	pack := func(packets ...flow.Packet) (script []byte) {
		for _, p := range packets {
			script = binary.BigEndian.AppendUint16(script, uint16(len(p.Data)))
			script = append(append(script, byte(p.Time>>20)), p.Data...)
		}
		return script
	}
	for i, test := range frames {
		f.Add(uint16(flow.LinkEthernet), byte(i), pack(at(int64(i)<<20, test.layers...), at(0, test.layers...)))
	}
	f.Add(uint16(flow.LinkEthernet), byte(1), pack(cut(0, false, 7, 200, dnsOf(f)...)...))
	f.Add(uint16(flow.LinkEthernet), byte(0xff), pack(cut(0, true, 7, 200, dnsOf(f)...)...))
	f.Add(uint16(flow.LinkEthernet), byte(3), pack(cut(0, false, 7, 400, ft.UDP{Src: 9, Dst: 4789}, ft.VXLAN{VNI: 42}, there, ip, ft.TCP{Src: 1, Dst: 2}, ft.Zeros(600))...))
	f.Fuzz(func(t *testing.T, link uint16, mode byte, script []byte) {
		names, _ := flow.NewApplications([]string{"TCP:443:HTTPS"})
		over := map[string]bool{}
		var roots uint64
		o := flow.Options{
			NodeTID: "n", MaxFlows: 1 + int(mode>>4), LayerMode: flow.LayerMode(mode & 1), Update: time.Millisecond, Expire: 100 * time.Millisecond,
			ExtraTCPMetric: true, IPDefrag: mode&2 != 0, ReassembleTCP: true, ExtraLayers: 7, Applications: names, RawPacketLimit: int(mode>>2&3) - 1,
		}
		o.Report = func(f *flow.Flow, why flow.Reason) {
			if over[f.UUID] {
				t.Fatalf("a report of %s after its end", f.UUID)
			}
			over[f.UUID] = why == flow.Ended || why == flow.Evicted
			if f.ParentUUID == "" {
				roots += uint64(f.LastUpdateMetric.ABPackets + f.LastUpdateMetric.BAPackets)
			}
			f.AppendProto(nil)
			f.AppendJSON(nil)
		}
		table := flow.NewTable(o)
		var packets []flow.Packet
		now := start
		for len(script) >= 3 {
			n := min(int(binary.BigEndian.Uint16(script)), len(script)-3)
			now += int64(int8(script[2])) << 22
			packets = append(packets, flow.Packet{Data: script[3 : 3+n : 3+n], Length: n + int(script[2]&3)*40_000, Time: now})
			script = script[3+n:]
		}
		for i := range packets {
			if i&7 == 7 {
				table.Advance(packets[i].Time)
			}
			table.Add(flow.LinkType(link), packets[i:i+1])
		}
		table.Add(flow.LinkType(link), packets)
		table.Close()
		l := table.Ledger()
		if !l.Balanced() || l.Received != 2*uint64(len(packets)) || l.Reported != l.Counted || roots != l.Counted || l.Flows != uint64(len(over)) || l.FlowsLive != 0 {
			t.Fatalf("ledger %+v, %d packets, %d reported, %d ids", l, len(packets), roots, len(over))
		}
	})
}
