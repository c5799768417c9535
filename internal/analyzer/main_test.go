package analyzer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/bus/resource"
	"github.com/weft-net/weft/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func eventually(t testing.TB, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	testenv.Eventually(t, limit, func() string {
		if cond() {
			return ""
		}
		return what + ": not yet"
	})
}

// testLog shows the log of a test that fails.
func testLog(t testing.TB) *slog.Logger {
	log := &logText{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("log:\n" + log.String())
		}
	})
	return slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes.Contains(p, []byte("nats: ")) {
		return len(p), nil
	}
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// hub is an analyzer with everything around it.
type hub struct {
	*Analyzer
	t      testing.TB
	server *bus.Server
	store  *resource.Store
	stop   func()
}

// hubOptions change what newHub builds.
type hubOptions struct {
	host     string
	url      string // an existing NATS, else an embedded one
	beside   *hub   // whose embedded one this hub uses
	dir      string // of the embedded one; "" is memory
	now      func() time.Time
	analyzer Options
}

func newHub(t testing.TB, o hubOptions) *hub {
	t.Helper()
	if o.host == "" {
		o.host = "hub"
	}
	if o.now == nil {
		o.now = time.Now
	}
	h := &hub{t: t}
	log := testLog(t)
	conn := bus.ConnOptions{Member: bus.AnalyzerMember(o.host), URL: o.url, Logger: log}
	if o.beside != nil {
		conn.Server = o.beside.server
	} else if o.url == "" {
		var err error
		if h.server, err = bus.StartServer(bus.ServerOptions{Host: o.host, Dir: o.dir, Logger: log}); err != nil {
			t.Fatal(err)
		}
		conn.Server = h.server
	}
	c, err := bus.Connect(conn)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "bus is connected", c.Connected)
	if h.store, err = resource.New(t.Context(), resource.Options{Now: o.now}); err != nil {
		t.Fatal(err)
	}
	opts := o.analyzer
	opts.Host, opts.Conn, opts.Store, opts.Now, opts.Logger = o.host, c, h.store, o.now, log
	opts.Graph = graph.New(graph.Options{Now: o.now})
	opts.Engine = gremlin.New(opts.Graph, gremlin.Options{})
	opts.Stream = bus.StreamOptions{File: o.dir != "" || o.url != "", MaxBytes: 512 << 20}
	if h.Analyzer, err = New(opts); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Start(ctx); err != nil {
		t.Fatal(err)
	}
	h.stop = sync.OnceFunc(func() {
		h.Close()
		h.store.Close()
		c.Close()
		if h.server != nil {
			h.server.Stop()
		}
	})
	t.Cleanup(h.stop)
	return h
}

// streams waits until batches come through the stream.
func (h *hub) streams() *hub {
	h.t.Helper()
	eventually(h.t, 5*time.Second, "stream delivers", func() bool { return h.Bus().Stream })
	return h
}

// dial connects an agent to the hub's bus.
func (h *hub) dial(member string) *bus.Conn {
	h.t.Helper()
	c, err := bus.Connect(bus.ConnOptions{Member: member, Server: h.server, Logger: testLog(h.t)})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

// say commits and waits until it is visible.
func say(t testing.TB, w api.OriginWriter, events ...graph.Event) graph.Result {
	t.Helper()
	p, err := w.Commit(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	return wait(t, p)
}

func wait(t testing.TB, p api.Pending) graph.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func publish(t testing.TB, p *bus.Publisher, b *graph.Batch) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Publish(ctx, b); err != nil {
		t.Fatal(err)
	}
}

// node is a node of the tests: its name is its id.
func node(id string, fields ...graph.Field) graph.Event {
	fields = append([]graph.Field{graph.F("Name", graph.String(id)), graph.F("Type", graph.String("device"))}, fields...)
	return graph.Event{Op: graph.PutNode, ID: id, Host: "h1", Metadata: graph.NewMetadata(fields...)}
}

func edge(parent, child string) graph.Event {
	return graph.Event{
		Op: graph.PutEdge, ID: parent + "-" + child, Parent: parent, Child: child,
		Metadata: graph.NewMetadata(graph.F("RelationType", graph.String("ownership"))),
	}
}

// shown is a graph as text, an element a line: what tests compare.
func shown(g *graph.Graph) string {
	v := g.View()
	var lines []string
	for n := range v.Nodes() {
		lines = append(lines, fmt.Sprintf("%s (%s) %s", n.ID(), n.Owner(), n.Metadata().AppendJSON(nil)))
	}
	for e := range v.Edges() {
		lines = append(lines, fmt.Sprintf("%s (%s) %s>%s %s", e.ID(), e.Owner(), e.Parent(), e.Child(), e.Metadata().AppendJSON(nil)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// ids are those of a graph's nodes and edges.
func ids(g *graph.Graph) []string {
	all := map[string]bool{}
	v := g.View()
	for n := range v.Nodes() {
		all[n.ID()] = true
	}
	for e := range v.Edges() {
		all[e.ID()] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func has(g *graph.Graph, want ...string) bool { return slices.Equal(ids(g), want) }

func contextFor(t testing.TB, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), limit)
}
