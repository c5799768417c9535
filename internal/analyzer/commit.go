package analyzer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
)

var _ api.Committer = (*Analyzer)(nil)

// writers are the origins of this process.
type writers struct {
	mu      sync.Mutex
	origins map[string]*origin // by full name
	lost    []string           // origins whose batches are to be published again
	order   []*origin
	reborn  uint64 // origins forgotten so far: the next to be made gets an epoch of its own
}

// origin numbers and publishes what one origin says, and knows what is not applied yet.
type origin struct {
	a       *Analyzer
	name    string    // full
	users   int       // writers open; guarded by writers.mu
	left    time.Time // when the last of them was closed; the same
	persist bool

	mu      sync.Mutex
	epoch   uint64
	seq     uint64
	pending []*pending
	events  int           // in pending
	room    chan struct{} // closed and replaced when pending shrinks
	closed  error

	// What persist.go wants to know.
	unsaved   int    // bytes applied since the last save
	saved     int    // bytes of the last save
	streamSeq uint64 // of the last batch applied
	touched   bool   // something was said in this process
	empty     bool   // the last thing said was that there is nothing
}

// pending is a batch on its way; it implements api.Pending.
type pending struct {
	batch  *graph.Batch
	sent   time.Time
	done   chan struct{}
	result graph.Result
	err    error
}

// Wait implements api.Pending.
func (p *pending) Wait(ctx context.Context) (graph.Result, error) {
	select {
	case <-p.done:
		return p.result, p.err
	default:
	}
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
		return graph.Result{}, fmt.Errorf("batch not applied yet: %w", ctx.Err())
	}
}

const (
	pendingBatches = 1024            // of one origin
	resendAfter    = 2 * time.Second // without being applied
)

// OriginName is the full name of an origin of this analyzer, as elements and layers show it.
func (a *Analyzer) OriginName(name string) string { return bus.OriginName(name, a.member) }

// Origin implements api.Committer.
func (a *Analyzer) Origin(name string, opts api.OriginOptions) api.OriginWriter {
	o := a.writers.open(a, a.OriginName(name))
	if opts.Persist {
		a.persist(o)
	}
	return o
}

func (w *writers) open(a *Analyzer, name string) *origin {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.origins[name]
	if o == nil {
		o = &origin{a: a, name: name, epoch: a.epoch + w.reborn, room: make(chan struct{})}
		w.origins[name] = o
		w.order = append(w.order, o)
	}
	o.users++
	return o
}

// sweep forgets origins that nobody writes and that said nothing, or that nothing is left.
func (w *writers) sweep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.order = slices.DeleteFunc(slices.Clone(w.order), func(o *origin) bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		gone := o.users == 0 && (o.empty || !o.touched) && len(o.pending) == 0 && !o.persist
		if gone {
			delete(w.origins, o.name)
			w.reborn++
		}
		return gone
	})
}

// idle gives the origins that nobody has written for long enough.
func (w *writers) idle(limit time.Duration) (list []*origin) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.order {
		if o.users == 0 && time.Since(o.left) > limit {
			list = append(list, o)
		}
	}
	return list
}

// forget forgets an origin unless somebody writes it again.
func (w *writers) forget(o *origin) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.users > 0 || w.origins[o.name] != o {
		return
	}
	delete(w.origins, o.name)
	w.order = slices.DeleteFunc(slices.Clone(w.order), func(other *origin) bool { return other == o })
	w.reborn++
}

// Commit implements api.OriginWriter.
func (o *origin) Commit(ctx context.Context, events []graph.Event) (api.Pending, error) {
	return o.say(ctx, events, false)
}

// Snapshot implements api.OriginWriter.
func (o *origin) Snapshot(ctx context.Context, events []graph.Event) (api.Pending, error) {
	return o.say(ctx, events, true)
}

// Close implements api.OriginWriter. The numbering goes on when the origin is opened again.
func (o *origin) Close() {
	o.a.writers.mu.Lock()
	defer o.a.writers.mu.Unlock()
	if o.users--; o.users == 0 {
		o.left = time.Now()
	}
}

func (o *origin) say(ctx context.Context, events []graph.Event, whole bool) (api.Pending, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.wait(ctx, len(events)); err != nil {
		return nil, err
	}
	o.touched, o.empty = true, whole && len(events) == 0
	p, err := o.publish(ctx, events, whole)
	if err != nil {
		return nil, err // a nil *pending would not be a nil Pending
	}
	return p, nil
}

// wait returns when there is room for so many events.
func (o *origin) wait(ctx context.Context, events int) error {
	for {
		if o.closed != nil {
			return o.closed
		}
		if len(o.pending) == 0 || (len(o.pending) < pendingBatches && o.events+events <= o.a.opts.Window) {
			return nil
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		o.mu.Lock()
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("commit of %s: %w", o.name, err)
		}
	}
}

