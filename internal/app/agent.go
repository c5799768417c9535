package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/agent"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/bus/resource"
	"github.com/weft-net/weft/internal/capture/runner"
	"github.com/weft-net/weft/internal/flowquery"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/skydive"
)

// specs are the probes that the settings ask for.
func (a *App) specs() ([]probe.Spec, error) {
	byName := map[string]probe.Spec{}
	var chosen []probe.Spec
	for _, s := range a.opts.Probes {
		byName[s.Name] = s
		if len(a.cfg.Probes.Enabled) == 0 && s.Default || slices.Contains(a.cfg.Probes.Enabled, s.Name) {
			chosen = append(chosen, s)
		}
	}
	for _, name := range a.cfg.Probes.Enabled {
		if _, ok := byName[name]; !ok {
			return nil, fmt.Errorf("setting probes.enabled: there is no probe %q: choose from %q", name, slices.Sorted(maps.Keys(byName)))
		}
	}
	return chosen, nil
}

// host is what runs on a host.
type host struct {
	agent    *agent.Agent
	captures *runner.Runner
	conn     *bus.Conn
}

func (a *App) startAgent(ctx context.Context, stop context.CancelCauseFunc, opts bus.ConnOptions, undo *stack) (*host, error) {
	opts.Member, opts.Logger, opts.GiveUp = a.cfg.Host, a.log, ctx.Done()
	conn, err := bus.Connect(opts)
	if err != nil {
		return nil, err
	}
	undo.push(conn.Close)
	var runs atomic.Pointer[runner.Runner]
	ag, err := agent.New(agent.Options{
		Orders: func() uint64 {
			if r := runs.Load(); r != nil {
				return r.OrdersHash()
			}
			return 0
		},
		Host: a.cfg.Host, Version: a.opts.Version, Conn: conn, Probes: a.checked.probes, Logger: a.log, Now: a.opts.Now, Registry: a.registry,
		Graph: graph.Options{OrphanAge: a.cfg.Graph.OrphanAge, OrphanMax: a.cfg.Graph.OrphanMax, SamplesKept: 1},
		Settings: probe.Settings{
			Linux: probe.LinuxSettings{
				MetricInterval: a.cfg.Probes.Linux.MetricInterval, NamespaceDirs: a.cfg.Probes.Linux.NetnsDirs,
				NamedOnly: !a.cfg.Probes.Linux.Processes,
			},
			Sockets: probe.SocketsSettings{Interval: a.cfg.Probes.Sockets.Interval},
		},
	})
	if err != nil {
		return nil, err
	}
	captures, err := a.newCaptures(ag, conn, undo)
	if err != nil {
		return nil, err
	}
	runs.Store(captures)
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if err := ag.Run(ctx); err != nil {
			stop(err)
		}
	})
	undo.push(func() { cancel(); running.Wait() })
	if err := a.startCaptures(ctx, captures, conn, undo); err != nil {
		return nil, err
	}
	undo.push(every(ctx, trimEvery, ag.Graph().Trim))
	return &host{ag, captures, conn}, nil
}

// startAgentBeside starts the agent of an allinone.
func (a *App) startAgentBeside(ctx context.Context, stop context.CancelCauseFunc, server *bus.Server, undo *stack) error {
	opts := bus.ConnOptions{Server: server}
	if server == nil {
		opts = a.remoteBus()
	}
	_, err := a.startAgent(ctx, stop, opts, undo)
	return err
}

func (a *App) remoteBus() bus.ConnOptions {
	n := a.cfg.NATS
	opts := bus.ConnOptions{
		URL: n.URL, User: n.User, Password: n.Password,
		TLS: bus.TLSFiles{Cert: n.TLS.Cert, Key: n.TLS.Key, CA: n.TLS.CA},
	}
	if opts.User == "" && opts.Password != "" {
		opts.User = a.cfg.Host
	}
	return opts
}

// startAgentOnly starts an agent that brings what it sees to analyzers elsewhere. It
// serves its own part of the graph to readers.
func (a *App) startAgentOnly(ctx context.Context, stop context.CancelCauseFunc, undo *stack) (*service, error) {
	here, err := a.startAgent(ctx, stop, a.remoteBus(), undo)
	if err != nil {
		return nil, err
	}
	ag, conn := here.agent, here.conn
	store, err := resource.New(ctx, resource.Options{Now: a.opts.Now})
	if err != nil {
		return nil, err
	}
	undo.push(store.Close)
	if err := a.registerGraph(ag.Graph()); err != nil {
		return nil, err
	}
	engine := gremlin.New(ag.Graph(), gremlin.Options{
		Now: a.opts.Now, Deadline: a.cfg.Query.Deadline, MaxResults: a.cfg.Query.MaxResults, Logger: a.log,
		Flows: flowquery.Local(here.captures),
	})
	return a.serveAPI(api.Deps{
		Graph: ag.Graph(), Engine: engine, Committer: readOnly{}, Store: store, Service: skydive.ServiceAgent,
		Status: func() any { return agentStatus(ag, conn) }, Ready: conn.LastError,
	}, new(atomic.Pointer[api.Server]))
}

// readOnly refuses what clients of an agent write. An origin may say that it has nothing.
type readOnly struct{}

func (readOnly) Origin(string, api.OriginOptions) api.OriginWriter { return readOnly{} }
func (readOnly) OriginName(name string) string                     { return name }
func (readOnly) Close()                                            {}

func (readOnly) Commit(context.Context, []graph.Event) (api.Pending, error) { return nil, errReadOnly }

func (readOnly) Snapshot(_ context.Context, events []graph.Event) (api.Pending, error) {
	if len(events) > 0 {
		return nil, errReadOnly
	}
	return readOnly{}, nil
}

func (readOnly) Wait(context.Context) (graph.Result, error) { return graph.Result{}, nil }

// wrapper makes the listener that the API is served on.
func wrapper(s *api.Server, config *tls.Config) func(net.Listener) net.Listener {
	return func(l net.Listener) net.Listener {
		l = s.LimitListener(l)
		if config != nil {
			l = tls.NewListener(l, config)
		}
		return l
	}
}
