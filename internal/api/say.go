package api

import (
	"errors"
	"fmt"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/graphjson"
	"github.com/weft-net/weft/skydive"
)

// errInFlight says that a message is about something that the graph does not know,
// which may be because it is on its way there.
var errInFlight = errors.New("unknown element")

// event makes the graph event of a message about one element.
func (p *publisher) event(m *graphjson.Message) (graph.Event, quietness, error) {
	switch m.Type {
	case skydive.MsgNodeAdded:
		return p.addition(&m.Element, graph.PutNode)
	case skydive.MsgEdgeAdded:
		return p.addition(&m.Element, graph.PutEdge)
	case skydive.MsgNodeUpdated:
		return p.update(&m.Element, graph.PutNode)
	case skydive.MsgEdgeUpdated:
		return p.update(&m.Element, graph.PutEdge)
	case skydive.MsgNodeDeleted:
		return p.deletion(&m.Element, graph.DeleteNode)
	case skydive.MsgEdgeDeleted:
		return p.deletion(&m.Element, graph.DeleteEdge)
	case skydive.MsgNodePartiallyUpdated:
		return p.patch(&m.Partial, graph.PatchNode)
	case skydive.MsgEdgePartiallyUpdated:
		return p.patch(&m.Partial, graph.PatchEdge)
	}
	return graph.Event{}, loud, fmt.Errorf("unknown message type %q: use NodeAdded, NodeUpdated, NodeDeleted, EdgeAdded, EdgeUpdated, EdgeDeleted, their partial forms, Sync, SyncRequest or FlushRequest", clip(m.Type))
}

// stored looks an element up in the live graph.
func (p *publisher) stored(id string, op graph.Op) (graph.Element, bool) {
	view := p.s.deps.Graph.View()
	if op == graph.PutEdge {
		edge, ok := view.Edge(id)
		return edge.Element, ok
	}
	node, ok := view.Node(id)
	return node.Element, ok
}

// addition puts an element. One that is there already is brought up to date: a client
// that starts again says the same again.
func (p *publisher) addition(e *graphjson.Element, op graph.Op) (graph.Event, quietness, error) {
	if err := checkID("ID", e.ID); err != nil {
		return graph.Event{}, loud, err
	}
	if op == graph.PutEdge && (e.Parent == "" || e.Child == "") {
		return graph.Event{}, loud, fmt.Errorf("Parent or Child is missing: an edge needs both")
	}
	e.Origin = p.origin()
	event := e.Put(op)
	if event.Revision != 0 {
		if old, known := p.stored(e.ID, op); known && event.Revision <= old.Revision() {
			event.Revision = 0
		}
	}
	return event, quietStale, nil
}

// update replaces an own element's metadata, or lays metadata over another's.
func (p *publisher) update(e *graphjson.Element, op graph.Op) (graph.Event, quietness, error) {
	if err := checkID("ID", e.ID); err != nil {
		return graph.Event{}, loud, err
	}
	old, known := p.stored(e.ID, op)
	if known && old.Owner() != p.full {
		return p.layer(old, e, op == graph.PutEdge), loud, nil
	}
	e.Origin = p.origin()
	if known && e.Host == "" {
		e.Host = old.Host()
	}
	if op == graph.PutEdge && (e.Parent == "" || e.Child == "") {
		edge, ok := p.s.deps.Graph.View().Edge(e.ID)
		if !ok {
			return graph.Event{}, loud, fmt.Errorf("%w %q without Parent and Child: add the edge first", errInFlight, clip(e.ID))
		}
		e.Parent, e.Child = edge.Parent(), edge.Child()
	}
	return e.Put(op), loud, nil
}

// layer lays over another's element what the message says differently from everybody
// else, and nothing more: the rest goes on following its owner, also when a client sends
// back the whole of what it read.
func (p *publisher) layer(old graph.Element, e *graphjson.Element, edge bool) graph.Event {
	event := graph.Event{Op: graph.PutLayer, ID: e.ID, Edge: edge, Rank: graph.RankSource, UpdatedAt: e.UpdatedAt}
	var others graph.Metadata
	for layer := range old.Layers() {
		if layer.Origin != p.full {
			others = others.Merge(layer.Metadata)
		}
	}
	said := e.Metadata
	for counters := range old.SamplePrefixes() {
		said = said.Unset(counters).Unset(graph.LastUpdatePrefix(counters))
	}
	if event.Metadata = changes(others, said); event.Metadata.Len() == 0 {
		event.Op = graph.DropLayer
	}
	return event
}

// deletion takes an element away, or what was laid over another's. When it is gone
// already, the client has what it wants.
func (p *publisher) deletion(e *graphjson.Element, op graph.Op) (graph.Event, quietness, error) {
	if err := checkID("ID", e.ID); err != nil {
		return graph.Event{}, loud, err
	}
	put := graph.PutNode
	if op == graph.DeleteEdge {
		put = graph.PutEdge
	}
	if old, known := p.stored(e.ID, put); known && old.Owner() != p.full {
		for layer := range old.Layers() {
			if layer.Origin == p.full {
				return graph.Event{Op: graph.DropLayer, ID: e.ID, Edge: op == graph.DeleteEdge}, loud, nil
			}
		}
	}
	return graph.Event{Op: op, ID: e.ID, Edge: op == graph.DeleteEdge, DeletedAt: e.DeletedAt}, quietUnknown, nil
}

func (p *publisher) patch(u *graphjson.Partial, op graph.Op) (graph.Event, quietness, error) {
	if err := checkID("ID", u.ID); err != nil {
		return graph.Event{}, loud, err
	}
	return graph.Event{
		Op: op, ID: u.ID, Edge: op == graph.PatchEdge, Patch: u.Ops, UpdatedAt: u.UpdatedAt, Revision: u.Revision,
	}, loud, nil
}
