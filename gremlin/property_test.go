package gremlin_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
)

// drawValue draws a value that conditions can meet: few distinct ones, of several kinds.
func drawValue(t *rapid.T) graph.Value {
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		return graph.Int(rapid.Int64Range(0, 4).Draw(t, "int"))
	case 1:
		return graph.Float(float64(rapid.IntRange(0, 8).Draw(t, "half")) / 2)
	case 2:
		return graph.Bool(rapid.Bool().Draw(t, "bool"))
	case 3:
		return graph.Strings(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3).Draw(t, "list")...)
	default:
		return graph.String(rapid.SampledFrom([]string{"a", "b", "c", "2"}).Draw(t, "string"))
	}
}

var propertyKeys = []string{"Name", "Type", "TID", "MTU", "IPV4", "State"}

// drawGraph draws a small graph, with a past that the indexes also hold.
func drawGraph(t *rapid.T) *graph.Graph {
	g := graph.New(graph.Options{})
	n := rapid.IntRange(1, 30).Draw(t, "nodes")
	for round := range 2 {
		b := &graph.Batch{Origin: "test"}
		for i := range n {
			if round > 0 && rapid.Bool().Draw(t, "unchanged") {
				continue
			}
			var fields []graph.Field
			for _, key := range propertyKeys {
				if rapid.IntRange(0, 2).Draw(t, "has") > 0 {
					fields = append(fields, graph.F(key, drawValue(t)))
				}
			}
			b.Events = append(b.Events, graph.Event{Op: graph.PutNode, ID: fmt.Sprint("n", i), Host: fmt.Sprint("h", i%3), Metadata: graph.NewMetadata(fields...)})
		}
		for i := range rapid.IntRange(0, 2*n).Draw(t, "edges") {
			b.Events = append(b.Events, graph.Event{
				Op: graph.PutEdge, ID: fmt.Sprint("e", i), Metadata: graph.NewMetadata(graph.F("RelationType", drawValue(t))),
				Parent: fmt.Sprint("n", rapid.IntRange(0, n-1).Draw(t, "parent")), Child: fmt.Sprint("n", rapid.IntRange(0, n-1).Draw(t, "child")),
			})
		}
		if round > 0 && n > 2 {
			b.Events = append(b.Events, graph.Event{Op: graph.DeleteNode, ID: "n0"})
		}
		if _, err := g.Apply(b); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// drawLiteral writes a value of a condition.
func drawLiteral(t *rapid.T) string {
	return rapid.SampledFrom([]string{"'a'", "'b'", "'c'", "'2'", "2", "2.0", "0.5", "0", "true", "false"}).Draw(t, "literal")
}

// drawHas writes a chain of Has steps.
func drawHas(t *rapid.T, keys []string) string {
	var b strings.Builder
	for range rapid.IntRange(1, 3).Draw(t, "steps") {
		var args []string
		for range rapid.IntRange(1, 3).Draw(t, "pairs") {
			key := rapid.SampledFrom(keys).Draw(t, "key")
			value := drawLiteral(t)
			switch rapid.IntRange(0, 6).Draw(t, "predicate") {
			case 0:
				value = "WITHIN(" + drawLiteral(t) + ", " + drawLiteral(t) + ", " + value + ")"
			case 1:
				value = "NEE(" + value + ")"
			case 2:
				value = "REGEX('[ab]')"
			case 3:
				value = "GTE(1)"
			}
			args = append(args, fmt.Sprintf("'%s', %s", key, value))
		}
		step := rapid.SampledFrom([]string{"Has", "Has", "HasEither"}).Draw(t, "step")
		fmt.Fprintf(&b, ".%s(%s)", step, strings.Join(args, ", "))
	}
	return b.String()
}

func resultIDs(t *rapid.T, e *gremlin.Engine, text string) (nodes, edges []string) {
	q, err := gremlin.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	r, err := e.Exec(context.Background(), q)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	ns, es := r.Graph()
	for _, n := range ns {
		nodes = append(nodes, n.ID())
	}
	for _, e := range es {
		edges = append(edges, e.ID())
	}
	slices.Sort(nodes)
	slices.Sort(edges)
	return nodes, edges
}

// TestIndexEqualsScan: whatever index a plan uses, now or in the past, it finds what a scan finds. A Limit between V
// and Has keeps the planner from using an index.
func TestIndexEqualsScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t)
		e := gremlin.New(g, gremlin.Options{})
		for range 5 {
			has := drawHas(t, append([]string{"@Host", "@ID"}, propertyKeys...))
			at := rapid.SampledFrom([]string{"G", "G.At(NOW)", "G.At(NOW, FOREVER)"}).Draw(t, "time")
			indexed, _ := resultIDs(t, e, at+".V()"+has)
			scanned, _ := resultIDs(t, e, at+".V().Limit(1000000)"+has)
			if !slices.Equal(indexed, scanned) {
				t.Fatalf("%s.V()%s: index %v, scan %v", at, has, indexed, scanned)
			}
			hasE := drawHas(t, []string{"RelationType", "@ID"})
			_, indexed = resultIDs(t, e, at+".E()"+hasE)
			_, scanned = resultIDs(t, e, at+".E().Limit(1000000)"+hasE)
			if !slices.Equal(indexed, scanned) {
				t.Fatalf("%s.E()%s: index %v, scan %v", at, hasE, indexed, scanned)
			}
		}
	})
}

