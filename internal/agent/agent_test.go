package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	testenv.Eventually(t, 5*time.Second, func() string {
		if cond() {
			return ""
		}
		return what + ": not yet"
	})
}

// hub is what an agent talks to: a bus, and everything that came over it.
type hub struct {
	t      *testing.T
	server *bus.Server
	conn   *bus.Conn

	mu      sync.Mutex
	batches []*graph.Batch
	beats   []bus.Beat
}

func newHub(t *testing.T, listen bool) *hub {
	t.Helper()
	h := &hub{t: t}
	var err error
	if h.server, err = bus.StartServer(bus.ServerOptions{Host: "hub"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.server.Stop)
	h.conn = h.dial(bus.AnalyzerMember("hub"))
	if listen {
		h.listen()
	}
	return h
}

func (h *hub) dial(member string) *bus.Conn {
	h.t.Helper()
	c, err := bus.Connect(bus.ConnOptions{Member: member, Server: h.server})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

// listen begins to take batches, as an analyzer does.
func (h *hub) listen() {
	h.t.Helper()
	feed, err := h.conn.Feed(bus.FeedOptions{Handle: func(d bus.Delivery) {
		b, err := graph.DecodeBatch(d.Data)
		if err != nil {
			panic(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.batches = append(h.batches, b)
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(feed.Close)
	if _, err := h.conn.OnBeat(func(b bus.Beat) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.beats = append(h.beats, b)
	}); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Second)
	defer cancel()
	if err := h.conn.Flush(ctx); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.batches)
}

func (h *hub) last() *graph.Batch {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.batches[len(h.batches)-1]
}

func (h *hub) await(n int) *graph.Batch {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("batch %d arrives", n), func() bool { return h.len() >= n })
	return h.last()
}

// puppet is a probe whose sink the test holds.
type puppet struct {
	sink chan probe.Sink
	fail chan error
}

func newPuppet() *puppet { return &puppet{make(chan probe.Sink, 10), make(chan error)} }

func (p *puppet) spec() probe.Spec {
	return probe.Spec{Name: "puppet", New: func(probe.Env) (probe.Probe, error) { return p, nil }}
}

func (p *puppet) Name() string { return "puppet" }

func (p *puppet) Run(ctx context.Context, sink probe.Sink) error {
	p.sink <- sink
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.fail:
		return err
	}
}

func run(t *testing.T, opts Options) (a *Agent, stop func()) {
	t.Helper()
	opts.Host = "h1"
	if opts.Backoff == 0 {
		opts.Backoff = time.Millisecond
	}
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return a, stop
}

func node(id string, mtu int64) graph.Event {
	return graph.Event{Op: graph.PutNode, ID: id, Metadata: graph.NewMetadata(graph.F("Name", graph.String(id)), graph.F("MTU", graph.Int(mtu)))}
}

func edge(parent, child string) graph.Event {
	return graph.Event{Op: graph.PutEdge, ID: parent + "-" + child, Parent: parent, Child: child}
}

func ids(b *graph.Batch) (list []string) {
	for _, e := range b.Events {
		list = append(list, e.ID)
	}
	slices.Sort(list)
	return list
}

func TestBatchesAreNumberedAndWhatChangesNothingIsNotSent(t *testing.T) {
	h, p := newHub(t, true), newPuppet()
	a, _ := run(t, Options{Conn: h.dial("h1"), Probes: []probe.Spec{p.spec()}})
	sink := <-p.sink
	sink.Commit(node("a", 1)) // the first is a Snapshot, whatever it is
	if b := h.await(1); !b.Snapshot || b.Seq != 1 || b.Epoch == 0 || b.Origin != "puppet@h1" {
		t.Errorf("first batch %+v", b)
	}
	sink.Commit(node("b", 1))
	sink.Commit(node("a", 1), node("b", 1)) // nothing new
	sink.Replace([]graph.Event{node("b", 1), node("a", 1)})
	sink.Commit(node("a", 2))
	if b := h.await(3); b.Seq != 3 || b.Snapshot || !slices.Equal(ids(b), []string{"a"}) {
		t.Errorf("third batch %+v", b)
	}
	if a.Graph().View().NodeCount() != 2 || h.len() != 3 {
		t.Errorf("%d nodes, %d batches", a.Graph().View().NodeCount(), h.len())
	}
}

func TestRequestIsAnsweredWithTheWholeState(t *testing.T) {
	h, p := newHub(t, true), newPuppet()
	run(t, Options{Conn: h.dial("h1"), Probes: []probe.Spec{p.spec()}})
	sink := <-p.sink
	sink.Replace([]graph.Event{node("a", 1), node("b", 1), edge("a", "b")})
	// An edge that waits for its node is part of the state.
	sink.Commit(edge("a", "later"))
	epoch := h.await(2).Epoch
	if err := h.conn.RequestResync("h1", []bus.Position{{Origin: "puppet@h1"}}); err != nil {
		t.Fatal(err)
	}
	if b := h.await(3); !b.Snapshot || b.Seq != 3 || b.Epoch != epoch || !slices.Equal(ids(b), []string{"a", "a-b", "a-later", "b"}) {
		t.Errorf("snapshot %+v", b)
	}
	// An analyzer that remembers a later epoch hears a later one still.
	if err := h.conn.RequestResync("h1", []bus.Position{{Origin: "puppet@h1", Epoch: epoch + 1000}}); err != nil {
		t.Fatal(err)
	}
	if b := h.await(4); !b.Snapshot || b.Seq != 1 || b.Epoch != epoch+1001 {
		t.Errorf("snapshot %+v", b)
	}
	sink.Commit(node("c", 1))
	if b := h.await(5); b.Snapshot || b.Seq != 2 || b.Epoch != epoch+1001 {
		t.Errorf("batch %+v", b)
	}
}

func TestWithoutAnAnalyzerNothingIsLostAndNothingWaits(t *testing.T) {
	h, p := newHub(t, false), newPuppet()
	a, _ := run(t, Options{Conn: h.dial("h1"), Probes: []probe.Spec{p.spec()}, QueueEvents: 10})
	sink := <-p.sink
	begun := time.Now()
	for i := range 10_000 {
		sink.Commit(node(fmt.Sprint("n", i%100), int64(i)))
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the probe waited: %s", took)
	}
	if a.out.waiting() > 10 {
		t.Errorf("%d events wait", a.out.waiting())
	}
	if a.out.stats.dropped.Load() == 0 {
		t.Error("what was dropped is not counted")
	}
	h.listen()
	eventually(t, "heartbeat tells of the loss", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.beats) > 0 && len(h.beats[0].Origins) == 1 && h.beats[0].Origins[0].Seq > 0
	})
	if err := h.conn.RequestResync("h1", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "whole state arrives", func() bool {
		if h.len() == 0 {
			return false
		}
		b := h.last()
		return b.Snapshot && len(b.Events) == 100
	})
}

