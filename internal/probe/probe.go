// Package probe holds the contract between a probe and the agent that runs it.
//
// A probe watches one thing (the kernel's links, an OVS database, a router) and says
// what it sees as graph events. Everything else is the agent's: numbering batches,
// resending them, restarting a probe that failed, merging what several probes say.
//
// Adding a probe is one folder below this one and one line in the table of
// internal/probe/table. (The table is a package of its own because the probes import
// this one.)
//
// What a probe may not do:
//   - keep state at package level, use init, or start anything in New: New is inert,
//     Run lives, and when Run has returned nothing of the probe is left, neither a
//     goroutine nor a descriptor nor a pinned namespace;
//   - read the graph, or write elements that another probe owns (it may put a layer on
//     them with graph.PutLayer);
//   - say something that has not changed: the graph drops such events, but the probe
//     pays for them;
//   - poll where its source can notify;
//   - invent ids: a node's id is a function of what the node is, so that the same thing
//     has the same id after a restart (see GenID);
//   - log and return the same error, or log the same fault for each of a thousand
//     objects: count it in Env.Registry, and log it once.
package probe

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-net/weft/graph"
)

// A Probe writes one part of the graph. It is used for one Run only.
type Probe interface {
	// Name is the probe's name in the settings, the status and the graph's origin.
	Name() string
	// Run works until ctx ends, and then returns nil promptly. Before anything else it
	// says its whole state with Sink.Replace. An error means that the probe cannot go
	// on: the agent builds a new one with Spec.New and runs it after a back-off.
	Run(ctx context.Context, sink Sink) error
}

// A Sink takes what one probe says. It is safe for concurrent use: calls are applied
// in the order in which they are made, each whole. The events are the Sink's from then
// on. Neither method blocks for long, and neither may be called after Run returned.
type Sink interface {
	// Commit applies the events as one batch.
	Commit(events ...graph.Event)
	// Replace makes the events the probe's whole state: what it said before and does
	// not name again goes, what is equal stays as it is.
	Replace(events []graph.Event)
}

// Env is what the agent gives to a probe. Zero fields have working defaults (see
// WithDefaults), so that a test needs to name the host only.
type Env struct {
	Host     string                // the host's name in the graph
	Logger   *slog.Logger          // nil: nothing is logged
	Now      func() time.Time      // nil: time.Now
	Registry prometheus.Registerer // nil: counters are kept, but shown nowhere
	Settings Settings
}

// Settings are the settings of all probes, a struct each.
type Settings struct {
	Linux   LinuxSettings
	Sockets SocketsSettings
}

// SocketsSettings are those of the probe of TCP and UDP sockets. Zero means the default.
type SocketsSettings struct {
	Interval time.Duration // between two readings; 5 s
	Limit    int           // sockets shown of the host, the count is exact beyond; 1,000
}

// LinuxSettings are those of the probe of the Linux kernel. Zero means the default.
type LinuxSettings struct {
	MetricInterval time.Duration // between two readings of the links' counters; 30 s
	RouteLimit     int           // routes shown of one table, the count is exact beyond; 1,000
	NeighbourLimit int           // neighbours, and FDB entries, shown of one link; 1,024
	NamespaceDirs  []string      // where named namespaces are; /run/netns and /run/docker/netns
	NamedOnly      bool          // leave out the namespaces that only processes lead to
	ReceiveBuffer  int           // bytes of the netlink event socket; 32 MiB
}

// A Spec is one line of the table of probes.
type Spec struct {
	Name    string
	Default bool // runs unless the settings name another set
	New     func(Env) (Probe, error)
}

// WithDefaults returns a copy of e whose zero fields are filled in.
func (e Env) WithDefaults() Env {
	if e.Logger == nil {
		e.Logger = slog.New(slog.DiscardHandler)
	}
	if e.Now == nil {
		e.Now = time.Now
	}
	l := &e.Settings.Linux
	setDefault(&l.MetricInterval, 30*time.Second)
	setDefault(&l.RouteLimit, 1000)
	setDefault(&l.NeighbourLimit, 1024)
	if len(l.NamespaceDirs) == 0 {
		l.NamespaceDirs = []string{"/run/netns", "/run/docker/netns"}
	}
	setDefault(&l.ReceiveBuffer, 32<<20)
	setDefault(&e.Settings.Sockets.Interval, 5*time.Second)
	setDefault(&e.Settings.Sockets.Limit, 1000)
	return e
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
