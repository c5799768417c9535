package runner

import (
	"fmt"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/capture/order"
	"github.com/weft-net/weft/skydive"
)

func TestCaptureCountsWhatPasses(t *testing.T) {
	w, taker := newWire(t), newTaker()
	r, stop := start(t, Options{Graph: w.graph, Sink: w, Publish: taker, Dir: t.TempDir()})
	o := orders(skydive.Capture{UUID: "c1", Name: "all", RawPacketLimit: 3}, "v0")
	if err := r.SetOrders(o); err != nil {
		t.Fatal(err)
	}
	if r.OrdersHash() != o.Hash {
		t.Error("the heartbeat would not name the orders")
	}
	awaitState(t, r, Active)
	w.send(1000)
	if l := w.awaitExact(r); l.Received < 1000 || l.Dropped() != 0 {
		t.Errorf("ledger %+v", l)
	}

	// The flow is there, live, with its packets.
	var found *flow.Flow
	for f, err := range r.Flows(t.Context(), &gremlin.FlowQuery{AllNodes: true, Limit: -1, SortBy: "Metric.ABPackets", SortDesc: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if found == nil {
			found = f
		}
	}
	if found == nil || found.Metric.ABPackets != 1000 || found.NodeTID != "tid-v0" || found.CaptureID != "c1" {
		t.Fatalf("flow %+v", found)
	}
	id := gremlin.FlowID{UUID: found.UUID, CaptureID: "c1", NodeTID: "tid-v0"}
	packets, err := r.RawPackets(t.Context(), []gremlin.FlowID{
		id, {UUID: "of nobody", CaptureID: "c1", NodeTID: "tid-v0"}, {UUID: found.UUID, CaptureID: "c2", NodeTID: "tid-v0"}, {UUID: found.UUID, CaptureID: "c1", NodeTID: "elsewhere"},
	})
	if err != nil || len(packets) != 1 || len(packets[id]) != 3 {
		t.Errorf("%d flows with raw packets, %d packets, %v", len(packets), len(packets[id]), err)
	}
	for f := range r.Flows(t.Context(), &gremlin.FlowQuery{NodeTIDs: []string{"tid-other"}, Limit: -1}) {
		t.Errorf("flow on another node: %+v", f)
	}

	// The node says so too.
	eventually(t, "metadata of the node", func() string {
		node, _ := w.graph.View().Node("v0")
		list, _ := node.Field("Captures")
		for item := range list.All() {
			m := item.Object()
			state, _ := m.Get("State")
			name, _ := m.Get("Name")
			received, _ := m.Get("PacketsReceived")
			if state.Str() == "active" && name.Str() == "all" && received.Int() >= 1000 {
				return ""
			}
		}
		return list.String()
	})

	stop() // ends all flows
	if l := only2(r); taker.reported() != l.Counted {
		t.Errorf("%d packets in reports, %d counted", taker.reported(), l.Counted)
	}
	if taker.stats == 0 {
		t.Error("no counters for the stats namespace")
	}
}

func (o *outlet) find(key string) *account {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.accounts[key]
}

// only2 is the ledger of the one account, of a Runner that ended.
func only2(r *Runner) flow.Ledger {
	l, _ := r.out.find("c1/tid-v0").ledger()
	return l
}

// What a killed agent leaves is its directory as it is; nothing is flushed and nothing is said.
func TestKilledAgentLosesNothingThatIsNotNamed(t *testing.T) {
	w, first := newWire(t), newTaker()
	dir := t.TempDir()
	a, stop := start(t, Options{Graph: w.graph, Sink: w, Publish: first, Dir: dir})
	if err := a.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, a, Active)
	w.send(700)
	eventually(t, "first reports", func() string {
		if first.reported() == 0 {
			return "none"
		}
		return ""
	})
	w.send(300) // counted, and in no report
	w.awaitExact(a)
	zero := only(a).Zero
	dead := copyDir(t, dir)
	second := first.later()
	stop()
	w.send(500) // nobody looks

	b, stop := start(t, Options{Graph: w.graph, Sink: w, Publish: second, Dir: dead})
	if hash := b.OrdersHash(); hash != 0 && hash != a.OrdersHash() {
		t.Errorf("orders %x", hash)
	}
	awaitState(t, b, Active) // by the orders on disk
	w.send(200)
	l := w.awaitExact(b)
	if got := only(b).Zero; got != zero {
		t.Errorf("the ledger began at %d, and now at %d", zero, got)
	}
	if down := l.Drops[flow.CauseDown]; down < 500 || l.Dropped() != down || only(b).DownUpper {
		t.Errorf("ledger %+v", l)
	}
	stop()
	l = only2(b)
	if l.Counted != l.Reported || !l.Balanced() {
		t.Errorf("at the end: %+v", l)
	}
	// What an analyzer has of both processes is what the ledger calls counted, to the packet.
	if got := second.reported(); got != l.Counted {
		t.Errorf("%d packets in reports of both, %d counted", got, l.Counted)
	}
}

