package bus

import (
	"bytes"
	"testing"
)

func encode(f frame) []byte { return append(appendFrameHeader(nil, f), f.data...) }

func TestFrameRoundTrip(t *testing.T) {
	for _, want := range []frame{
		{instance: 7, number: 1, parts: 1, data: []byte("x")},
		{instance: 1<<64 - 1, number: 1<<64 - 1, part: 4095, parts: 4096},
		{number: 300, part: 0, parts: 0},
	} {
		msg := encode(want)
		if len(msg)-len(want.data) > frameRoom {
			t.Errorf("header of %d bytes, room for %d", len(msg)-len(want.data), frameRoom)
		}
		got, err := parseFrame(msg)
		if err != nil || got.instance != want.instance || got.number != want.number || got.part != want.part ||
			got.parts != want.parts || !bytes.Equal(got.data, want.data) {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
}

func TestFramesThatAreNone(t *testing.T) {
	good := encode(frame{instance: 7, number: 1, parts: 1})
	for _, bad := range [][]byte{
		nil, []byte("{}"), []byte(`{"stream":"weft_graph","seq":1}`), good[:5], good[:len(good)-1],
		encode(frame{number: 0, parts: 1}), encode(frame{number: 1, part: 1, parts: 1}),
		encode(frame{number: 1, part: 1, parts: 0}), encode(frame{number: 1, parts: maxParts + 1}),
	} {
		if f, err := parseFrame(bad); err == nil {
			t.Errorf("%q became %+v", bad, f)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(encode(frame{instance: 7, number: 1, parts: 1, data: []byte("x")}))
	f.Add(encode(frame{instance: 7, number: 9, part: 2, parts: 3, data: []byte("yz")}))
	f.Add([]byte(`{"stream":"weft_graph","seq":1}`))
	f.Fuzz(func(t *testing.T, msg []byte) {
		got, err := parseFrame(msg)
		if err != nil {
			return
		}
		again, err := parseFrame(encode(got))
		if err != nil || again.number != got.number || !bytes.Equal(again.data, got.data) {
			t.Fatalf("%+v became %+v, %v", got, again, err)
		}
		var a assembler
		a.add(got)
		a.add(again)
	})
}

func TestAssemblerGivesWholeBatchesOnly(t *testing.T) {
	var a assembler
	add := func(number, part, parts uint64, data string) (string, bool) {
		batch, abandoned := a.add(frame{number: number, part: part, parts: parts, data: []byte(data)})
		return string(batch), abandoned
	}
	for i, step := range []struct {
		number, part, parts uint64
		data, batch         string
		abandoned           bool
	}{
		{1, 0, 1, "one", "one", false},
		{2, 0, 3, "a", "", false},
		{3, 1, 3, "b", "", false},
		{4, 2, 3, "c", "abc", false},
		{5, 0, 2, "lost", "", false},
		{7, 0, 1, "next", "next", true}, // 6 is missing
		{9, 1, 2, "tail", "", true},     // its beginning is
		{10, 0, 2, "x", "", false},
		{11, 0, 2, "y", "", true}, // another batch begins instead
		{12, 1, 2, "z", "yz", false},
		{13, 0, 0, "", "", false}, // a probe
	} {
		if batch, abandoned := add(step.number, step.part, step.parts, step.data); batch != step.batch || abandoned != step.abandoned {
			t.Errorf("step %d: %q, abandoned %v", i, batch, abandoned)
		}
	}
}
