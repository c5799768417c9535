package graphtest_test

import (
	"flag"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/graph/graphtest"
)

var (
	seed = flag.Uint64("graph.seed", 0, "seed of the random operations; 0 takes the time")
	soak = flag.Duration("graph.soak", 0, "run random operations for so long")
)

// options are the graphs that the model is compared with.
func options() map[string]graph.Options {
	return map[string]graph.Options{
		"wide window": {WindowBytes: 1 << 40, Window: 1 << 60, SamplesKept: 1 << 20},
		"small window": {
			Window: 30 * time.Second, WindowBytes: 100_000, SamplesKept: 1 << 20, LogSize: 4, OriginAge: time.Second,
			Index: append(graph.DefaultIndex(), "Deep.A"),
		},
	}
}

func TestGraphAgainstModel(t *testing.T) {
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	for name, opts := range options() {
		t.Run(name, func(t *testing.T) {
			end := time.Now().Add(*soak)
			for round := uint64(0); round < 6 || time.Now().Before(end); round++ {
				run(t, first+round, 150, 0, opts)
			}
		})
	}
}

func TestGraphAgainstModelWithReaders(t *testing.T) {
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	for name, opts := range options() {
		t.Run(name, func(t *testing.T) {
			end := time.Now().Add(*soak)
			for round := uint64(0); round < 2 || time.Now().Before(end); round++ {
				run(t, first+round, 150, 3, opts)
			}
		})
	}
}

func run(t *testing.T, seed uint64, steps, readers int, opts graph.Options) {
	t.Helper()
	d := graphtest.NewDriver(seed, 3+int(seed%9), opts)
	defer d.Close()
	stop := d.Readers(readers, seed)
	var err error
	step := 0
	for ; step < steps && err == nil; step++ {
		err = d.Step()
	}
	if stopErr := stop(); stopErr != nil && err == nil {
		err = stopErr
	}
	if err == nil {
		_, err = d.Verify()
	}
	if err != nil {
		t.Fatalf("seed %d, step %d: %v", seed, step, err)
	}
}
