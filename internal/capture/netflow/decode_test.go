package netflow

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/weft-net/weft/flow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var exporter = netip.MustParseAddrPort("192.0.2.1:2055")

// b16 and b32 write numbers in network byte order.
func b16(n ...uint16) (b []byte) {
	for _, v := range n {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func b32(n ...uint32) (b []byte) {
	for _, v := range n {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// set puts an id and the length in front.
func set(id uint16, body ...[]byte) []byte {
	all := join(body...)
	return join(b16(id, uint16(4+len(all))), all)
}

// v9 is a message of an exporter that booted 10 s before 2023-11-14T22:13:20Z.
func v9(sequence uint32, sets ...[]byte) []byte {
	return join(b16(9, uint16(len(sets))), b32(10_000, 1_700_000_000, sequence, 7), join(sets...))
}

func ipfix(sequence uint32, sets ...[]byte) []byte {
	all := join(sets...)
	return join(b16(10, uint16(16+len(all))), b32(1_700_000_000, sequence, 7), all)
}

func v5(sequence uint32, count uint16, records ...[]byte) []byte {
	return join(b16(5, count), b32(10_000, 1_700_000_000, 0, sequence), b16(0, 0), join(records...))
}

const now = 1_700_000_000 * int64(time.Second)

var (
	a = []byte{10, 0, 0, 1}
	b = []byte{10, 0, 0, 2}
	// of version 9: addresses, ports, protocol, flags, packets, bytes, first and last
	fields9 = b16(256, 10, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 6, 1, 2, 4, 1, 4, 22, 4, 21, 4)
	data9   = join(a, b, b16(1234, 443), []byte{6, 0x1b}, b32(10, 1000, 4000, 9000))
	want    = flow.Record{
		Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.2"), SourcePort: 1234, DestinationPort: 443,
		Protocol: 6, TCPFlags: 0x1b, Packets: 10, Bytes: 1000, Start: now - 6e9, End: now - 1e9,
	}
)

func record5() []byte {
	return join(a, b, b32(0), b16(1, 2), b32(10, 1000, 4000, 9000), b16(1234, 443), []byte{0, 0x1b, 6, 0}, b16(0, 0), []byte{0, 0, 0, 0})
}

func compare(t *testing.T, want, got []flow.Record) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDecode(t *testing.T) {
	both := flow.Record{
		Source: netip.MustParseAddr("2001:db8::1"), Destination: netip.MustParseAddr("2001:db8::2"), Protocol: 58, ICMPType: 128,
		Packets: 3, Bytes: 300, ReversePackets: 2, ReverseBytes: 200, Start: now - 5e9, End: now - 4e9 + 5e8,
	}
	one, two := both.Source.As16(), both.Destination.As16()
	fieldsBoth := join(b16(300, 9, 27, 16, 28, 16, 4, 1, 178, 1, 2, 8, 1, 8), b16(0x8002, 8), b32(29305), b16(0x8001, 8), b32(29305), b16(999, 0xffff))
	fieldsBoth = join(fieldsBoth[:2], b16(11), fieldsBoth[4:], b16(152, 8, 155, 8))
	stop := uint64(1_700_000_000-4+ntpEpoch)<<32 | 1<<31
	dataBoth := join(one[:], two[:], []byte{58, 128}, b32(0, 3, 0, 300, 0, 2, 0, 200), []byte{3, 'a', 'b', 'c'},
		binary.BigEndian.AppendUint64(nil, uint64(now/1e6-5000)), binary.BigEndian.AppendUint64(nil, stop))
	for _, c := range []struct {
		name   string
		data   [][]byte
		want   []flow.Record // of the last datagram
		faults Faults
	}{
		{"version 5", [][]byte{v5(0, 1, record5())}, []flow.Record{want}, Faults{}},
		{"version 5 with fewer records than it says", [][]byte{v5(0, 3, record5())}, []flow.Record{want}, Faults{Malformed: 1}},
		{"version 5, cut header", [][]byte{v5(0, 1)[:20]}, nil, Faults{Malformed: 1}},
		{"version 5, records missing", [][]byte{v5(10, 1, record5()), v5(15, 1, record5())}, []flow.Record{want}, Faults{MissingRecords: 4}},
		{"version 9", [][]byte{v9(1, set(0, fields9), set(256, data9, data9))}, []flow.Record{want, want}, Faults{}},
		{"version 9 that counts one of its sets", [][]byte{join(b16(9, 1), v9(1, set(0, fields9), set(256, data9))[4:])}, []flow.Record{want}, Faults{}},
		{"version 9, a template of before", [][]byte{v9(1, set(0, fields9)), v9(2, set(256, data9))}, []flow.Record{want}, Faults{}},
		{"version 9, datagrams missing", [][]byte{v9(1, set(0, fields9)), v9(5, set(256, data9))}, []flow.Record{want}, Faults{MissingDatagrams: 3}},
		{"version 9, a restart", [][]byte{v9(90_000, set(0, fields9)), v9(1, set(256, data9))}, []flow.Record{want}, Faults{}},
		{"no template", [][]byte{v9(1, set(256, data9))}, nil, Faults{UnknownTemplate: 1}},
		{"no template for one set", [][]byte{v9(1, set(0, fields9), set(999, data9), set(256, data9))}, []flow.Record{want}, Faults{UnknownTemplate: 1}},
		{"a template of nothing", [][]byte{v9(1, set(0, b16(256, 1, 8, 0)), set(256, data9))}, nil, Faults{RefusedTemplate: 1, UnknownTemplate: 1}},
		{"a template without fields", [][]byte{v9(1, set(0, fields9)), v9(2, set(0, b16(256, 0))), v9(3, set(256, data9))}, nil, Faults{UnknownTemplate: 1}},
		{"a template with the id of a set", [][]byte{v9(1, set(0, b16(2, 1, 8, 4)))}, nil, Faults{RefusedTemplate: 1}},
		{"a record without addresses", [][]byte{v9(1, set(0, b16(256, 1, 7, 2)), set(256, b16(80)))}, nil, Faults{NoFlow: 1}},
		{"a cut set", [][]byte{v9(1, set(0, fields9)[:9])}, nil, Faults{Malformed: 1}},
		{"IPFIX", [][]byte{ipfix(0, set(2, fields9), set(256, data9))}, []flow.Record{{
			Source: want.Source, Destination: want.Destination, SourcePort: 1234, DestinationPort: 443, Protocol: 6, TCPFlags: 0x1b,
			Packets: 10, Bytes: 1000, Start: now + 4e9, End: now + 9e9, // without an uptime, the export is the boot
		}}, Faults{}},
		{"IPFIX both ways, with a field of variable length", [][]byte{ipfix(0, set(2, fieldsBoth), set(300, dataBoth))}, []flow.Record{both}, Faults{}},
		{"IPFIX, records missing", [][]byte{ipfix(0, set(2, fieldsBoth), set(300, dataBoth)), ipfix(9, set(300, dataBoth))}, []flow.Record{both}, Faults{MissingRecords: 8}},
		{"IPFIX longer than its datagram", [][]byte{ipfix(0, set(2, fields9))[:30]}, nil, Faults{Malformed: 1}},
		{"another version", [][]byte{b16(8, 1)}, nil, Faults{Version: 1}},
		{"a byte", [][]byte{{9}}, nil, Faults{Malformed: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDecoder()
			var got []flow.Record
			for _, data := range c.data {
				got = d.decode(exporter, data)
			}
			compare(t, c.want, got)
			if d.faults != c.faults {
				t.Errorf("faults %+v, want %+v", d.faults, c.faults)
			}
		})
	}
}

// Two exporters with the same observation domain do not share templates.
func TestTemplatesBelongToTheirExporter(t *testing.T) {
	d := newDecoder()
	d.decode(exporter, v9(1, set(0, fields9)))
	other := netip.MustParseAddrPort("192.0.2.2:2055")
	if got := d.decode(other, v9(1, set(256, data9))); len(got) != 0 || d.faults.UnknownTemplate != 1 {
		t.Errorf("%v, %+v", got, d.faults)
	}
}

func TestListen(t *testing.T) {
	l, err := Listen(Options{Address: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Wake()
	if records, err := l.Read(time.Minute); len(records) != 0 || err != nil {
		t.Errorf("woken: %v, %v", records, err)
	}
	conn, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(v5(0, 1, record5())); err != nil {
		t.Fatal(err)
	}
	records, err := l.Read(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, []flow.Record{want}, records)
	if l.Faults() != (Faults{}) {
		t.Errorf("faults %+v", l.Faults())
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(v5(0, 1, record5()), []byte{})
	f.Add(v9(1, set(0, fields9)), v9(2, set(256, data9)))
	f.Add(ipfix(0, set(2, fields9), set(3, b16(257, 2, 1, 8, 4, 1, 4))), ipfix(1, set(256, data9)))
	f.Add(v9(1, set(0, b16(256, 1, 8, 0))), v9(2, set(256, data9)))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := newDecoder()
		for _, data := range [][]byte{first, second} {
			for _, r := range d.decode(exporter, data) {
				if !r.Source.IsValid() || !r.Destination.IsValid() {
					t.Fatalf("a record without addresses: %+v", r)
				}
			}
		}
	})
}
