package graph_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/weft-net/weft/graph"
)

func putLayer(id string, rank graph.Rank, fields ...graph.Field) graph.Event {
	return graph.Event{Op: graph.PutLayer, ID: id, Rank: rank, Metadata: graph.NewMetadata(fields...)}
}

func snapshot(t *testing.T, g *graph.Graph, origin string, events ...graph.Event) graph.Result {
	t.Helper()
	res, err := g.Apply(&graph.Batch{Origin: origin, Snapshot: true, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// A capture's metadata stays whatever the owner of the node says, and goes with the capture.
func TestCaptureLayerSurvivesOwnerUpdates(t *testing.T) {
	g := graph.New(graph.Options{})
	apply(t, g, "linux.h1", putNode("eth0", name("eth0"), graph.F("MTU", graph.Int(0))))
	apply(t, g, "capture.h1", putLayer("eth0", graph.RankCapture, graph.F("Captures", graph.Strings("c1"))))
	for i := range 1000 {
		apply(t, g, "linux.h1", putNode("eth0", name("eth0"), graph.F("MTU", graph.Int(int64(i+1)))))
		want(t, "after an update", show(g.View(), "eth0"), fmt.Sprintf(`{"Captures":["c1"],"MTU":%d,"Name":"eth0"}`, i+1))
	}
	snapshot(t, g, "linux.h1", putNode("eth0", name("eth0")))
	want(t, "after the owner's snapshot", show(g.View(), "eth0"), `{"Captures":["c1"],"Name":"eth0"}`)
	with := g.Now()
	snapshot(t, g, "capture.h1")
	want(t, "after the capture", show(g.View(), "eth0"), `{"Name":"eth0"}`)
	past, err := g.At(with)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "during the capture", show(past, "eth0"), `{"Captures":["c1"],"Name":"eth0"}`)
	n, _ := g.View().Node("eth0")
	want(t, "revision", n.Revision(), int64(1003))
	want(t, "layers", g.Stats().Layers, 0)
}

func TestHigherRankWins(t *testing.T) {
	g := graph.New(graph.Options{})
	apply(t, g, "probe", putNode("a", graph.F("State", graph.String("owner")), graph.F("O", graph.Object(graph.NewMetadata(
		graph.F("X", graph.Int(1)), graph.F("Y", graph.Int(1)))))))
	apply(t, g, "user", putLayer("a", graph.RankUser, graph.F("State", graph.String("user"))))
	apply(t, g, "z-rule", putLayer("a", graph.RankRule, graph.F("State", graph.String("z")), graph.F("R", graph.String("z"))))
	apply(t, g, "a-rule", putLayer("a", graph.RankRule, graph.F("R", graph.String("a")),
		graph.F("O", graph.Object(graph.NewMetadata(graph.F("Y", graph.Int(2)), graph.F("Z", graph.Removed()))))))
	want(t, "merged", show(g.View(), "a"), `{"O":{"X":1,"Y":2},"R":"z","State":"user"}`)
	n, _ := g.View().Node("a")
	var order []string
	for l := range n.Layers() {
		order = append(order, fmt.Sprint(l.Origin, " ", l.Rank))
	}
	want(t, "order", order, []string{"probe 0", "a-rule 40", "z-rule 40", "user 50"})
}

func TestPatchOfAnothersNodeMasksItsKeys(t *testing.T) {
	g := graph.New(graph.Options{})
	apply(t, g, "probe", putNode("a", name("eth0"), graph.F("MTU", graph.Int(1500))))
	apply(t, g, "user", graph.Event{Op: graph.PatchNode, ID: "a", Patch: []graph.PathOp{
		{Path: "MTU", Value: graph.Removed()}, {Path: "Note.Text", Value: graph.String("mine")}, {Path: "No", Value: graph.Removed()},
	}})
	want(t, "patched", show(g.View(), "a"), `{"Name":"eth0","Note":{"Text":"mine"}}`)
	apply(t, g, "probe", putNode("a", name("eth1"), graph.F("MTU", graph.Int(9000))))
	want(t, "after the owner spoke", show(g.View(), "a"), `{"Name":"eth1","Note":{"Text":"mine"}}`)
	apply(t, g, "user", graph.Event{Op: graph.DropLayer, ID: "a"})
	want(t, "without the layer", show(g.View(), "a"), `{"MTU":9000,"Name":"eth1"}`)
}

func TestSnapshotIsTheWholeState(t *testing.T) {
	g := graph.New(graph.Options{})
	apply(t, g, "p", putNode("a", name("a")), putNode("b"), putNode("c"), putEdge("ab", "a", "b"), putEdge("bc", "b", "c"))
	apply(t, g, "q", putNode("d"), putEdge("cd", "c", "d"))
	a, _ := g.View().Node("a")
	res := snapshot(t, g, "p", putNode("a", name("a")), putNode("b"), putEdge("ab", "a", "b"), putNode("e"))
	want(t, "nodes", ids(g.View().Nodes()), []string{"a", "b", "d", "e"})
	want(t, "edges", ids(g.View().Edges()), []string{"ab"})
	want(t, "changes: bc, cd, c, e", res.Changes, 4)
	same, _ := g.View().Node("a")
	want(t, "unchanged", same.Revision(), a.Revision())
	want(t, "again", snapshot(t, g, "p", putNode("a", name("a")), putNode("b"), putEdge("ab", "a", "b"), putNode("e")).Changes, 0)
	snapshot(t, g, "p")
	want(t, "empty", ids(g.View().Nodes()), []string{"d"})
	o := g.Origins()
	want(t, "origins", o, []graph.OriginState{{Name: "p"}, {Name: "q", Nodes: 1}})
}

func TestBatchesOfAnOriginApplyOnceAndInOrder(t *testing.T) {
	g := graph.New(graph.Options{})
	send := func(epoch, seq uint64, snap bool, id string) (graph.Status, error) {
		res, err := g.Apply(&graph.Batch{Origin: "p", Epoch: epoch, Seq: seq, Snapshot: snap, Events: []graph.Event{putNode(id)}})
		return res.Status, err
	}
	for _, step := range []struct {
		epoch, seq uint64
		snapshot   bool
		status     graph.Status
		want       uint64 // of the gap
		nodes      int
	}{
		{epoch: 5, seq: 3, want: 1},
		{epoch: 5, seq: 1, nodes: 1},
		{epoch: 5, seq: 1, status: graph.Duplicate, nodes: 1},
		{epoch: 5, seq: 2, nodes: 2},
		{epoch: 5, seq: 4, want: 3, nodes: 2},
		{epoch: 5, seq: 7, snapshot: true, nodes: 1},
		{epoch: 5, seq: 4, status: graph.Duplicate, nodes: 1},
		{epoch: 5, seq: 7, snapshot: true, status: graph.Duplicate, nodes: 1},
		{epoch: 5, seq: 8, nodes: 2},
		{epoch: 4, seq: 9, snapshot: true, status: graph.Stale, nodes: 2},
		{epoch: 6, seq: 2, want: 1, nodes: 2},
		{epoch: 6, seq: 1, nodes: 3},
		{epoch: 7, seq: 5, snapshot: true, nodes: 1},
		{epoch: 7, seq: 6, nodes: 2},
	} {
		status, err := send(step.epoch, step.seq, step.snapshot, fmt.Sprint("n", step.epoch, step.seq))
		var gap *graph.GapError
		if errors.As(err, &gap) != (step.want != 0) || gap != nil && gap.Want != step.want {
			t.Fatalf("%+v: error %v", step, err)
		}
		want(t, fmt.Sprintf("%+v", step), status, step.status)
		want(t, fmt.Sprintf("%+v", step), g.View().NodeCount(), step.nodes)
	}
}

func TestEdgeWaitsForItsNodes(t *testing.T) {
	c := newClock()
	var orphans []string
	g := graph.New(graph.Options{Now: c.now, OnOrphan: func(origin string, ev graph.Event, err error) {
		if !errors.Is(err, graph.ErrOrphan) {
			t.Error(err)
		}
		orphans = append(orphans, origin+" "+ev.ID)
	}})
	res := apply(t, g, "p", putEdge("e", "a", "b", graph.F("V", graph.Int(1))), putEdge("never", "a", "zz"), putEdge("gone", "a", "b"))
	want(t, "parked", res.Parked, 3)
	want(t, "visible", g.View().EdgeCount(), 0)
	apply(t, g, "p", graph.Event{Op: graph.PatchEdge, ID: "e", Patch: []graph.PathOp{{Path: "V", Value: graph.Int(2)}}},
		graph.Event{Op: graph.DeleteEdge, ID: "gone"})
	apply(t, g, "q", putNode("a"))
	res = apply(t, g, "q", putNode("b"))
	want(t, "with the node comes the edge", res.Changes, 2)
	e, _ := g.View().Edge("e")
	want(t, "patched while it waited", e.Metadata().Map(), map[string]any{"V": 2})
	want(t, "owner", e.Owner(), "p")
	want(t, "edges", ids(g.View().Edges()), []string{"e"})
	c.advance(11e9)
	g.Trim()
	want(t, "orphans", orphans, []string{"p never"})
	s := g.Stats()
	want(t, "counted", s.Orphans, 1)
	want(t, "parked", s.Parked, 0)
}

func TestEdgeThatMovesIsAnother(t *testing.T) {
	g := graph.New(graph.Options{})
	apply(t, g, "p", putNode("a"), putNode("b"), putNode("c"), putEdge("e", "a", "b"))
	before := g.View()
	apply(t, g, "p", putEdge("e", "a", "c"))
	around := func(v *graph.View, id string) []string {
		n, _ := v.Node(id)
		var out []string
		for e, other := range v.Out(n) {
			out = append(out, e.ID()+">"+other.ID())
		}
		for e, other := range v.In(n) {
			out = append(out, e.ID()+"<"+other.ID())
		}
		slices.Sort(out)
		return out
	}
	want(t, "a then", around(before, "a"), []string{"e>b"})
	want(t, "a now", around(g.View(), "a"), []string{"e>c"})
	want(t, "b now", around(g.View(), "b"), []string(nil))
	want(t, "c now", around(g.View(), "c"), []string{"e<a"})
	e, _ := g.View().Edge("e")
	want(t, "revision", e.Revision(), 1)
}
