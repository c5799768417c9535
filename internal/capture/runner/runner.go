// Package runner runs the captures of a host: it does what the analyzers' orders say.
//
// A [Runner] opens packet sources on the nodes that its orders name, as soon as the agent's graph has them, counts
// flows in a table per ring, keeps the ledger of each capture on each node, spools flow reports until an analyzer has
// them, shows each node's captures in a layer of its metadata, and answers queries for live flows.
//
// Goroutines: one follows the orders and the graph; one for each that ends waits for its last reports; one for each capture on a node opens its rings, and reads the
// interface's counters every few seconds; one for each ring owns the ring and its flow table, and answers queries in
// slices between batches of packets; one hands batches to the bus. [New] is inert, [Runner.Run] lives until its context
// ends and leaves none of them behind. The other methods may be called from any goroutine, before Run too.
//
// docs/capture.md says what the ledger promises, and docs/adr/015-flow-spool.md how it is kept.
package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/capture/order"
	"github.com/weft-net/weft/internal/capture/spool"
	"github.com/weft-net/weft/internal/probe"
)

// Options are what a Runner needs. Host, Graph and Sink are required.
type Options struct {
	Host     string
	Graph    *graph.Graph        // the agent's: where nodes are found
	Sink     probe.Sink          // of an origin of its own, on whose behalf nodes get their Captures layer
	Origin   string              // of Sink; captures@HOST
	Publish  order.FlowPublisher // nil: batches wait in the spool
	Dir      string              // of the spool and the last orders; "" = memory only
	Settings Settings
	Registry prometheus.Registerer
	Logger   *slog.Logger
	Now      func() time.Time

	Open     OpenFunc     // nil: OpenSources
	Counters CountersFunc // nil: InterfaceCounters
}

// Settings are the user's. Zero means the default.
type Settings struct {
	Update, Expire, ExpireShort time.Duration // of flows, see flow.Options
	MaxFlows                    int           // of a ring
	Applications                *flow.Applications
	QueueBytes                  int64         // of the spool, 256 MiB
	RingBytes                   int           // of each ring, chosen by afpacket
	Rings                       int           // of each capture, 1
	Checkpoint                  time.Duration // between two looks at the interface's counters, 2 s
	Retry                       time.Duration // before a source that failed is opened again, at first; 1 s
	Linger                      time.Duration // before reports that are not many go to the spool, 500 ms
}

// Runner runs captures.
type Runner struct {
	opts    Options
	log     *slog.Logger
	changed chan struct{} // of size 1: orders came

	mu     sync.Mutex
	orders order.Orders
	given  bool // orders came, or were read
	taps   map[tapKey]*tap
	ending map[*tap]bool   // not wanted any more, and not over yet
	absent []Status        // of nodes without a tap
	said   bool            // the layers of an earlier process are gone
	layers map[string]bool // nodes with a layer

	out     outlet
	births  births
	endings sync.WaitGroup
	budget  *flow.Budget  // of all tables together
	closing chan struct{} // has a place for each ring that may close its table at the same time
}

// tapKey names a capture on a node.
type tapKey struct{ capture, node string }

