package agent

import (
	"testing"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
)

func layer(id string, value int64) graph.Event {
	return graph.Event{Op: graph.PutLayer, ID: id, Rank: graph.RankSource, Metadata: graph.NewMetadata(graph.F("Sockets", graph.Int(value)))}
}

// A probe may speak of a node before the one that owns it has said it, whatever their order.
func TestALayerWaitsForItsNode(t *testing.T) {
	for _, c := range []struct {
		name  string
		early func(probe.Sink)
		want  int64 // of the layer; 0: none
	}{
		{"first batch", func(s probe.Sink) { s.Replace([]graph.Event{layer("a", 1)}) }, 1},
		{"later batch", func(s probe.Sink) { s.Replace(nil); s.Commit(layer("a", 1)) }, 1},
		{"the last word counts", func(s probe.Sink) { s.Replace(nil); s.Commit(layer("a", 1)); s.Commit(layer("a", 2)) }, 2},
		{"taken back", func(s probe.Sink) { s.Commit(layer("a", 1)); s.Commit(graph.Event{Op: graph.DropLayer, ID: "a"}) }, 0},
		{"not in the whole state", func(s probe.Sink) { s.Commit(layer("a", 1)); s.Replace(nil) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, owner, other := newHub(t, true), newPuppet(), newPuppet()
			second := other.spec()
			second.Name = "second"
			a, _ := run(t, Options{Conn: h.dial("h1"), Probes: []probe.Spec{owner.spec(), second}})
			sink := <-owner.sink
			c.early(<-other.sink)
			sink.Replace([]graph.Event{node("a", 1)})
			n, ok := a.Graph().View().Node("a")
			if v, _ := n.Field("Sockets"); !ok || v.Kind() == graph.KindInt && v.Int() != c.want || v.Kind() != graph.KindInt && c.want != 0 {
				t.Errorf("the node says Sockets=%v, want %d", v, c.want)
			}
			// The bus brings it behind the node; and so does a whole state, whoever spoke first.
			fresh := func() *graph.Graph {
				h.mu.Lock()
				defer h.mu.Unlock()
				g := graph.New(graph.Options{})
				for _, b := range h.batches {
					_, _ = g.Apply(b) // a gap at the front of what is left: a snapshot follows
				}
				return g
			}
			shows := func() bool {
				n, ok := fresh().View().Node("a")
				v, _ := n.Field("Sockets")
				return ok && (v.Kind() == graph.KindInt) == (c.want != 0) && (c.want == 0 || v.Int() == c.want)
			}
			eventually(t, "the analyzer sees the same", shows)
			h.mu.Lock()
			h.batches = nil
			h.mu.Unlock()
			if err := h.conn.RequestResync("h1", nil); err != nil {
				t.Fatal(err)
			}
			eventually(t, "an analyzer that starts anew sees the same", func() bool { return h.len() >= 2 && shows() })
		})
	}
}