func (o *origin) publish(ctx context.Context, events []graph.Event, whole bool) (*pending, error) {
	p := &pending{
		batch: &graph.Batch{Origin: o.name, Epoch: o.epoch, Seq: o.seq + 1, Snapshot: whole, Events: events},
		sent:  time.Now(), done: make(chan struct{}),
	}
	o.pending = append(o.pending, p)
	o.events += len(events)
	o.seq++
	err := o.a.publisher.Publish(ctx, p.batch)
	if err != nil && !errors.Is(err, bus.ErrDisconnected) {
		o.pending = o.pending[:len(o.pending)-1]
		o.events -= len(events)
		o.seq--
		return nil, fmt.Errorf("commit of %s: %w", o.name, err)
	}
	return p, nil // what could not be sent now is sent when the bus is back
}

// find returns the batch on its way that a delivery names.
func (w *writers) find(name string, epoch, seq uint64) (*origin, *pending) {
	w.mu.Lock()
	o := w.origins[name]
	w.mu.Unlock()
	if o == nil {
		return nil, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pending) == 0 {
		return o, nil
	}
	first := o.pending[0].batch
	if epoch != first.Epoch || seq < first.Seq || seq-first.Seq >= uint64(len(o.pending)) {
		return o, nil
	}
	p := o.pending[seq-first.Seq]
	if p.batch.Epoch != epoch || p.batch.Seq != seq {
		return o, nil
	}
	return o, p
}

// applied completes a batch and, as the graph holds them, all before it.
func (o *origin) applied(p *pending, result graph.Result, err error, d bus.Delivery, size int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unsaved += size
	if d.StreamSeq > 0 {
		o.streamSeq = d.StreamSeq
	}
	if p == nil {
		return
	}
	p.result, p.err = result, err
	for n, q := range o.pending {
		o.events -= len(q.batch.Events)
		o.pending[n] = nil
		close(q.done)
		if q == p {
			o.pending = o.pending[n+1:]
			break
		}
	}
	close(o.room)
	o.room = make(chan struct{})
}

// again has the batches of an origin published again: some were lost.
func (w *writers) again(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = append(w.lost, name)
}

// resend publishes again what has not come back for too long.
func (a *Analyzer) resend(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.writers.mu.Lock()
		lost := map[string]bool{}
		for _, name := range a.writers.lost {
			lost[name] = true
		}
		a.writers.lost = nil
		order := a.writers.order[:len(a.writers.order):len(a.writers.order)]
		a.writers.mu.Unlock()
		if !a.conn.Connected() {
			continue
		}
		a.writers.sweep()
		for _, o := range order {
			o.mu.Lock()
			if n := len(o.pending); n > 0 && (lost[o.name] || time.Since(o.pending[0].sent) > resendAfter) {
				for _, p := range o.pending {
					if a.publisher.Publish(ctx, p.batch) != nil {
						break // disconnected again: the next round repeats it
					}
					p.sent = time.Now()
					a.counters.resent.Add(1)
				}
			}
			o.mu.Unlock()
		}
	}
}

// resyncRequested is another analyzer asking for the whole state of origins of this one.
func (a *Analyzer) resyncRequested(ctx context.Context, r bus.Resync) {
	if r.From == a.member {
		return
	}
	a.running.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		for _, known := range r.Origins {
			if o := a.writers.get(known.Origin); o != nil {
				if err := o.sayAll(ctx, known); err != nil {
					a.log.Debug("whole state not sent", "origin", o.name, "error", err)
				}
			}
		}
	})
}

func (w *writers) get(name string) *origin {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.origins[name]
}

// sayAll publishes the origin's whole state as it stands behind all that was said.
func (o *origin) sayAll(ctx context.Context, known bus.Position) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.pending) > 0 {
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		o.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if o.closed != nil {
		return o.closed
	}
	// The asker remembers a process of a later time: the clock was put back meanwhile.
	if known.Epoch > o.epoch {
		o.epoch, o.seq = known.Epoch+1, 0
	}
	_, err := o.publish(ctx, bus.Collect(o.a.graph.View(), o.name), true)
	return err
}

// positions says how far each origin has got in what was applied here.
func (w *writers) positions() []bus.Position {
	w.mu.Lock()
	order := w.order[:len(w.order):len(w.order)]
	w.mu.Unlock()
	list := make([]bus.Position, 0, len(order))
	for _, o := range order {
		o.mu.Lock()
		if o.seq > 0 {
			list = append(list, bus.Position{Origin: o.name, Epoch: o.epoch, Seq: o.seq - uint64(len(o.pending))})
		}
		o.mu.Unlock()
	}
	return list
}

func (w *writers) inFlight() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.order {
		o.mu.Lock()
		n += o.events
		o.mu.Unlock()
	}
	return n
}

// fail completes everything that is on its way with an error.
func (w *writers) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.order {
		o.mu.Lock()
		o.closed = err
		for _, p := range o.pending {
			p.err = err
			close(p.done)
		}
		o.pending, o.events = nil, 0
		close(o.room)
		o.room = make(chan struct{})
		o.mu.Unlock()
	}
}
