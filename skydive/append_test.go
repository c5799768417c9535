package skydive

import (
	stdjson "encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestMetadataIsWrittenWithSortedKeys(t *testing.T) {
	m := Metadata{
		"Type": "veth", "MTU": 1500, "Name": "eth0", "Up": true, "None": nil, "Load": 0.5,
		"IPV4": []string{"10.0.0.1/24"}, "Vlans": []int64{1, 2}, "Ovs": map[string]any{"B": int64(2), "A": []any{}},
		"Since": time.Date(2024, 7, 17, 1, 2, 3, 0, time.UTC), "Small": float32(0.25), "U": uint64(math.MaxUint64),
	}
	const want = `{"IPV4":["10.0.0.1/24"],"Load":0.5,"MTU":1500,"Name":"eth0","None":null,"Ovs":{"A":[],"B":2},` +
		`"Since":"2024-07-17T01:02:03Z","Small":0.25,"Type":"veth","U":18446744073709551615,"Up":true,"Vlans":[1,2]}`
	got, err := m.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMetadataOfManyKeysIsSortedToo(t *testing.T) {
	m := Metadata{}
	for c := 'a'; c <= 'z'; c++ {
		m[string(c)], m[string(c)+"2"] = int64(1), int64(2)
	}
	got, err := m.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := stdjson.Marshal(map[string]any(m))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestStringsComeBackAsTheyWere(t *testing.T) {
	for _, s := range []string{"", "plain", `q"b\s`, "\x00\x1f\n\r\t\b\f\x7f", "é€😀\u2028", "a\nb é", strings.Repeat("x", 100) + "\n"} {
		text, err := appendString(nil, s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		var back string
		if err := stdjson.Unmarshal(text, &back); err != nil || back != s {
			t.Errorf("%q is written as %s and read as %q, %v", s, text, back, err)
		}
	}
}

func TestWhatJSONCannotHoldIsRefused(t *testing.T) {
	loop := map[string]any{}
	loop["self"] = loop
	for name, c := range map[string]struct {
		m    Metadata
		want string
	}{
		"not a number":  {Metadata{"Load": math.NaN()}, `"Load": number is not finite`},
		"infinity":      {Metadata{"A": map[string]any{"B": math.Inf(1)}}, `"A": "B": number is not finite`},
		"a channel":     {Metadata{"C": make(chan int)}, `"C": value of type chan int cannot be metadata`},
		"broken text":   {Metadata{"Name": "a\xff"}, `invalid UTF-8 at byte 1`},
		"broken key":    {Metadata{"\xff": 1}, `invalid UTF-8 at byte 0`},
		"endless":       {loop, "nested deeper than 512 levels"},
		"in a list":     {Metadata{"L": []any{1, math.NaN()}}, `"L": item 1: number is not finite`},
		"bad marshaler": {Metadata{"R": RawJSON("{")}, `gave invalid JSON`},
	} {
		_, err := c.m.AppendJSON(nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.200v, want …%s…", name, err, c.want)
		}
	}
}

func TestNumbersEqualToIntegersBecomeIntegers(t *testing.T) {
	const text = `{"a":1,"b":1.0,"c":1e3,"d":1.5,"e":-0,"f":9223372036854775807,"g":9223372036854775808,"h":1e-7,"i":-1e18,"j":[2.0,{"k":3.0}]}`
	var m Metadata
	if err := stdjson.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	want := Metadata{
		"a": int64(1), "b": int64(1), "c": int64(1000), "d": 1.5, "e": int64(0), "f": int64(math.MaxInt64),
		"g": 9223372036854775808.0, "h": 1e-7, "i": int64(-1e18), "j": []any{int64(2), map[string]any{"k": int64(3)}},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %#v\nwant %#v", m, want)
	}
}

func TestNumberBeyondFloatIsRefused(t *testing.T) {
	var m Metadata
	err := stdjson.Unmarshal([]byte(`{"a":1e999}`), &m)
	if err == nil || !strings.Contains(err.Error(), "number 1e999 is out of range") {
		t.Errorf("got %v", err)
	}
}

func TestDepthIsBoundedOnDecoding(t *testing.T) {
	nest := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	var m Metadata
	if err := m.UnmarshalJSON([]byte(nest(MaxDepth))); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
	for _, text := range []string{nest(MaxDepth + 1), nest(5000), `{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}"} {
		if err := m.UnmarshalJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), "nested deeper") {
			t.Errorf("%.20s…: got %.200v", text, err)
		}
	}
}

func TestMillisReadsWhatClientsWrite(t *testing.T) {
	for text, want := range map[string]Millis{"null": 0, "0": 0, "1721203200123": 1721203200123, "1721203200123.9": 1721203200123, "1.7212032e12": 1721203200000} {
		var m Millis
		if err := m.UnmarshalJSON([]byte(text)); err != nil || m != want {
			t.Errorf("%s: got %d, %v", text, m, err)
		}
	}
	for _, text := range []string{`"now"`, "1e300", "true", "1e999", "-1e19"} {
		var m Millis
		if err := m.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s: got %d without an error", text, m)
		}
	}
	if got := Millis(1721203200123).Time().Format(time.RFC3339Nano); got != "2024-07-17T08:00:00.123Z" {
		t.Errorf("time is %s", got)
	}
	if MillisOf(time.Time{}) != 0 || !Millis(0).Time().IsZero() || MillisOf(time.UnixMilli(5)) != 5 {
		t.Error("zero and time do not correspond")
	}
}

// What the encoder writes, the decoder reads back, for any text that is an object at all.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"Name":"eth0","MTU":1500,"L":[1,2.5,"x",null,true,{"a":{}}]}`))
	f.Add([]byte(`{"a":1e400}`))
	f.Add([]byte(`{"\ud800":1}`))
	f.Add([]byte(`{"a":9007199254740993.0,"b":-0.0,"c":1e22}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m, back Metadata
		if m.UnmarshalJSON(data) != nil {
			return
		}
		text, err := m.AppendJSON(nil)
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", data, err)
		}
		if err := back.UnmarshalJSON(text); err != nil {
			t.Fatalf("%q was written and cannot be read: %v", text, err)
		}
		if len(m) > 0 && !reflect.DeepEqual(m, back) {
			t.Fatalf("%q\nread  %#v\nagain %#v", data, m, back)
		}
	})
}
