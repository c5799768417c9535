package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/bus"
)

// outbox applies what probes say to the agent's graph and brings it to the bus, in one order.
type outbox struct {
	graph   *graph.Graph
	log     *slog.Logger
	limit   int           // events queued
	age     time.Duration // how long the graph keeps an edge for its nodes
	epoch   uint64        // of origins in this process, as they begin
	wake    chan struct{} // of size 1: there is something to send
	beatNow chan struct{} // of size 1
	stats   struct{ sent, snapshots, dropped, rejected atomic.Uint64 }

	mu      sync.Mutex
	origins map[string]*origin
	order   []*origin // as they appeared
	queue   []*graph.Batch
	events  int    // in queue
	sending bool   // a batch left the queue and is not handed over yet
	cuts    uint64 // disconnections answered with snapshots
	deaf    bool   // nobody takes batches: wait for a request or a connection
	heard   time.Time
}

// origin is one probe's side of the numbering.
type origin struct {
	name       string
	epoch, seq uint64
	// stale means that what was sent does not add up to what the graph holds: a Snapshot
	// follows, and nothing is queued until then.
	stale  bool
	guest  bool // speaks of the nodes of others
	parked []parked
	held   map[string]heldLayer // by the node that they wait for
}

// parked is an edge that waits for a node; the graph does not show it yet, but it is part
// of what the origin said.
type parked struct {
	event graph.Event
	at    time.Time
}

const (
	deafRetry    = 10 * time.Second // even if nobody asks
	maxParked    = 100_000
	retryDelay   = 100 * time.Millisecond
	publishLimit = 30 * time.Second
)

func newOutbox(g *graph.Graph, opts Options) *outbox {
	age := opts.Graph.OrphanAge
	if age == 0 {
		age = 10 * time.Second
	}
	return &outbox{
		graph: g, log: opts.Logger, limit: opts.QueueEvents, age: age,
		epoch: uint64(max(opts.Now().UnixNano(), 1)),
		wake:  make(chan struct{}, 1), beatNow: make(chan struct{}, 1),
		origins: map[string]*origin{},
	}
}

// commit applies events and queues them; whole means that they are the origin's whole state.
func (x *outbox) commit(name string, events []graph.Event, whole bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	o := x.origin(name)
	x.take(o, events, whole || (o.seq == 0 && !o.stale))
	x.laySoon(events)
}

// take applies events of an origin, and queues them if they say something new. The caller holds mu.
func (x *outbox) take(o *origin, events []graph.Event, whole bool) {
	name := o.name
	result, err := x.graph.Apply(&graph.Batch{Origin: name, Snapshot: whole, Events: events})
	if err != nil {
		x.stats.rejected.Add(uint64(len(events)))
		x.log.Warn("batch of a probe refused", "origin", name, "error", err)
		return
	}
	if n := len(result.Rejected); n > 0 {
		x.stats.rejected.Add(uint64(n))
		first := result.Rejected[0]
		x.log.Debug("events of a probe refused", "origin", name, "count", n, "id", first.ID, "error", first.Err)
	}
	if whole {
		o.parked, o.held = nil, nil
	}
	o.hold(events, result.Rejected)
	if result.Parked > 0 {
		o.park(events, x.age)
	}
	// The first batch goes out even when it is empty: it clears what a process before left.
	if (result.Changes == 0 && result.Parked == 0 && o.seq > 0) || o.stale {
		return
	}
	o.seq++
	x.push(&graph.Batch{Origin: name, Epoch: o.epoch, Seq: o.seq, Snapshot: whole, Events: events})
}

// origin gives the numbering of an origin, a new one if there is none. The caller holds mu.
func (x *outbox) origin(name string) *origin {
	o := x.origins[name]
	if o == nil {
		o = &origin{name: name, epoch: x.epoch}
		x.origins[name] = o
		x.order = append(x.order, o)
	}
	return o
}

// guest marks an origin that speaks of the nodes of others.
func (x *outbox) guest(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.origin(name).guest = true
}

// park remembers the edges of a batch, some of which wait for a node.
func (o *origin) park(events []graph.Event, age time.Duration) {
	now := time.Now()
	o.parked = slices.DeleteFunc(o.parked, func(p parked) bool { return now.Sub(p.at) > age })
	for _, e := range events {
		if e.Op == graph.PutEdge && len(o.parked) < maxParked {
			o.parked = append(o.parked, parked{e, now})
		}
	}
}

func (x *outbox) push(b *graph.Batch) {
	if x.events+len(b.Events) > x.limit && len(x.queue) > 0 {
		x.spoil()
		return
	}
	x.queue = append(x.queue, b)
	x.events += len(b.Events)
	notify(x.wake)
}

