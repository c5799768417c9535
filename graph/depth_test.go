package graph_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-net/weft/graph"
)

// nested is a value of so many objects in each other.
func nested(levels int) graph.Value {
	v := graph.Int(1)
	for range levels {
		v = graph.Object(graph.NewMetadata(graph.F("a", v)))
	}
	return v
}

// path is a dotted path of so many levels.
func path(levels int) string { return strings.Repeat("a.", levels-1) + "a" }

func patch(id, path string, v graph.Value) graph.Event {
	return graph.Event{Op: graph.PatchNode, ID: id, Patch: []graph.PathOp{{Path: path, Value: v}}}
}

func TestWhatWouldBeTooDeepIsRefused(t *testing.T) {
	g := graph.New(graph.Options{})
	apply(t, g, "p", putNode("n", name("n")))
	apply(t, g, "q", graph.Event{Op: graph.PutLayer, ID: "n", Rank: graph.RankRule})
	deep := graph.MaxDepth + 1
	sample := func(prefix string) graph.Event {
		return graph.Event{Op: graph.PutSample, ID: "n", Counters: &graph.Counters{
			Prefix: prefix, Names: []string{"X"}, Values: []int64{1}, Last: 1,
		}}
	}
	for what, ev := range map[string]graph.Event{
		"put":              {Op: graph.PutNode, ID: "n", Metadata: graph.NewMetadata(graph.F("a", nested(deep)))},
		"layer":            {Op: graph.PutLayer, ID: "n", Rank: graph.RankRule, Metadata: graph.NewMetadata(graph.F("a", nested(deep)))},
		"path":             patch("n", path(deep+1), graph.Int(1)),
		"long path":        patch("n", path(100_000), graph.Int(1)),
		"long removal":     patch("n", path(100_000), graph.Removed()),
		"path and value":   patch("n", path(deep-9), nested(10)),
		"value":            patch("n", "a", nested(deep)),
		"counters":         sample(path(deep)),
		"counters, longer": sample(path(100_000)),
	} {
		for _, origin := range []string{"p", "q"} {
			res, err := g.Apply(&graph.Batch{Origin: origin, Events: []graph.Event{ev}})
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Rejected) != 1 || !errors.Is(res.Rejected[0].Err, graph.ErrInvalid) ||
				!strings.Contains(res.Rejected[0].Err.Error(), fmt.Sprint(graph.MaxDepth)) {
				t.Errorf("%s of %s: %v", what, origin, res.Rejected)
			}
			want(t, what, show(g.View(), "n"), `{"Name":"n"}`)
		}
	}
}

func TestPatchTooDeepIsMalformed(t *testing.T) {
	for _, ev := range []graph.Event{
		patch("n", path(graph.MaxDepth+2), graph.Int(1)), patch("n", path(100_000), graph.Removed()),
		patch("n", path(graph.MaxDepth), nested(2)),
	} {
		b := &graph.Batch{Origin: "p", Events: []graph.Event{ev}}
		if _, err := graph.DecodeBatch(graph.AppendBatch(nil, b)); !errors.Is(err, graph.ErrMalformed) {
			t.Errorf("a path of %d bytes: %v", len(ev.Patch[0].Path), err)
		}
	}
}

// What Apply takes at the limit shows, encodes, and decodes to the same.
func TestDeepestIsEncodedAndDecoded(t *testing.T) {
	deepest := graph.NewMetadata(graph.F("a", nested(graph.MaxDepth)))
	b := &graph.Batch{Origin: "p", Events: []graph.Event{
		{Op: graph.PutNode, ID: "put", Metadata: deepest},
		{Op: graph.PutNode, ID: "patched", Metadata: graph.NewMetadata(graph.F("a", nested(graph.MaxDepth)))},
		patch("patched", path(graph.MaxDepth+1), graph.Int(2)),
		{Op: graph.PutNode, ID: "grown"},
		patch("grown", path(graph.MaxDepth-9), nested(10)),
	}}
	layer := func(origin string, rank graph.Rank) *graph.Batch {
		return &graph.Batch{Origin: origin, Events: []graph.Event{
			{Op: graph.PutLayer, ID: "put", Rank: rank, Metadata: deepest},
			{Op: graph.PutLayer, ID: "grown", Rank: rank, Metadata: deepest},
			patch("patched", path(graph.MaxDepth+1), graph.Removed()),
		}}
	}
	g := graph.New(graph.Options{})
	for _, b := range []*graph.Batch{b, layer("q", graph.RankRule), layer("r", graph.RankUser)} {
		decoded, err := graph.DecodeBatch(graph.AppendBatch(nil, b))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, decoded, compareBatches); diff != "" {
			t.Fatal(diff)
		}
		apply(t, g, b.Origin, decoded.Events...)
	}
	whole := &graph.Batch{Origin: "state"}
	for n := range g.View().Nodes() {
		whole.Events = append(whole.Events, graph.Event{Op: graph.PutNode, ID: n.ID(), Metadata: n.Metadata()})
		for l := range n.Layers() {
			whole.Events = append(whole.Events, graph.Event{Op: graph.PutLayer, ID: n.ID(), Rank: l.Rank, Metadata: l.Metadata})
		}
	}
	want(t, "events", len(whole.Events), 3+9)
	if _, err := graph.DecodeBatch(graph.AppendBatch(nil, whole)); err != nil {
		t.Fatal(err)
	}
	put, _ := g.View().Node("put")
	if !put.Metadata().Equal(deepest) {
		t.Error("the deepest over itself is another")
	}
}

