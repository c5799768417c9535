package graph_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
)

// clock is a clock that tests move.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

// apply commits events of an origin, unnumbered, and fails the test when one is refused.
func apply(t testing.TB, g *graph.Graph, origin string, events ...graph.Event) graph.Result {
	t.Helper()
	res, err := g.Apply(&graph.Batch{Origin: origin, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range res.Rejected {
		t.Fatalf("event %d (%s) refused: %v", r.Index, r.ID, r.Err)
	}
	return res
}

func putNode(id string, fields ...graph.Field) graph.Event {
	return graph.Event{Op: graph.PutNode, ID: id, Host: "h1", Metadata: graph.NewMetadata(fields...)}
}

func putEdge(id, parent, child string, fields ...graph.Field) graph.Event {
	return graph.Event{Op: graph.PutEdge, ID: id, Host: "h1", Parent: parent, Child: child, Metadata: graph.NewMetadata(fields...)}
}

func name(s string) graph.Field { return graph.F("Name", graph.String(s)) }

func ids[E interface{ ID() string }](seq func(func(E) bool)) []string {
	var out []string
	for e := range seq {
		out = append(out, e.ID())
	}
	slices.Sort(out)
	return out
}

func show(v *graph.View, id string) string {
	n, ok := v.Node(id)
	if !ok {
		return "absent"
	}
	return string(n.Metadata().AppendJSON(nil))
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func TestNodeInJSONHasSkydivesOrder(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now})
	apply(t, g, "probe", putNode("n1", name("eth0"), graph.F("MTU", graph.Int(1500))), putNode("n2"),
		putEdge("e1", "n1", "n2", graph.F("RelationType", graph.String("ownership"))))
	ms := c.t.UnixMilli()
	n, _ := g.View().Node("n1")
	want(t, "node", string(n.AppendJSON(nil)), fmt.Sprintf(
		`{"ID":"n1","Metadata":{"MTU":1500,"Name":"eth0"},"Host":"h1","Origin":"probe","CreatedAt":%d,"UpdatedAt":%d,"DeletedAt":null,"Revision":0}`, ms, ms))
	e, _ := g.View().Edge("e1")
	want(t, "edge", string(e.AppendJSON(nil)), fmt.Sprintf(
		`{"ID":"e1","Metadata":{"RelationType":"ownership"},"Host":"h1","Origin":"probe","CreatedAt":%d,"UpdatedAt":%d,"DeletedAt":null,"Revision":0,"Parent":"n1","Child":"n2"}`, ms, ms))
}

func TestViewsSeeTheirMoment(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now})
	r1 := apply(t, g, "p", putNode("a", name("one")))
	live1 := g.View()
	c.advance(time.Second)
	r2 := apply(t, g, "p", putNode("a", name("two")), putNode("b", name("b")))
	c.advance(time.Second)
	r3 := apply(t, g, "p", graph.Event{Op: graph.DeleteNode, ID: "a"})
	for _, tc := range []struct {
		m    graph.Moment
		want string
	}{
		{r1.Moment, `{"Name":"one"}`},
		{r2.Moment - 1, `{"Name":"one"}`},
		{r2.Moment, `{"Name":"two"}`},
		{r3.Moment - 1, `{"Name":"two"}`},
		{r3.Moment, "absent"},
		{r3.Moment + 1e9, "absent"},
	} {
		v, err := g.At(tc.m)
		if err != nil {
			t.Fatal(err)
		}
		want(t, fmt.Sprint(tc.m), show(v, "a"), tc.want)
	}
	want(t, "first live view", show(live1, "a"), `{"Name":"one"}`)
	want(t, "first live view's nodes", ids(live1.Nodes()), []string{"a"})

	past, err := g.At(r2.Moment)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "counted", past.NodeCount(), 2)
	want(t, "live count", g.View().NodeCount(), 1)
	n, _ := past.Node("a")
	want(t, "not deleted yet", n.DeletedAt(), 0)

	between, err := g.Between(r1.Moment, r3.Moment)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "last version of the interval", show(between, "a"), `{"Name":"two"}`)
	n, _ = between.Node("a")
	want(t, "deleted within the interval", n.DeletedAt(), r3.Moment.Millis())
	want(t, "ended", n.To(), r3.Moment)
	want(t, "whole interval", ids(between.Nodes()), []string{"a", "b"})
	late, err := g.Between(r3.Moment, r3.Moment+10)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "after the deletion", ids(late.Nodes()), []string{"b"})
}

