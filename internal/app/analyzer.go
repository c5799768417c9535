package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/analyzer"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/bus/resource"
)

const (
	streamBytes   = 256 << 20 // of the embedded server's stream on disk: read again after a crash
	memoryBytes   = 32 << 20  // of the stream when the data directory is memory
	streamAge     = 24 * time.Hour
	connectWithin = 3 * time.Second // an existing NATS, before the start goes on without it
	startWithin   = 15 * time.Second
	expireEvery   = time.Second // resources with a time to live
	trimEvery     = time.Second // what left a graph's window
)

// startAnalyzer starts the analyzer, and the agent of an allinone.
func (a *App) startAnalyzer(ctx context.Context, stop context.CancelCauseFunc, undo *stack) (*service, error) {
	conn, server, err := a.joinBus(ctx, undo)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file := server == nil || !a.cfg.InMemory()
	// Whoever ends the start does not wait for answers of a bus that has none.
	waiting := context.AfterFunc(ctx, conn.Close)
	store, err := a.openStore(ctx, conn, server, file)
	waiting()
	if err != nil {
		return nil, err
	}
	undo.push(store.Close)

	var apiServer atomic.Pointer[api.Server]
	g := graph.New(graph.Options{
		Now: a.opts.Now, Window: a.cfg.Graph.Window, WindowBytes: int64(a.cfg.Graph.WindowBytes),
		OrphanAge: a.cfg.Graph.OrphanAge, OrphanMax: a.cfg.Graph.OrphanMax, SamplesKept: a.cfg.Graph.SamplesKept,
		OnOrphan: func(origin string, ev graph.Event, err error) {
			if s := apiServer.Load(); s != nil {
				s.Orphaned(origin, ev, err)
			}
		},
	})
	var known atomic.Pointer[analyzer.Analyzer]
	flows := a.newFlows(conn, g, known.Load)
	engine := gremlin.New(g, gremlin.Options{
		Now: a.opts.Now, Deadline: a.cfg.Query.Deadline, MaxResults: a.cfg.Query.MaxResults, Logger: a.log,
		Flows: flows.source,
	})
	an, err := analyzer.New(analyzer.Options{
		Host: a.cfg.Host, Version: a.opts.Version, Conn: conn, Graph: g, Engine: engine, Store: store,
		Stream: a.stream(server, file), Logger: a.log, Now: a.opts.Now, Registry: a.registry,
		Expire: a.cfg.Graph.Expire, OnStream: func() { a.storeBack(ctx, conn, store, file) },
	})
	if err != nil {
		return nil, err
	}
	starting, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := an.Start(starting); err != nil {
		return nil, err
	}
	undo.push(an.Close)
	known.Store(an)
	if err := a.startFlows(ctx, flows, conn, a.stream(server, file), undo); err != nil {
		return nil, err
	}

	if a.opts.Role == AllInOne {
		if err := a.startAgentBeside(ctx, stop, server, undo); err != nil {
			return nil, err
		}
	}
	undo.push(every(ctx, expireEvery, func() {
		if _, err := store.Expire(); err != nil {
			a.log.Debug("resources not expired", "error", err)
		}
		if err := store.Recover(ctx); err != nil {
			a.log.Warn("what is created through the API is not kept yet", "error", err)
		}
	}))
	undo.push(every(ctx, trimEvery, g.Trim))
	if err := a.registerGraph(g); err != nil {
		return nil, err
	}
	return a.serveAPI(api.Deps{
		Graph: g, Engine: engine, Committer: an, Store: store, Status: func() any { return analyzerStatus(an, g) }, Ready: an.Ready,
		Speaks: an.Speaks, Flows: flows.hub, Captures: an.Captures,
		Notes: func() []string { return persistenceNotes(an.Bus()) },
	}, &apiServer)
}

// joinBus connects to an existing NATS, or starts one; server is nil for the former.
func (a *App) joinBus(ctx context.Context, undo *stack) (conn *bus.Conn, server *bus.Server, err error) {
	n := a.cfg.NATS
	tls := bus.TLSFiles{Cert: n.TLS.Cert, Key: n.TLS.Key, CA: n.TLS.CA}
	opts := bus.ConnOptions{Member: bus.AnalyzerMember(a.cfg.Host), Logger: a.log, GiveUp: ctx.Done()}
	if n.URL != "" {
		opts.URL, opts.User, opts.Password, opts.TLS = n.URL, n.User, n.Password, tls
	} else {
		so := bus.ServerOptions{Host: a.cfg.Host, Listen: n.Listen, TLS: tls, Credentials: a.checked.credentials, Logger: a.log}
		if !a.cfg.InMemory() {
			so.Dir = filepath.Join(a.cfg.DataDir, "nats")
		}
		if server, err = bus.StartServer(so); err != nil {
			return nil, nil, err
		}
		undo.push(server.Stop)
		address := server.Addr()
		a.busAddr.Store(&address)
		opts.Server = server
	}
	if conn, err = bus.Connect(opts); err != nil {
		return nil, nil, err
	}
	undo.push(conn.Close)
	up := make(chan struct{}, 1)
	conn.NotifyUp(func() {
		select {
		case up <- struct{}{}:
		default:
		}
	})
	patience := time.NewTimer(connectWithin)
	defer patience.Stop()
	select {
	case <-up:
	case <-ctx.Done():
	case <-patience.C:
		a.log.Warn("NATS does not answer yet: the graph stays empty until it does", "error", conn.LastError())
	}
	return conn, server, nil
}

