package flow_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weft-net/weft/flow"
)

// field is one field of a message as the wire has it.
type field struct {
	number int
	value  any // uint64 or []byte
}

// fields reads a protobuf message with nothing but the rules of the wire format, apart from the code under test.
func fields(t *testing.T, b []byte) []field {
	t.Helper()
	varint := func() uint64 {
		var v uint64
		for shift := 0; ; shift += 7 {
			if len(b) == 0 || shift > 63 {
				t.Fatal("varint runs past the end")
			}
			c := b[0]
			b = b[1:]
			v |= uint64(c&0x7f) << shift
			if c < 0x80 {
				return v
			}
		}
	}
	var all []field
	for len(b) > 0 {
		tag := varint()
		switch number := int(tag >> 3); tag & 7 {
		case 0:
			all = append(all, field{number, varint()})
		case 2:
			n := varint()
			if n > uint64(len(b)) {
				t.Fatalf("field %d: %d bytes of %d", number, n, len(b))
			}
			all = append(all, field{number, b[:n]})
			b = b[n:]
		default:
			t.Fatalf("field %d: wire type %d", number, tag&7)
		}
	}
	return all
}

// want is a field as the specification numbers it: a number, a text, bytes, or the fields of a message.
type want struct {
	number int
	value  any
}

func expect(t *testing.T, at string, b []byte, wanted []want) {
	t.Helper()
	got := fields(t, b)
	if len(got) != len(wanted) {
		t.Errorf("%s: %d fields, want %d: %v", at, len(got), len(wanted), got)
		return
	}
	for i, w := range wanted {
		g := got[i]
		if g.number != w.number {
			t.Errorf("%s: field %d, want %d", at, g.number, w.number)
			continue
		}
		data, _ := g.value.([]byte)
		switch v := w.value.(type) {
		case int:
			if n, ok := g.value.(uint64); !ok || n != uint64(v) {
				t.Errorf("%s: field %d is %v, want %d", at, g.number, g.value, v)
			}
		case string:
			if string(data) != v {
				t.Errorf("%s: field %d is %q, want %q", at, g.number, data, v)
			}
		case []want:
			expect(t, at+"/"+string(rune('0'+w.number%10)), data, v)
		}
	}
}

// The numbers below are those of section 11 of the description of Skydive's wire formats, written down a second time.
func TestProtoNumbers(t *testing.T) {
	layer := func(protocol int, a, b string, id int) []want {
		all := []want{{1, protocol}, {3, a}, {4, b}, {5, id}}
		if protocol == 0 {
			return all[1:]
		}
		return all
	}
	run := func(first, from, to int) []want {
		var all []want
		for n := from; n <= to; n++ {
			all = append(all, want{n, first + n - from})
		}
		return all
	}
	record := func(kind string, more ...want) []want {
		return append([]want{{1, "example.org"}, {2, kind}, {3, "IN"}, {4, 300}, {5, 4}}, more...)
	}
	wanted := []want{
		{1, "5b2f8b2ad8d43a6c"},
		{2, "Ethernet/IPv4/TCP"},
		{3, "HTTPS"},
		{6, "1122334455667788"},
		{10, 1700000000000},
		{11, 1700000001000},
		{20, layer(0, "02:00:00:00:00:01", "02:00:00:00:00:02", 8)},
		{21, layer(1, "10.0.0.1", "10.0.0.2", 9)},
		{22, []want{{1, 2}, {2, 40000}, {3, 443}, {4, 300}}},
		{23, []want{{1, 2}, {2, 3}, {3, 70000}}},
		{31, run(11, 2, 8)},
		{32, run(21, 2, 8)},
		{33, "1e4fc503-312c-4e4f-4bf5-26263ce82e0b"},
		{34, "b6d3bcde-b5a8-4c54-6c3e-8c2d0e2e1c3b"},
		{36, []want{{1, 1700000000000}, {3, "\xde\xad"}, {4, 1}}},
		{36, []want{{1, 1700000000500}, {2, 1}, {3, "\xbe\xef"}, {4, 101}}},
		{37, 2},
		{38, run(101, 1, 22)},
		{39, run(31, 1, 2)},
		{50, "a1b2c3d4e5f60718"},
		{51, "8f7e6d5c4b3a2918"},
		{60, 2},
		{1000, []want{{1, "\x01"}, {2, "\x02"}, {3, 6}, {4, 1}, {5, 4000000000}, {6, 5}, {7, 32768}, {8, "srv"}, {9, "pxe"}}},
		{1001, []want{
			{1, 4711},
			{2, 1},
			{3, "Query"},
			{4, 1},
			{5, 1},
			{6, 1},
			{7, 1},
			{8, 1},
			{9, "No Error"},
			{10, 1},
			{11, 2},
			{12, 3},
			{13, 4},
			{14, []want{{1, "example.org"}, {2, "A"}, {3, "IN"}}},
			{15, record("A", want{6, "192.0.2.1"})},
			{15, record("CNAME", want{8, "www.example.org"})},
			{15, record("PTR", want{9, "host.example.org"})},
			{15, record("TXT", want{10, "v=spf1"}, want{10, ""})},
			{15, record("SRV", want{12, []want{{1, 1}, {2, 2}, {3, 3}, {4, "sip.example.org"}}})},
			{15, record("MX", want{13, []want{{1, 10}, {2, "mail.example.org"}}})},
			{16, record("NS", want{7, "ns.example.org"})},
			{16, record("SOA", want{11, []want{{1, "ns.example.org"}, {2, "admin.example.org"}, {3, 1}, {4, 2}, {5, 3}, {6, 4}, {7, 5}}})},
			{17, record("OPT", want{14, []want{{1, "Cookie"}, {2, "abc"}}})},
			{18, []want{{1, 1700000000}, {2, 5}}},
		}},
		{1002, []want{{1, "\x03"}, {2, "\x04"}, {3, 2}, {4, 51}, {5, 100}, {6, 1}, {7, 1}, {8, 47698}}},
	}
	expect(t, "Flow", fullFlow().AppendProto(nil), wanted)

	message := flow.Message{
		Flows: []*flow.Flow{fullFlow(), {}},
		Stats: []flow.Stats{{CaptureID: "c", FlowCount: 2, FlowDropped: 3, KernelFlowDropped: 4, PacketsDropped: 5, PacketsReceived: 6}},
	}
	expect(t, "Message", message.AppendProto(nil), []want{
		{1, wanted},
		{1, []want{}},
		{2, []want{{1, "c"}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 6}}},
	})
}

