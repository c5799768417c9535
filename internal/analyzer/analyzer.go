// Package analyzer holds the graph of all hosts and keeps it right.
//
// Every batch, whoever made it, comes out of the bus's feed and is applied to the graph in
// the feed's order. What agents say arrives from other processes; what publishers, REST
// clients and rules say is committed here ([Analyzer.Origin] implements api.Committer),
// published on the analyzer's own subject, and applied when it comes back, so that all
// analyzers on one bus hold the same graph. A batch is taken only if its origin belongs to
// the member on whose subject it came.
//
// The order of each origin is checked by the graph; a gap, or a heartbeat that tells of a
// batch which never came, leads to a request for the origin's whole state, repeated with a
// growing delay until the graph has caught up (resync.go). A host that stays away is marked
// and, after a setting, its part of the graph expires (presence.go). Rules are executed
// against the live graph (rules.go). Captures are handed out to the hosts of the nodes that
// their queries give (captures.go). What persistent origins said is kept on JetStream's
// disk and said again at the next start (persist.go).
//
// [New] is inert. [Analyzer.Start] returns when the graph holds what survived the last run;
// [Analyzer.Close] ends every goroutine. Everything else may be called from any goroutine,
// but an OriginWriter is used by one at a time.
package analyzer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
)

// Options are what an Analyzer needs. Host, Conn, Graph, Engine and Store are required.
type Options struct {
	Host    string
	Version string
	Conn    *bus.Conn // as the member bus.AnalyzerMember(Host)
	Graph   *graph.Graph
	Engine  *gremlin.Engine // over Graph; executes the rules' queries
	Store   api.Store       // of the rules
	Stream  bus.StreamOptions
	Logger  *slog.Logger
	Now     func() time.Time
	// Registry takes the analyzer's metrics.
	Registry prometheus.Registerer
	// OnStream is called each time that the stream is there, or back.
	OnStream func()

	Away   time.Duration // silence after which a host counts as away, 5 s
	Expire time.Duration // absence after which a host's part of the graph goes; 0: never
	Hold   time.Duration // see bus.FeedOptions.HoldTime
	// Forget is how long an origin is kept that nobody writes and of which nothing is left, 1 min.
	Forget time.Duration
	Window int // events in flight of one origin before Commit waits, 50,000
	// SaveEvery is the longest time that a persistent origin's last snapshot may be old
	// while it changes, 1 min; what came after it is read from the stream.
	SaveEvery time.Duration
}

// Analyzer is the one writer of its graph.
type Analyzer struct {
	opts   Options
	log    *slog.Logger
	member string
	token  string
	conn   *bus.Conn
	graph  *graph.Graph

	feed      *bus.Feed
	publisher *bus.Publisher
	subs      []*bus.Subscription
	cancel    context.CancelFunc
	running   sync.WaitGroup
	epoch     uint64
	started   time.Time
	mono      time.Time // when Start was called, for time that no clock change moves

	writers  writers
	members  members
	vault    vault
	rules    *rules
	captures *captures
	counters counters

	toldUnreadable time.Time // see unreadable
}

type counters struct {
	batches, events, duplicates, stale, gaps, foreign, undecodable atomic.Uint64
	rejected, resyncs, resent, expired, dropped                    atomic.Uint64
	holds, beatErrors                                              atomic.Uint64
}

