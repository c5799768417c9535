package app

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/agent"
	"github.com/weft-net/weft/internal/analyzer"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/capture/order"
	"github.com/weft-net/weft/internal/capture/runner"
	"github.com/weft-net/weft/internal/flowquery"
	"github.com/weft-net/weft/internal/flowstore"
)

const (
	capturesOrigin = "captures"
	ordersVerb     = "orders"
	flowStreamAge  = 2 * time.Hour
)

// newCaptures makes what runs the captures of this host; nothing runs yet.
func (a *App) newCaptures(ag *agent.Agent, conn *bus.Conn, undo *stack) (*runner.Runner, error) {
	sender, err := conn.FlowSender(bus.FlowSenderOptions{})
	if err != nil {
		return nil, err
	}
	undo.push(sender.Close)
	f, c := a.cfg.Flow, a.cfg.Capture
	applications, err := flow.NewApplications(f.ApplicationPorts)
	if err != nil {
		return nil, fmt.Errorf("setting flow.application-ports: %w", err)
	}
	opts := runner.Options{
		Host: a.cfg.Host, Graph: ag.Graph(), Sink: ag.Sink(capturesOrigin), Publish: sender,
		Settings: runner.Settings{
			Update: f.Update, Expire: f.Expire, ExpireShort: f.ExpireShort, MaxFlows: f.MaxFlows, Applications: applications,
			QueueBytes: int64(f.QueueBytes), RingBytes: int(c.RingBytes), Rings: c.Rings, Checkpoint: c.Checkpoint,
		},
		Registry: a.registry, Logger: a.log, Now: a.opts.Now,
	}
	if !a.cfg.InMemory() {
		dir := filepath.Join(a.cfg.DataDir, "captures")
		unlock, err := lockDir(dir)
		if err != nil {
			a.log.Warn("flow reports wait in memory while no analyzer takes them: a restart loses them", "error", err)
		} else {
			undo.push(unlock)
			opts.Dir = dir
		}
	}
	return runner.New(opts)
}