var sameFlow = cmpopts.EquateEmpty()

func TestProtoRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := flow.Message{
			Flows: rapid.SliceOfN(anyFlow(), 0, 4).Draw(t, "flows"),
			Stats: rapid.SliceOfN(rapid.Make[flow.Stats](), 0, 3).Draw(t, "stats"),
		}
		b := message.AppendProto([]byte("before"))
		var back flow.Message
		if err := back.DecodeProto(b[len("before"):]); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(message, back, sameFlow); diff != "" {
			t.Fatal(diff)
		}
	})
}

// What a receiver keeps as it came is each flow by itself, and none of it is needed for the flows to stay what they are.
func TestProtoParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := flow.Message{Flows: rapid.SliceOfN(anyFlow(), 0, 4).Draw(t, "flows"), Stats: []flow.Stats{{CaptureID: "c"}}}
		long := fullFlow()
		long.LayersPath = strings.Repeat("Ethernet/", 1000)
		message.Flows = append(message.Flows, long)
		b := append(message.AppendProto([]byte("before")), "behind"...)
		var back flow.Message
		parts, err := back.DecodeProtoParts(b[len("before") : len(b)-len("behind")])
		if err != nil || len(parts) != len(message.Flows) {
			t.Fatalf("%d parts of %d (%v)", len(parts), len(message.Flows), err)
		}
		for i, part := range parts {
			if !bytes.Equal(part, message.Flows[i].AppendProto(nil)) {
				t.Fatalf("part %d is %x", i, part)
			}
		}
		clear(b)
		if diff := cmp.Diff(message, back, sameFlow); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestProtoSkipsWhatItDoesNotKnow(t *testing.T) {
	b := []byte{
		0x9a, 0x06, 3, 'x', 'y', 'z', // field 99, bytes
		0x98, 0x06, 0xff, 0x01, // field 99, varint
		0x9d, 0x06, 1, 2, 3, 4, // field 99, 4 bytes
		0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, // field 99, 8 bytes
		0x08, 5, // UUID, but a number
		0x0a, 1, 'u', // UUID
		0xa2, 1, 2, 0x48, 1, // Link with a field 9
	}
	var f flow.Flow
	if err := f.DecodeProto(b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(flow.Flow{UUID: "u", Link: &flow.Layer{}}, f); diff != "" {
		t.Error(diff)
	}
}

func TestProtoDamage(t *testing.T) {
	whole := fullFlow().AppendProto(nil)
	errors := 0
	for n := range whole {
		var f flow.Flow
		if f.DecodeProto(whole[:n]) != nil {
			errors++
		}
	}
	// Only where one field ends and the next begins is what is cut off a whole message.
	if boundaries := len(whole) - errors; boundaries != len(fields(t, whole)) {
		t.Errorf("%d of the beginnings decode, want %d", boundaries, len(fields(t, whole)))
	}
	for _, b := range [][]byte{{0}, {0x0a, 0xff}, {0x80}, {0xa2, 1, 1, 0x1a}, bytes.Repeat([]byte{0xff}, 20)} {
		var f flow.Flow
		if err := f.DecodeProto(b); err == nil {
			t.Errorf("% x: no error", b)
		}
	}
}

func TestProtoTextIsAlwaysUTF8(t *testing.T) {
	f := flow.Flow{Application: "a\xffb", Start: math.MinInt64}
	var back flow.Flow
	if err := back.DecodeProto(f.AppendProto(nil)); err != nil {
		t.Fatal(err)
	}
	if back.Application != "a\uFFFDb" || back.Start != math.MinInt64 {
		t.Errorf("%q %d", back.Application, back.Start)
	}
}

func FuzzDecodeProto(f *testing.F) {
	f.Add(fullFlow().AppendProto(nil))
	f.Add((&flow.Message{Flows: []*flow.Flow{fullFlow()}, Stats: []flow.Stats{{CaptureID: "c"}}}).AppendProto(nil))
	f.Add([]byte{0x9a, 0x06, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, back flow.Message
		if m.DecodeProto(b) != nil {
			return
		}
		if err := back.DecodeProto(m.AppendProto(nil)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, back, sameFlow); diff != "" {
			t.Fatal(diff)
		}
		for _, one := range m.Flows {
			if one.AppendJSON(nil) == nil {
				t.Fatal("no JSON")
			}
		}
	})
}

func BenchmarkProto(b *testing.B) {
	f := typicalFlow()
	data := f.AppendProto(nil)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 2*len(data))
		for b.Loop() {
			buf = f.AppendProto(buf[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		var back flow.Flow
		for b.Loop() {
			if err := back.DecodeProto(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// typicalFlow is what most flows look like.
func typicalFlow() *flow.Flow {
	f := fullFlow()
	f.ICMP, f.DHCPv4, f.DNS, f.VRRPv2, f.IPMetric, f.LastRawPackets = nil, nil, nil, nil, nil, nil
	return f
}
