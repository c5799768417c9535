package linux

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/testenv"
)

// A world is a running probe and the graph that it writes. The probe sees the whole
// machine; a test looks at the namespaces that it made.
type world struct {
	t     testing.TB
	graph *graph.Graph
	stop  func() // ends the probe and waits for it

	mu      sync.Mutex
	commits int
	changed []string // "op id" of every event
	at      time.Time
	events  []graph.Event // of the last commit
}

// watch runs a probe until the test ends.
func watch(t testing.TB, change ...func(*probe.Env)) *world {
	t.Helper()
	testenv.Root(t)
	w := &world{t: t, graph: graph.New(graph.Options{})}
	env := probe.Env{Host: "h", Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	for _, f := range change {
		f(&env)
	}
	p, err := New(env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, w) }()
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(5 * time.Second):
				t.Error("Run does not end")
			}
		})
	}
	t.Cleanup(w.stop)
	testenv.Eventually(t, 10*time.Second, func() string {
		if w.graph.View().NodeCount() == 0 {
			return "nothing is shown"
		}
		return ""
	})
	return w
}

func (w *world) Commit(events ...graph.Event) { w.take(&graph.Batch{Origin: "linux", Events: events}) }

func (w *world) Replace(events []graph.Event) {
	w.take(&graph.Batch{Origin: "linux", Events: events, Snapshot: true})
}

