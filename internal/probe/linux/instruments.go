package linux

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// instruments count what the probe does.
type instruments struct {
	events, strangers, overruns, resyncs, failures, commits prometheus.Counter
	spaces, links                                           prometheus.Gauge

	replaced bool // the first Replace was made
}

func newInstruments() *instruments {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "weft", Subsystem: "probe_linux", Name: name, Help: help,
		})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "weft", Subsystem: "probe_linux", Name: name, Help: help,
		})
	}
	return &instruments{
		events:    counter("events_total", "Messages of the kernel about links, addresses, neighbours and routes."),
		strangers: counter("unknown_namespace_events_total", "Messages about namespaces that are not known (yet)."),
		overruns:  counter("overruns_total", "Times that the kernel dropped messages because they were not read in time."),
		resyncs:   counter("resyncs_total", "Readings of a whole namespace because what is shown may be wrong."),
		failures:  counter("read_failures_total", "Readings that failed, mostly because the namespace went meanwhile."),
		commits:   counter("commits_total", "Batches of changes that were said."),
		spaces:    gauge("namespaces", "Network namespaces that are shown, the probe's own not counted."),
		links:     gauge("links", "Links that are shown."),
	}
}

func (i *instruments) all() []prometheus.Collector {
	return []prometheus.Collector{
		i.events, i.strangers, i.overruns, i.resyncs, i.failures, i.commits, i.spaces, i.links,
	}
}

// register shows the instruments until the returned function is called.
func (i *instruments) register(registry prometheus.Registerer) (func(), error) {
	if registry == nil {
		return func() {}, nil
	}
	var err error
	for _, c := range i.all() {
		err = errors.Join(err, registry.Register(c))
	}
	return func() {
		for _, c := range i.all() {
			registry.Unregister(c)
		}
	}, err
}
