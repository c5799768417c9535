package graphtest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/weft-net/weft/graph"
)

// maxDumps bounds what readers keep for Verify.
const maxDumps = 2000

// Readers starts readers that render views of the live graph and of its past while the driver writes. The function
// that it gives stops them and tells the first error; what they saw is compared by Verify.
func (d *Driver) Readers(n int, seed uint64) (stop func() error) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		r := rand.New(rand.NewPCG(seed, uint64(i+10)))
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := d.read(r); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	return func() error {
		close(done)
		wg.Wait()
		select {
		case err := <-errs:
			return err
		default:
			return nil
		}
	}
}

func (d *Driver) read(r *rand.Rand) error {
	v := d.Graph.View()
	if r.IntN(2) == 0 {
		from := v.Moment() - graph.Moment(r.Int64N(int64(60*time.Second)))
		to := from + graph.Moment(r.Int64N(int64(10*time.Second)))*graph.Moment(r.IntN(2))
		var err error
		if v, err = d.Graph.Between(from, to); err != nil {
			return d.windowError(err, from)
		}
	}
	from, to := v.Interval()
	first := Render(v)
	nodes := map[string]bool{}
	for n := range v.Nodes() {
		nodes[n.ID()] = true
	}
	for e := range v.Edges() {
		_, parent := v.Parent(e)
		_, child := v.Child(e)
		if (!parent || !child || !nodes[e.Parent()] || !nodes[e.Child()]) && v.Err() == nil {
			return fmt.Errorf("edge %s without its nodes at %d", e.ID(), to)
		}
	}
	second := Render(v)
	if v.Err() != nil {
		return nil // the window passed it meanwhile
	}
	if first != second {
		return fmt.Errorf("view of %d changed: first\n%s\nthen\n%s", to, first, second)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.dumps) < maxDumps {
		d.dumps = append(d.dumps, dump{from, to, first})
	} else {
		d.dumps[r.IntN(maxDumps)] = dump{from, to, first}
	}
	return nil
}

// Verify compares what the readers saw with the model, and tells how much that was.
func (d *Driver) Verify() (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.dumps {
		want := d.Model.At(x.to)
		if x.from != x.to {
			want = d.Model.Between(x.from, x.to)
		}
		if w := want.String(); w != x.text {
			return 0, fmt.Errorf("a reader at [%d,%d]: %s", x.from, x.to, difference(x.text, w))
		}
	}
	return len(d.dumps), nil
}