func (w *world) take(b *graph.Batch) {
	result, err := w.graph.Apply(b)
	if err != nil {
		w.t.Errorf("batch: %v", err)
	}
	for _, r := range result.Rejected {
		w.t.Errorf("rejected: %v %s: %v", b.Events[r.Index].Op, r.ID, r.Err)
	}
	if result.Parked > 0 {
		w.t.Errorf("%d edges came before their nodes", result.Parked)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commits++
	w.at = time.Now()
	w.events = b.Events
	for _, e := range b.Events {
		w.changed = append(w.changed, e.ID)
	}
}

// node returns the node whose metadata has all these values, keys and values in turns.
func (w *world) find(where ...string) (graph.Node, bool) {
	for n := range w.graph.View().Nodes() {
		match := true
		for i := 0; i < len(where) && match; i += 2 {
			v, ok := n.Field(where[i])
			match = ok && v.String() == where[i+1]
		}
		if match {
			return n, true
		}
	}
	return graph.Node{}, false
}

// node waits for a node as find finds it.
func (w *world) node(where ...string) graph.Node {
	w.t.Helper()
	var n graph.Node
	w.until("no node with "+strings.Join(where, " "), func() (ok bool) {
		n, ok = w.find(where...)
		return ok
	})
	return n
}

// link waits for a link of a namespace and returns it.
func (w *world) link(ns *testenv.Namespace, name string) graph.Node {
	w.t.Helper()
	var found graph.Node
	w.until("no link "+name+" in "+ns.Name, func() bool {
		for _, n := range w.links(ns.Name) {
			if text(n, "Name") == name {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

// links returns the links that a namespace owns.
func (w *world) links(ns string) []graph.Node {
	v := w.graph.View()
	for n := range v.Nodes() {
		if text(n, "Type") != "netns" || text(n, "Name") != ns {
			continue
		}
		var links []graph.Node
		for e, child := range v.Out(n) {
			if relation(e) == "ownership" {
				links = append(links, child)
			}
		}
		return links
	}
	return nil
}

// until waits for a condition.
func (w *world) until(problem string, ok func() bool) time.Duration {
	w.t.Helper()
	return testenv.Eventually(w.t, 10*time.Second, func() string {
		if ok() {
			return ""
		}
		return problem
	})
}

// value waits until a link's metadata has a value, as text.
func (w *world) value(ns *testenv.Namespace, link, key, want string) time.Duration {
	w.t.Helper()
	var got string
	return testenv.Eventually(w.t, 10*time.Second, func() string {
		for _, n := range w.links(ns.Name) {
			if text(n, "Name") == link {
				if got = text(n, key); got == want {
					return ""
				}
				return link + "'s " + key + " is " + got + ", want " + want
			}
		}
		return "no link " + link
	})
}

// edge reports whether there is a layer2 edge of a kind from one node to another.
func (w *world) edge(parent, child graph.Node, kind string) bool {
	v := w.graph.View()
	for e, n := range v.Out(parent) {
		if n.ID() == child.ID() && relation(e) == "layer2" {
			t, _ := e.Field("Type")
			return t.String() == kind || kind == "" && t.IsZero()
		}
	}
	return false
}

func relation(e graph.Edge) string {
	v, _ := e.Field("RelationType")
	return v.Str()
}

func text(n graph.Node, key string) string {
	v, ok := n.Field(key)
	if !ok {
		return ""
	}
	return v.String()
}

// seen returns the links of a namespace in the words of testenv.
func (w *world) seen(ns string) []testenv.Link {
	var links []testenv.Link
	for _, n := range w.links(ns) {
		number := func(key string) int {
			v, _ := n.Field(key)
			return int(v.Int())
		}
		link := testenv.Link{
			Name: text(n, "Name"), Type: text(n, "Type"), IfIndex: number("IfIndex"), MTU: number("MTU"),
			MAC: text(n, "MAC"), State: text(n, "State"), Master: text(n, "MasterName"),
		}
		for _, key := range []string{"IPV4", "IPV6"} {
			if list, ok := n.Field(key); ok {
				for v := range list.All() {
					link.Addresses = append(link.Addresses, v.Str())
				}
			}
		}
		slices.Sort(link.Addresses)
		links = append(links, link)
	}
	testenv.SortLinks(links)
	return links
}

// agrees waits until the graph shows what ip(8) shows of a namespace.
func (w *world) agrees(ns *testenv.Namespace) {
	w.t.Helper()
	testenv.Eventually(w.t, 10*time.Second, func() string {
		return testenv.DiffLinks(testenv.Links(w.t, ns.Name), w.seen(ns.Name))
	})
}

func (w *world) counts() (commits, events int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commits, len(w.changed)
}

// quiet waits until nothing has been said of a namespace's links for three pauses of their
// lists.
func (w *world) quiet(ns *testenv.Namespace) {
	w.t.Helper()
	var last string
	since := time.Now()
	w.until("never quiet", func() bool {
		var now strings.Builder
		for _, n := range w.links(ns.Name) {
			fmt.Fprint(&now, n.ID(), n.Revision(), " ")
		}
		if now.String() != last {
			last, since = now.String(), time.Now()
		}
		return time.Since(since) > 3*listsPause
	})
}

// peersAgree waits until each veth of the namespaces has exactly one edge to the other end,
// which ip(8) names by index.
func (w *world) peersAgree(spaces []*testenv.Namespace) {
	w.t.Helper()
	w.until("an edge between veths is missing or wrong", func() bool {
		v := w.graph.View()
		for _, ns := range spaces {
			for _, n := range w.links(ns.Name) {
				if text(n, "Type") != "veth" {
					continue
				}
				peers := 0
				both := func(e graph.Edge, other graph.Node) bool {
					if kind, _ := e.Field("Type"); kind.Str() != "veth" {
						return true
					}
					peers++
					return text(other, "IfIndex") == text(n, "PeerIfIndex") && text(n, "IfIndex") == text(other, "PeerIfIndex")
				}
				for e, other := range v.Out(n) {
					if !both(e, other) {
						return false
					}
				}
				for e, other := range v.In(n) {
					if !both(e, other) {
						return false
					}
				}
				if peers != 1 {
					return false
				}
			}
		}
		return true
	})
}

// A registry collects the probe's counters.
type registry struct{ *prometheus.Registry }

func newRegistry() registry { return registry{prometheus.NewRegistry()} }

func (r registry) value(t testing.TB, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