func TestMomentBeforeTheGraphIsAnError(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now})
	_, err := g.At(graph.MomentOf(c.t.Add(-time.Hour)))
	var w *graph.WindowError
	if !errors.As(err, &w) || w.Earliest != graph.MomentOf(c.t) {
		t.Fatalf("got %v", err)
	}
	if err := g.View().Err(); err != nil {
		t.Fatal(err)
	}
}

func TestRecreatedNodeIsListedOnce(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now})
	r1 := apply(t, g, "p", putNode("a", name("old")), putNode("b"), putEdge("e", "a", "b"))
	r2 := apply(t, g, "p", graph.Event{Op: graph.DeleteNode, ID: "a"})
	r3 := apply(t, g, "p", putNode("a", name("new")))
	between, err := g.Between(r1.Moment, r3.Moment)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "nodes", ids(between.Nodes()), []string{"a", "b"})
	want(t, "a", show(between, "a"), `{"Name":"new"}`)
	a, _ := between.Node("a")
	var around []string
	for e, n := range between.Out(a) {
		around = append(around, e.ID()+">"+n.ID())
	}
	want(t, "edges of the first incarnation", around, []string{"e>b"})
	seq, _, ok := between.Lookup("Name", graph.String("old"))
	want(t, "indexed", ok, true)
	want(t, "by the old name", ids(seq), []string(nil))
	old, err := g.At(r2.Moment - 1)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "old", show(old, "a"), `{"Name":"old"}`)
	seq, _, _ = old.Lookup("Name", graph.String("old"))
	want(t, "by the old name then", ids(seq), []string{"a"})
}

func TestDeletionTakesEdgesAlongFirst(t *testing.T) {
	g := graph.New(graph.Options{})
	sub := g.Subscribe()
	defer sub.Close()
	apply(t, g, "p", putNode("a"), putNode("b"), putEdge("e", "a", "b"), putEdge("f", "b", "a"), putEdge("loop", "a", "a"))
	apply(t, g, "p", putNode("a", name("touched")), graph.Event{Op: graph.DeleteNode, ID: "a"})
	if _, _, err := sub.TryNext(); err != nil {
		t.Fatal(err)
	}
	c, ok, err := sub.TryNext()
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	var got []string
	for _, ch := range c.Changes {
		got = append(got, ch.Kind.String()+" "+ch.Node.ID()+ch.Edge.ID())
	}
	want(t, "changes", got, []string{"EdgeDeleted e", "EdgeDeleted loop", "EdgeDeleted f", "NodeDeleted a"})
	if c.Changes[3].Node.DeletedAt() == 0 {
		t.Error("deleted node without DeletedAt")
	}
	want(t, "left", g.View().EdgeCount(), 0)
}

func TestBatchThatChangesNothing(t *testing.T) {
	g := graph.New(graph.Options{})
	first := apply(t, g, "p", putNode("a", name("x")))
	again := apply(t, g, "p", putNode("a", name("x")))
	want(t, "changes", again.Changes, 0)
	want(t, "moment", again.Moment, first.Moment)
	n, _ := g.View().Node("a")
	want(t, "revision", n.Revision(), 0)
	fleeting := apply(t, g, "p", putNode("z"), graph.Event{Op: graph.DeleteNode, ID: "z"})
	want(t, "came and went", fleeting.Changes, 0)
	apply(t, g, "p", putNode("a", name("y")))
	n, _ = g.View().Node("a")
	want(t, "revision", n.Revision(), 1)
}

