package analyzer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/bus/bustest"
)

func TestCommitIsVisibleWhenItsWaitReturns(t *testing.T) {
	h := newHub(t, hubOptions{dir: t.TempDir()}).streams()
	w := h.Origin("me", api.OriginOptions{})
	defer w.Close()
	r := say(t, w, node("a"), node("b"), edge("a", "b"))
	if r.Changes != 3 || r.Status != graph.Applied {
		t.Errorf("result %+v", r)
	}
	if !has(h.graph, "a", "a-b", "b") {
		t.Errorf("graph: %v", ids(h.graph))
	}
	if n, _ := h.graph.View().Node("a"); n.Owner() != h.OriginName("me") || n.Owner() != "me@analyzer:hub" {
		t.Errorf("owner %s", n.Owner())
	}
	// Another origin is told at once that it may not.
	other := h.Origin("other", api.OriginOptions{})
	if r := say(t, other, node("a")); len(r.Rejected) != 1 || !errors.Is(r.Rejected[0].Err, graph.ErrOwned) {
		t.Errorf("result %+v", r)
	}
	p, err := w.Snapshot(t.Context(), []graph.Event{node("b")})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, p)
	if !has(h.graph, "b") {
		t.Errorf("graph: %v", ids(h.graph))
	}
}

func TestCommitsPipelineInOrder(t *testing.T) {
	h := newHub(t, hubOptions{})
	w := h.Origin("me", api.OriginOptions{})
	var last api.Pending
	for i := range 2000 {
		p, err := w.Commit(t.Context(), []graph.Event{node("a", graph.F("N", graph.Int(int64(i))))})
		if err != nil {
			t.Fatal(err)
		}
		last = p
	}
	wait(t, last)
	n, _ := h.graph.View().Node("a")
	if v, _ := n.Field("N"); v.Int() != 1999 || n.Revision() < 1999 {
		t.Errorf("N is %s in revision %d", v, n.Revision())
	}
	if h.writers.inFlight() != 0 || h.counters.gaps.Load() != 0 {
		t.Errorf("%d events in flight, %d gaps", h.writers.inFlight(), h.counters.gaps.Load())
	}
}