// spoil gives up what is queued: snapshots will replace it.
func (x *outbox) spoil() {
	x.stats.dropped.Add(uint64(len(x.queue)))
	x.queue, x.events = nil, 0
	for _, o := range x.order {
		o.stale = true
	}
	notify(x.wake)
}

// next takes what is to be sent now.
func (x *outbox) next() *graph.Batch {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.deaf && time.Since(x.heard) < deafRetry {
		return nil
	}
	x.deaf = false
	if len(x.queue) == 0 {
		for _, guests := range []bool{false, true} { // layers find their nodes
			for _, o := range x.order {
				if o.stale && o.guest == guests {
					x.snapshot(o)
				}
			}
		}
	}
	if len(x.queue) == 0 {
		return nil
	}
	b := x.queue[0]
	x.queue[0] = nil
	x.queue = x.queue[1:]
	x.events -= len(b.Events)
	x.sending = true
	return b
}

// snapshot queues the origin's whole state.
func (x *outbox) snapshot(o *origin) {
	view := x.graph.View()
	events := bus.Collect(view, o.name)
	for _, p := range o.parked {
		if _, there := view.Edge(p.event.ID); !there && time.Since(p.at) < x.age {
			events = append(events, p.event)
		}
	}
	o.stale = false
	o.seq++
	x.stats.snapshots.Add(1)
	x.queue = append(x.queue, &graph.Batch{Origin: o.name, Epoch: o.epoch, Seq: o.seq, Snapshot: true, Events: events})
	x.events += len(events)
}

// run hands batches to the bus.
func (x *outbox) run(ctx context.Context, to *bus.Publisher) {
	retry := time.NewTicker(retryDelay)
	defer retry.Stop()
	for {
		b := x.next()
		if b == nil {
			select {
			case <-ctx.Done():
				return
			case <-x.wake:
			case <-retry.C:
			}
			continue
		}
		limited, cancel := context.WithTimeout(ctx, publishLimit)
		err := to.Publish(limited, b)
		cancel()
		x.mu.Lock()
		x.sending = false
		switch {
		case err == nil:
			x.stats.sent.Add(1)
		case errors.Is(err, bus.ErrDisconnected), errors.Is(err, bus.ErrLost):
			x.log.Debug("batches wait for an analyzer", "error", err)
			x.deaf, x.heard = true, time.Now()
			x.spoil()
		default:
			if ctx.Err() == nil {
				x.log.Warn("batch not sent", "origin", b.Origin, "events", len(b.Events), "error", err)
			}
			x.spoil()
		}
		x.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
	}
}

// drain waits until everything is sent, or the time is over.
func (x *outbox) drain(limit time.Duration) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		x.mu.Lock()
		idle := len(x.queue) == 0 && !x.sending || x.deaf
		x.mu.Unlock()
		if idle {
			return
		}
		select {
		case <-deadline.C:
			return
		case <-tick.C:
		}
	}
}

// connected is called when the bus is there, or there again after so many disconnections:
// whatever was sent before one may be lost.
func (x *outbox) connected(disconnects uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.deaf = false
	if disconnects != x.cuts {
		x.cuts = disconnects
		for _, o := range x.order {
			o.stale = o.stale || o.seq > 0
		}
	}
	notify(x.wake)
	notify(x.beatNow)
}

// requested is an analyzer asking for whole states.
func (x *outbox) requested(r bus.Resync) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.deaf = false
	for _, known := range r.Origins {
		o := x.origins[known.Origin]
		if o == nil {
			continue
		}
		o.stale = true
		// The analyzer remembers a process that lived in a later time than this one: the
		// clock was put back. Only a later epoch is heard.
		if known.Epoch > o.epoch {
			o.epoch, o.seq = known.Epoch+1, 0
		}
	}
	if len(r.Origins) == 0 {
		for _, o := range x.order {
			o.stale = true
		}
	}
	notify(x.wake)
}

// positions says how far each origin has got. One that is stale is ahead of what was sent,
// whatever its number says.
func (x *outbox) positions() []bus.Position {
	x.mu.Lock()
	defer x.mu.Unlock()
	list := make([]bus.Position, 0, len(x.order))
	for _, o := range x.order {
		if o.seq == 0 && !o.stale {
			continue // it has said nothing yet
		}
		p := bus.Position{Origin: o.name, Epoch: o.epoch, Seq: o.seq}
		if o.stale {
			p.Seq++
		}
		list = append(list, p)
	}
	return list
}

func (x *outbox) waiting() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.events
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
