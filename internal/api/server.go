package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/auth"
	"github.com/weft-net/weft/skydive"
)

// Server is the HTTP and WebSocket server's logic, without the listener.
type Server struct {
	deps    Deps
	limits  Limits
	log     *slog.Logger
	auth    *auth.Auth
	guard   *auth.Guard
	metrics *metrics
	spare   *spare
	handler http.Handler
	paths   []string // of the routes

	description []byte // OpenAPI
	resources   map[string]resource
	created     *sharedWriter // what REST clients created
	patched     *sharedWriter // what REST clients changed of others' elements

	restored chan struct{} // closed when the stored elements are in the graph

	queries *gate // evaluations
	answers *gate // large answers under way
	imports *gate // capture files being read
	bodies  *bodyBudget
	commits *commitWatch

	sockets *sockets
	hub     *hub
	flows   *flowFeed
	news    *captureNews
	stop    context.CancelFunc
	running sync.WaitGroup
	once    sync.Once
}

// How many large answers may be under way for each query that may be evaluated, and how
// many bodies of the largest size may be held at once.
const (
	answersPerQuery = 2
	bodiesAtOnce    = 2
)

// New checks the dependencies and starts what feeds the subscribers and what keeps the
// graph in step with the store. Call Close when done.
func New(deps Deps) (*Server, error) {
	if deps.Graph == nil || deps.Engine == nil || deps.Committer == nil || deps.Store == nil {
		return nil, errors.New("api server: Graph, Engine, Committer and Store are required")
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Service == "" {
		deps.Service = skydive.ServiceAnalyzer
	}
	if deps.Auth == nil {
		open, err := auth.New(auth.Options{})
		if err != nil {
			return nil, fmt.Errorf("api server: %w", err)
		}
		deps.Auth = open
	}
	commits := &commitWatch{Committer: deps.Committer, clock: deps.Clock}
	deps.Committer = commits
	s := &Server{
		deps: deps, limits: deps.Limits.withDefaults(), log: deps.Logger, auth: deps.Auth,
		guard:   auth.NewGuard(deps.Listen, append([]string{deps.Host}, deps.Hosts...), deps.Origins),
		commits: commits, spare: new(spare), resources: make(map[string]resource),
		restored: make(chan struct{}),
	}
	if err := s.measure(); err != nil {
		return nil, fmt.Errorf("api server: metrics: %w", err)
	}
	s.sockets = &sockets{limit: s.limits.MaxWebSockets, open: make(map[[2]string]*socket), gauge: func(endpoint string, delta float64) {
		s.metrics.sockets.WithLabelValues(endpoint).Add(delta)
	}}
	s.created = openShared(deps.Committer, "api."+deps.Host, OriginOptions{})
	s.patched = openShared(deps.Committer, "user", OriginOptions{Persist: true})
	for _, kind := range resourceKinds() {
		s.resources[kind.kind] = kind.open(s, kind)
	}
	table := routes()
	var err error
	if s.description, err = describe(table, deps.Version); err != nil {
		return nil, fmt.Errorf("api server: description: %w", err)
	}
	s.handler = s.buildHandler(table)
	s.hub = newHub(s)
	s.flows = &flowFeed{s: s}
	s.news = &captureNews{s: s, ids: newEncoder(), ready: make(chan struct{})}
	s.start()
	return s, nil
}

// measure makes the bounds of what goes on at once, and the metrics that show them.
func (s *Server) measure() (err error) {
	if s.metrics, err = newMetrics(s.deps.Registry, s); err != nil {
		return err
	}
	n := s.limits.Queries
	s.queries = newGate("queries are being evaluated: try again, or raise the setting query.concurrent", n, s.metrics.refused.WithLabelValues("query"))
	s.answers = newGate("large answers are being written: try again, or raise the setting query.concurrent", answersPerQuery*n, s.metrics.refused.WithLabelValues("answer"))
	s.imports = newGate("capture files are being read: try again", importsAtOnce, s.metrics.refused.WithLabelValues("pcap"))
	s.bodies = &bodyBudget{limit: bodiesAtOnce * s.limits.MaxBody}
	return nil
}

// start runs what lives as long as the server.
func (s *Server) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.running.Go(func() { s.hub.run(ctx) })
	s.running.Go(func() { s.keepStored(ctx) })
	s.running.Go(func() { s.news.run(ctx) })
}

// keepStored restores what the store holds, as soon as the committer takes it, and then
// follows the store.
func (s *Server) keepStored(ctx context.Context) {
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 10*time.Second) {
		err := s.restore(ctx)
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			s.log.Warn("stored nodes and edges are not restored yet", "retry", delay, "error", err)
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return
		}
	}
	close(s.restored)
	var watches sync.WaitGroup
	for kind, remove := range map[string]graph.Op{KindNode: graph.DeleteNode, KindEdge: graph.DeleteEdge} {
		watches.Go(func() {
			if err := s.expire(ctx, kind, remove); err != nil && ctx.Err() == nil {
				s.log.Error("resources with a time to live stay in the graph", "error", err)
			}
		})
	}
	watches.Wait()
}

// now is the time as the program sees it.
func (s *Server) now() time.Time { return s.deps.Clock() }

// Handler returns the root handler.
func (s *Server) Handler() http.Handler { return s.handler }

// Close ends the WebSocket connections, each with a reason, and the server's
// goroutines. Requests under way are the HTTP server's to wait for.
func (s *Server) Close(ctx context.Context) error {
	var err error
	s.once.Do(func() {
		err = s.sockets.close(ctx)
		s.stop()
		s.running.Wait()
		s.created.close()
		s.patched.close()
	})
	return err
}
