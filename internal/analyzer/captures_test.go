package analyzer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/capture/order"
)

// ordered is an agent that takes orders: its heartbeats tell the hash of those it follows.
type ordered struct {
	*fake
	seq uint64

	mu    sync.Mutex
	got   []order.Orders
	hash  uint64 // that heartbeats tell
	deaf  bool   // takes orders and does not follow them
	froms map[string]bool
}

func newOrdered(t *testing.T, h *hub, member string) *ordered {
	t.Helper()
	o := &ordered{fake: newFake(t, h, member), froms: map[string]bool{}}
	stop, err := o.conn.OnAsk(ordersVerb, 1, func(_ context.Context, data []byte, _ func([]byte) error) error {
		orders, err := order.Decode(data)
		if err != nil {
			return err
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.got = append(o.got, orders)
		o.froms[orders.From] = true
		if !o.deaf {
			o.hash = orders.Hash
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	flushed(t, o.conn)
	ctx, cancel := context.WithCancel(t.Context())
	var beating sync.WaitGroup
	beating.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				o.tell()
			}
		}
	})
	t.Cleanup(func() { cancel(); beating.Wait(); stop() })
	return o
}

// tell is a heartbeat.
func (o *ordered) tell() {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := bus.Beat{Instance: o.conn.Instance(), Orders: o.hash}
	if o.seq > 0 {
		b.Origins = []bus.Position{{Origin: o.name, Epoch: 7, Seq: o.seq}}
	}
	_ = o.conn.Beat(b) // the next one tells the same
}

// has changes the agent's part of the graph.
func (o *ordered) has(events ...graph.Event) {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seq++
	o.say(7, o.seq, o.seq == 1, events...)
}

// follows is what the agent runs: "capture:node,node capture:node"; "-" when it never got orders.
func (o *ordered) follows() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.got) == 0 {
		return "-"
	}
	var parts []string
	for _, c := range o.got[len(o.got)-1].Captures {
		var nodes []string
		for _, n := range c.Nodes {
			if n.TID != "tid-"+n.ID {
				return fmt.Sprintf("node %s has TID %s", n.ID, n.TID)
			}
			nodes = append(nodes, n.ID)
		}
		parts = append(parts, c.Capture.UUID+":"+strings.Join(nodes, ","))
	}
	return strings.Join(parts, " ")
}

func (o *ordered) times() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.got)
}

func (o *ordered) wait(want string) {
	o.t.Helper()
	eventually(o.t, 15*time.Second, "host "+o.conn.Member()+" follows "+want, func() bool { return o.follows() == want })
}

// port is a node of a host that can be captured.
func port(host, id string, fields ...graph.Field) graph.Event {
	e := node(id, append(fields, graph.F("TID", graph.String("tid-"+id)))...)
	e.Host = host
	return e
}

