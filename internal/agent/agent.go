// Package agent runs the probes of a host and brings what they say to the analyzers.
//
// Each probe is an origin "PROBE@HOST". Its batches are applied to a graph of the agent's
// own, numbered, and published; what changes nothing is not sent. That graph is the truth
// about the host: when batches were lost (no analyzer, a full queue, a cut connection), or
// when an analyzer asks, the origin's whole state is collected from it and sent as a
// Snapshot. So an agent works, and keeps no more than a bounded queue, while no analyzer
// answers, and a probe never waits for the network. The first batch of an origin in a new
// process is always a Snapshot: nothing of the process before remains.
//
// [New] is inert, [Agent.Run] lives until its context ends and leaves no goroutine behind.
// The other methods may be called from any goroutine.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/probe"
)

// Options are what an Agent needs. Host, Conn and Probes are required.
type Options struct {
	Host     string
	Version  string
	Conn     *bus.Conn // as the member Host
	Probes   []probe.Spec
	Settings probe.Settings
	Logger   *slog.Logger
	Now      func() time.Time
	Registry prometheus.Registerer

	Graph       graph.Options // of the agent's own graph; its window is short by default
	QueueEvents int           // events that wait for the bus before snapshots replace them, 200,000
	Heartbeat   time.Duration // 1 s
	Orders      func() uint64 // hash of the captures that run, for the heartbeat; nil = none
	Backoff     time.Duration // before a failed probe is started again, at first; 500 ms
}

// Agent is what runs on a host.
type Agent struct {
	opts  Options
	log   *slog.Logger
	graph *graph.Graph
	out   *outbox
	tasks []*task
	since time.Time
}

// New checks the options; nothing runs yet.
func New(opts Options) (*Agent, error) {
	if err := bus.CheckHost(opts.Host); err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Registry == nil {
		opts.Registry = prometheus.NewRegistry()
	}
	if opts.Heartbeat == 0 {
		opts.Heartbeat = time.Second
	}
	if opts.Backoff == 0 {
		opts.Backoff = 500 * time.Millisecond
	}
	if opts.QueueEvents == 0 {
		opts.QueueEvents = 200_000
	}
	if opts.Graph.Now == nil {
		opts.Graph.Now = opts.Now
	}
	if opts.Graph.Window == 0 {
		opts.Graph.Window = 10 * time.Second
	}
	a := &Agent{opts: opts, log: opts.Logger, graph: graph.New(opts.Graph), since: opts.Now()}
	a.out = newOutbox(a.graph, opts)
	env := probe.Env{
		Host: opts.Host, Logger: opts.Logger, Now: opts.Now, Registry: opts.Registry, Settings: opts.Settings,
	}.WithDefaults()
	for _, spec := range opts.Probes {
		t := &task{spec: spec, env: env, origin: bus.OriginName(spec.Name, opts.Host), out: a.out, log: opts.Logger.With("probe", spec.Name), backoff: opts.Backoff}
		t.env.Logger = t.log
		t.state.Store(&State{Status: "starting"})
		a.tasks = append(a.tasks, t)
	}
	if err := a.register(opts.Registry); err != nil {
		return nil, err
	}
	return a, nil
}

// Sink is for an origin NAME@HOST beside the probes, which speaks of their nodes with layers. It is good for the life
// of the Agent; what is said before Run waits as what probes say does. In whole states, such as after a loss, the
// origin comes after the probes, so that its layers find their nodes.
func (a *Agent) Sink(name string) probe.Sink {
	origin := bus.OriginName(name, a.opts.Host)
	a.out.guest(origin)
	return guest{origin: origin, out: a.out}
}

// Graph is what the probes of this host said.
func (a *Agent) Graph() *graph.Graph { return a.graph }

// Run works until the context ends; it returns within about two seconds then.
func (a *Agent) Run(ctx context.Context) error {
	resyncs, err := a.opts.Conn.OnResync(a.out.requested)
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	defer resyncs.Close()
	publisher, err := a.opts.Conn.Publisher(bus.PublisherOptions{Acks: true})
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	defer publisher.Close()
	var probes, rest sync.WaitGroup
	disconnects := &a.opts.Conn.Counters().Disconnects
	a.opts.Conn.NotifyUp(func() { a.out.connected(disconnects.Load()) })
	// The queue is emptied once more after the probes have gone.
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	rest.Go(func() { a.out.run(sending, publisher) })
	rest.Go(func() { a.beat(sending) })
	for _, t := range a.tasks {
		probes.Go(func() { t.run(ctx) })
	}
	<-ctx.Done()
	probes.Wait()
	a.out.drain(time.Second)
	stop()
	rest.Wait()
	return nil
}

// beat says every second how far each origin has got.
func (a *Agent) beat(ctx context.Context) {
	tick := time.NewTicker(a.opts.Heartbeat)
	defer tick.Stop()
	for {
		_ = a.opts.Conn.Beat(bus.Beat{ // not connected: nobody to tell
			Instance: a.opts.Conn.Instance(), Started: a.since.UnixMilli(), Version: a.opts.Version,
			Origins: a.out.positions(), Probes: a.probeStatus(), Orders: a.orders(),
		})
		select {
		case <-ctx.Done():
			return
		case <-a.out.beatNow:
		case <-tick.C:
		}
	}
}

func (a *Agent) orders() uint64 {
	if a.opts.Orders == nil {
		return 0
	}
	return a.opts.Orders()
}

func (a *Agent) probeStatus() map[string]string {
	status := make(map[string]string, len(a.tasks))
	for _, t := range a.tasks {
		status[t.spec.Name] = t.state.Load().Status
	}
	return status
}

// Probes says how each probe fares, by name.
func (a *Agent) Probes() map[string]State {
	states := make(map[string]State, len(a.tasks))
	for _, t := range a.tasks {
		states[t.spec.Name] = *t.state.Load()
	}
	return states
}

func (a *Agent) register(r prometheus.Registerer) error {
	for _, m := range []struct {
		name, help string
		value      func() float64
	}{
		{"weft_agent_batches_sent_total", "Batches handed to the bus.", func() float64 { return float64(a.out.stats.sent.Load()) }},
		{"weft_agent_snapshots_total", "Snapshots of an origin handed to the bus.", func() float64 { return float64(a.out.stats.snapshots.Load()) }},
		{"weft_agent_queue_dropped_total", "Batches dropped from the queue; a snapshot replaces them.", func() float64 { return float64(a.out.stats.dropped.Load()) }},
		{"weft_agent_events_rejected_total", "Events of probes that the graph refused.", func() float64 { return float64(a.out.stats.rejected.Load()) }},
		{"weft_agent_probe_restarts_total", "Probes started again after a failure.", func() float64 {
			var n uint64
			for _, t := range a.tasks {
				n += t.restarts.Load()
			}
			return float64(n)
		}},
	} {
		if err := r.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: m.name, Help: m.help}, m.value)); err != nil {
			return fmt.Errorf("agent metrics: %w", err)
		}
	}
	if err := r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weft_agent_queue_events", Help: "Events that wait for the bus.",
	}, func() float64 { return float64(a.out.waiting()) })); err != nil {
		return fmt.Errorf("agent metrics: %w", err)
	}
	return nil
}
