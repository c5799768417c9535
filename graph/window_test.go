package graph_test

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
)

func TestWindowByAge(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now, Window: time.Minute})
	r1 := apply(t, g, "p", putNode("a", name("one")), putNode("b"), putEdge("e", "a", "b"))
	old := g.View()
	c.advance(30 * time.Second)
	r2 := apply(t, g, "p", putNode("a", name("two")))
	c.advance(10 * time.Second)
	r3 := apply(t, g, "p", graph.Event{Op: graph.DeleteNode, ID: "b"})
	c.advance(55 * time.Second)
	g.Trim()
	want(t, "first version is out of the window", g.Earliest(), r2.Moment)
	_, err := g.At(r1.Moment)
	var w *graph.WindowError
	if !errors.As(err, &w) || w.Earliest != r2.Moment || w.Asked != r1.Moment {
		t.Fatal(err)
	}
	if _, err := g.Between(r1.Moment, r3.Moment); !errors.As(err, &w) {
		t.Fatal(err)
	}
	if err := old.Err(); !errors.As(err, &w) {
		t.Fatal("an old view does not tell that the window passed it:", err)
	}
	v, err := g.At(r2.Moment)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "still known", ids(v.Edges()), []string{"e"})
	c.advance(time.Minute)
	g.Trim()
	s := g.Stats()
	want(t, "past versions", s.PastVersions, 0)
	want(t, "past bytes", s.PastBytes, int64(0))
	want(t, "versions", s.Versions, 1)
	want(t, "trimmed", s.TrimmedVersions, 3)
	want(t, "the live graph", show(g.View(), "a"), `{"Name":"two"}`)
	apply(t, g, "p", putNode("c"), putEdge("e", "a", "c"))
	a, _ := g.View().Node("a")
	for e, n := range g.View().Out(a) {
		want(t, "handles are used again", e.ID()+n.ID(), "ec")
	}
}

func TestWindowByBytes(t *testing.T) {
	g := graph.New(graph.Options{WindowBytes: 20_000})
	for i := range 5000 {
		apply(t, g, "p", putNode("a", name(strconv.Itoa(i))), putNode("n"+strconv.Itoa(i%3), name(strconv.Itoa(i))))
		if i%7 == 0 {
			apply(t, g, "p", graph.Event{Op: graph.DeleteNode, ID: "n0"})
		}
	}
	s := g.Stats()
	if s.PastBytes > 21_000 || s.PastVersions > 300 {
		t.Errorf("%d bytes, %d versions", s.PastBytes, s.PastVersions)
	}
	seq, estimate, _ := g.View().Lookup("Name", graph.String("17"))
	want(t, "a trimmed name", ids(seq), []string(nil))
	want(t, "its posting is gone", estimate, 0)
}

func TestIndexIsBuiltWhenAskedOften(t *testing.T) {
	g := graph.New(graph.Options{})
	const n = 3000
	for from := 0; from < n; from += 1000 {
		var events []graph.Event
		for i := from; i < from+1000; i++ {
			events = append(events, putNode(strconv.Itoa(i), graph.F("Ovs", graph.Object(graph.NewMetadata(graph.F("Port", graph.Int(int64(i%100))))))))
		}
		apply(t, g, "p", events...)
	}
	before := g.Now()
	apply(t, g, "p", putNode("7", name("no port")))
	var ok bool
	for deadline := time.Now().Add(20 * time.Second); !ok && time.Now().Before(deadline); runtime.Gosched() {
		_, _, ok = g.View().Lookup("Metadata.Ovs.Port", graph.Int(7))
		apply(t, g, "p", putNode("writer", name(fmt.Sprint(time.Now()))))
	}
	if !ok {
		t.Fatal("no index")
	}
	apply(t, g, "p", putNode("9", graph.F("Ovs", graph.Object(graph.NewMetadata(graph.F("Port", graph.Int(7)))))))
	seq, _, _ := g.View().Lookup("Ovs.Port", graph.Int(7))
	want(t, "now", len(ids(seq)), n/100)
	past, err := g.At(before)
	if err != nil {
		t.Fatal(err)
	}
	seq, _, _ = past.Lookup("Ovs.Port", graph.Int(7), graph.Int(8))
	found := ids(seq)
	want(t, "then", len(found), 2*n/100)
	want(t, "asked", g.Stats().UnindexedLookups >= 32, true)
	if _, _, ok := g.View().Lookup("Name", graph.List(graph.Int(1))); ok {
		t.Error("an index for lists as a whole")
	}
	seq, _, ok = g.View().Lookup("@ID", graph.String("9"), graph.String("9"), graph.String("none"))
	want(t, "by id", ids(seq), []string{"9"})
	want(t, "by id", ok, true)
}

func TestEdgesAreIndexedWhenAskedOften(t *testing.T) {
	g := graph.New(graph.Options{})
	events := []graph.Event{putNode("a"), putNode("b")}
	for i := range 2000 {
		events = append(events, putEdge(strconv.Itoa(i), "a", "b", graph.F("RelationType", graph.String([]string{"layer2", "ownership"}[i%2]))))
	}
	apply(t, g, "p", events...)
	var ok bool
	for deadline := time.Now().Add(20 * time.Second); !ok && time.Now().Before(deadline); runtime.Gosched() {
		_, _, ok = g.View().LookupEdges("RelationType", graph.String("layer2"))
	}
	seq, _, ok := g.View().LookupEdges("RelationType", graph.String("layer2"))
	if !ok {
		t.Fatal("no index")
	}
	n := 0
	for range seq {
		n++
	}
	want(t, "edges", n, 1000)
}