func TestInterfaceThatComesLaterAndGoes(t *testing.T) {
	w, taker := newWire(t), newTaker()
	w.unplug()
	r, _ := start(t, Options{Graph: w.graph, Sink: w, Publish: taker})
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, Waiting)
	w.plug()
	awaitState(t, r, Active)
	w.send(100)
	before := w.awaitExact(r)
	w.unplug()
	awaitState(t, r, Waiting)
	eventually(t, "its flows have ended", func() string {
		if got := taker.reported(); got != before.Counted {
			return fmt.Sprint(got, " of ", before.Counted)
		}
		return ""
	})
	w.plug()
	awaitState(t, r, Active)
	w.send(100)
	if after := w.awaitExact(r); after.Received < before.Received+100 {
		t.Errorf("the ledger does not go on: %+v, then %+v", before, after)
	}
}

// TestPacketsBeforeTheRing lets packets pass over an interface that is new, until the agent has heard of it and a ring
// is open.
func TestPacketsBeforeTheRing(t *testing.T) {
	for name, test := range map[string]struct {
		fresh   bool
		counted []int64
		filter  string
		zero    func(counter int64) int64 // from what the interface had counted when the graph was told
		upper   bool
	}{
		"the capture stood before":                  {fresh: true, counted: []int64{0}, zero: func(int64) int64 { return 0 }},
		"the interface had counted before":          {fresh: true, counted: []int64{7}, zero: func(int64) int64 { return 7 }},
		"a filter takes them all":                   {fresh: true, counted: []int64{0}, filter: "ip or ip6 or arp", upper: true},
		"the capture is younger than the interface": {counted: []int64{0}, zero: func(counter int64) int64 { return counter }},
		"nobody knows what it had counted":          {fresh: true, zero: func(counter int64) int64 { return counter }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			w.unplug()
			r, _ := start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker()})
			o := orders(skydive.Capture{UUID: "c1", BPFFilter: test.filter}, "v0")
			if test.fresh {
				o.Captures[0].Fresh = []string{"v0"}
			}
			if err := r.SetOrders(o); err != nil {
				t.Fatal(err)
			}
			awaitState(t, r, Waiting)
			w.link()
			w.send(30)
			before := w.counter()
			w.show(test.counted...)
			awaitState(t, r, Active)
			w.send(20)
			if test.zero == nil {
				eventually(t, "what passed before is bounded", func() string {
					s := only(r)
					if down := int64(s.Ledger.Drops[flow.CauseDown]); int64(s.Ledger.Received) != w.counter() || down < before || s.DownUpper != test.upper {
						return fmt.Sprintf("%d passed, %d of them before: %+v, upper %v", w.counter(), before, s.Ledger, s.DownUpper)
					}
					return ""
				})
				return
			}
			l := w.awaitExact(r)
			if zero := test.zero(before); only(r).Zero != zero || int64(l.Drops[flow.CauseDown]) != before-zero {
				t.Errorf("%d packets passed before: zero %d, not %d, ledger %+v", before, only(r).Zero, zero, l)
			}
		})
	}
}

func TestNamespaceDeletedUnderACapture(t *testing.T) {
	w, taker := newWire(t), newTaker()
	r, _ := start(t, Options{Graph: w.graph, Sink: w, Publish: taker})
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, Active)
	w.send(50)
	before := w.awaitExact(r)
	w.near.Delete()
	if s := awaitState(t, r, Waiting); s.Error == "" {
		t.Error("nothing says why")
	}
	eventually(t, "its flows have ended", func() string {
		if got := taker.reported(); got < before.Counted {
			return fmt.Sprint(got, " of ", before.Counted)
		}
		return ""
	})
}

func TestNodeThatCannotBeCapturedSaysWhy(t *testing.T) {
	w := newWire(t)
	r, _ := start(t, Options{Graph: w.graph, Sink: w})
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "ns")); err != nil {
		t.Fatal(err)
	}
	if s := awaitState(t, r, Failed); s.Error != `a node of type "netns" has no packets: capture on a network interface` {
		t.Errorf("error %q", s.Error)
	}
	shown := func(id string) graph.Value {
		node, _ := w.graph.View().Node(id)
		v, _ := node.Field("Captures")
		return v
	}
	eventually(t, "metadata of the node", func() string {
		if shown("ns").Len() != 1 {
			return "none"
		}
		return ""
	})
	// Type and filter that cannot be are said the same way.
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c2", Type: "dpdk"}, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, Failed)
	eventually(t, "the other node's metadata has gone", func() string {
		if v := shown("ns"); !v.IsZero() {
			return v.String()
		}
		return ""
	})
}