func TestProbeIsStartedAgainAndItsOldSinkIsDeaf(t *testing.T) {
	h, p := newHub(t, true), newPuppet()
	a, _ := run(t, Options{Conn: h.dial("h1"), Probes: []probe.Spec{p.spec()}})
	old := <-p.sink
	old.Replace([]graph.Event{node("a", 1)})
	p.fail <- errors.New("netlink is gone")
	sink := <-p.sink
	old.Commit(node("ghost", 1))
	sink.Replace([]graph.Event{node("b", 1)})
	if b := h.await(2); !b.Snapshot || b.Seq != 2 || !slices.Equal(ids(b), []string{"b"}) {
		t.Errorf("batch %+v", b)
	}
	if s := a.Probes()["puppet"]; s.Status != "running" {
		t.Errorf("state %+v", s)
	}
	if a.tasks[0].restarts.Load() != 1 {
		t.Error("the restart is not counted")
	}
}

func TestGuestSpeaksOfTheNodesOfProbesAndAfterThem(t *testing.T) {
	h, p := newHub(t, true), newPuppet()
	var followed atomic.Uint64
	h2 := Options{Conn: h.dial("h1"), Probes: []probe.Spec{p.spec()}, Orders: followed.Load, Heartbeat: 10 * time.Millisecond}
	a, _ := run(t, h2)
	guest := a.Sink("captures")
	sink := <-p.sink
	sink.Replace([]graph.Event{node("a", 1)})
	layer := graph.Event{Op: graph.PutLayer, ID: "a", Rank: graph.RankCapture, Metadata: graph.NewMetadata(graph.F("Captures", graph.Int(1)))}
	guest.Replace([]graph.Event{layer})
	if b := h.await(2); !b.Snapshot || b.Origin != "captures@h1" {
		t.Errorf("batch %+v", b)
	}
	// What the probe says again leaves the layer.
	sink.Replace([]graph.Event{node("a", 2)})
	h.await(3)
	n, _ := a.Graph().View().Node("a")
	if v, _ := n.Field("Captures"); v.Int() != 1 {
		t.Errorf("the layer went: %v", v)
	}
	if err := h.conn.RequestResync("h1", nil); err != nil {
		t.Fatal(err)
	}
	if b := h.await(5); b.Origin != "captures@h1" || !b.Snapshot || len(b.Events) != 1 || b.Events[0].Op != graph.PutLayer {
		t.Errorf("the last snapshot is %+v", b)
	}
	followed.Store(42)
	eventually(t, "heartbeat names the orders", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.beats[len(h.beats)-1].Orders == 42
	})
}