// New checks the options; nothing runs yet.
func New(opts Options) (*Runner, error) {
	if opts.Host == "" || opts.Graph == nil || opts.Sink == nil {
		return nil, errors.New("capture runner: host, graph and sink are needed")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Open == nil {
		opts.Open = OpenSources
	}
	if opts.Counters == nil {
		opts.Counters = InterfaceCounters
	}
	setDefault(&opts.Origin, "captures@"+opts.Host)
	set := &opts.Settings
	setDefault(&set.Checkpoint, 2*time.Second)
	setDefault(&set.Retry, time.Second)
	setDefault(&set.Linger, 500*time.Millisecond)
	setDefault(&set.Rings, 1)
	r := &Runner{
		opts: opts, log: opts.Logger, changed: make(chan struct{}, 1),
		taps: map[tapKey]*tap{}, ending: map[*tap]bool{}, closing: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	r.out.accounts = map[string]*account{}
	r.budget = flow.NewBudget(0)
	if set.MaxFlows > r.budget.Most() {
		r.budget = flow.NewBudget(set.MaxFlows)
	}
	if opts.Registry != nil {
		if err := opts.Registry.Register((*collector)(r)); err != nil {
			return nil, fmt.Errorf("capture metrics: %w", err)
		}
	}
	return r, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (r *Runner) ordersFile() string { return filepath.Join(r.opts.Dir, "orders.json") }

// SetOrders replaces what is to be captured. The orders are kept on disk, so that an agent that starts again goes on
// without an analyzer; an error says that they were not, but they are followed all the same.
func (r *Runner) SetOrders(orders order.Orders) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.given && r.orders.Hash == orders.Hash {
		return nil
	}
	r.orders, r.given = orders, true
	notify(r.changed)
	if r.opts.Dir == "" {
		return nil
	}
	data, err := orders.Encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.opts.Dir, 0o750); err != nil {
		return fmt.Errorf("directory of captures: %w", err)
	}
	if err := os.WriteFile(r.ordersFile()+".new", data, 0o600); err != nil {
		return fmt.Errorf("orders of captures not kept: %w", err)
	}
	if err := os.Rename(r.ordersFile()+".new", r.ordersFile()); err != nil {
		return fmt.Errorf("orders of captures not kept: %w", err)
	}
	return nil
}

// OrdersHash is the hash of the orders that are followed, 0 when none ever came.
func (r *Runner) OrdersHash() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.orders.Hash
}

// load reads the last orders, unless newer ones came already.
func (r *Runner) load() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.given || r.opts.Dir == "" {
		return
	}
	data, err := os.ReadFile(r.ordersFile())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		r.orders, err = order.Decode(data)
	}
	if err != nil {
		r.log.Warn("the last orders of captures cannot be read; captures begin when an analyzer is there", "error", err)
		return
	}
	r.given = true
}

// Run captures until the context ends. Flows that are live then are reported, and wait in the spool if nobody takes them.
func (r *Runner) Run(ctx context.Context) error {
	r.load()
	dir := r.opts.Dir
	if dir != "" {
		dir = filepath.Join(dir, "spool")
	}
	kept, err := spool.Open(spool.Options{Dir: dir, MaxBytes: r.opts.Settings.QueueBytes, Logger: r.log, Now: r.opts.Now})
	if err != nil {
		return fmt.Errorf("captures: %w", err)
	}
	r.out.begin(kept, r.log)
	r.out.transit.heard = r.opts.Now()

	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var rest sync.WaitGroup
	if r.opts.Publish != nil {
		r.opts.Publish.OnAck(r.taken)
		rest.Go(func() { r.send(sending) })
	}
	r.follow(ctx)
	r.closeTaps()
	r.drain(time.Second)
	stop()
	rest.Wait()
	return kept.Close()
}

const settle = 10 * time.Millisecond

// follow does what the orders say, for the nodes that the graph has.
func (r *Runner) follow(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	moved := make(chan struct{}, 1)
	sub := r.opts.Graph.Subscribe()
	defer sub.Close()
	watching.Go(func() { r.watch(ctx, sub, moved) })
	say := time.NewTicker(r.opts.Settings.Checkpoint)
	defer say.Stop()
	for {
		r.reconcile(ctx)
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
			r.say()
		case <-say.C:
			r.say()
		case <-moved:
			// The graph may change a thousand times a second.
			pause := time.NewTimer(settle)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		}
	}
}

// watch tells of commits that may matter: not of counters, nor of what this Runner said itself.
func (r *Runner) watch(ctx context.Context, sub *graph.Subscription, moved chan struct{}) {
	for {
		commit, err := sub.Next(ctx)
		switch {
		case errors.Is(err, graph.ErrLagged):
			sub.Resync()
			notify(moved)
		case err != nil:
			return
		case commit.Origin == r.opts.Origin:
		case r.births.take(commit):
			notify(moved)
		case slices.ContainsFunc(commit.Changes, func(c graph.Change) bool { return !c.Sample }):
			notify(moved)
		}
	}
}