func TestCommitWaitsWhileTooMuchIsInFlight(t *testing.T) {
	h := newHub(t, hubOptions{analyzer: Options{Window: 10}})
	h.feed.Close() // nothing comes back any more
	w := h.Origin("me", api.OriginOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var err error
	var pending api.Pending
	n := 0
	for ; err == nil; n++ {
		var p api.Pending
		if p, err = w.Commit(ctx, []graph.Event{node("a"), node("b"), node("c")}); err == nil {
			pending = p
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) || n != 4 {
		t.Errorf("commit %d: %v", n, err)
	}
	if _, err := pending.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait: %v", err)
	}
	// The end of the analyzer ends every wait.
	h.writers.fail(errClosed)
	if _, err := pending.Wait(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("wait: %v", err)
	}
	if _, err := w.Commit(t.Context(), []graph.Event{node("a")}); !errors.Is(err, errClosed) {
		t.Errorf("commit: %v", err)
	}
	h.feed, _ = h.conn.Feed(bus.FeedOptions{Handle: func(bus.Delivery) {}}) // for Close
}

func TestLostBatchIsPublishedAgain(t *testing.T) {
	h := newHub(t, hubOptions{})
	w := h.Origin("me", api.OriginOptions{}).(*origin)
	say(t, w, node("a"))
	// The second never leaves, the third does: a gap.
	w.mu.Lock()
	lost := &pending{batch: &graph.Batch{Origin: w.name, Epoch: w.epoch, Seq: 2, Events: []graph.Event{node("b")}}, sent: time.Now(), done: make(chan struct{})}
	w.pending, w.seq, w.events = append(w.pending, lost), 2, 1
	w.mu.Unlock()
	say(t, w, node("c"))
	wait(t, lost)
	if !has(h.graph, "a", "b", "c") || h.counters.gaps.Load() == 0 || h.counters.resent.Load() == 0 {
		t.Errorf("graph: %v, %d gaps, %d resent", ids(h.graph), h.counters.gaps.Load(), h.counters.resent.Load())
	}
}

func TestOriginsThatAreGoneAreForgotten(t *testing.T) {
	h := newHub(t, hubOptions{})
	for i := range 50 {
		w := h.Origin(fmt.Sprint("client", i%5), api.OriginOptions{})
		say(t, w, node(fmt.Sprint("n", i)))
		p, err := w.Snapshot(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		wait(t, p)
		w.Close()
	}
	eventually(t, 5*time.Second, "origins are forgotten", func() bool {
		h.writers.mu.Lock()
		defer h.writers.mu.Unlock()
		return len(h.writers.origins) <= 1 // presence
	})
	// One that comes again is heard.
	say(t, h.Origin("client1", api.OriginOptions{}), node("again"))
	if !has(h.graph, "again") {
		t.Errorf("graph: %v", ids(h.graph))
	}
}

func TestOriginsWithoutAnythingAreForgotten(t *testing.T) {
	dir := t.TempDir()
	h := newHub(t, hubOptions{dir: dir, analyzer: Options{Forget: 10 * time.Millisecond}}).streams()
	names := func() (list []string) {
		h.writers.mu.Lock()
		defer h.writers.mu.Unlock()
		for name := range h.writers.origins {
			list = append(list, strings.TrimSuffix(name, "@analyzer:hub"))
		}
		slices.Sort(list)
		return list
	}
	for _, persist := range []bool{true, false} {
		open := func(name string) api.OriginWriter {
			return h.Origin(fmt.Sprint(name, persist), api.OriginOptions{Persist: persist})
		}
		open("silent").Close()
		w := open("deleted")
		say(t, w, node("n"))
		say(t, w, graph.Event{Op: graph.DeleteNode, ID: "n"})
		w.Close()
		w = open("kept")
		say(t, w, node(fmt.Sprint("kept", persist)))
		w.Close()
		defer open("open").Close()
	}
	want := []string{"keptfalse", "kepttrue", "openfalse", "opentrue", "presence"}
	eventually(t, 5*time.Second, "what is empty is forgotten", func() bool { return slices.Equal(names(), want) })
	w := h.Origin("deletedtrue", api.OriginOptions{Persist: true})
	say(t, w, node("again"))
	h.abandon()
	h = newHub(t, hubOptions{dir: dir})
	if !has(h.graph, "again", "kepttrue") {
		t.Errorf("graph after a crash: %v", ids(h.graph))
	}
}

func TestTwoAnalyzersAgree(t *testing.T) {
	url := bustest.Debian(t, "")
	a, b := newHub(t, hubOptions{host: "a", url: url}).streams(), newHub(t, hubOptions{host: "b", url: url}).streams()
	onA, onB := a.Origin("me", api.OriginOptions{}), b.Origin("me", api.OriginOptions{})
	for i := range 100 {
		say(t, onA, node(fmt.Sprint("a", i)))
		say(t, onB, node(fmt.Sprint("b", i)), edge(fmt.Sprint("b", i), fmt.Sprint("a", i)))
	}
	same := func() bool { return shown(a.graph) == shown(b.graph) }
	eventually(t, 5*time.Second, "graphs are equal", same)
	for n := range a.graph.View().Nodes() {
		m, _ := b.graph.View().Node(n.ID())
		if m.From() != n.From() {
			t.Fatalf("%s is from %d and %d", n.ID(), n.From(), m.From())
		}
	}
	// One that starts later, or again, gets to the same graph, without what died with it.
	a.stop()
	a = newHub(t, hubOptions{host: "a", url: url}).streams()
	say(t, a.Origin("new", api.OriginOptions{}), node("x"))
	eventually(t, 10*time.Second, "graphs are equal again", func() bool {
		_, old := b.graph.View().Node("a0")
		return !old && same() && a.graph.View().NodeCount() == 101
	})
	c := newHub(t, hubOptions{host: "c", url: url})
	eventually(t, 10*time.Second, "a third has the same", func() bool { return shown(c.graph) == shown(b.graph) })
}

func BenchmarkCommitToVisible(b *testing.B) {
	for _, size := range []int{1, 100, 500} {
		b.Run(fmt.Sprint("events=", size), func(b *testing.B) {
			h := newHub(b, hubOptions{dir: b.TempDir()}).streams()
			w := h.Origin("me", api.OriginOptions{})
			events := make([]graph.Event, size)
			const nodes = 20_000
			for i := range nodes / size {
				for j := range events {
					events[j] = node(fmt.Sprint("n", i*size+j), graph.F("MTU", graph.Int(1500)))
				}
				say(b, w, append([]graph.Event(nil), events...)...)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var last api.Pending
			for i := 0; b.Loop(); i++ {
				batch := make([]graph.Event, size)
				for j := range batch {
					id := (i*size + j) % nodes
					batch[j] = node(fmt.Sprint("n", id), graph.F("MTU", graph.Int(int64(i))), graph.F("State", graph.String("UP")))
				}
				p, err := w.Commit(b.Context(), batch)
				if err != nil {
					b.Fatal(err)
				}
				last = p
			}
			wait(b, last)
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