func TestRefusedEventsAreCounted(t *testing.T) {
	h := newHub(t, true)
	one, two := newPuppet(), newPuppet()
	second := two.spec()
	second.Name = "second"
	a, _ := run(t, Options{Conn: h.dial("h1"), Probes: []probe.Spec{one.spec(), second}})
	first, other := <-one.sink, <-two.sink
	first.Replace([]graph.Event{node("a", 1)})
	other.Replace([]graph.Event{node("a", 2), node("b", 2)})
	if n := a.out.stats.rejected.Load(); n != 1 {
		t.Errorf("%d events counted as refused", n)
	}
}

func TestEndEmptiesTheQueue(t *testing.T) {
	h, p := newHub(t, true), newPuppet()
	_, stop := run(t, Options{Conn: h.dial("h1"), Probes: []probe.Spec{p.spec()}})
	sink := <-p.sink
	for i := range 500 {
		sink.Commit(node("a", int64(i)))
	}
	stop()
	h.await(500)
}

func TestManyProbesAtOnce(t *testing.T) {
	h := newHub(t, true)
	var specs []probe.Spec
	var said atomic.Int64
	for i := range 8 {
		name := fmt.Sprint("p", i)
		specs = append(specs, probe.Spec{Name: name, New: func(probe.Env) (probe.Probe, error) {
			return talker{name, &said}, nil
		}})
	}
	run(t, Options{Conn: h.dial("h1"), Probes: specs})
	eventually(t, "all has been said", func() bool { return said.Load() == 8*200 })
	h.await(8 * 200)
	mirror := graph.New(graph.Options{})
	for _, b := range h.batches {
		if _, err := mirror.Apply(b); err != nil {
			t.Fatal(err)
		}
	}
	if n := mirror.View().NodeCount(); n != 8*200 {
		t.Errorf("%d nodes", n)
	}
}

// talker is a probe that says 200 nodes.
type talker struct {
	name string
	said *atomic.Int64
}

func (p talker) Name() string { return p.name }

func (p talker) Run(ctx context.Context, sink probe.Sink) error {
	for i := range 200 {
		sink.Commit(node(fmt.Sprint(p.name, "-", i), 1))
		p.said.Add(1)
	}
	<-ctx.Done()
	return nil
}
