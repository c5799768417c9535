package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "17": 17, "64MiB": 64 << 20, " 64 MiB ": 64 << 20, "1.5KiB": 1536,
		"1kB": 1000, "1KB": 1000, "2GB": 2_000_000_000, "3B": 3, "1TiB": TiB,
		"9223372036854775807": 9223372036854775807,
	} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "-1MiB", "1XiB", "NaN", "1e30", "9223372036854775808", "1 2"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", text, got)
		}
	}
}

func TestSizesAndDurationsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Bytes(rapid.Int64Range(0, 1<<20).Draw(t, "bytes"))<<rapid.IntRange(0, 42).Draw(t, "shift") + Bytes(rapid.IntRange(0, 1).Draw(t, "odd"))
		if again, err := ParseBytes(b.String()); err != nil || again != b {
			t.Fatalf("%d is written %q and read %d, %v", b, b, again, err)
		}
		d := time.Duration(rapid.Int64Min(0).Draw(t, "duration"))
		if again, err := parseDuration(formatDuration(d)); err != nil || again != d {
			t.Fatalf("%d is written %q and read %d, %v", d, formatDuration(d), again, err)
		}
	})
	for d, want := range map[time.Duration]string{
		time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Second: "10s", 0: "0s",
		time.Hour + time.Second: "1h0m1s", 20 * time.Minute: "20m",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%d) = %q, want %q", d, got, want)
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, seed := range []string{"", "graph: {window: 1h}", "a: &a {b: *a}", "graph: &x {window: 1s}\nquery: *x", "listen: [", "? {a: b}\n: c", "<<: {host: x}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg := Default()
		known := map[string]Field{}
		for field := range fieldsOf(&cfg) {
			known[field.Key] = field
		}
		places, err := checkFile("f", data, known)
		if err != nil {
			return
		}
		for key := range places {
			if _, ok := known[key]; !ok {
				t.Errorf("place of unknown key %q", key)
			}
		}
	})
}
