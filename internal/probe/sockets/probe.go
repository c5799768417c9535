package sockets

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
)

// Name is the probe's name in the table of probes and in the settings.
const Name = "sockets"

// The waits of the probe.
const (
	firstReading   = time.Second      // after the start: the host's node must be there for a layer on it
	repeatWhile    = 30 * time.Second // the first layers are said again, should it have been late
	repeatEvery    = time.Minute      // and then now and again: a node that was made anew has no layers
	answerPatience = 2 * time.Second  // for the kernel's answer
	restFactor     = 50               // after looking through /proc: so many times as long as that took
)

// Probe watches this host's sockets. See the package comment.
type Probe struct {
	env probe.Env
}

// New builds the probe. It looks at nothing before Run.
func New(env probe.Env) (probe.Probe, error) {
	if env.Host == "" {
		return nil, fmt.Errorf("probe %s: the host has no name", Name)
	}
	return &Probe{env: env.WithDefaults()}, nil
}

// Name returns "sockets".
func (p *Probe) Name() string { return Name }

// Run implements [probe.Probe].
func (p *Probe) Run(ctx context.Context, sink probe.Sink) error {
	r := newReader(p.env)
	unregister, err := r.count.register(p.env.Registry)
	defer unregister()
	if err != nil {
		return fmt.Errorf("metrics of probe %s: %w", Name, err)
	}
	settings := p.env.Settings.Sockets
	started := time.Now()
	clock := time.NewTimer(min(firstReading, settings.Interval))
	defer clock.Stop()
	var saidAt time.Time // zero: not yet
	for {
		select {
		case <-clock.C:
		case <-ctx.Done():
			return nil
		}
		changed, err := r.read()
		if err != nil {
			r.fail(err)
		} else {
			now := time.Now()
			layer := graph.Event{Op: graph.PutLayer, ID: r.host, Rank: graph.RankSource, Metadata: r.said}
			switch {
			case saidAt.IsZero():
				sink.Replace([]graph.Event{layer})
				saidAt = now
			case changed || now.Sub(started) < repeatWhile || now.Sub(saidAt) >= repeatEvery:
				sink.Commit(layer)
				saidAt = now
			}
			if changed {
				r.count.changes.Inc()
			}
		}
		clock.Reset(settings.Interval)
	}
}

// A reader reads the sockets again and again. One goroutine uses it.
type reader struct {
	host      string // id of the node
	log       *slog.Logger
	dirs      []string // of named namespaces
	namedOnly bool     // leave out those that only processes lead to
	limit     int
	owners    *owners
	count     *instruments

	shown []row
	total int
	said  graph.Metadata
	told  map[string]struct{} // faults that were logged
}

func newReader(env probe.Env) *reader {
	return &reader{
		host: probe.GenID(env.Host, "host"), log: env.Logger.With("probe", Name),
		dirs: env.Settings.Linux.NamespaceDirs, namedOnly: env.Settings.Linux.NamedOnly, limit: env.Settings.Sockets.Limit,
		owners: newOwners(), count: newInstruments(), told: map[string]struct{}{},
	}
}

// read looks at all sockets and reports whether what is shown has changed.
func (r *reader) read() (changed bool, err error) {
	start := time.Now()
	pids, err := processes()
	if err != nil {
		return false, fmt.Errorf("list of processes: %w", err)
	}
	leading := pids
	if r.namedOnly {
		leading = nil
	}
	all, refused, err := visit(places(r.dirs, leading))
	if err != nil && len(all) == 0 {
		return false, err
	}
	if err != nil {
		r.fail(err) // one namespace of many
	}
	if refused != nil {
		r.once("only the sockets of the own network namespace are shown: run as root, or with CAP_SYS_ADMIN and CAP_SYS_PTRACE, to see those of containers too", refused)
	}
	walks := r.owners.walks
	r.owners.resolve(all, pids)
	shown, total := r.owners.rows(all, r.limit)
	r.count.walks.Add(float64(r.owners.walks - walks))
	r.count.sockets.Set(float64(total))
	r.count.omitted.Set(float64(total - len(shown)))
	r.count.seconds.Add(time.Since(start).Seconds())
	if total == r.total && slices.Equal(shown, r.shown) {
		return false, nil
	}
	r.shown, r.total = shown, total
	r.said = describe(shown, total)
	return true, nil
}

// fail counts a fault, and logs it if none of its text was before.
func (r *reader) fail(err error) {
	r.count.failures.Inc()
	r.once("sockets cannot be read", err)
}

// once logs a fault the first time. The texts are few: they name calls, not objects.
func (r *reader) once(text string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	if _, again := r.told[text]; !again {
		r.told[text] = struct{}{}
		r.log.Warn(text, "error", err)
	}
}

// instruments count what the probe does.
type instruments struct {
	failures, changes, walks, seconds prometheus.Counter
	sockets, omitted                  prometheus.Gauge
}

func newInstruments() *instruments {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "weft", Subsystem: "probe_sockets", Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "weft", Subsystem: "probe_sockets", Name: name, Help: help})
	}
	return &instruments{
		failures: counter("read_failures_total", "Namespaces whose sockets could not be read."),
		changes:  counter("changes_total", "Times that the list of sockets changed and was said."),
		walks:    counter("walks_total", "Times that the descriptors of processes were looked through."),
		seconds:  counter("read_seconds_total", "Time spent on reading the sockets."),
		sockets:  gauge("sockets", "TCP and UDP sockets in all network namespaces."),
		omitted:  gauge("omitted", "Sockets that are not shown because there are too many."),
	}
}

// register shows the instruments until the returned function is called.
func (i *instruments) register(registry prometheus.Registerer) (func(), error) {
	if registry == nil {
		return func() {}, nil
	}
	all := []prometheus.Collector{i.failures, i.changes, i.walks, i.seconds, i.sockets, i.omitted}
	var err error
	for _, c := range all {
		err = errors.Join(err, registry.Register(c))
	}
	return func() {
		for _, c := range all {
			registry.Unregister(c)
		}
	}, err
}
