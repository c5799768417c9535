package sflow

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func words(n ...uint32) []byte {
	var b []byte
	for _, v := range n {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// sized puts a kind and the length in front.
func sized(kind uint32, body []byte) []byte { return join(words(kind, uint32(len(body))), body) }

// message is a datagram of the exporter 192.0.2.1.
func message(sequence uint32, samples ...[]byte) []byte {
	return join(words(5, 1, 0xc0000201, 0, sequence, 1000, uint32(len(samples))), join(samples...))
}

// header is a record with the beginning of a packet, padded as XDR asks.
func header(protocol, length, stripped uint32, data string) []byte {
	return sized(1, join(words(protocol, length, stripped, uint32(len(data))), []byte(data), make([]byte, -len(data)&3)))
}

func flowSample(drops uint32, records ...[]byte) []byte {
	return sized(1, join(words(1, 7, 100, 1000, drops, 3, 4, uint32(len(records))), join(records...)))
}

func expandedSample(count uint32, records ...[]byte) []byte {
	return sized(3, join(words(1, 0, 7, 100, 1000, 0, 0, 3, 0, 4, count), join(records...)))
}

const frame = "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00hello"

func TestDecode(t *testing.T) {
	good := flowSample(0, header(1, 1518, 4, frame))
	for _, c := range []struct {
		name   string
		data   []byte
		frames []string
		length int
		faults Faults
	}{
		{"a sample", message(1, good), []string{frame}, 1514, Faults{}},
		{"an expanded sample", message(1, expandedSample(1, header(1, 1518, 4, frame))), []string{frame}, 1514, Faults{}},
		{"two samples", message(1, good, good), []string{frame, frame}, 1514, Faults{}},
		{"IPv4", message(1, flowSample(0, header(11, 40, 0, "E"))), []string{"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00E"}, 54, Faults{}},
		{"IPv6", message(1, flowSample(0, header(12, 40, 0, "6"))), []string{"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x86\xdd6"}, 54, Faults{}},
		{"another header", message(1, flowSample(0, header(4, 40, 0, "fddi"))), nil, 0, Faults{Unsupported: 1}},
		{"no header", message(1, flowSample(0, sized(1001, words(1, 2, 3, 4)))), nil, 0, Faults{Unsupported: 1}},
		{"another sample", message(1, sized(99, words(1)), good), []string{frame}, 1514, Faults{Unsupported: 1}},
		{"a broken sample leaves the others", message(1, sized(1, words(1)), good), []string{frame}, 1514, Faults{Malformed: 1}},
		{"a number of records that no memory holds", message(1, expandedSample(1<<31), good), []string{frame}, 1514, Faults{Malformed: 1}},
		{"a cut datagram", message(1, good, good)[:60], nil, 0, Faults{Malformed: 1}},
		{"version 4", words(4, 1), nil, 0, Faults{Version: 1}},
		{"nothing to read", []byte("abc"), nil, 0, Faults{Malformed: 1}},
		{"an exporter without an address", words(5, 3, 1, 2, 3, 4, 5, 6), nil, 0, Faults{Malformed: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSource(Options{})
			packets := s.decode(c.data)
			if s.Faults() != c.faults {
				t.Errorf("faults %+v, want %+v", s.Faults(), c.faults)
			}
			if len(packets) != len(c.frames) {
				t.Fatalf("%d packets, want %d", len(packets), len(c.frames))
			}
			for i, p := range packets {
				if string(p.Data) != c.frames[i] || p.Length != c.length {
					t.Errorf("packet %q of %d bytes, want %q of %d", p.Data, p.Length, c.frames[i], c.length)
				}
			}
		})
	}
}

func TestSequence(t *testing.T) {
	s := newSource(Options{})
	for _, n := range []uint32{10, 11, 15, 13, 16, 5_000_000, 1, 2} {
		s.decode(message(n))
	}
	if want := (Faults{Missing: 2, Late: 1}); s.Faults() != want {
		t.Errorf("%+v, want %+v: 12 and 14 never came, 13 did, and two restarts lose nothing", s.Faults(), want)
	}
}

// An exporter that starts again soon begins at 1, and its uptime too: nothing of it is late.
func TestRestartOfAYoungExporter(t *testing.T) {
	s := newSource(Options{})
	at := func(number, uptime uint32) []byte { return join(words(5, 1, 0xc0000201, 0, number, uptime, 0)) }
	for _, c := range [][2]uint32{{70, 60_000}, {71, 61_000}, {1, 20}, {2, 1020}} {
		s.decode(at(c[0], c[1]))
	}
	if s.Faults() != (Faults{}) {
		t.Errorf("%+v", s.Faults())
	}
}

// Counters that were overtaken by newer ones would look like those of an exporter that began anew.
func TestLateCountersAreLeftOut(t *testing.T) {
	var got []int64
	s := newSource(Options{Counters: func(c Counters) { got = append(got, c.Metric.IfInOctets) }})
	for _, n := range []uint32{1, 3, 2, 4} {
		record := sized(1, words(3, 6, 0, 1000, 1, 3, 0, n, 12, 13, 14, 15, 16, 17, 0, 211, 22, 23, 24, 25, 26, 0))
		s.decode(message(n, sized(2, join(words(1, 3, 1), record))))
	}
	if fmt.Sprint(got) != "[1 3 4]" || s.Faults().Late != 1 {
		t.Errorf("%v, %+v", got, s.Faults())
	}
}

// A switch samples a frame without its tag, and says in another record which VLAN it came in on.
func TestVLANOfExtendedSwitchData(t *testing.T) {
	plain := header(1, 1518, 4, frame)
	tagged := header(1, 1518, 4, frame[:12]+"\x81\x00\x00\x2a"+frame[12:])
	outer := header(1, 1518, 4, frame[:12]+"\x88\xa8\x00\x2a"+frame[12:])
	extended := func(vlan, priority uint32) []byte { return sized(1001, words(vlan, priority, 20, 0)) }
	for _, c := range []struct {
		name    string
		records [][]byte
		want    uint16 // 0 = no tag
	}{
		{"behind the header", [][]byte{plain, extended(100, 5)}, 5<<13 | 100},
		{"before it", [][]byte{extended(100, 5), plain}, 5<<13 | 100},
		{"an unknown priority", [][]byte{plain, extended(4094, 0xffffffff)}, 4094},
		{"none", [][]byte{plain}, 0},
		{"VLAN 0", [][]byte{plain, extended(0, 0)}, 0},
		{"a VLAN that is none", [][]byte{plain, extended(4095, 0)}, 0},
		{"an unknown VLAN", [][]byte{plain, extended(0xffffffff, 0)}, 0},
		{"the tag is still there", [][]byte{tagged, extended(42, 0)}, 0},
		{"a provider's tag is still there", [][]byte{outer, extended(42, 0)}, 0},
		{"no Ethernet", [][]byte{header(11, 40, 0, "E"), extended(100, 5)}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSource(Options{})
			packets := s.decode(message(1, flowSample(0, c.records...)))
			if len(packets) != 1 {
				t.Fatalf("%d packets, %+v", len(packets), s.Faults())
			}
			p := packets[0]
			if p.VLAN != c.want || p.HasVLAN != (c.want != 0) || p.HasVLAN && p.VLANProto != 0x8100 {
				t.Errorf("VLAN %#x (%v) of %#x, want %#x", p.VLAN, p.HasVLAN, p.VLANProto, c.want)
			}
			// The flow is that of the tagged frame.
			table := flow.NewTable(flow.Options{Report: func(f *flow.Flow, _ flow.Reason) {
				if f.Link != nil && f.Link.ID != int64(c.want&0xfff) && !strings.Contains(c.name, "still there") {
					t.Errorf("flow of VLAN %d, want %d", f.Link.ID, c.want&0xfff)
				}
			}})
			table.Add(s.LinkType(), packets)
			table.Close()
		})
	}
}

// What the exporter dropped is in the ledger: it says how many packets.
func TestDropsOfTheExporter(t *testing.T) {
	s := newSource(Options{})
	for i, drops := range []uint32{0xfffffffe, 0xfffffffe, 3, 0} { // 5 more, through zero; then a restart
		s.decode(message(uint32(i), flowSample(drops, header(1, 60, 0, frame))))
	}
	stats, err := s.Stats()
	if want := (capture.SourceStats{Received: 4 + 5, Dropped: 5}); err != nil || stats != want {
		t.Errorf("%+v, %v; want %+v", stats, err, want)
	}
}

func TestCounters(t *testing.T) {
	var got []Counters
	s := newSource(Options{Counters: func(c Counters) { got = append(got, c) }})
	record := sized(1, words(3, 6, 0, 1000, 1, 3, 0, 111, 12, 13, 14, 15, 16, 17, 0, 211, 22, 23, 24, 25, 26, 0))
	s.decode(message(1, sized(2, join(words(1, 3, 1), record))))
	want := Counters{netip.MustParseAddr("192.0.2.1"), Metric{3, 111, 12, 13, 14, 15, 16, 17, 211, 22, 23, 24, 25, 26}}
	if len(got) != 1 || got[0] != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestListen(t *testing.T) {
	s, err := Listen(Options{Address: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Wake()
	if packets, err := s.Read(time.Minute); len(packets) != 0 || err != nil {
		t.Errorf("woken: %v, %v", packets, err)
	}
	if packets, err := s.Read(time.Millisecond); len(packets) != 0 || err != nil {
		t.Errorf("nothing came: %v, %v", packets, err)
	}
	exporter, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer exporter.Close()
	if _, err := exporter.Write(message(1, flowSample(0, header(1, 60, 0, frame)))); err != nil {
		t.Fatal(err)
	}
	packets, err := s.Read(10 * time.Second)
	if err != nil || len(packets) != 1 || string(packets[0].Data) != frame {
		t.Errorf("%v, %v", packets, err)
	}
	go s.Wake()
	if packets, err := s.Read(time.Minute); len(packets) != 0 || err != nil {
		t.Errorf("woken while it waits: %v, %v", packets, err)
	}
}

func FuzzDecode(f *testing.F) {
	good := flowSample(1, header(1, 1518, 4, frame))
	f.Add(message(1, good, expandedSample(1, header(11, 40, 0, "E"))))
	f.Add(message(2, sized(2, join(words(1, 3, 1), sized(1, make([]byte, 88))))))
	f.Add(message(3, expandedSample(1<<31)))
	f.Add(message(4, flowSample(0, header(1, 60, 0, frame), sized(1001, words(100, 5, 20, 0)))))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newSource(Options{Counters: func(Counters) {}})
		packets := s.decode(data)
		for _, p := range packets {
			if p.Length < len(p.Data) {
				t.Fatalf("a packet of %d bytes has %d", p.Length, len(p.Data))
			}
		}
		if stats, _ := s.Stats(); stats.Received != uint64(len(packets))+stats.Dropped {
			t.Fatalf("%d packets, %+v", len(packets), stats)
		}
	})
}
