package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/capture"
	"github.com/weft-net/weft/internal/capture/order"
)

// State is how a capture on a node fares.
type State string

// The states of a capture on a node.
const (
	Waiting State = "waiting" // for the node, or for the interface behind it
	Active  State = "active"
	Failed  State = "failed" // Error says why; it is tried again
	Ended   State = "ended"
)

type tapState struct {
	State State
	Error string
	Port  int // where it listens, 0 if it does not
}

// tap is one capture on one node. Its goroutine opens the rings and keeps the ledger tied to the interface.
type tap struct {
	runner  *Runner
	capture captureOrder
	node    order.Node
	place   place
	fresh   bool // the interface appeared while the capture stood
	account *account
	cancel  context.CancelFunc
	done    chan struct{}
	state   atomic.Pointer[tapState]

	mu    sync.Mutex
	rings []*ring
}

// start begins to capture.
func (t *tap) start(ctx context.Context) {
	t.account, t.done = t.runner.out.account(t.capture.UUID, t.node.TID), make(chan struct{})
	ctx, t.cancel = context.WithCancel(ctx)
	t.state.Store(&tapState{State: Waiting})
	go t.run(ctx)
}

// close waits until nothing of the tap is left. for good means that what passes from now on is nobody's loss.
func (t *tap) close(forGood bool) {
	t.cancel()
	<-t.done
	if forGood {
		t.account.end()
	}
	t.runner.out.checkpoint(t.account, nil)
}

const longestRetry = 30 * time.Second

func (t *tap) run(ctx context.Context) {
	defer close(t.done)
	retry := t.runner.opts.Settings.Retry
	for wait := retry; ; wait = min(2*wait, longestRetry) {
		begun := t.runner.opts.Now()
		err := t.once(ctx)
		if ctx.Err() != nil {
			t.set(Ended, nil)
			return
		}
		switch {
		case errors.Is(err, capture.ErrGone), errors.Is(err, fs.ErrNotExist):
			t.set(Waiting, err)
			wait = retry
		default:
			t.set(Failed, err)
		}
		if t.runner.opts.Now().Sub(begun) > longestRetry {
			wait = retry
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (t *tap) set(state State, err error) {
	s := &tapState{State: state}
	if err != nil {
		s.Error = err.Error()
	}
	t.put(s, err)
}

func (t *tap) put(s *tapState, err error) {
	if old := t.state.Swap(s); old.State != s.State && s.State == Failed {
		t.runner.log.Warn("capture failed; it is tried again", "capture", t.capture.UUID, "node", t.node.TID, "error", err)
	}
	notify(t.runner.changed)
}

// once captures until the context ends or a ring does.
func (t *tap) once(ctx context.Context) error {
	set := &t.runner.opts.Settings
	sources, err := t.runner.opts.Open(Target{
		Namespace: t.place.Namespace, IfIndex: t.place.Index, Capture: t.capture, RingBytes: set.RingBytes, Rings: set.Rings,
		Counters: t.sample, Now: t.runner.opts.Now,
	})
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	rings := make([]*ring, len(sources))
	for i, source := range sources {
		rings[i] = newRing(t, source)
		t.account.join(rings[i])
	}
	if packets, seen, err := t.bracket(rings); err == nil {
		t.account.begin(t.face(), packets, seen, t.lenient(), t.since())
	} else {
		t.account.begin("", 0, 0, true, nil)
	}
	t.mu.Lock()
	t.rings = rings
	t.mu.Unlock()
	t.put(&tapState{State: Active, Port: portOf(sources[0])}, nil)

	ended := make(chan error, len(rings))
	var reading sync.WaitGroup
	for _, r := range rings {
		reading.Go(func() { ended <- r.run() })
	}
	t.checkpoint(rings)
	tick := time.NewTicker(set.Checkpoint)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case err = <-ended:
			running = false
		case <-tick.C:
			t.checkpoint(rings)
		}
	}
	for _, r := range rings {
		r.stop()
	}
	reading.Wait()
	t.mu.Lock()
	t.rings = nil
	t.mu.Unlock()
	for _, r := range rings {
		t.account.leave(r)
	}
	if counters, failed := t.counters(); failed == nil {
		t.account.busy(counters.Packets)
	}
	t.runner.out.checkpoint(t.account, t.stats())
	return err
}

// sample puts what an exporter counted on the node.
func (t *tap) sample(c *graph.Counters) {
	t.runner.opts.Sink.Commit(graph.Event{Op: graph.PutSample, ID: t.node.ID, Counters: c})
}

// lenient tells whether the interface counts packets that the capture does not take.
func (t *tap) lenient() bool { return t.capture.BPFFilter != "" || t.capture.SamplingRate > 1 }

// face names one life of an interface: a node's id is made of its namespace and index.
func (t *tap) face() string { return t.node.ID + "#" + strconv.Itoa(t.place.Index) }

var errNoInterface = errors.New("a capture that listens has no interface")

// since is what the interface had counted when the capture became responsible for it, nil if that is only now.
func (t *tap) since() *uint64 {
	if !t.fresh {
		return nil
	}
	if packets, known := t.runner.births.of(t.node.ID); known {
		return &packets
	}
	return nil
}

func (t *tap) counters() (Counters, error) {
	if t.place.Index == 0 {
		return Counters{}, errNoInterface
	}
	return t.runner.opts.Counters(t.place.Namespace, t.place.Index)
}

// seen is what the rings received, lost packets included.
func seen(rings []*ring) (uint64, error) {
	var sum uint64
	for _, r := range rings {
		stats, err := r.source.Stats()
		if err != nil {
			return 0, err
		}
		sum += stats.Received
	}
	return sum, nil
}

// bracket reads the interface's counter and those of the rings as of one moment, as nearly as traffic allows: between
// two equal readings of the counter, or the two that are nearest to each other.
func (t *tap) bracket(rings []*ring) (packets, received uint64, err error) {
	const attempts = 20
	nearest := uint64(math.MaxUint64)
	for range attempts {
		first, err := t.counters()
		if err != nil {
			return 0, 0, err
		}
		now, err := seen(rings)
		if err != nil {
			return 0, 0, err
		}
		second, err := t.counters()
		if err != nil {
			return 0, 0, err
		}
		if gap := second.Packets - first.Packets; gap < nearest {
			nearest, packets, received = gap, first.Packets+gap/2, now
		}
		if nearest == 0 {
			break
		}
	}
	return packets, received, nil
}

// calm is how long interface and rings must stand still together: a packet is in both within microseconds.
const calm = 5 * time.Millisecond

// checkpoint ties the ledger to the interface and keeps it.
func (t *tap) checkpoint(rings []*ring) {
	defer func() { t.runner.out.checkpoint(t.account, t.stats()) }()
	first, err := t.counters()
	if err != nil {
		return
	}
	t.account.mu.Lock()
	t.account.observed = first
	t.account.mu.Unlock()
	before, err := seen(rings)
	if err != nil {
		return
	}
	pause := time.NewTimer(calm)
	defer pause.Stop()
	<-pause.C
	second, err := t.counters()
	if err != nil {
		return
	}
	after, err := seen(rings)
	if err != nil {
		return
	}
	if first.Packets == second.Packets && before == after && t.account.taken(rings) == after {
		t.account.quiet(second.Packets)
		return
	}
	t.account.busy(second.Packets)
}

// taken is what the rings gave to their tables or lost.
func (a *account) taken(rings []*ring) (sum uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range rings {
		if part := a.rings[r]; part != nil {
			sum += part.live.Counted + part.live.Dropped() + part.dropped
		}
	}
	return sum
}
