package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size in bytes, written as "64MiB", "1.5GB" or a plain number.
type Bytes int64

// The binary units of [Bytes].
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

// unit is one suffix of a size; the longer ones of a letter come first, because
// "MiB" also ends in "B".
type unit struct {
	suffix string
	size   float64
}

func units() []unit {
	return []unit{
		{"TiB", float64(TiB)},
		{"GiB", float64(GiB)},
		{"MiB", float64(MiB)},
		{"KiB", float64(KiB)},
		{"TB", 1e12},
		{"GB", 1e9},
		{"MB", 1e6},
		{"kB", 1e3},
		{"KB", 1e3},
		{"B", 1},
	}
}

// ParseBytes reads a size. Units of 1024 have an "i" (KiB, MiB, GiB, TiB), those of
// 1000 have none (kB, MB, GB, TB); a number alone counts bytes.
func ParseBytes(text string) (Bytes, error) {
	number, size := strings.TrimSpace(text), 1.0
	for _, u := range units() {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, size = strings.TrimSpace(rest), u.size
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && size == 1 {
		if n < 0 {
			return 0, fmt.Errorf("negative size %q", text)
		}
		return Bytes(n), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) {
		return 0, fmt.Errorf("not a size %q: write it as 64MiB or 1GB", text)
	}
	f *= size
	if f < 0 {
		return 0, fmt.Errorf("negative size %q", text)
	}
	if f >= math.MaxInt64 {
		return 0, fmt.Errorf("size %q too large", text)
	}
	return Bytes(f), nil
}

// String gives the size in the largest binary unit that divides it, in a form
// that [ParseBytes] reads back to the same value.
func (b Bytes) String() string {
	for _, u := range []struct {
		name string
		size Bytes
	}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}} {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText is String.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText is [ParseBytes].
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBytes(string(text))
	return err
}

// parseDuration is time.ParseDuration with a remedy for what people write most:
// a number without a unit.
func parseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, fmt.Errorf("duration %q without a unit: write %ss for seconds", text, text)
	}
	return 0, fmt.Errorf("not a duration %q: write it as 30s, 5m or 1h30m", text)
}

// formatDuration leaves out the zero units that time.Duration prints: 1h, not
// 1h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
