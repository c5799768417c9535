package table

import (
	"testing"

	"github.com/weft-net/weft/internal/probe"
)

func TestEveryProbeCanBeBuilt(t *testing.T) {
	seen := map[string]bool{}
	for _, spec := range All() {
		if seen[spec.Name] {
			t.Errorf("two probes are called %s", spec.Name)
		}
		seen[spec.Name] = true
		p, err := spec.New(probe.Env{Host: "h"})
		if err != nil {
			t.Errorf("%s: %v", spec.Name, err)
			continue
		}
		if p.Name() != spec.Name {
			t.Errorf("%s calls itself %s", spec.Name, p.Name())
		}
	}
}
