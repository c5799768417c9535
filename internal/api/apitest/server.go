package apitest

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/api"
)

// Server is a running API server.
type Server struct {
	Addr      string // host:port
	URL       string // http://host:port
	API       *api.Server
	Graph     *graph.Graph
	Committer *Committer
	Store     *Store

	http *http.Server
}

// Start runs a server on a loopback port until the end of the test. change may alter
// what the server is made of.
func Start(t testing.TB, change ...func(*api.Deps)) *Server {
	t.Helper()
	g := graph.New(graph.Options{})
	s := &Server{Graph: g, Committer: &Committer{Graph: g}, Store: new(Store)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = listener.Addr().String()
	s.URL = "http://" + s.Addr
	deps := api.Deps{
		Graph: g, Engine: gremlin.New(g, gremlin.Options{Deadline: 10 * time.Second, MaxResults: 1_000_000}),
		Committer: s.Committer, Store: s.Store, Host: "test", Version: "test", Listen: s.Addr,
	}
	for _, f := range change {
		f(&deps)
	}
	if store, ok := deps.Store.(*Store); ok {
		s.Store = store
	}
	if s.API, err = api.New(deps); err != nil {
		t.Fatal(err)
	}
	s.http = s.API.HTTPServer()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.http.Serve(s.API.LimitListener(listener))
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.API.Close(ctx); err != nil {
			t.Errorf("server's end: %v", err)
		}
		if err := s.http.Shutdown(ctx); err != nil {
			_ = s.http.Close()
		}
		<-served
	})
	return s
}

// Apply commits events of an origin, unnumbered, and fails the test when one is refused.
func (s *Server) Apply(t testing.TB, origin string, events ...graph.Event) graph.Result {
	t.Helper()
	result, err := s.Graph.Apply(&graph.Batch{Origin: origin, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range result.Rejected {
		t.Fatalf("%s: %v", r.ID, r.Err)
	}
	return result
}

// Node is an event that puts a node with a name and a type.
func Node(id, name, kind string, more ...graph.Field) graph.Event {
	fields := append([]graph.Field{graph.F("Name", graph.String(name)), graph.F("Type", graph.String(kind))}, more...)
	return graph.Event{Op: graph.PutNode, ID: id, Host: "test", Metadata: graph.NewMetadata(fields...)}
}

// Edge is an event that puts an edge.
func Edge(id, parent, child, relation string) graph.Event {
	return graph.Event{
		Op: graph.PutEdge, Edge: true, ID: id, Host: "test", Parent: parent, Child: child,
		Metadata: graph.NewMetadata(graph.F("RelationType", graph.String(relation))),
	}
}
