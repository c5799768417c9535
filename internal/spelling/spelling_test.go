package spelling_test

import (
	"strings"
	"testing"

	"github.com/weft-net/weft/internal/spelling"
)

func TestNearest(t *testing.T) {
	words := []string{"port", "proto", "host", "net", "Metric.ABBytes", "app"}
	for written, want := range map[string]string{
		"prot": "port", "porrt": "port", "metric.abbytes": "Metric.ABBytes", "Metric.ABByte": "Metric.ABBytes",
		"hots": "host", "ap": "app", "nosuch": "", "": "", "80": "", strings.Repeat("x", 1000): "",
	} {
		if got := spelling.Nearest(written, words); got != want {
			t.Errorf("%q: %q, want %q", written, got, want)
		}
	}
}