func TestOrdersFollowTheGraph(t *testing.T) {
	for name, query := range map[string]string{
		"each node by itself": `G.V().Has('Role','edge')`,
		"as a whole":          `G.V().Has('Role','edge').Dedup('@ID')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, hubOptions{})
			role := func(role string) graph.Field { return graph.F("Role", graph.String(role)) }
			h1, h2 := newOrdered(t, h, "h1"), newOrdered(t, h, "h2")
			h1.has(port("h1", "a", role("edge")), port("h1", "b", role("core")))
			h2.has(port("h2", "z", role("core")))
			create(t, h, api.KindCapture, "c", fmt.Sprintf(`{"UUID":"c","GremlinQuery":%q}`, query))
			h1.wait("c:a") // a node that is there
			if got := h2.follows(); got != "-" {
				t.Errorf("h2, which has no such node, was told %q", got)
			}
			h2.has(port("h2", "y", role("edge"))) // a node that comes
			h2.wait("c:y")
			h1.has(port("h1", "b", role("edge"))) // one that changes
			h1.wait("c:a,b")
			create(t, h, api.KindCapture, "d", `{"UUID":"d","GremlinQuery":"G.V().Has('Name','b')"}`)
			h1.wait("c:a,b d:b")
			h1.has(graph.Event{Op: graph.DeleteNode, ID: "a"}) // and goes
			h1.wait("c:b d:b")
			eventually(t, 5*time.Second, "both hosts are known to capture", func() bool {
				return strings.Join(h.CaptureHosts(), " ") == "h1 h2"
			})
			if err := h.store.Delete(t.Context(), api.KindCapture, "c"); err != nil {
				t.Fatal(err)
			}
			h1.wait("d:b")
			h2.wait("")
			eventually(t, 5*time.Second, "a host without orders is not asked for flows", func() bool {
				return strings.Join(h.CaptureHosts(), " ") == "h1"
			})
		})
	}
}

func TestOrdersAreSentUntilTheyAreFollowed(t *testing.T) {
	h := newHub(t, hubOptions{})
	h1 := newOrdered(t, h, "h1")
	h1.mu.Lock()
	h1.deaf = true
	h1.mu.Unlock()
	h1.has(port("h1", "a"))
	create(t, h, api.KindCapture, "c", `{"UUID":"c","GremlinQuery":"G.V().Has('Name','a')"}`)
	eventually(t, 10*time.Second, "orders are repeated", func() bool { return h1.times() >= 2 })
	h1.mu.Lock()
	h1.deaf = false
	h1.mu.Unlock()
	eventually(t, 10*time.Second, "the agent follows", func() bool {
		h1.mu.Lock()
		defer h1.mu.Unlock()
		return h1.hash != 0
	})
	told := h1.times()
	quiet := time.NewTimer(orderRepeat + 500*time.Millisecond)
	defer quiet.Stop()
	<-quiet.C
	if n := h1.times(); n > told+1 { // one may have been under way
		t.Errorf("told %d times more", n-told)
	}
	// An agent that lost its orders, or has others, gets them again.
	for _, hash := range []uint64{0, 12345} {
		told := h1.times()
		h1.mu.Lock()
		h1.hash = hash
		h1.mu.Unlock()
		eventually(t, 15*time.Second, fmt.Sprintf("orders come again after hash %d", hash), func() bool { return h1.times() > told })
	}
	h1.wait("c:a")
}

func TestFirstAnalyzerAloneGivesOrders(t *testing.T) {
	first := newHub(t, hubOptions{host: "h-1"})
	second := newHub(t, hubOptions{host: "h-2", beside: first})
	eventually(t, 10*time.Second, "the second knows its place", func() bool { return first.leads() && !second.leads() })
	h1 := newOrdered(t, first, "h1")
	h1.mu.Lock()
	h1.deaf = true
	h1.mu.Unlock()
	h1.has(port("h1", "a"))
	for _, h := range []*hub{first, second} {
		create(t, h, api.KindCapture, "c", `{"UUID":"c","GremlinQuery":"G.V().Has('Name','a')"}`)
	}
	h1.wait("c:a")
	eventually(t, 10*time.Second, "the second wants the same", func() bool {
		second.captures.mu.Lock()
		defer second.captures.mu.Unlock()
		h1.mu.Lock()
		defer h1.mu.Unlock()
		return second.captures.desired["h1"].Hash == h1.got[0].Hash
	})
	told := h1.times() // the agent does not follow, so whoever gives orders repeats them
	eventually(t, 10*time.Second, "orders are repeated", func() bool { return h1.times() >= told+2 })
	h1.mu.Lock()
	defer h1.mu.Unlock()
	if len(h1.froms) != 1 || !h1.froms[bus.AnalyzerMember("h-1")] {
		t.Errorf("orders from %v", h1.froms)
	}
}

func TestWhatCannotBeCapturedSaysWhy(t *testing.T) {
	h := newHub(t, hubOptions{})
	h1 := newOrdered(t, h, "h1")
	h1.has(port("h1", "a"), node("no-tid"))
	nowhere := port("", "nowhere")
	say(t, h.Origin("me", api.OriginOptions{}), nowhere)
	create(t, h, api.KindCapture, "c", `{"UUID":"c","GremlinQuery":"G.V().Has('Type','device')"}`)
	h1.wait("c:a")
	want := "c: nowhere failed: " + errNoHost.Error() + "; a waiting: the agent has not begun yet; no-tid failed: " + errNoTID.Error() + "; "
	states := func() string {
		var text strings.Builder
		for _, info := range h.Captures() {
			fmt.Fprintf(&text, "%s: ", info.ID)
			for _, n := range info.Nodes {
				fmt.Fprintf(&text, "%s %s: %s; ", n.Name, n.State, n.Error)
			}
		}
		return text.String()
	}
	eventually(t, 5*time.Second, "states "+want, func() bool { return states() == want })
	h1.has(port("h1", "a", graph.F("Captures", graph.List(graph.Object(graph.NewMetadata(
		graph.F("ID", graph.String("c")), graph.F("State", graph.String("active")), graph.F("PacketsReceived", graph.Int(42)),
	))))))
	eventually(t, 5*time.Second, "it is active", func() bool {
		infos := h.Captures()
		return len(infos) == 1 && infos[0].Active == 1 && infos[0].Ledger.Received == 42
	})
}

// TestHostsThatCaptureAreKnownBeforeTheirHeartbeats is an analyzer that has begun anew: the graph is back, and a
// question about live flows comes before the first heartbeat of the host.
func TestHostsThatCaptureAreKnownBeforeTheirHeartbeats(t *testing.T) {
	first := newHub(t, hubOptions{host: "h-1"})
	second := newHub(t, hubOptions{host: "h-2", beside: first})
	f := newFake(t, first, "h1")
	f.say(7, 1, true, port("h1", "a"))
	for _, h := range []*hub{first, second} { // the second gives no orders, and is asked for flows all the same
		create(t, h, api.KindCapture, "c", `{"UUID":"c","GremlinQuery":"G.V().Has('Name','a')"}`)
		eventually(t, 5*time.Second, "h1 is asked for flows", func() bool { return strings.Join(h.CaptureHosts(), " ") == "h1" })
		f.beat(7, 1)
		eventually(t, 5*time.Second, "the heartbeat is here", func() bool { return len(h.members.orders()) == 1 })
		if hosts := h.CaptureHosts(); len(hosts) != 1 {
			t.Errorf("after a heartbeat that tells of no orders: %q", hosts)
		}
	}
}

// TestFreshNodesAreThoseThatAppearedWhileTheCaptureStood: not those that were there, nor those that changed.
func TestFreshNodesAreThoseThatAppearedWhileTheCaptureStood(t *testing.T) {
	for name, query := range map[string]string{
		"each node by itself": `G.V().Has('Role','edge')`,
		"as a whole":          `G.V().Has('Role','edge').Dedup('@ID')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, hubOptions{})
			role := func(role string) graph.Field { return graph.F("Role", graph.String(role)) }
			h1 := newOrdered(t, h, "h1")
			h1.has(port("h1", "a", role("edge")), port("h1", "b", role("core")))
			eventually(t, 5*time.Second, "both are there", func() bool { return has(h.graph, "a", "b") })
			create(t, h, api.KindCapture, "c", fmt.Sprintf(`{"UUID":"c","GremlinQuery":%q}`, query))
			fresh := func() string {
				h1.mu.Lock()
				defer h1.mu.Unlock()
				return strings.Join(h1.got[len(h1.got)-1].Captures[0].Fresh, ",")
			}
			for _, step := range []struct {
				follows, fresh string
				event          graph.Event
			}{
				{follows: "c:a"},
				{follows: "c:a,y", fresh: "y", event: port("h1", "y", role("edge"))},
				{follows: "c:a,b,y", fresh: "y", event: port("h1", "b", role("edge"))},
				{follows: "c:a,b", event: graph.Event{Op: graph.DeleteNode, ID: "y"}},
			} {
				if step.event.ID != "" {
					h1.has(step.event)
				}
				h1.wait(step.follows)
				if got := fresh(); got != step.fresh {
					t.Errorf("%s: fresh are %q, not %q", step.follows, got, step.fresh)
				}
			}
		})
	}
}