func TestSetBeyondMaxDepthChangesNothing(t *testing.T) {
	m := graph.NewMetadata(name("n"))
	for _, p := range []string{path(graph.MaxDepth + 2), path(100_000)} {
		if set := m.Set(p, graph.Int(1)); !set.Equal(m) {
			t.Errorf("a path of %d bytes", len(p))
		}
		if unset := m.Unset(p); !unset.Equal(m) {
			t.Errorf("unset a path of %d bytes", len(p))
		}
	}
	deepest := graph.Metadata{}.Set(path(graph.MaxDepth+1), graph.Int(1))
	v, ok := deepest.Lookup(path(graph.MaxDepth + 1))
	want(t, "deepest", fmt.Sprint(v, ok), "1 true")
	want(t, "unset", deepest.Unset(path(graph.MaxDepth+1)).Set(path(graph.MaxDepth+1), graph.Int(1)).Equal(deepest), true)
}

// A look-up looks at each key a few times, whatever the path: with one look for each dot this would take minutes.
func TestLookupOfALongPath(t *testing.T) {
	long := path(100_000)
	fields := []graph.Field{graph.F("a", nested(100))}
	items := make([]graph.Field, 0, 100)
	for i := range 100 {
		items = append(items, graph.F(fmt.Sprint(long, i), graph.Int(1)))
	}
	fields = append(fields, items...)
	fields = append(fields, graph.F("l", graph.List(graph.Object(graph.NewMetadata(items...)))))
	m := graph.NewMetadata(fields...)
	for _, p := range []string{long, "l." + long} {
		if v, ok := m.Lookup(p + ".a"); ok {
			t.Errorf("found %v", v)
		}
	}
	v, ok := m.Lookup(long + "7")
	want(t, "a key as a whole", fmt.Sprint(v, ok), "1 true")
}

// Paths of many dots, which are looked up key by key, find what short ones find.
func TestLookupSplitsPathsInEveryWay(t *testing.T) {
	inner := graph.NewMetadata(graph.F("c.d.e.f.g.h.i", graph.Object(graph.NewMetadata(graph.F("j.k", graph.Int(1))))))
	m := graph.NewMetadata(graph.F("a", graph.Int(0)), graph.F("a.b", graph.Object(inner)),
		graph.F("a.b.c", graph.Object(graph.NewMetadata(graph.F("d.e.f.g.h.i.j.k", graph.Int(2))))),
		graph.F("a.x", graph.List(graph.Object(inner), graph.Object(inner))))
	for p, w := range map[string]string{
		"a.b.c.d.e.f.g.h.i.j.k": "1 true", "a.b.c.d.e.f.g.h.i.j": "null false", "a.x.c.d.e.f.g.h.i.j.k": "[1,1] true",
		"a.b.c.d.e.f.g.h.i.j.k.": "null false", "a.x.c.d.e.f.g.h.i": `[{"j.k":1},{"j.k":1}] true`,
	} {
		v, ok := m.Lookup(p)
		want(t, p, fmt.Sprint(v, ok), w)
	}
}

func TestDeeperThan(t *testing.T) {
	for depth, v := range map[int]graph.Value{
		0: graph.String(path(200)), 1: graph.Strings("a", "b"), 2: graph.List(graph.Int(1), graph.List()), 130: nested(130),
		3: graph.List(graph.Int(1), graph.Object(graph.NewMetadata(graph.F("a", graph.Int(1)), graph.F("b", graph.List()))), graph.Null()),
	} {
		want(t, "its depth", v.DeeperThan(depth), false)
		want(t, "one less", v.DeeperThan(depth-1), true)
	}
}
