package flowquery

import (
	"context"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/flowquery/row"
	"github.com/weft-net/weft/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// held is what is live on an agent of these tests: flows in a list.
type held struct {
	mu      sync.Mutex // of flows, where a test changes them: an answer that nobody waits for may still be under way
	flows   []*flow.Flow
	packets map[gremlin.FlowID][]flow.RawPacket
	asked   chan gremlin.FlowQuery // nil: nobody looks
	stuck   bool                   // gives its flows and never ends
}

func (h *held) Flows(ctx context.Context, q *gremlin.FlowQuery) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		if h.asked != nil {
			h.asked <- *q
		}
		h.mu.Lock()
		flows := h.flows
		h.mu.Unlock()
		for _, f := range flows {
			if q.Filter.Match(row.Row{Flow: f}) && !yield(f, nil) {
				return
			}
		}
		if h.stuck {
			<-ctx.Done()
			yield(nil, ctx.Err())
		}
	}
}

// hold takes other flows in the place of those that are there.
func (h *held) hold(flows []*flow.Flow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flows = flows
}

func (h *held) Reduce(ctx context.Context, q *gremlin.FlowQuery, r gremlin.FlowReduction) (*gremlin.FlowTotal, error) {
	total := r.New()
	for f, err := range h.Flows(ctx, q) {
		if err != nil {
			return nil, err
		}
		if !total.Add(row.Row{Flow: f}) {
			break
		}
	}
	return total, nil
}

func (h *held) RawPackets(_ context.Context, ids []gremlin.FlowID) (map[gremlin.FlowID][]flow.RawPacket, error) {
	found := map[gremlin.FlowID][]flow.RawPacket{}
	for _, id := range ids {
		if p, ok := h.packets[id]; ok {
			found[id] = p
		}
	}
	return found, nil
}

// world is an analyzer and agents on one bus. Each agent's host has one node, with the TID "tid-<host>".
type world struct {
	t      *testing.T
	source *Source
	engine *gremlin.Engine
	hosts  []string
	server *bus.Server
	graph  *graph.Graph
	young  bool // the analyzer just started
}

func newWorld(t *testing.T, timeout time.Duration) *world {
	t.Helper()
	w := &world{t: t}
	var err error
	if w.server, err = bus.StartServer(bus.ServerOptions{Host: "hub"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.server.Stop)
	w.graph = graph.New(graph.Options{})
	w.source = New(Options{
		Conn: w.dial(bus.AnalyzerMember("hub")), Graph: w.graph, Timeout: timeout,
		Hosts: func() []string { return slices.Clone(w.hosts) }, Settling: func() bool { return w.young },
	})
	w.engine = gremlin.New(w.graph, gremlin.Options{Flows: w.source})
	return w
}

func (w *world) dial(member string) *bus.Conn {
	w.t.Helper()
	c, err := bus.Connect(bus.ConnOptions{Member: member, Server: w.server})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	testenv.Eventually(w.t, 5*time.Second, func() string {
		if c.Connected() {
			return ""
		}
		return member + " is not connected"
	})
	return c
}

// agent adds a host that runs captures; without something live it does not answer.
func (w *world) agent(host string, live *held) {
	w.t.Helper()
	w.hosts = append(w.hosts, host)
	if _, err := w.graph.Apply(&graph.Batch{Origin: "linux@" + host, Epoch: 1, Seq: 1, Events: []graph.Event{{
		Op: graph.PutNode, ID: "node-" + host, Host: host, Metadata: graph.NewMetadata(
			graph.F("Name", graph.String(host)), graph.F("Type", graph.String("veth")), graph.F("TID", graph.String("tid-"+host))),
	}}}); err != nil {
		w.t.Fatal(err)
	}
	if live == nil {
		return
	}
	c := w.dial(host)
	stop, err := Serve(c, live)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(stop)
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// run executes a query and gives the UUIDs of its flows, and its warnings.
func (w *world) run(text string) (uuids, warnings []string) {
	w.t.Helper()
	result := w.exec(text)
	for _, f := range result.Flows() {
		uuids = append(uuids, f.UUID())
	}
	return uuids, result.Warnings()
}

func (w *world) exec(text string) *gremlin.Result {
	w.t.Helper()
	q, err := gremlin.Parse(text)
	if err != nil {
		w.t.Fatal(err)
	}
	result, err := w.engine.Exec(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}