func TestDeletedCaptureEndsAndIsForgotten(t *testing.T) {
	w, taker := newWire(t), newTaker()
	dir := t.TempDir()
	r, stop := start(t, Options{Graph: w.graph, Sink: w, Publish: taker, Dir: dir})
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, Active)
	w.send(10)
	counted := w.awaitExact(r).Counted
	none := order.Orders{}
	none.Seal()
	if err := r.SetOrders(none); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its flows have ended", func() string {
		if got := taker.reported(); got < counted || len(r.Captures()) > 0 {
			return fmt.Sprint(got, " of ", counted)
		}
		return ""
	})
	stop()
	again, _ := start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker(), Dir: dir})
	eventually(t, "the last orders are followed", func() string {
		if again.OrdersHash() != none.Hash || again.out.find("c1/tid-v0") != nil {
			return "not yet"
		}
		return ""
	})
}

// What the kernel has taken and not yet handed over when a capture ends is counted, not dropped.
func TestPacketsRightBeforeTheEndAreCounted(t *testing.T) {
	w, taker := newWire(t), newTaker()
	r, _ := start(t, Options{Graph: w.graph, Sink: w, Publish: taker, Dir: t.TempDir()})
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, Active)
	w.send(10)
	before := w.awaitExact(r).Counted
	none := order.Orders{}
	none.Seal()
	w.send(10)
	if err := r.SetOrders(none); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all packets are in flows", func() string {
		if got := taker.reported(); got < before+10 || len(r.Captures()) > 0 {
			return fmt.Sprint(got, " of ", before+10)
		}
		return ""
	})
}

// Without an analyzer the spool is what bounds memory, and what it drops is counted.
func TestFullSpoolIsCountedAsQueue(t *testing.T) {
	w := newWire(t)
	r, _ := start(t, Options{Graph: w.graph, Sink: w, Dir: t.TempDir(), Settings: Settings{QueueBytes: 64 << 10, Update: time.Millisecond}})
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, Active)
	eventually(t, "reports are dropped", func() string {
		w.send(10)
		if l := only(r).Ledger; l.Drops[flow.CauseQueue] == 0 {
			return fmt.Sprintf("%+v", l)
		}
		return ""
	})
	w.awaitExact(r)
}

// With a filter the interface cannot tell what would have passed: what an outage cost is said as an upper bound.
func TestFilteredCaptureOverAnOutage(t *testing.T) {
	w := newWire(t)
	dir := t.TempDir()
	capture := skydive.Capture{UUID: "c1", BPFFilter: "udp port 7777"}
	a, stop := start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker(), Dir: dir})
	if err := a.SetOrders(orders(capture, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, a, Active)
	w.send(100)
	eventually(t, "what passes the filter is counted", func() string {
		if l := only(a).Ledger; l.Received != 100 || l.Counted != 100 {
			return fmt.Sprintf("%+v", l)
		}
		return ""
	})
	stop()
	w.send(40)
	b, _ := start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker(), Dir: dir})
	s := awaitState(t, b, Active)
	if down := s.Ledger.Drops[flow.CauseDown]; !s.DownUpper || down < 40 || !s.Ledger.Balanced() {
		t.Errorf("upper bound %v, %+v", s.DownUpper, s.Ledger)
	}
	eventually(t, "the node calls it an upper bound", func() string {
		node, _ := w.graph.View().Node("v0")
		list, _ := node.Field("Captures")
		for item := range list.All() {
			ledger, _ := item.Object().Get("Ledger")
			drops, _ := ledger.Object().Get("Drops")
			if n, _ := drops.Object().Get("agent_down_upper"); n.Int() >= 40 {
				return ""
			}
		}
		return list.String()
	})
}

func TestTwoCapturesOnOneNodeWithSeveralRings(t *testing.T) {
	w := newWire(t)
	r, _ := start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker(), Settings: Settings{Rings: 2}})
	o := orders(skydive.Capture{UUID: "c1"}, "v0")
	o.Captures = append(o.Captures, orders(skydive.Capture{UUID: "c2", LayerKeyMode: "L3"}, "v0").Captures...)
	o.Seal()
	if err := r.SetOrders(o); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both run", func() string {
		for _, s := range r.Captures() {
			if s.State != Active {
				return string(s.State) + " " + s.Error
			}
		}
		if len(r.Captures()) != 2 {
			return "not both"
		}
		return ""
	})
	w.send(300)
	eventually(t, "both count all", func() string {
		for _, s := range r.Captures() {
			if s.Ledger.Received < 300 || int64(s.Ledger.Received) != w.counter()-s.Zero {
				return fmt.Sprintf("%s: %+v", s.Capture.UUID, s.Ledger)
			}
		}
		return ""
	})
	flows := map[string]int{}
	for f, err := range r.Flows(t.Context(), &gremlin.FlowQuery{AllNodes: true, Limit: 100}) {
		if err != nil {
			t.Fatal(err)
		}
		if f.Transport != nil && f.Transport.B == 7777 {
			flows[f.CaptureID]++
		}
	}
	if flows["c1"] != 1 || flows["c2"] != 1 {
		t.Errorf("flows %v", flows)
	}
}