// reconcile starts and stops taps until they are what the orders say. Only the goroutine of follow calls it.
func (r *Runner) reconcile(ctx context.Context) {
	view := r.opts.Graph.View()
	r.mu.Lock()
	all, keep, given, old := r.orders.Captures, r.orders.Keep, r.given, maps.Clone(r.taps)
	r.mu.Unlock()

	type start struct {
		key     tapKey
		capture captureOrder
		node    order.Node
		place   place
		fresh   bool
	}
	var starts []start
	var absent []Status
	kept := map[tapKey]bool{}
	captures := map[string]bool{}
	wantedKeys := map[string]bool{} // of accounts
	for _, id := range keep {
		captures[id] = true
	}
	for i := range all {
		o := &all[i]
		captures[o.Capture.UUID] = true
		for _, node := range o.Nodes {
			wantedKeys[accountKey(o.Capture.UUID, node.TID)] = true
			where, state, err := locate(view, node.ID, listens(&o.Capture))
			if err != nil {
				absent = append(absent, Status{Capture: o.Capture, NodeID: node.ID, NodeTID: node.TID, State: state, Error: err.Error()})
				continue
			}
			key := tapKey{o.Capture.UUID, node.ID}
			if t := old[key]; t != nil && t.capture == o.Capture && t.place == where {
				kept[key] = true
				continue
			}
			starts = append(starts, start{key, o.Capture, node, where, slices.Contains(o.Fresh, node.ID)})
		}
	}
	// What ends goes first: what begins may carry on the same ledger.
	wanted := func(key tapKey) bool {
		return slices.ContainsFunc(starts, func(s start) bool { return s.key == key })
	}
	r.mu.Lock()
	for key, t := range old {
		if kept[key] {
			continue
		}
		delete(r.taps, key)
		_, alive := view.Node(key.node)
		// No longer wanted on a node that is there: what passes from now on is nobody's loss.
		r.end(t, alive && !wanted(key))
	}
	busy := map[string]bool{} // accounts of what is not over yet
	for t := range r.ending {
		captures[t.capture.UUID] = true
		wantedKeys[t.account.key], busy[t.account.key] = true, true
	}
	for _, s := range starts {
		if busy[accountKey(s.capture.UUID, s.node.TID)] {
			absent = append(absent, Status{Capture: s.capture, NodeID: s.node.ID, NodeTID: s.node.TID, State: Waiting, Error: errEnding.Error()})
			continue
		}
		t := &tap{runner: r, capture: s.capture, node: s.node, place: s.place, fresh: s.fresh}
		r.taps[s.key] = t
		t.start(ctx)
	}
	r.absent = absent
	r.mu.Unlock()
	if given {
		r.out.forget(func(a *account) bool { return !captures[a.capture] })
		r.out.fold(wantedKeys)
	}
}

var errEnding = errors.New("what was captured here before is still being reported")

// end closes a tap behind the back of the others: its flows may be millions, all of which are reported. What waits for
// its ledger begins when it is over. The caller holds mu.
func (r *Runner) end(t *tap, forGood bool) {
	t.cancel()
	r.ending[t] = true
	r.endings.Go(func() {
		t.close(forGood)
		r.mu.Lock()
		delete(r.ending, t)
		last := len(r.ending) == 0
		r.mu.Unlock()
		notify(r.changed)
		if l, _ := t.account.ledger(); last && l.Flows >= manyFlows {
			debug.FreeOSMemory()
		}
	})
}

// manyFlows is how many flows a capture had whose memory goes back to the system at once when it ends.
const manyFlows = 1 << 16

// closeTaps ends all taps when the Runner ends.
func (r *Runner) closeTaps() {
	r.mu.Lock()
	taps := slices.Collect(maps.Values(r.taps))
	clear(r.taps)
	r.mu.Unlock()
	for _, t := range taps {
		t.cancel()
	}
	for _, t := range taps {
		t.close(false)
	}
	r.endings.Wait()
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