// startCaptures runs the captures, follows orders, and answers questions about live flows.
func (a *App) startCaptures(ctx context.Context, r *runner.Runner, conn *bus.Conn, undo *stack) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			a.log.Error("captures do not run", "error", err)
		}
	})
	undo.push(func() { cancel(); running.Wait() })
	orders, err := conn.OnAsk(ordersVerb, 1, func(_ context.Context, data []byte, _ func([]byte) error) error {
		o, err := order.Decode(data)
		if err != nil {
			return err
		}
		if !bus.IsAnalyzer(o.From) {
			return fmt.Errorf("capture orders of %q, which is no analyzer", o.From)
		}
		if err := r.SetOrders(o); err != nil {
			a.log.Warn("captures would not go on after a restart without an analyzer", "error", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("capture orders: %w", err)
	}
	undo.push(orders)
	answers, err := flowquery.Serve(conn, r)
	if err != nil {
		return err
	}
	undo.push(answers)
	return nil
}

// flows is what the analyzer knows of flows.
type flows struct {
	memory *flowstore.Memory
	hub    *flowstore.Hub
	source *flowquery.Source
	feed   *bus.FlowFeed
	bad    prometheus.Counter
}

// newFlows makes the store of flows and what asks for them. The analyzer, which knows the hosts that run captures, comes later.
func (a *App) newFlows(conn *bus.Conn, g *graph.Graph, known func() *analyzer.Analyzer) *flows {
	f := &flows{
		memory: flowstore.NewMemory(flowstore.MemoryOptions{
			Window: a.cfg.Flow.Window, MaxBytes: int64(a.cfg.Flow.WindowBytes), Update: a.cfg.Flow.Update, Now: a.opts.Now,
		}),
		bad: prometheus.NewCounter(prometheus.CounterOpts{Name: "weft_flows_batches_undecodable_total", Help: "Flow batches refused: not readable."}),
	}
	f.hub = flowstore.NewHub(f.memory, a.opts.Now)
	f.source = flowquery.New(flowquery.Options{
		Conn: conn, Graph: g, Store: f.memory, Timeout: a.cfg.Flow.QueryTimeout,
		Hosts: func() []string { return captureHosts(known()) },
		Settling: func() bool {
			an := known()
			return an == nil || an.Settling()
		},
	})
	return f
}

// startFlows begins to take what agents report.
func (a *App) startFlows(ctx context.Context, f *flows, conn *bus.Conn, stream bus.StreamOptions, undo *stack) (err error) {
	stream.Name, stream.MaxAge = "", flowStreamAge
	f.feed, err = conn.FlowFeed(bus.FlowFeedOptions{
		Stream: stream, Past: a.cfg.Flow.Window, Logger: a.log,
		Handle: func(d bus.FlowDelivery) { a.takeFlows(ctx, f, d) },
	})
	if err != nil {
		return err
	}
	undo.push(f.feed.Close)
	undo.push(every(ctx, trimEvery, f.memory.Trim))
	return a.registerFlows(f)
}

func (a *App) takeFlows(ctx context.Context, f *flows, d bus.FlowDelivery) {
	name, ok := bus.Untoken(d.Token)
	var m flow.Message
	encoded, err := m.DecodeProtoParts(d.Data)
	if err != nil || !ok {
		f.bad.Inc()
		return
	}
	b := flowstore.Batch{Host: bus.HostOf(name), At: d.At, Past: d.Past, Flows: m.Flows, Stats: m.Stats, Encoded: encoded}
	if err := f.hub.Take(ctx, b); err != nil {
		a.log.Error("flows not kept", "error", err)
	}
}

func (a *App) registerFlows(f *flows) error {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	count := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
	}
	for _, c := range []prometheus.Collector{
		f.bad,
		gauge("weft_flows_held", "Flows in the window.", func() float64 { return float64(f.memory.Stats().Flows) }),
		gauge("weft_flows_reports_held", "Reports of flows in the window.", func() float64 { return float64(f.memory.Stats().Reports) }),
		gauge("weft_flows_bytes", "Bytes of the window of flows.", func() float64 { return float64(f.memory.Stats().Bytes) }),
		count("weft_flows_evicted_total", "Reports that left the window early, for want of room.", func() float64 { return float64(f.memory.Stats().Evicted) }),
		count("weft_flows_batches_total", "Flow batches taken.", func() float64 { return float64(f.feed.Stats().Batches) }),
		count("weft_flows_batches_duplicate_total", "Flow batches that came again.", func() float64 { return float64(f.feed.Stats().Duplicates) }),
		count("weft_flows_batches_bad_total", "Messages on flow subjects that are no batches.", func() float64 { return float64(f.feed.Stats().Bad) }),
		count("weft_flows_batches_unstored_total", "Flow batches acknowledged that the stream did not store.", func() float64 { return float64(f.feed.Stats().Unstored) }),
		count("weft_flows_messages_dropped_total", "Flow messages that this process was too slow to take from the bus; agents send them again.", func() float64 { return float64(f.feed.Stats().Dropped) }),
		gauge("weft_flows_subscriptions", "Subscriptions to flows.", func() float64 { n, _ := f.hub.Stats(); return float64(n) }),
		count("weft_flows_lagged_total", "Flows that slow subscriptions lost.", func() float64 { _, n := f.hub.Stats(); return float64(n) }),
		count("weft_flows_questions_total", "Live questions sent to hosts.", func() float64 { n, _ := f.source.Stats(); return float64(n) }),
		count("weft_flows_questions_failed_total", "Live questions that a host did not answer.", func() float64 { _, n := f.source.Stats(); return float64(n) }),
	} {
		if err := a.registry.Register(c); err != nil {
			return fmt.Errorf("flow metrics: %w", err)
		}
	}
	return nil
}

// captureHosts is asked before there is an analyzer.
func captureHosts(an *analyzer.Analyzer) []string {
	if an == nil {
		return nil
	}
	return an.CaptureHosts()
}
