package bus

import (
	"slices"
	"strings"
	"testing"

	"github.com/weft-net/weft/graph"
)

// dump is a graph as text, without times, and without the difference to the sample before,
// which is not part of the state.
func dump(g *graph.Graph) string {
	var lines []string
	for n := range g.View().Nodes() {
		lines = append(lines, n.ID()+" "+n.Owner()+" "+n.Host()+" "+string(n.Metadata().Without("LastUpdateMetric").AppendJSON(nil)))
	}
	for e := range g.View().Edges() {
		lines = append(lines, e.ID()+" "+e.Owner()+" "+e.Parent()+">"+e.Child()+" "+string(e.Metadata().AppendJSON(nil)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestCollectedStateMakesTheSameGraph(t *testing.T) {
	name := func(s string) graph.Metadata { return graph.NewMetadata(graph.F("Name", graph.String(s))) }
	counters := func(rx int64) *graph.Counters {
		return &graph.Counters{Prefix: "Metric", Names: []string{"RxBytes", "TxBytes"}, Values: []int64{rx, 2 * rx}, Start: 1, Last: rx}
	}
	g := graph.New(graph.Options{})
	for _, b := range []*graph.Batch{
		{Origin: "linux@h", Events: []graph.Event{
			{Op: graph.PutNode, ID: "a", Host: "h", Origin: "agent.h", Metadata: name("a")},
			{Op: graph.PutNode, ID: "b", Host: "h", Metadata: name("b")},
			{Op: graph.PutEdge, ID: "ab", Parent: "a", Child: "b", Metadata: name("ab")},
			{Op: graph.PutSample, ID: "a", Counters: counters(100)},
		}},
		{Origin: "ovs@h", Events: []graph.Event{
			{Op: graph.PutNode, ID: "c", Metadata: name("c")},
			{Op: graph.PutLayer, ID: "a", Rank: graph.RankStitch, Metadata: name("seen by ovs")},
			{Op: graph.PutLayer, ID: "ab", Edge: true, Rank: graph.RankStitch, Metadata: name("edge seen by ovs")},
		}},
		{Origin: "linux@h", Events: []graph.Event{{Op: graph.PutSample, ID: "a", Counters: counters(300)}}},
	} {
		if r, err := g.Apply(b); err != nil || len(r.Rejected) > 0 {
			t.Fatal(r, err)
		}
	}
	again := graph.New(graph.Options{})
	for range 2 { // what is said twice changes nothing
		for _, origin := range []string{"linux@h", "ovs@h"} {
			r, err := again.Apply(&graph.Batch{Origin: origin, Snapshot: true, Events: Collect(g.View(), origin)})
			if err != nil || len(r.Rejected) > 0 {
				t.Fatal(r, err)
			}
		}
	}
	n, _ := again.View().Node("a")
	if o, _ := g.View().Node("a"); n.Revision() < o.Revision() || n.CreatedAt() != o.CreatedAt() {
		t.Errorf("revision %d of %d, created %d of %d", n.Revision(), o.Revision(), n.CreatedAt(), o.CreatedAt())
	}
	moment := again.Now()
	for _, origin := range []string{"linux@h", "ovs@h"} {
		if _, err := again.Apply(&graph.Batch{Origin: origin, Snapshot: true, Events: Collect(g.View(), origin)}); err != nil {
			t.Fatal(err)
		}
	}
	if again.Now() != moment {
		t.Error("saying the same again is a change")
	}
	if got, want := dump(again), dump(g); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
