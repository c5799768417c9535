package graph_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
)

// Many operations in one event do what as many events do.
func TestManyOperationsAreOneAfterTheOther(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	random := func() string {
		parts := make([]string, 1+r.IntN(4))
		for i := range parts {
			parts[i] = []string{"a", "b", "c", ""}[r.IntN(4)]
		}
		return strings.Join(parts, ".")
	}
	leaf := func() graph.Value {
		switch r.IntN(6) {
		case 0, 1:
			return graph.Removed()
		case 2:
			return graph.Object(graph.NewMetadata(graph.F("a.b", graph.Int(1)), graph.F("b", graph.List(graph.Object(
				graph.NewMetadata(graph.F("c", graph.Int(2))))))))
		case 3:
			return graph.Value{}
		}
		return graph.Int(r.Int64N(3))
	}
	for round := range 300 {
		whole, single := graph.New(graph.Options{}), graph.New(graph.Options{})
		node := putNode("n", graph.F("a.b", leaf()), graph.F("b", leaf()), graph.F("a", leaf()))
		for _, origin := range []string{"owner", "layer"} {
			var ev graph.Event
			for range 5 + r.IntN(20) {
				p := patch("n", random(), leaf())
				ev.Patch = append(ev.Patch, p.Patch...)
			}
			ev.Op, ev.ID = graph.PatchNode, "n"
			for _, g := range []*graph.Graph{whole, single} {
				if origin == "owner" {
					apply(t, g, "owner", node)
				}
			}
			apply(t, whole, origin, ev)
			for _, op := range ev.Patch {
				apply(t, single, origin, patch("n", op.Path, op.Value))
			}
			a, _ := whole.View().Node("n")
			b, _ := single.View().Node("n")
			if x, y := layers(a), layers(b); x != y {
				t.Fatalf("seed %d, round %d, %s, %v:\n%s\nwant\n%s", seed, round, origin, ev.Patch, x, y)
			}
		}
	}
}

func layers(n graph.Node) string {
	s := string(n.Metadata().AppendJSON(nil))
	for l := range n.Layers() {
		s += fmt.Sprintf("\n%s %x", l.Origin, graph.AppendBatch(nil, &graph.Batch{Events: []graph.Event{{Metadata: l.Metadata}}}))
	}
	return s
}

// With the metadata packed anew for each operation this would take hours.
func TestPatchOfManyOperations(t *testing.T) {
	const n = 50_000
	g := graph.New(graph.Options{})
	apply(t, g, "p", putNode("n"))
	set, remove := graph.Event{Op: graph.PatchNode, ID: "n"}, graph.Event{Op: graph.PatchNode, ID: "n"}
	for i := range n {
		path := fmt.Sprint("a.b.", i)
		set.Patch = append(set.Patch, graph.PathOp{Path: path, Value: graph.Int(int64(i))})
		remove.Patch = append(remove.Patch, graph.PathOp{Path: path, Value: graph.Removed()})
	}
	apply(t, g, "p", set)
	node, _ := g.View().Node("n")
	v, _ := node.Field("a.b")
	want(t, "keys", v.Len(), n)
	apply(t, g, "q", remove)
	want(t, "masked", show(g.View(), "n"), `{"a":{"b":{}}}`)
	apply(t, g, "p", remove)
	apply(t, g, "q", graph.Event{Op: graph.DropLayer, ID: "n"})
	want(t, "removed", show(g.View(), "n"), `{"a":{"b":{}}}`)
}
