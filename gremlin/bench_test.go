package gremlin_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
)

// benchGraph is a graph of the size that Skydive was measured at: its JSON is about 5.7 MB for 10,000 nodes and as
// many edges.
func benchGraph(b *testing.B, n int) *graph.Graph {
	b.Helper()
	g := graph.New(graph.Options{})
	batch := &graph.Batch{Origin: "bench"}
	for i := range n {
		batch.Events = append(batch.Events, graph.Event{
			Op: graph.PutNode, ID: fmt.Sprintf("8d1b7a30-0000-4000-8000-%012d", i), Host: fmt.Sprint("host-", i%20), Origin: "bench.host",
			Metadata: graph.NewMetadata(
				graph.F("Name", graph.String(fmt.Sprint("eth", i))), graph.F("Type", graph.String([]string{"device", "veth", "bridge", "netns"}[i%4])),
				graph.F("MAC", graph.String(fmt.Sprintf("02:00:00:00:%02x:%02x", i>>8&255, i&255))), graph.F("MTU", graph.Int(1500)),
				graph.F("State", graph.String("UP")), graph.F("IfIndex", graph.Int(int64(i))),
				graph.F("IPV4", graph.Strings(fmt.Sprintf("10.0.%d.%d/24", i>>8&255, i&255))),
			),
		})
	}
	for i := range n {
		batch.Events = append(batch.Events, graph.Event{
			Op: graph.PutEdge, ID: fmt.Sprintf("9e1b7a30-0000-4000-8000-%012d", i), Host: fmt.Sprint("host-", i%20), Origin: "bench.host",
			Parent: fmt.Sprintf("8d1b7a30-0000-4000-8000-%012d", i/2), Child: fmt.Sprintf("8d1b7a30-0000-4000-8000-%012d", i),
			Metadata: graph.NewMetadata(graph.F("RelationType", graph.String([]string{"ownership", "layer2"}[i%2]))),
		})
	}
	if _, err := g.Apply(batch); err != nil {
		b.Fatal(err)
	}
	return g
}

// BenchmarkQuery is text to JSON: parse, plan, execute, write.
func BenchmarkQuery(b *testing.B) {
	e := gremlin.New(benchGraph(b, 10_000), gremlin.Options{})
	for _, text := range []string{
		"G.V().Has('Name', 'eth777')",
		"G.V('8d1b7a30-0000-4000-8000-000000000777')",
		"G.V().Count()",
		"G.V().Has('Type', 'veth').Count()",
		"G.V().Has('Name', REGEX('eth99.*'))",
		"G.V().Has('Type', 'netns').Limit(3)",
		"G.V().Has('Name', 'eth777').In().In().Out().Dedup()",
		"G.V().Sort(DESC, 'IfIndex').Limit(10)",
		"G.V().Has('Name', 'eth0').Descendants('RelationType', WITHIN('ownership', 'layer2'), 0).Count()",
		"G.V()",
		"G",
	} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			answer, err := e.Exec(context.Background(), mustParse(b, text))
			if err != nil {
				b.Fatal(err)
			}
			size, _ := answer.AppendJSON(nil)
			b.SetBytes(int64(len(size)))
			for b.Loop() {
				q, err := gremlin.Parse(text)
				if err != nil {
					b.Fatal(err)
				}
				r, err := e.Exec(context.Background(), q)
				if err != nil {
					b.Fatal(err)
				}
				if err := r.WriteJSON(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParse is text to plan.
func BenchmarkParse(b *testing.B) {
	for _, text := range []string{
		"G.V().Has('Name', 'eth777')",
		"G.At('-1m').V().Has('Type', WITHIN('netns', 'veth'), 'Name', REGEX('eth.*')).Out().Dedup().Sort(DESC, 'Name').Limit(10)",
	} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := gremlin.Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWalk is edges passed in a second, over all steps between.
func BenchmarkWalk(b *testing.B) {
	e := gremlin.New(benchGraph(b, 10_000), gremlin.Options{})
	q, err := gremlin.Parse("G.V().Out().Out().Out().Count()")
	if err != nil {
		b.Fatal(err)
	}
	rows := 0
	for b.Loop() {
		r, err := e.Exec(context.Background(), q)
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range r.Explain().Steps[2:5] {
			rows += s.RowsOut
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "edges/s")
}

// BenchmarkFilter is one changed element against one subscriber's filter.
func BenchmarkFilter(b *testing.B) {
	v := benchGraph(b, 1000).View()
	q, err := gremlin.Parse("G.V().Has('Type', 'veth', 'Name', REGEX('eth1.*')).SubGraph()")
	if err != nil {
		b.Fatal(err)
	}
	f, _ := q.Filter()
	n, _ := v.Node("8d1b7a30-0000-4000-8000-000000000777")
	e, _ := v.Edge("9e1b7a30-0000-4000-8000-000000000777")
	b.ReportAllocs()
	for b.Loop() {
		f.Node(n)
		f.Edge(v, e)
	}
}
