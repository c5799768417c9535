package flow_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/weft-net/weft/flow"
)

// part is a fragment of the datagram "0123…" between two test hosts.
func part(id uint32, offset, length int, more bool) flow.Fragment {
	data := make([]byte, length)
	for i := range data {
		data[i] = byte('0' + (offset+i)%10)
	}
	return flow.Fragment{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Protocol: 17, ID: id, Offset: offset, More: more, Data: data, Time: 1e9}
}

func TestDefragmenter(t *testing.T) {
	for _, test := range []struct {
		name  string
		parts []flow.Fragment
		want  string // the payload that the last one gives
		bad   bool   // of the last one
		stats flow.DefragStats
	}{
		{"in order", []flow.Fragment{part(1, 0, 8, true), part(1, 8, 8, true), part(1, 16, 3, false)}, "0123456789012345678", false, flow.DefragStats{Fragments: 3, Whole: 1}},
		{"backwards", []flow.Fragment{part(1, 16, 3, false), part(1, 8, 8, true), part(1, 0, 8, true)}, "0123456789012345678", false, flow.DefragStats{Fragments: 3, Whole: 1}},
		{"repeated", []flow.Fragment{part(1, 0, 8, true), part(1, 0, 8, true), part(1, 8, 2, false)}, "0123456789", false, flow.DefragStats{Fragments: 3, Repeated: 1, Whole: 1}},
		{"two datagrams", []flow.Fragment{part(1, 0, 8, true), part(2, 0, 8, true), part(1, 8, 2, false)}, "0123456789", false, flow.DefragStats{Fragments: 3, Whole: 1}},
		{"overlap from below", []flow.Fragment{part(1, 0, 16, true), part(1, 8, 16, true)}, "", true, flow.DefragStats{Fragments: 2, Overlapping: 1}},
		{"overlap from above", []flow.Fragment{part(1, 8, 16, true), part(1, 0, 16, true)}, "", true, flow.DefragStats{Fragments: 2, Overlapping: 1}},
		{"inside", []flow.Fragment{part(1, 0, 32, true), part(1, 8, 8, true)}, "", true, flow.DefragStats{Fragments: 2, Overlapping: 1}},
		{"after an overlap", []flow.Fragment{part(1, 0, 16, true), part(1, 8, 16, true), part(1, 24, 2, false)}, "", true, flow.DefragStats{Fragments: 3, Overlapping: 1, Late: 1}},
		{"two ends", []flow.Fragment{part(1, 8, 8, false), part(1, 24, 4, false)}, "", true, flow.DefragStats{Fragments: 2, Malformed: 1}},
		{"beyond the end", []flow.Fragment{part(1, 8, 8, false), part(1, 16, 8, true)}, "", true, flow.DefragStats{Fragments: 2, Malformed: 1}},
		{"odd length", []flow.Fragment{part(1, 0, 7, true)}, "", true, flow.DefragStats{Fragments: 1, Malformed: 1}},
		{"too long", []flow.Fragment{part(1, 65528, 16, false)}, "", true, flow.DefragStats{Fragments: 1, Malformed: 1}},
		{"empty", []flow.Fragment{part(1, 0, 0, true)}, "", true, flow.DefragStats{Fragments: 1, Malformed: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := flow.NewDefragmenter(0)
			var payload []byte
			var bad bool
			for _, p := range test.parts {
				payload, bad = d.Add(p)
			}
			if string(payload) != test.want || bad != test.bad {
				t.Errorf("payload %q, bad %t; want %q, %t", payload, bad, test.want, test.bad)
			}
			if d.Stats() != test.stats {
				t.Errorf("stats %+v, want %+v", d.Stats(), test.stats)
			}
		})
	}
}

func TestDefragmenterGivesUpInTime(t *testing.T) {
	d := flow.NewDefragmenter(0)
	d.Add(part(1, 0, 8, true))
	late := part(2, 0, 8, true)
	late.Time += 29e9
	d.Add(late)
	d.Expire(1e9 + 30e9)
	if got, want := d.Stats(), (flow.DefragStats{Fragments: 2, Incomplete: 1}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	d.Expire(1e9 + 59e9)
	if d.Stats().Incomplete != 2 || d.Held() != 0 {
		t.Errorf("%+v, %d bytes held", d.Stats(), d.Held())
	}
}

func TestDefragmenterIsBounded(t *testing.T) {
	const limit = 64 << 10
	d := flow.NewDefragmenter(limit)
	for id := range uint32(10000) {
		d.Add(part(id, 0, 1400, true))
		if d.Held() > limit {
			t.Fatalf("%d bytes held after %d fragments", d.Held(), id+1)
		}
	}
	if got := d.Stats().Evicted; got < 9900 || got >= 10000 {
		t.Errorf("%d evicted", got)
	}
}

// However a datagram is cut and shuffled, it comes out as it was.
func TestDefragmenterShuffled(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var parts []flow.Fragment
		at := 0
		for range 1 + rng.IntN(20) {
			n := 8 * (1 + rng.IntN(100))
			parts = append(parts, part(7, at, n, true))
			at += n
		}
		parts = append(parts, part(7, at, 1+rng.IntN(8), false))
		whole := part(7, 0, at+len(parts[len(parts)-1].Data), false).Data
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		d := flow.NewDefragmenter(0)
		for i, p := range parts {
			payload, bad := d.Add(p)
			if bad || (payload != nil) != (i == len(parts)-1) {
				t.Fatalf("seed %d: fragment %d of %d: %d bytes, bad %t", seed, i, len(parts), len(payload), bad)
			}
			if payload != nil && string(payload) != string(whole) {
				t.Fatalf("seed %d: another payload came out", seed)
			}
		}
		if d.Held() != 0 {
			t.Fatalf("seed %d: %d bytes held", seed, d.Held())
		}
	}
}

func FuzzDefragmenter(f *testing.F) {
	f.Add([]byte{0, 1, 1, 1, 1, 0})
	f.Add([]byte{0, 2, 1, 1, 2, 1, 3, 1, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		d := flow.NewDefragmenter(4096)
		for ; len(script) >= 3; script = script[3:] {
			d.Add(part(uint32(script[2]>>4), int(script[0])*8, int(script[1])*8, script[2]&1 == 1))
		}
		s := d.Stats()
		if d.Held() < 0 || d.Held() > 4096 {
			t.Fatalf("%d bytes held", d.Held())
		}
		d.Expire(1 << 62)
		if d.Held() != 0 || s.Fragments < s.Repeated+s.Late+s.Whole {
			t.Fatalf("%d bytes held, %+v", d.Held(), s)
		}
	})
}