// TestFilterEqualsQuery: the incremental filter of a query describes what the query gives.
func TestFilterEqualsQuery(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t)
		e := gremlin.New(g, gremlin.Options{})
		for range 5 {
			has := drawHas(t, propertyKeys)
			text := rapid.SampledFrom([]string{
				"G", "G.V()", "G.E()", "G.V()%s", "G.V()%s.SubGraph()", "G.V()%s.SubGraph('RelationType', 'a')",
				"G.V()%s.SubGraph().V().HasKey('MTU').SubGraph()", "G.V()%s.Dedup().SubGraph().E().Has('RelationType', 'b')",
				"G.E().Has('RelationType', WITHIN('a', 2))", "G.V()%s.SubGraph('RelationType', 'a').V().HasNot('State')",
			}).Draw(t, "query")
			if strings.Contains(text, "%s") {
				text = fmt.Sprintf(text, has)
			}
			q, err := gremlin.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			f, ok := q.Filter()
			if !ok {
				t.Fatalf("%s is not incremental", text)
			}
			wantNodes, wantEdges := resultIDs(t, e, text)
			var nodes, edges []string
			v := g.View()
			for n := range v.Nodes() {
				if f.Node(n) {
					nodes = append(nodes, n.ID())
				}
			}
			for e := range v.Edges() {
				if f.Edge(v, e) {
					edges = append(edges, e.ID())
				}
			}
			slices.Sort(nodes)
			slices.Sort(edges)
			if !slices.Equal(nodes, wantNodes) || !slices.Equal(edges, wantEdges) {
				t.Fatalf("%s: filter %v / %v, query %v / %v", text, nodes, edges, wantNodes, wantEdges)
			}
		}
	})
}

// TestFilterKinds: which queries are incremental.
func TestFilterKinds(t *testing.T) {
	for text, want := range map[string]bool{
		"G":                                   true,
		"G.V('x')":                            true,
		"G.V().Has('A', 1).SubGraph()":        true,
		"G.V().HasEither('A', 1, 'B', 2)":     true,
		"G.V().HasNot('A').Dedup()":           true,
		"G.E('x')":                            true,
		"G.At('-1m').V()":                     false,
		"G.V().Out()":                         false,
		"G.V().Out().SubGraph()":              false,
		"G.V().Limit(3)":                      false,
		"G.V().Count()":                       false,
		"G.V().Has('A', 1).Count()":           false,
		"G.E().Has('A', 1).SubGraph()":        false,
		"G.V().Values('A')":                   false,
		"G.V().Dedup('A')":                    false,
		"G.Flows()":                           false,
		"G.V().Sort()":                        false,
		"G.V().Has('A', 1).SubGraph().V('x')": true,
	} {
		if _, ok := mustParse(t, text).Filter(); ok != want {
			t.Errorf("%s: incremental %v, expected %v", text, ok, want)
		}
	}
}

// TestNestedListsIndexed: an index that was built because a key was asked for often answers as the scan before it,
// also when the values are lists within lists.
func TestNestedListsIndexed(t *testing.T) {
	g := graph.New(graph.Options{Index: []string{"Peers.Tags"}})
	peers, err := graph.ValueOf([]any{
		map[string]any{"Tags": []any{"x", "y"}}, map[string]any{"Tags": []any{"z"}}, map[string]any{"Tags": "w"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Apply(&graph.Batch{Origin: "test", Events: []graph.Event{
		{Op: graph.PutNode, ID: "a", Metadata: graph.NewMetadata(graph.F("Peers", peers))},
	}}); err != nil {
		t.Fatal(err)
	}
	e := gremlin.New(g, gremlin.Options{})
	for _, tag := range []string{"x", "y", "z", "w"} {
		for _, text := range []string{"G.V().Has('Peers.Tags', '%s')", "G.V().Limit(9).Has('Peers.Tags', '%s')"} {
			text = fmt.Sprintf(text, tag)
			r, err := e.Exec(context.Background(), mustParse(t, text))
			if err != nil {
				t.Fatal(err)
			}
			if r.Len() != 1 {
				t.Errorf("%s: %d rows, plan %+v", text, r.Len(), r.Explain().Steps[1])
			}
		}
	}
}