func TestOwnership(t *testing.T) {
	g := graph.New(graph.Options{})
	apply(t, g, "p", putNode("a", name("x")))
	res, err := g.Apply(&graph.Batch{Origin: "q", Events: []graph.Event{
		putNode("a", name("stolen")), {Op: graph.DeleteNode, ID: "a"}, {Op: graph.DeleteNode, ID: "none"}, putNode("b"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Rejected) != 2 || !errors.Is(res.Rejected[0].Err, graph.ErrOwned) || res.Rejected[1].Index != 1 {
		t.Fatalf("rejected: %v", res.Rejected)
	}
	want(t, "the rest is applied", ids(g.View().Nodes()), []string{"a", "b"})
	apply(t, g, "user", graph.Event{Op: graph.DeleteNode, ID: "a", Rank: graph.RankUser})
	want(t, "an operator may", ids(g.View().Nodes()), []string{"b"})
}

func TestRevisionMustBeNewer(t *testing.T) {
	g := graph.New(graph.Options{})
	ev := putNode("a", name("x"))
	ev.Revision = 7
	apply(t, g, "p", ev)
	ev = putNode("a", name("y"))
	ev.Revision = 7
	res, _ := g.Apply(&graph.Batch{Origin: "p", Events: []graph.Event{ev}})
	if len(res.Rejected) != 1 || !errors.Is(res.Rejected[0].Err, graph.ErrStale) {
		t.Fatalf("rejected: %v", res.Rejected)
	}
	ev.Revision = 12
	apply(t, g, "p", ev)
	n, _ := g.View().Node("a")
	want(t, "revision", n.Revision(), 12)
}

func TestMomentsAreMonotoneWhenTheClockJumpsBack(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now})
	r1 := apply(t, g, "p", putNode("a"))
	c.advance(-time.Hour)
	r2 := apply(t, g, "p", putNode("b"))
	want(t, "next", r2.Moment, r1.Moment+1)
	r3, err := g.ApplyAt(r1.Moment-5, &graph.Batch{Origin: "p", Events: []graph.Event{putNode("c")}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "next of the stream", r3.Moment, r2.Moment+1)
}

func TestNodesOfAnotherViewAndOfAnotherGraph(t *testing.T) {
	g, other := graph.New(graph.Options{}), graph.New(graph.Options{})
	apply(t, g, "p", putNode("a"), putNode("b"), putEdge("old", "a", "b"))
	apply(t, other, "p", putNode("a"), putNode("c"), putEdge("theirs", "a", "c"))
	before, _ := g.View().Node("a")
	foreign, _ := other.View().Node("a")
	apply(t, g, "p", graph.Event{Op: graph.DeleteNode, ID: "a"})
	apply(t, g, "p", putNode("a"), putEdge("new", "a", "b"))
	for what, n := range map[string]graph.Node{"of an earlier view": before, "of another graph": foreign} {
		var got []string
		for e, child := range g.View().Out(n) {
			got = append(got, e.ID()+">"+child.ID())
		}
		want(t, what, got, []string{"new>b"})
	}
	e, _ := other.View().Edge("theirs")
	parent, ok := g.View().Parent(e)
	want(t, "parent by its id", ok, true)
	want(t, "of this graph", parent.From(), g.Now())
	_, ok = g.View().Child(e)
	want(t, "no such child here", ok, false)
}

func TestChangeAndDeletionInOneCommit(t *testing.T) {
	g := graph.New(graph.Options{})
	r1 := apply(t, g, "p", putNode("a", name("seen")))
	apply(t, g, "p", putNode("a", name("never seen")), graph.Event{Op: graph.DeleteNode, ID: "a", DeletedAt: 77})
	v, err := g.Between(r1.Moment, g.Now())
	if err != nil {
		t.Fatal(err)
	}
	n, _ := v.Node("a")
	want(t, "last version that was seen", show(v, "a"), `{"Name":"seen"}`)
	want(t, "deleted", n.DeletedAt(), 77)
}
