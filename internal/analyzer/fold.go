package analyzer

import "github.com/weft-net/weft/graph"

// fold adds up the batches of one origin to what it says in the end, without a graph: its
// edges and layers may be on elements of others that are not there yet.
type fold struct {
	epoch, seq uint64
	elements   map[string]*graph.Event // nodes and edges of its own, by id
	order      []string
	layers     map[string]*graph.Event // on elements of others, by kind and id
	said       []string
}

func newFold() *fold {
	f := &fold{}
	f.clear()
	return f
}

func (f *fold) clear() {
	f.elements, f.order = map[string]*graph.Event{}, nil
	f.layers, f.said = map[string]*graph.Event{}, nil
}

func (f *fold) apply(b *graph.Batch) {
	if b.Epoch < f.epoch || b.Epoch == f.epoch && b.Seq <= f.seq && b.Seq > 0 {
		return
	}
	f.epoch, f.seq = b.Epoch, b.Seq
	if b.Snapshot {
		f.clear()
	}
	for i := range b.Events {
		f.event(b.Events[i])
	}
}

func (f *fold) event(e graph.Event) {
	key := e.ID
	onEdge := e.Edge || e.Op == graph.PatchEdge
	if onEdge {
		key = "edge " + e.ID
	}
	switch e.Op {
	case graph.PutNode, graph.PutEdge:
		old := f.elements[e.ID]
		if old == nil {
			f.order = append(f.order, e.ID)
		} else if e.CreatedAt == 0 {
			e.CreatedAt = old.CreatedAt
		}
		f.elements[e.ID] = &e
	case graph.DeleteNode:
		delete(f.elements, e.ID)
		for id, edge := range f.elements {
			if edge.Op == graph.PutEdge && (edge.Parent == e.ID || edge.Child == e.ID) {
				delete(f.elements, id)
			}
		}
	case graph.DeleteEdge:
		delete(f.elements, e.ID)
	case graph.PatchNode, graph.PatchEdge:
		to := f.elements[e.ID]
		if to == nil {
			if to = f.layers[key]; to == nil {
				to = &graph.Event{Op: graph.PutLayer, ID: e.ID, Edge: onEdge, Rank: e.Rank}
				f.layers[key] = to
				f.said = append(f.said, key)
			}
		}
		for _, op := range e.Patch {
			if op.Value.Kind() == graph.KindRemoved && to.Op != graph.PutLayer {
				to.Metadata = to.Metadata.Unset(op.Path)
			} else {
				to.Metadata = to.Metadata.Set(op.Path, op.Value)
			}
		}
		if e.UpdatedAt != 0 {
			to.UpdatedAt = e.UpdatedAt
		}
		to.Revision = max(to.Revision, e.Revision)
	case graph.PutLayer:
		if f.layers[key] == nil {
			f.said = append(f.said, key)
		}
		f.layers[key] = &e
	case graph.DropLayer:
		delete(f.layers, key)
	case graph.PutSample: // old counters are of no use
	}
}

// events are the fold as those of a Snapshot.
func (f *fold) events() []graph.Event {
	var nodes, rest []graph.Event
	for _, id := range f.order {
		if e := f.elements[id]; e != nil {
			if e.Op == graph.PutNode {
				nodes = append(nodes, *e)
			} else {
				rest = append(rest, *e)
			}
			delete(f.elements, id) // deleted and made again: it is in the order twice
		}
	}
	for _, key := range f.said {
		if e := f.layers[key]; e != nil {
			rest = append(rest, *e)
			delete(f.layers, key)
		}
	}
	return append(nodes, rest...)
}
