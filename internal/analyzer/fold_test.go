package analyzer

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-net/weft/graph"
)

// TestFoldIsWhatTheGraphShows says random things of an origin to a graph and to a fold, and
// then the fold to another graph: both look the same.
func TestFoldIsWhatTheGraphShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		direct, folded := graph.New(graph.Options{}), graph.New(graph.Options{})
		others := &graph.Batch{Origin: "other@h", Events: []graph.Event{node("o1"), node("o2"), edge("o1", "o2")}}
		for _, g := range []*graph.Graph{direct, folded} {
			if _, err := g.Apply(others); err != nil {
				t.Fatal(err)
			}
		}
		id := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		value := rapid.Map(rapid.IntRange(0, 3), func(i int) graph.Value { return graph.Int(int64(i)) })
		key := rapid.SampledFrom([]string{"X", "Y", "Z.A", "Z.B"})
		event := rapid.Custom(func(t *rapid.T) graph.Event {
			at := id.Draw(t, "id")
			metadata := graph.Metadata{}.Set(key.Draw(t, "key"), value.Draw(t, "value"))
			patch := []graph.PathOp{{Path: key.Draw(t, "path"), Value: value.Draw(t, "new")}}
			if rapid.Bool().Draw(t, "remove") {
				patch[0].Value = graph.Removed()
			}
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0, 1:
				return graph.Event{Op: graph.PutNode, ID: at, Metadata: metadata}
			case 2:
				e := edge(at, id.Draw(t, "child"))
				e.Metadata = metadata
				return e
			case 3:
				return graph.Event{Op: graph.DeleteNode, ID: at}
			case 4:
				return graph.Event{Op: graph.DeleteEdge, ID: at + "-" + id.Draw(t, "child")}
			case 5:
				return graph.Event{Op: graph.PatchNode, ID: at, Patch: patch}
			case 6:
				return graph.Event{Op: graph.PutLayer, ID: "o1", Rank: graph.RankUser, Metadata: metadata}
			case 7:
				return graph.Event{Op: graph.PutLayer, ID: "o1-o2", Edge: true, Rank: graph.RankUser, Metadata: metadata}
			case 8:
				return graph.Event{Op: graph.DropLayer, ID: "o1"}
			}
			return graph.Event{Op: graph.PatchEdge, ID: at + "-b", Patch: patch}
		})
		f := newFold()
		for i := range rapid.IntRange(1, 30).Draw(t, "batches") {
			b := &graph.Batch{
				Origin: "me@h", Epoch: 5, Seq: uint64(i + 1), Snapshot: rapid.IntRange(0, 9).Draw(t, "whole") == 0,
			}
			// Only what the graph takes: the fold is told what was applied.
			for _, e := range rapid.SliceOfN(event, 0, 4).Draw(t, "events") {
				if b.Snapshot && e.Op != graph.PutNode && e.Op != graph.PutEdge && e.Op != graph.PutLayer {
					continue
				}
				one := *b
				one.Events = append(append([]graph.Event(nil), b.Events...), e)
				if acceptable(direct, one) {
					b = &one
				}
			}
			if _, err := direct.Apply(b); err != nil {
				t.Fatal(err)
			}
			f.apply(b)
		}
		if _, err := folded.Apply(&graph.Batch{Origin: "me@h", Snapshot: true, Events: f.events()}); err != nil {
			t.Fatal(err)
		}
		if a, b := shown(direct), shown(folded); a != b {
			t.Fatalf("graph:\n%s\nfold:\n%s", a, b)
		}
	})
}

// acceptable says whether a batch would be taken without a rejection or a parked edge, by
// trying it on a copy of what the origin has.
func acceptable(g *graph.Graph, b graph.Batch) bool {
	trial := graph.New(graph.Options{})
	v := g.View()
	for _, origin := range []string{"other@h", "me@h"} {
		var events []graph.Event
		for n := range v.Nodes() {
			if n.Owner() == origin {
				events = append(events, graph.Event{Op: graph.PutNode, ID: n.ID()})
			}
		}
		for e := range v.Edges() {
			if e.Owner() == origin {
				events = append(events, graph.Event{Op: graph.PutEdge, ID: e.ID(), Parent: e.Parent(), Child: e.Child()})
			}
		}
		if _, err := trial.Apply(&graph.Batch{Origin: origin, Events: events}); err != nil {
			panic(err)
		}
	}
	b.Epoch, b.Seq = 0, 0
	r, err := trial.Apply(&b)
	if err != nil {
		panic(fmt.Sprint(b, err))
	}
	return len(r.Rejected) == 0 && r.Parked == 0 && edgesStay(trial.View(), b.Events)
}

// edgesStay says whether the edges that a batch puts are there after it: a snapshot that leaves
// out a node takes the edges along that it names itself.
func edgesStay(v *graph.View, events []graph.Event) bool {
	put := map[string]bool{}
	for _, e := range events {
		switch e.Op {
		case graph.PutEdge:
			put[e.ID] = true
		case graph.DeleteEdge, graph.DeleteNode:
			clear(put)
		}
	}
	for id := range put {
		if _, there := v.Edge(id); !there {
			return false
		}
	}
	return true
}