func (a *App) stream(server *bus.Server, file bool) bus.StreamOptions {
	s := bus.StreamOptions{File: file, MaxAge: streamAge, Replicas: a.cfg.NATS.Replicas}
	switch {
	case server == nil: // a cluster's disks are its operator's: the default of the bus
	case !file:
		s.MaxBytes = memoryBytes
	default:
		// A small disk is not filled by what is only a convenience.
		s.MaxBytes = max(min(streamBytes, server.Free()/4), 1<<20)
	}
	return s
}

const bucketName = "weft_resources"

// openStore opens what REST clients created. Where JetStream is not there yet, the store
// begins in memory, and storeBack gives it its bucket.
func (a *App) openStore(ctx context.Context, conn *bus.Conn, server *bus.Server, file bool) (*resource.Store, error) {
	opts := resource.Options{Now: a.opts.Now, Logger: a.log}
	if server != nil {
		opts.Disk = server
	}
	if file {
		bucket, err := conn.Bucket(bucketName, true, a.cfg.NATS.Replicas)
		if err != nil {
			a.log.Warn("what is created through the API is not kept yet", "error", err)
		} else {
			opts.Bucket = bucket
		}
	}
	store, err := resource.New(ctx, opts)
	if err != nil && opts.Bucket != nil {
		a.log.Warn("what is created through the API is not kept yet", "error", err)
		opts.Bucket = nil
		return resource.New(ctx, opts)
	}
	return store, err
}

// storeBack is called when JetStream is there, or back.
func (a *App) storeBack(ctx context.Context, conn *bus.Conn, store *resource.Store, file bool) {
	if !file {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var err error
	if store.Persistent() {
		err = store.Rewatch(ctx)
	} else if bucket, bucketErr := conn.Bucket(bucketName, true, a.cfg.NATS.Replicas); bucketErr != nil {
		err = bucketErr
	} else {
		err = store.Attach(ctx, bucket)
	}
	if err != nil && ctx.Err() == nil {
		a.log.Warn("what other analyzers create is not seen", "error", err)
	}
}

// persistenceNotes says what a restart would lose, when it would.
func persistenceNotes(s bus.State) []string {
	if s.Persistent {
		return nil
	}
	return []string{"persistence off: " + s.Reason}
}

// serveAPI builds the HTTP server.
func (a *App) serveAPI(deps api.Deps, into *atomic.Pointer[api.Server]) (*service, error) {
	deps.Auth, deps.Logger, deps.Clock, deps.Registry = a.checked.users, a.log, a.opts.Now, a.registry
	deps.Config = a.cfg.Lookup
	deps.Listen, deps.Hosts, deps.Origins = a.cfg.Listen, a.cfg.API.Hosts, a.cfg.API.Origins
	deps.Version, deps.Host = a.opts.Version, a.cfg.Host
	deps.Limits = api.Limits{
		MaxBody: int64(a.cfg.API.MaxBody), QueueBytes: int64(a.cfg.API.QueueBytes),
		HeaderTimeout: a.cfg.API.HeaderTimeout, MaxWebSockets: a.cfg.API.MaxSockets,
		PingDelay: a.cfg.API.PingDelay, PongTimeout: a.cfg.API.PongTimeout,
		Queries: a.cfg.Query.Concurrent,
	}
	s, err := api.New(deps)
	if err != nil {
		return nil, err
	}
	into.Store(s)
	server := s.HTTPServer()
	return &service{server: server, wrap: wrapper(s, a.checked.tls), close: s.Close}, nil
}

func (a *App) registerGraph(g *graph.Graph) error {
	for _, m := range []struct {
		name, help string
		value      func(graph.Stats) float64
	}{
		{"weft_graph_nodes", "Nodes that live.", func(s graph.Stats) float64 { return float64(s.Nodes) }},
		{"weft_graph_edges", "Edges that live.", func(s graph.Stats) float64 { return float64(s.Edges) }},
		{"weft_graph_past_versions", "Past versions held in memory.", func(s graph.Stats) float64 { return float64(s.PastVersions) }},
		{"weft_graph_past_bytes", "Bytes of past versions held in memory.", func(s graph.Stats) float64 { return float64(s.PastBytes) }},
		{"weft_graph_origins", "Origins known.", func(s graph.Stats) float64 { return float64(s.Origins) }},
		{"weft_graph_parked_edges", "Edges that wait for their nodes.", func(s graph.Stats) float64 { return float64(s.Parked) }},
		{"weft_graph_orphans_total", "Edges whose nodes never came.", func(s graph.Stats) float64 { return float64(s.Orphans) }},
		{"weft_graph_changes_total", "Elements changed.", func(s graph.Stats) float64 { return float64(s.Changes) }},
		{"weft_graph_rejected_total", "Events refused.", func(s graph.Stats) float64 { return float64(s.Rejected) }},
		{"weft_graph_samples_dropped_total", "Samples of counters that made room for later ones.", func(s graph.Stats) float64 { return float64(s.DroppedSamples) }},
		{"weft_graph_subscribers_lagged_total", "Times that a subscriber lost its place.", func(s graph.Stats) float64 { return float64(s.Lagged) }},
	} {
		err := a.registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: m.name, Help: m.help}, func() float64 { return m.value(g.Stats()) }))
		if err != nil {
			return fmt.Errorf("graph metrics: %w", err)
		}
	}
	return nil
}

// every calls f again and again; what it returns ends that.
func every(ctx context.Context, period time.Duration, f func()) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				f()
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

var errReadOnly = errors.New("an agent's graph is what its probes see: write to the analyzer instead")
