package graphtest

import (
	"fmt"
	"math/rand/v2"

	"github.com/weft-net/weft/graph"
)

// Generator makes random batches over few ids, so that everything meets everything.
type Generator struct {
	rand  *rand.Rand
	nodes int
	seqs  map[string]position
}

// NewGenerator makes a generator; the same seed makes the same batches.
func NewGenerator(seed uint64, nodes int) *Generator {
	return &Generator{rand: rand.New(rand.NewPCG(seed, 1)), nodes: nodes, seqs: map[string]position{}}
}

var (
	names        = []string{"eth0", "eth1", "lo", "br0"}
	types        = []string{"host", "device", "veth"}
	counterNames = []string{"RxBytes", "TxBytes"}
	ranks        = []graph.Rank{graph.RankSource, graph.RankStitch, graph.RankCapture, graph.RankRule, graph.RankUser}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// Batch makes a batch of one of a few origins.
func (gen *Generator) Batch() *graph.Batch {
	r := gen.rand
	b := &graph.Batch{Origin: fmt.Sprintf("p%d", r.IntN(3))}
	if b.Origin != "p2" { // p2 does not number
		p := gen.seqs[b.Origin]
		switch r.IntN(40) {
		case 0: // a duplicate
			b.Epoch, b.Seq = p.epoch, p.seq
		case 1: // a gap
			b.Epoch, b.Seq = p.epoch, p.seq+2
		case 2: // a batch of the past
			b.Epoch, b.Seq = max(p.epoch, 2)-1, 1
		case 3:
			p = position{p.epoch + 1, 1}
			b.Epoch, b.Seq = p.epoch, p.seq
		default:
			p = position{max(p.epoch, 1), p.seq + 1}
			b.Epoch, b.Seq = p.epoch, p.seq
		}
		gen.seqs[b.Origin] = p
	}
	events := 1 + r.IntN(4)
	if r.IntN(12) == 0 {
		b.Snapshot = true
		events = r.IntN(10)
	}
	for range events {
		b.Events = append(b.Events, gen.event(b.Origin))
	}
	return b
}

func (gen *Generator) node() string { return fmt.Sprintf("n%d", gen.rand.IntN(gen.nodes)) }

// edge is an id of the origin's own edges, or rarely of another's.
func (gen *Generator) edge(origin string) string {
	if gen.rand.IntN(6) == 0 {
		origin = fmt.Sprintf("p%d", gen.rand.IntN(3))
	}
	return fmt.Sprintf("%s-e%d", origin, gen.rand.IntN(gen.nodes))
}

func (gen *Generator) event(origin string) graph.Event {
	r := gen.rand
	ev := graph.Event{Edge: r.IntN(2) == 0}
	ev.ID = gen.node()
	if ev.Edge {
		ev.ID = gen.edge(origin)
	}
	if r.IntN(8) == 0 {
		ev.Revision = int64(r.IntN(12))
	}
	if r.IntN(8) == 0 {
		ev.UpdatedAt = int64(1 + r.IntN(1000))
	}
	kind := graph.Op(0)
	switch n := r.IntN(20); {
	case n < 8:
		kind = graph.PutNode
		ev.Metadata = gen.metadata()
		ev.Host = pick(r, []string{"", "h1", "h1", "h2"})
		if ev.Edge {
			ev.ID = fmt.Sprintf("%s-e%d", origin, r.IntN(gen.nodes))
			ev.Parent, ev.Child = gen.node(), gen.node()
		}
	case n < 10:
		kind = graph.DeleteNode
		if r.IntN(4) == 0 {
			ev.Rank = graph.RankUser
		}
	case n < 13:
		kind = graph.PatchNode
		ev.Patch = gen.patch()
	case n < 15:
		ev.Op, ev.Rank, ev.Metadata = graph.PutLayer, pick(r, ranks), gen.metadata()
		return ev
	case n < 16:
		ev.Op = graph.DropLayer
		return ev
	default:
		ev.Op, ev.Revision = graph.PutSample, 0
		ev.Counters = &graph.Counters{
			Prefix: pick(r, []string{"Metric", "Flow"}), Names: counterNames,
			Values: []int64{r.Int64N(20), r.Int64N(1 << 40)}, Start: 1, Last: r.Int64N(100),
		}
		return ev
	}
	ev.Op = kind
	if ev.Edge {
		ev.Op = kind + 1 // each edge operation follows the node's
	}
	return ev
}

func (gen *Generator) metadata() graph.Metadata {
	r := gen.rand
	fields := []graph.Field{graph.F("Name", graph.String(pick(r, names)))}
	if r.IntN(2) == 0 {
		fields = append(fields, graph.F("Type", graph.String(pick(r, types))))
	}
	if r.IntN(3) == 0 {
		fields = append(fields, graph.F("IPV4", graph.Strings(gen.ip(), gen.ip())))
	}
	if r.IntN(3) == 0 {
		fields = append(fields, graph.F("Deep", graph.Object(graph.NewMetadata(
			graph.F("A", graph.Int(r.Int64N(3))), graph.F("B", graph.Bool(r.IntN(2) == 0))))))
	}
	if r.IntN(6) == 0 {
		fields = append(fields, graph.F("MTU", graph.Int(r.Int64N(4))))
	}
	return graph.NewMetadata(fields...)
}

func (gen *Generator) ip() string { return fmt.Sprintf("10.0.0.%d", gen.rand.IntN(4)) }

func (gen *Generator) patch() []graph.PathOp {
	r := gen.rand
	var patch []graph.PathOp
	for range 1 + r.IntN(3) {
		op := graph.PathOp{Path: pick(r, []string{"Name", "Type", "MTU", "Deep.A", "Deep.C", "Deep"})}
		switch r.IntN(3) {
		case 0:
			op.Value = graph.Removed()
		case 1:
			op.Value = graph.String(pick(r, names))
		default:
			op.Value = graph.Int(r.Int64N(5))
		}
		patch = append(patch, op)
	}
	return patch
}
