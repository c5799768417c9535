package flow

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	ft "github.com/weft-net/weft/flow/flowtest"
)

// sameSegment decodes a packet both ways, over what another packet left behind, and reports whether the fast path took it.
func sameSegment(t *testing.T, p *Packet, at, wire int, l3 bool) bool {
	t.Helper()
	var d decoder
	var want, got segment
	d.general(&want, p, at, wire, contentEthernet, l3)
	stain(&got)
	if !got.fast(p, at, wire, l3) {
		return false
	}
	got.hash, got.candidate, got.packet = 0, 0, 0 // which decoding leaves to the table
	if got != want {
		t.Fatalf("% x at %d, %d bytes on the wire:\nfast    %+v\ngeneral %+v", p.Data, at, wire, got, want)
	}
	if d.faults != [NumFaults]uint64{} {
		t.Fatalf("% x: the fast path took a packet with faults %v", p.Data, d.faults)
	}
	return true
}

// stain fills a segment with what no packet leaves.
func stain(s *segment) {
	for i := range s.key {
		s.key[i] = ^uint64(0)
	}
	for i := range s.macs {
		s.macs[i] = 0xa5
	}
	s.hash, s.path, s.time, s.linkID = ^uint64(0), ^uint64(0), -1, ^uint64(0)
	s.length, s.payload, s.seq, s.ack, s.netID, s.end, s.candidate, s.fragmentID = 1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9
	s.flags, s.packet, s.start, s.body, s.innerAt, s.fragmentAt, s.ipAt = 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff
	s.tcp, s.ttl, s.icmp, s.inner = 0xff, 0xff, 0xff, contentBad
}

// TestFastPathIsTheGeneralDecoder holds the fast path to what the general decoder says, over traffic of all kinds that is cut, padded and changed at random.
func TestFastPathIsTheGeneralDecoder(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 2))
		taken, whole := 0, 0
		mix := []ft.Mix{ft.Plain(), ft.Tunnels(), {UDP: 60, IPv6: 60}}[seed%3]
		ft.Traffic{Flows: 500, Packets: 30_000, Seed: seed, SnapLen: 160, Mix: mix}.Stream(func(ts int64, data []byte, wire int) {
			p := Packet{Data: data, Length: wire, Time: ts, VLAN: uint16(rng.Uint32()), HasVLAN: rng.IntN(4) == 0}
			whole++
			if sameSegment(t, &p, 0, max(wire, len(data)), rng.IntN(2) == 0) {
				taken++
			}
			for range 8 {
				sameSegmentOfChanged(t, rng, p)
			}
		})
		if seed%3 != 1 && taken != whole {
			t.Errorf("seed %d: the fast path took %d packets of %d", seed, taken, whole)
		}
	}
}

// sameSegmentOfChanged changes a packet and compares.
func sameSegmentOfChanged(t *testing.T, rng *rand.Rand, p Packet) {
	data := append(make([]byte, 0, len(p.Data)+16), p.Data...)
	wire := p.Length
	header := min(len(data), 78)
	for range rng.IntN(4) {
		switch rng.IntN(6) { // no frame is shorter than one of UDP
		case 0:
			data[rng.IntN(header)] = byte(rng.Uint32())
		case 1:
			data[rng.IntN(header)] ^= 1 << rng.IntN(8)
		case 2: // a length: of IPv4, IPv6, UDP
			binary.BigEndian.PutUint16(data[[]int{16, 18, 38}[rng.IntN(3)]:], uint16(rng.IntN(wire+8)))
		case 3: // the two ends are one
			copy(data[26:30], data[30:34])
			if rng.IntN(2) == 0 && len(data) >= 38 {
				copy(data[34:36], data[36:38])
			}
			if rng.IntN(2) == 0 {
				copy(data[:6], data[6:12])
			}
		case 4: // a port that has a meaning
			ports := []uint16{53, 67, 123, 547, 4789, 8472, 6081, 6343, 117}
			at := 34 + rng.IntN(2)*2
			if data[12] == 0x86 {
				at += 20
			}
			if len(data) >= at+2 {
				binary.BigEndian.PutUint16(data[at:], ports[rng.IntN(len(ports))])
			}
		case 5:
			wire = rng.IntN(wire + 40)
		}
	}
	if rng.IntN(4) == 0 {
		data = data[:rng.IntN(len(data)+1)]
	}
	if rng.IntN(4) == 0 {
		data = append(data, 1, 2, 3, 4, 5, 6)
	}
	at := 0
	if rng.IntN(3) == 0 { // within a tunnel
		at = rng.IntN(60)
		data = append(make([]byte, at, at+len(data)), data...)
		wire += at
	}
	if at == 0 || rng.IntN(2) == 0 {
		wire = max(wire, len(data)) // what a tunnel carries may end before the packet does
	}
	p.Data = data
	sameSegment(t, &p, at, wire, rng.IntN(2) == 0)
}

// TestTunnelBeyondItsPacket reads an IP header in a tunnel whose own header says that the packet ends before it.
func TestTunnelBeyondItsPacket(t *testing.T) {
	outer := ft.IPv4{Src: "10.0.0.2", Dst: "10.0.0.1"}
	for _, inner := range []ft.Layer{ft.IPv6{Src: "fd00::2", Dst: "fd00::1"}, ft.IPv4{Src: "10.0.0.2", Dst: "10.0.0.1"}} {
		for _, length := range []uint16{0, 4, 9} {
			data := ft.Packet(ft.Ethernet{Src: "02:00:00:00:00:0a", Dst: "02:00:00:00:00:0b"}, outer, inner, ft.UDP{Src: 1, Dst: 2})
			binary.BigEndian.PutUint16(data[16:], 20) // the outer total length
			at := 36                                  // the inner length
			if data[34]>>4 == 6 {
				at = 38
			}
			binary.BigEndian.PutUint16(data[at:], length)
			table := NewTable(Options{})
			table.Add(LinkEthernet, []Packet{{Data: data, Length: len(data), Time: 1}})
			if l := table.Ledger(); l.Counted != 1 || l.Flows != 2 {
				t.Errorf("length %d: ledger %+v", length, l)
			}
		}
	}
}

// TestKnownPorts holds the bits of the known ports to the ports themselves.
func TestKnownPorts(t *testing.T) {
	for port := range 1 << 16 {
		known := udpApplication(uint16(port)) != noLayer || port == 4789 || port == 8472 || port == 6081
		if known && udpKnown>>(port&63)&1 == 0 {
			t.Errorf("port %d is known, its bit is not set", port)
		}
	}
}

// FuzzFastPath is the property of TestFastPathIsTheGeneralDecoder over any bytes.
func FuzzFastPath(f *testing.F) {
	ft.Traffic{Flows: 20, Packets: 40, Seed: 1, Mix: ft.Tunnels()}.Stream(func(_ int64, data []byte, wire int) {
		f.Add(append([]byte(nil), data...), uint8(0), uint16(wire), false)
		f.Add(append([]byte(nil), data...), uint8(50), uint16(wire), true)
	})
	f.Fuzz(func(t *testing.T, data []byte, at uint8, wire uint16, l3 bool) {
		if int(at) > len(data) {
			return
		}
		ends := int(wire)
		if at == 0 {
			ends = max(ends, len(data))
		}
		sameSegment(t, &Packet{Data: data, Length: int(wire), Time: 1, VLAN: wire, HasVLAN: l3 && wire&1 == 1}, int(at), ends, l3)
	})
}
