package graph_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
)

func origins(g *graph.Graph) []string {
	var out []string
	for _, o := range g.Origins() {
		out = append(out, o.Name)
	}
	return out
}

func deleteNode(id string) graph.Event { return graph.Event{Op: graph.DeleteNode, ID: id} }

func TestOriginsWithNothingAreForgotten(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now, OriginAge: time.Minute, OrphanAge: time.Hour})
	apply(t, g, "owner", putNode("n", name("n")))
	apply(t, g, "layer", putLayer("n", graph.RankRule, graph.F("X", graph.Int(1))))
	apply(t, g, "parked", putEdge("e", "n", "nobody"))
	for i := range 500 {
		id := fmt.Sprint("publisher-", i)
		apply(t, g, id, putNode(id), putEdge("e-"+id, "n", id), putLayer("n", graph.RankUser, graph.F("Y", graph.Int(1))))
		apply(t, g, id, deleteNode(id), graph.Event{Op: graph.DropLayer, ID: "n"})
	}
	for i := range 10 {
		// Never applied, and known all the same.
		b := &graph.Batch{Origin: fmt.Sprint("gap-", i), Epoch: 1, Seq: 7}
		if _, err := g.Apply(b); err == nil {
			t.Fatal("no gap")
		}
	}
	then := g.Now()
	c.advance(59 * time.Second)
	g.Trim()
	want(t, "before their time", g.Stats().Origins, 513)
	c.advance(2 * time.Second)
	g.Trim()
	want(t, "origins", origins(g), []string{"layer", "owner", "parked"})
	want(t, "counted", g.Stats().ForgottenOrigins, 510)
	want(t, "shown", show(g.View(), "n"), `{"Name":"n","X":1}`)

	past, err := g.At(then - 1)
	if err != nil {
		t.Fatal(err)
	}
	n, ok := past.Node("publisher-499")
	want(t, "the owner in the past", n.Owner(), "publisher-499")
	want(t, "there in the past", ok, true)

	// Those that hold something go when it is gone; a batch of another is enough to notice.
	apply(t, g, "owner", deleteNode("n"))
	apply(t, g, "parked", graph.Event{Op: graph.DeleteEdge, ID: "e"})
	c.advance(2 * time.Minute)
	apply(t, g, "another", putNode("m"))
	want(t, "origins", origins(g), []string{"another"})
}

// Late batches of a forgotten origin are no news.
func TestForgottenOriginGoesOnWhereItWas(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now, OriginAge: time.Minute})
	send := func(epoch, seq uint64, snap bool, events ...graph.Event) string {
		res, err := g.Apply(&graph.Batch{Origin: "p", Epoch: epoch, Seq: seq, Snapshot: snap, Events: events})
		return fmt.Sprint(res.Status, " ", err != nil)
	}
	applied, duplicate, stale := fmt.Sprint(graph.Applied, " false"), fmt.Sprint(graph.Duplicate, " false"), fmt.Sprint(graph.Stale, " false")
	forget := func() {
		t.Helper()
		c.advance(61 * time.Second)
		g.Trim()
		want(t, "origins", len(g.Origins()), 0)
	}
	want(t, "first", send(5, 1, false, putNode("a")), applied)
	want(t, "second", send(5, 2, false, deleteNode("a")), applied)
	forget()
	want(t, "late", send(5, 1, false, putNode("a")), duplicate)
	want(t, "late snapshot", send(5, 2, true, putNode("a")), duplicate)
	want(t, "known again", g.Origins(), []graph.OriginState{{Name: "p", Epoch: 5, Seq: 2}})
	forget()
	want(t, "of an old epoch", send(4, 1, true, putNode("a")), stale)
	forget()
	want(t, "a gap", send(5, 4, false), fmt.Sprint(graph.Applied, " true"))
	forget()
	want(t, "the next one", send(5, 3, false, putNode("b")), applied)
	want(t, "a new epoch", send(6, 1, true), applied)
	want(t, "nodes", g.View().NodeCount(), 0)
	forget()
	want(t, "of the epoch before", send(5, 4, false, putNode("b")), stale)
}

func TestPositionsOfForgottenOriginsAreBounded(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now, OriginAge: time.Minute})
	numbered := func(i int) graph.Status {
		res, err := g.Apply(&graph.Batch{Origin: fmt.Sprint("p", i), Epoch: 1, Seq: 1})
		if err != nil {
			t.Fatal(err)
		}
		return res.Status
	}
	const remembered = 10_000
	for i := range remembered + 2 {
		numbered(i)
	}
	c.advance(time.Minute)
	for range remembered/1000 + 1 {
		g.Trim()
	}
	want(t, "origins", len(g.Origins()), 0)
	want(t, "forgotten first", numbered(1), graph.Applied)
	want(t, "remembered", numbered(2), graph.Duplicate)
	want(t, "forgotten last", numbered(remembered+1), graph.Duplicate)
}

// A clock that went back, or a moment from far ahead that changed nothing, keeps nobody known for ever.
func TestOriginsAreForgottenAfterTheClockWentBack(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now, OriginAge: time.Minute})
	ahead := graph.MomentOf(c.t.Add(24 * time.Hour))
	var gap *graph.GapError
	if _, err := g.ApplyAt(ahead, &graph.Batch{Origin: "ahead", Epoch: 1, Seq: 2}); !errors.As(err, &gap) {
		t.Fatal(err)
	}
	apply(t, g, "p")
	for range 2 {
		g.Trim()
		c.advance(time.Minute)
	}
	g.Trim()
	want(t, "origins", origins(g), []string(nil))
}
