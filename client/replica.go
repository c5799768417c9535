package client

import (
	"fmt"
	"iter"
	"sync"

	"github.com/weft-net/weft/skydive"
)

// Replica is a copy of the server's graph, kept in step by events. Readers may be anywhere; one goroutine applies, as
// a rule the one that reads the events of a Subscription with SubscribeOptions.Replica. Elements are never changed
// once they are in: an update puts a new one in their place, so what a reader got stays what it was.
type Replica struct {
	mu    sync.RWMutex
	nodes map[string]*skydive.Node
	edges map[string]*skydive.Edge
}

// NewReplica makes an empty one.
func NewReplica() *Replica {
	return &Replica{nodes: make(map[string]*skydive.Node), edges: make(map[string]*skydive.Edge)}
}

// Node gives a node.
func (r *Replica) Node(id string) (*skydive.Node, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n, ok := r.nodes[id]
	return n, ok
}

// Edge gives an edge.
func (r *Replica) Edge(id string) (*skydive.Edge, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e, ok := r.edges[id]
	return e, ok
}

// Len gives the numbers of nodes and edges.
func (r *Replica) Len() (nodes, edges int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.nodes), len(r.edges)
}

// Graph gives all elements, in no order. The lists are the caller's.
func (r *Replica) Graph() *skydive.Graph {
	r.mu.RLock()
	defer r.mu.RUnlock()
	g := &skydive.Graph{Nodes: make([]*skydive.Node, 0, len(r.nodes)), Edges: make([]*skydive.Edge, 0, len(r.edges))}
	for _, n := range r.nodes {
		g.Nodes = append(g.Nodes, n)
	}
	for _, e := range r.edges {
		g.Edges = append(g.Edges, e)
	}
	return g
}

// Nodes iterates over the nodes as they are when it begins, in no order.
func (r *Replica) Nodes() iter.Seq[*skydive.Node] {
	return func(yield func(*skydive.Node) bool) {
		for _, n := range r.Graph().Nodes {
			if !yield(n) {
				return
			}
		}
	}
}

// Edges iterates over the edges as they are when it begins, in no order.
func (r *Replica) Edges() iter.Seq[*skydive.Edge] {
	return func(yield func(*skydive.Edge) bool) {
		for _, e := range r.Graph().Edges {
			if !yield(e) {
				return
			}
		}
	}
}

// Apply takes an event in and gives it with the whole element in place of a partial update. ErrIncomplete says that
// it cannot be applied, and that the whole graph is needed. Events that are not about the graph pass through.
func (r *Replica) Apply(ev Event) (Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch ev.Type {
	case EventSync:
		r.replace(ev.Graph)
	case skydive.MsgNodeAdded, skydive.MsgNodeUpdated:
		r.nodes[ev.Node.ID] = ev.Node
	case skydive.MsgEdgeAdded, skydive.MsgEdgeUpdated:
		r.edges[ev.Edge.ID] = ev.Edge
	case skydive.MsgNodeDeleted:
		delete(r.nodes, ev.Node.ID)
	case skydive.MsgEdgeDeleted:
		delete(r.edges, ev.Edge.ID)
	case skydive.MsgNodePartiallyUpdated:
		old, ok := r.nodes[ev.Partial.ID]
		if !ok || len(ev.Partial.Ops) == 0 {
			return ev, incomplete("node", ev.Partial.ID, ok)
		}
		n := *old
		if err := applyPartial(ev.Partial, &n.Metadata, &n.UpdatedAt, &n.Revision); err != nil {
			return ev, err
		}
		r.nodes[n.ID] = &n
		ev.Type, ev.Node, ev.Partial = skydive.MsgNodeUpdated, &n, nil
	case skydive.MsgEdgePartiallyUpdated:
		old, ok := r.edges[ev.Partial.ID]
		if !ok || len(ev.Partial.Ops) == 0 {
			return ev, incomplete("edge", ev.Partial.ID, ok)
		}
		e := *old
		if err := applyPartial(ev.Partial, &e.Metadata, &e.UpdatedAt, &e.Revision); err != nil {
			return ev, err
		}
		r.edges[e.ID] = &e
		ev.Type, ev.Edge, ev.Partial = skydive.MsgEdgeUpdated, &e, nil
	}
	return ev, nil
}

func incomplete(kind, id string, known bool) error {
	if known {
		return fmt.Errorf("%s %q: %w: it carries no steps", kind, id, ErrIncomplete)
	}
	return fmt.Errorf("%s %q: %w: the element is unknown", kind, id, ErrIncomplete)
}

func applyPartial(u *skydive.PartialUpdate, m *skydive.Metadata, at *skydive.Millis, revision *int64) error {
	changed, err := u.Apply(*m)
	if err != nil {
		return err
	}
	*m, *at, *revision = changed, u.UpdatedAt, u.Revision
	return nil
}

func (r *Replica) replace(g *skydive.Graph) {
	r.nodes = make(map[string]*skydive.Node, len(g.Nodes))
	r.edges = make(map[string]*skydive.Edge, len(g.Edges))
	for _, n := range g.Nodes {
		r.nodes[n.ID] = n
	}
	for _, e := range g.Edges {
		r.edges[e.ID] = e
	}
}

// Diff replaces the graph by g and gives the events that lead from the one to the other, in an order that keeps each
// edge between nodes that are there. Elements of the same Revision, UpdatedAt and CreatedAt count as equal.
func (r *Replica) Diff(g *skydive.Graph) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	nodes, edges := r.nodes, r.edges
	r.replace(g)
	var events []Event
	for id, e := range edges {
		if _, ok := r.edges[id]; !ok {
			events = append(events, Event{Type: skydive.MsgEdgeDeleted, Edge: e})
		}
	}
	for id, n := range nodes {
		if _, ok := r.nodes[id]; !ok {
			events = append(events, Event{Type: skydive.MsgNodeDeleted, Node: n})
		}
	}
	for id, n := range r.nodes {
		if old, ok := nodes[id]; !ok {
			events = append(events, Event{Type: skydive.MsgNodeAdded, Node: n})
		} else if old.Revision != n.Revision || old.UpdatedAt != n.UpdatedAt || old.CreatedAt != n.CreatedAt {
			events = append(events, Event{Type: skydive.MsgNodeUpdated, Node: n})
		}
	}
	for id, e := range r.edges {
		if old, ok := edges[id]; !ok {
			events = append(events, Event{Type: skydive.MsgEdgeAdded, Edge: e})
		} else if old.Revision != e.Revision || old.UpdatedAt != e.UpdatedAt || old.CreatedAt != e.CreatedAt {
			events = append(events, Event{Type: skydive.MsgEdgeUpdated, Edge: e})
		}
	}
	return events
}
