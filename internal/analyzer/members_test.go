package analyzer

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
)

// fake is an agent as the bus sees one, whose every step the test decides.
type fake struct {
	t        *testing.T
	conn     *bus.Conn
	pub      *bus.Publisher
	name     string
	requests chan bus.Resync
}

func newFake(t *testing.T, h *hub, member string) *fake {
	t.Helper()
	f := &fake{t: t, conn: h.dial(member), name: "linux@" + member, requests: make(chan bus.Resync, 100)}
	if _, err := f.conn.OnResync(func(r bus.Resync) { f.requests <- r }); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.pub, err = f.conn.Publisher(bus.PublisherOptions{}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fake) say(epoch, seq uint64, whole bool, events ...graph.Event) {
	f.t.Helper()
	publish(f.t, f.pub, &graph.Batch{Origin: f.name, Epoch: epoch, Seq: seq, Snapshot: whole, Events: events})
}

func (f *fake) beat(epoch, seq uint64) {
	f.t.Helper()
	b := bus.Beat{Instance: f.conn.Instance()}
	if seq > 0 {
		b.Origins = []bus.Position{{Origin: f.name, Epoch: epoch, Seq: seq}}
	}
	if err := f.conn.Beat(b); err != nil {
		f.t.Fatal(err)
	}
}

// asked waits for a request and gives what the analyzer knows.
func (f *fake) asked() bus.Position {
	f.t.Helper()
	select {
	case r := <-f.requests:
		if len(r.Origins) != 1 || r.Origins[0].Origin != f.name {
			f.t.Fatalf("request %+v", r)
		}
		return r.Origins[0]
	case <-time.After(5 * time.Second):
		f.t.Fatal("no request for the whole state")
	}
	panic("unreachable")
}

func TestGapLeadsToTheWholeState(t *testing.T) {
	h := newHub(t, hubOptions{})
	f := newFake(t, h, "h1")
	f.say(7, 1, true, node("a"))
	f.beat(7, 1)
	f.say(7, 3, false, node("c")) // 2 was lost
	if known := f.asked(); known.Epoch != 7 || known.Seq != 1 {
		t.Errorf("the analyzer knows %+v", known)
	}
	// The request is repeated until the answer is there.
	f.asked()
	f.say(7, 4, true, node("a"), node("b"), node("c"))
	eventually(t, 5*time.Second, "graph is right", func() bool { return has(h.graph, "a", "b", "c") })
	f.say(7, 5, false, node("d"))
	eventually(t, 5*time.Second, "batches go on", func() bool { return has(h.graph, "a", "b", "c", "d") })
	if h.counters.gaps.Load() != 1 || h.counters.resyncs.Load() < 2 {
		t.Errorf("%d gaps, %d requests", h.counters.gaps.Load(), h.counters.resyncs.Load())
	}
}

func TestLastBatchBeforeASilenceIsMissedByTheHeartbeat(t *testing.T) {
	h := newHub(t, hubOptions{})
	f := newFake(t, h, "h1")
	f.say(7, 1, true, node("a"))
	eventually(t, 5*time.Second, "first batch", func() bool { return has(h.graph, "a") })
	f.beat(7, 2) // but 2 never came
	if known := f.asked(); known.Seq != 1 {
		t.Errorf("the analyzer knows %+v", known)
	}
	f.say(7, 3, true, node("a"), node("b"))
	eventually(t, 5*time.Second, "graph is right", func() bool { return has(h.graph, "a", "b") })
}

func TestAnalyzerThatKnowsNothingAsksAtTheFirstHeartbeat(t *testing.T) {
	h := newHub(t, hubOptions{})
	f := newFake(t, h, "h1")
	flushed(t, f.conn)
	begun := time.Now()
	f.beat(7, 1234)
	if known := f.asked(); known.Epoch != 0 || known.Seq != 0 {
		t.Errorf("the analyzer knows %+v", known)
	}
	if took := time.Since(begun); took > 900*time.Millisecond {
		t.Errorf("asked after %s", took)
	}
}

func flushed(t *testing.T, c *bus.Conn) {
	t.Helper()
	ctx, cancel := contextFor(t, 5*time.Second)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestClockPutBackBetweenTwoProcesses(t *testing.T) {
	h := newHub(t, hubOptions{})
	f := newFake(t, h, "h1")
	f.say(1000, 1, true, node("old"))
	eventually(t, 5*time.Second, "first process", func() bool { return has(h.graph, "old") })
	f.say(500, 1, true, node("new")) // the next process believes that it is earlier
	eventually(t, 5*time.Second, "batch is stale", func() bool { return h.counters.stale.Load() == 1 })
	f.beat(500, 1)
	if known := f.asked(); known.Epoch != 1000 {
		t.Errorf("the analyzer knows %+v", known)
	}
	f.say(1001, 1, true, node("new"))
	eventually(t, 5*time.Second, "graph is right", func() bool { return has(h.graph, "new") })
}

func TestOriginThatIsNoLongerListedGoes(t *testing.T) {
	h := newHub(t, hubOptions{})
	f := newFake(t, h, "h1")
	f.say(7, 1, true, node("a"))
	f.beat(7, 1)
	eventually(t, 5*time.Second, "batch", func() bool { return has(h.graph, "a") })
	f.beat(0, 0) // a process that does not run that probe
	f.beat(0, 0)
	eventually(t, 5*time.Second, "its part is gone", func() bool { return has(h.graph) })
	f.say(8, 1, true, node("b"))
	eventually(t, 5*time.Second, "it may come again", func() bool { return has(h.graph, "b") })
}

func TestBatchOfAnotherMembersOriginIsRefused(t *testing.T) {
	h := newHub(t, hubOptions{})
	f := newFake(t, h, "h1")
	for i, name := range []string{"linux@h2", "linux", "api@analyzer:hub", "linux@"} {
		publish(t, f.pub, &graph.Batch{Origin: name, Epoch: 1, Seq: 1, Snapshot: true, Events: []graph.Event{node("x")}})
		eventually(t, 5*time.Second, name+" is refused", func() bool { return h.counters.foreign.Load() == uint64(i+1) })
	}
	f.say(1, 1, true, node("a"))
	eventually(t, 5*time.Second, "its own is taken", func() bool { return has(h.graph, "a") })
}

func TestHostThatStaysAwayIsMarkedAndExpires(t *testing.T) {
	h := newHub(t, hubOptions{analyzer: Options{Away: 300 * time.Millisecond, Expire: 3 * time.Second}})
	f := newFake(t, h, "h1")
	host := node("h1", graph.F("Type", graph.String("host")))
	f.say(7, 1, true, host, node("a"), edge("h1", "a"))
	f.beat(7, 1)
	reachable := func() (graph.Value, bool) {
		n, _ := h.graph.View().Node("h1")
		return n.Field("Reachable")
	}
	eventually(t, 5*time.Second, "it is marked", func() bool { v, ok := reachable(); return ok && !v.Bool() })
	n, _ := h.graph.View().Node("h1")
	if v, _ := n.Field("LastSeen"); time.Since(time.UnixMilli(v.Int())) > 3*time.Second {
		t.Errorf("last seen %s", v)
	}
	if h.members.away() != 1 {
		t.Error("nobody is counted as away")
	}
	eventually(t, 5*time.Second, "the mark goes when it answers", func() bool {
		f.beat(7, 1)
		_, ok := reachable()
		return !ok
	})
	eventually(t, 10*time.Second, "its part of the graph expires", func() bool { return has(h.graph) })
	if h.counters.expired.Load() != 1 {
		t.Errorf("%d origins expired", h.counters.expired.Load())
	}
	f.say(7, 2, false, node("b"))
	f.beat(7, 2)
	f.asked()
	f.say(7, 3, true, host, node("b"))
	eventually(t, 5*time.Second, "it may come again", func() bool { return has(h.graph, "b", "h1") })
}

func TestClockThatJumpsMarksNobodyAndKeepsTheOrder(t *testing.T) {
	var offset atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	h := newHub(t, hubOptions{now: now, analyzer: Options{Expire: time.Hour}})
	f := newFake(t, h, "h1")
	f.say(7, 1, true, node("h1", graph.F("Type", graph.String("host"))))
	f.beat(7, 1)
	eventually(t, 5*time.Second, "host", func() bool { return has(h.graph, "h1") })
	before := h.graph.Now()
	w := h.Origin("me", api.OriginOptions{})
	for _, jump := range []time.Duration{24 * time.Hour, -48 * time.Hour, 0} {
		offset.Store(int64(jump))
		f.beat(7, 1)
		r := say(t, w, node("n", graph.F("Jump", graph.Int(int64(jump)))))
		if r.Moment <= before {
			t.Errorf("moment %d is not after %d", r.Moment, before)
		}
		before = r.Moment
		h.lookAround(t.Context(), w)
	}
	if !has(h.graph, "h1", "n") || h.members.away() != 0 {
		t.Errorf("graph %v, %d away", ids(h.graph), h.members.away())
	}
	if n, _ := h.graph.View().Node("h1"); n.Metadata().Len() != 2 {
		t.Errorf("host %s", n.Metadata().AppendJSON(nil))
	}
}

// TestLayersThatCameBeforeTheirNodesAreAskedForAgain loses the batch with the nodes, as when a process ends while
// batches are under way: the layers come, their origin has caught up, and yet nothing of them is in the graph.
func TestLayersThatCameBeforeTheirNodesAreAskedForAgain(t *testing.T) {
	h := newHub(t, hubOptions{})
	owner := newFake(t, h, "h1")
	guest := &fake{t: t, conn: owner.conn, pub: owner.pub, name: "captures@h1", requests: owner.requests}
	layer := graph.Event{Op: graph.PutLayer, ID: "a", Rank: graph.RankCapture, Metadata: graph.NewMetadata(graph.F("Counted", graph.Int(42)))}
	beat := func(seq uint64) {
		t.Helper()
		err := owner.conn.Beat(bus.Beat{Instance: "i", Origins: []bus.Position{{Origin: owner.name, Epoch: 7, Seq: 2}, {Origin: guest.name, Epoch: 7, Seq: seq}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	owner.say(7, 1, true)
	guest.say(7, 1, true, layer) // after a batch 2 of the owner, which was lost
	beat(1)
	wanted := map[string]bool{}
	deadline := time.After(10 * time.Second)
	often := time.NewTicker(100 * time.Millisecond) // it goes on, and says nothing of the layer that is missing
	defer often.Stop()
	seq := uint64(1)
	for len(wanted) < 2 {
		select {
		case <-often.C:
			seq++
			guest.say(7, seq, false, graph.Event{Op: graph.DropLayer, ID: "b"})
			if seq%10 == 0 {
				beat(seq) // they go on every second, and one may be lost
			}
		case r := <-owner.requests:
			for _, o := range r.Origins {
				wanted[o.Origin] = true
			}
		case <-deadline:
			t.Fatalf("the whole states of %v alone were asked for", wanted)
		}
	}
	owner.say(7, 2, true, node("a"))
	guest.say(7, seq+1, true, layer)
	eventually(t, 5*time.Second, "the layer is on its node", func() bool {
		n, ok := h.graph.View().Node("a")
		counted, _ := n.Field("Counted")
		return ok && counted.Int() == 42
	})
	beat(seq + 1)
	eventually(t, 5*time.Second, "nothing is in doubt", func() bool {
		h.members.mu.Lock()
		defer h.members.mu.Unlock()
		return len(h.members.byName["h1"].claims) == 0
	})
}

// TestMissingLayersAreDoubtedUntilAWholeStateLaysThem follows the doubt on an origin whose layers did not find their
// nodes, batch by batch: what else it says does not lay them.
func TestMissingLayersAreDoubtedUntilAWholeStateLaysThem(t *testing.T) {
	h := newHub(t, hubOptions{})
	layer := []graph.Event{{Op: graph.PutLayer, ID: "a", Rank: graph.RankCapture}}
	lost := graph.Result{Rejected: []graph.Rejection{{Index: 0, Err: fmt.Errorf("node a: %w", graph.ErrUnknown)}}}
	for i, step := range []struct {
		what   string
		whole  bool
		result graph.Result
		doubt  bool
	}{
		{what: "its first batch", whole: true},
		{what: "a layer without its node", result: lost, doubt: true},
		{what: "another batch, all of which is taken", doubt: true},
		{what: "and one more", doubt: true},
		{what: "a whole state that is too early", whole: true, result: lost, doubt: true},
		{what: "a batch after it", doubt: true},
		{what: "a whole state that is laid", whole: true},
		{what: "and what follows it"},
	} {
		b := &graph.Batch{Origin: "captures@h1", Epoch: 7, Seq: uint64(i + 1), Snapshot: step.whole, Events: layer}
		h.applied("h1", b, step.result)
		h.members.mu.Lock()
		c := h.members.byName["h1"].claims[b.Origin]
		if doubt := c != nil && c.bare; doubt != step.doubt || c != nil && !doubt {
			t.Errorf("%s: doubted %v, not %v, claim %+v", step.what, doubt, step.doubt, c)
		}
		h.members.mu.Unlock()
	}
}