// New checks the options.
func New(opts Options) (*Analyzer, error) {
	if err := bus.CheckHost(opts.Host); err != nil {
		return nil, err
	}
	if opts.Conn == nil || opts.Graph == nil || opts.Engine == nil || opts.Store == nil {
		return nil, errors.New("analyzer: Conn, Graph, Engine and Store are required")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Away == 0 {
		opts.Away = 5 * time.Second
	}
	if opts.Forget == 0 {
		opts.Forget = time.Minute
	}
	if opts.Window == 0 {
		opts.Window = 50_000
	}
	if opts.SaveEvery == 0 {
		opts.SaveEvery = time.Minute
	}
	member := bus.AnalyzerMember(opts.Host)
	a := &Analyzer{
		opts: opts, log: opts.Logger, member: member, token: bus.Token(member),
		conn: opts.Conn, graph: opts.Graph,
		epoch: uint64(max(opts.Now().UnixNano(), 1)), started: opts.Now(), mono: time.Now(),
	}
	a.writers.origins = map[string]*origin{}
	a.members.byName, a.members.dropped = map[string]*peer{}, map[string]time.Time{}
	a.vault.saved, a.vault.waiting = map[string]bool{}, map[string][]graph.Event{}
	a.vault.due = make(chan struct{}, 1)
	a.rules, a.captures = newRules(a), newCaptures(a)
	if opts.Registry != nil {
		if err := a.register(opts.Registry); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Start begins to apply what the bus brings. It returns when what persistent origins said
// is back in the graph, within ctx; an error means that nothing runs.
func (a *Analyzer) Start(ctx context.Context) error {
	running, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	restored, restoreErr := a.readSaved(ctx)
	publisher, err := a.conn.Publisher(bus.PublisherOptions{})
	if err != nil {
		cancel()
		return fmt.Errorf("analyzer: %w", err)
	}
	a.publisher = publisher
	feed, err := a.conn.Feed(bus.FeedOptions{
		Stream: a.opts.Stream, Handle: a.handle, HoldTime: a.opts.Hold, Logger: a.log,
		OnStream: func() { a.streamBack(running) },
	})
	if err != nil {
		cancel()
		return fmt.Errorf("analyzer: %w", err)
	}
	a.feed = feed
	for _, listen := range []func() (*bus.Subscription, error){
		func() (*bus.Subscription, error) { return a.conn.OnBeat(a.beat) },
		func() (*bus.Subscription, error) {
			return a.conn.OnResync(func(r bus.Resync) { a.resyncRequested(running, r) })
		},
	} {
		sub, err := listen()
		if err != nil {
			a.Close()
			return fmt.Errorf("analyzer: %w", err)
		}
		a.subs = append(a.subs, sub)
	}
	a.running.Go(func() { a.watchMembers(running) })
	a.running.Go(func() { a.resend(running) })
	a.running.Go(func() { a.heartbeat(running) })
	a.settled(ctx)
	if restoreErr != nil {
		a.log.Warn("what persistent publishers said is not restored yet", "error", restoreErr)
	} else {
		a.restore(ctx, restored)
	}
	a.running.Go(func() { a.save(running) })
	a.running.Go(func() { a.rules.run(running) })
	a.running.Go(func() { a.captures.run(running) })
	return nil
}

// Close saves what persistent origins said, and ends the analyzer.
func (a *Analyzer) Close() {
	a.cancel()
	for _, sub := range a.subs {
		sub.Close()
	}
	a.running.Wait()
	a.saveAll(true)
	a.feed.Close()
	a.publisher.Close()
	a.writers.fail(errClosed)
}

var errClosed = errors.New("analyzer stopped")

// Ready returns nil when the graph can be asked, else why not.
func (a *Analyzer) Ready() error { return a.conn.LastError() }

// Bus says where batches come from, and whether they are kept.
func (a *Analyzer) Bus() bus.State { return a.feed.State() }

// handle applies one batch. The feed calls it, one at a time.
func (a *Analyzer) handle(d bus.Delivery) {
	part, err := graph.ReadPart(d.Data)
	if err != nil {
		a.unreadable(d, err)
		return
	}
	member := bus.MemberOf(part.Origin)
	if bus.Token(member) != d.Token || member == "" {
		a.counters.foreign.Add(1)
		return
	}
	var own *origin
	var pending *pending
	var batch *graph.Batch
	if member == a.member {
		// What this process published needs no decoding.
		if own, pending = a.writers.find(part.Origin, part.Epoch, part.Seq); pending != nil {
			batch = pending.batch
		}
	}
	if batch == nil {
		if batch, err = graph.DecodeBatch(d.Data); err != nil {
			a.unreadable(d, err)
			return
		}
	}
	if member != a.member && a.members.incomplete(batch) {
		a.counters.gaps.Add(1)
		a.missing(member, part.Origin, part.Epoch, part.Seq)
		return
	}
	var result graph.Result
	if d.At.IsZero() {
		result, err = a.graph.Apply(batch)
	} else {
		result, err = a.graph.ApplyAt(graph.MomentOf(d.At), batch)
	}
	var gap *graph.GapError
	switch {
	case errors.As(err, &gap):
		a.counters.gaps.Add(1)
		if member == a.member {
			a.writers.again(part.Origin)
		} else {
			a.missing(member, part.Origin, part.Epoch, part.Seq)
		}
		return
	case err != nil:
		a.counters.undecodable.Add(1)
		a.log.Warn("batch refused", "origin", part.Origin, "error", err)
	case result.Status == graph.Duplicate:
		a.counters.duplicates.Add(1)
	case result.Status == graph.Stale:
		a.counters.stale.Add(1)
	default:
		a.counters.batches.Add(1)
		a.counters.events.Add(uint64(len(batch.Events)))
		a.counters.rejected.Add(uint64(len(result.Rejected)))
		a.applied(member, batch, result)
	}
	if own != nil {
		own.applied(pending, result, err, d, len(d.Data))
	}
}

// unreadable counts a batch that is none, and says so now and then. The feed's goroutine calls it.
func (a *Analyzer) unreadable(d bus.Delivery, err error) {
	a.counters.undecodable.Add(1)
	if time.Since(a.toldUnreadable) > time.Minute {
		a.toldUnreadable = time.Now()
		a.log.Warn("batch not readable", "member", d.Token, "bytes", len(d.Data), "error", err)
	}
}

func (a *Analyzer) register(r prometheus.Registerer) error {
	bc := a.conn.Counters()
	count := func(c *atomic.Uint64) func() float64 { return func() float64 { return float64(c.Load()) } }
	for _, m := range []struct {
		name, help string
		value      func() float64
	}{
		{"weft_analyzer_batches_total", "Batches applied to the graph.", count(&a.counters.batches)},
		{"weft_analyzer_events_total", "Events in the batches applied.", count(&a.counters.events)},
		{"weft_analyzer_events_rejected_total", "Events that the graph refused.", count(&a.counters.rejected)},
		{"weft_analyzer_batches_duplicate_total", "Batches that had been applied before.", count(&a.counters.duplicates)},
		{"weft_analyzer_batches_stale_total", "Batches of an epoch that is over.", count(&a.counters.stale)},
		{"weft_analyzer_batches_foreign_total", "Batches refused: the origin belongs to another member.", count(&a.counters.foreign)},
		{"weft_analyzer_batches_undecodable_total", "Batches refused: not readable.", count(&a.counters.undecodable)},
		{"weft_analyzer_gaps_total", "Batches that came too early: others were lost.", count(&a.counters.gaps)},
		{"weft_analyzer_resyncs_total", "Whole states asked of hosts.", count(&a.counters.resyncs)},
		{"weft_analyzer_batches_resent_total", "Own batches published again.", count(&a.counters.resent)},
		{"weft_analyzer_origins_expired_total", "Origins dropped because their host stayed away.", count(&a.counters.expired)},
		{"weft_analyzer_origins_dropped_total", "Origins dropped because their process no longer has them.", count(&a.counters.dropped)},
		{"weft_analyzer_rule_holds_total", "Elements that a rule changed again and again, and left alone for a while.", count(&a.counters.holds)},
		{"weft_analyzer_heartbeat_errors_total", "Heartbeats of this analyzer that could not be sent.", count(&a.counters.beatErrors)},
		{"weft_bus_slow_consumer_total", "Messages lost because this process was too slow.", count(&bc.SlowConsumer)},
		{"weft_bus_disconnects_total", "Connections to the bus lost.", count(&bc.Disconnects)},
		{"weft_bus_bad_frames_total", "Messages on graph subjects that are no frames.", count(&bc.BadFrames)},
		{"weft_bus_bad_requests_total", "Heartbeats, requests and replies refused.", count(&bc.BadRequests)},
		{"weft_bus_abandoned_total", "Batches of which a part was lost.", count(&bc.Abandoned)},
		{"weft_bus_held_dropped_total", "Messages held for the stream and dropped for want of room.", count(&bc.HeldDropped)},
		{"weft_bus_stream_errors_total", "Messages that the stream did not store.", count(&bc.StreamErrors)},
		{"weft_bus_switches_total", "Changes between the stream and direct messages.", count(&bc.Switches)},
	} {
		if err := r.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: m.name, Help: m.help}, m.value)); err != nil {
			return fmt.Errorf("analyzer metrics: %w", err)
		}
	}
	for _, m := range []struct {
		name, help string
		value      func() float64
	}{
		{"weft_persistence", "1 while batches are kept on disk.", func() float64 {
			if a.feed != nil && a.feed.State().Persistent {
				return 1
			}
			return 0
		}},
		{"weft_analyzer_in_flight_events", "Events published here and not applied yet.", func() float64 { return float64(a.writers.inFlight()) }},
		{"weft_analyzer_hosts_away", "Hosts that do not answer.", func() float64 { return float64(a.members.away()) }},
	} {
		if err := r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: m.name, Help: m.help}, m.value)); err != nil {
			return fmt.Errorf("analyzer metrics: %w", err)
		}
	}
	return nil
}
