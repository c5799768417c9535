package api

import (
	"maps"

	"github.com/weft-net/weft/graph"
)

// sift sees what a commit means to an incremental filter. The cost is that of what the
// commit touched, and of the edges of nodes that came or went. What is told is in an
// order in which no edge lacks a node: edges go, nodes go, nodes come, edges come.
func (g *group) sift(c *graph.Commit, view *graph.View) []event {
	s := sifting{group: g, view: view}
	_, wantEdges := g.filter.Graph()
	for i := range c.Changes {
		if change := &c.Changes[i]; change.Kind == graph.EdgeDeleted {
			s.edgeGone(change.Edge, true)
		}
	}
	for i := range c.Changes {
		change := &c.Changes[i]
		switch change.Kind {
		case graph.NodeDeleted:
			s.nodeGone(change.Node, false)
		case graph.NodeAdded, graph.NodeUpdated:
			if !g.filter.Node(change.Node) {
				s.nodeGone(change.Node, wantEdges)
			}
		}
	}
	for i := range c.Changes {
		change := &c.Changes[i]
		if change.Kind == graph.NodeAdded || change.Kind == graph.NodeUpdated {
			s.nodeSeen(change)
		}
	}
	if wantEdges {
		for _, n := range s.entered {
			s.edgesOf(n)
		}
	}
	for i := range c.Changes {
		change := &c.Changes[i]
		if change.Kind == graph.EdgeAdded || change.Kind == graph.EdgeUpdated {
			s.edgeSeen(change)
		}
	}
	return s.events
}

// own makes the sets safe to change: answers that wait to be written may share them.
func (g *group) own() {
	if g.shared {
		g.nodes, g.edges, g.shared = maps.Clone(g.nodes), maps.Clone(g.edges), false
	}
}

// sifting is one run of sift.
type sifting struct {
	*group
	view    *graph.View
	events  []event
	entered []graph.Node
}

func (s *sifting) nodeGone(n graph.Node, edges bool) {
	if _, in := s.nodes[n.ID()]; !in {
		return
	}
	s.own()
	delete(s.nodes, n.ID())
	if edges {
		for e := range s.view.Out(n) {
			s.edgeGone(e, false)
		}
		for e := range s.view.In(n) {
			s.edgeGone(e, false)
		}
	}
	s.events = append(s.events, event{kind: graph.NodeDeleted, node: n, direct: n.DeletedAt() != 0})
}

func (s *sifting) nodeSeen(change *graph.Change) {
	n := change.Node
	if !s.filter.Node(n) {
		return
	}
	_, in := s.nodes[n.ID()]
	if in {
		s.events = append(s.events, event{kind: graph.NodeUpdated, node: n, before: change.Before, direct: true})
		return
	}
	if _, lives := s.view.Node(n.ID()); !lives {
		return // it came and went within the commit
	}
	s.own()
	s.nodes[n.ID()] = struct{}{}
	s.entered = append(s.entered, n)
	s.events = append(s.events, event{kind: graph.NodeAdded, node: n, direct: change.Kind == graph.NodeAdded})
}

// edgesOf tells of the edges that came in with a node.
func (s *sifting) edgesOf(n graph.Node) {
	come := func(e graph.Edge) {
		if _, in := s.edges[e.ID()]; in || !s.filter.Edge(s.view, e) {
			return
		}
		s.own()
		s.edges[e.ID()] = struct{}{}
		s.events = append(s.events, event{kind: graph.EdgeAdded, edge: e})
	}
	for e := range s.view.Out(n) {
		come(e)
	}
	for e := range s.view.In(n) {
		come(e)
	}
}

func (s *sifting) edgeGone(e graph.Edge, direct bool) {
	if _, in := s.edges[e.ID()]; !in {
		return
	}
	s.own()
	delete(s.edges, e.ID())
	s.events = append(s.events, event{kind: graph.EdgeDeleted, edge: e, direct: direct})
}

func (s *sifting) edgeSeen(change *graph.Change) {
	e := change.Edge
	_, in := s.edges[e.ID()]
	match := s.filter.Edge(s.view, e)
	switch {
	case in && !match:
		s.edgeGone(e, false)
	case in && change.Kind == graph.EdgeUpdated:
		s.events = append(s.events, event{kind: graph.EdgeUpdated, edge: e, before: change.Before, direct: true})
	case !in && match:
		if _, lives := s.view.Edge(e.ID()); !lives {
			return
		}
		s.own()
		s.edges[e.ID()] = struct{}{}
		s.events = append(s.events, event{kind: graph.EdgeAdded, edge: e, direct: change.Kind == graph.EdgeAdded})
	}
}

// compare lists what leads from the last result of a query to a new one.
func (g *group) compare(next *outcome) []event {
	var gone, went, came, come []event
	for id, e := range g.result.edges {
		if _, still := next.edges[id]; !still {
			gone = append(gone, event{kind: graph.EdgeDeleted, edge: e})
		}
	}
	for id, n := range g.result.nodes {
		if _, still := next.nodes[id]; !still {
			went = append(went, event{kind: graph.NodeDeleted, node: n})
		}
	}
	for id, n := range next.nodes {
		old, known := g.result.nodes[id]
		switch {
		case !known:
			came = append(came, event{kind: graph.NodeAdded, node: n})
		case old.Revision() != n.Revision() || old.From() != n.From():
			came = append(came, event{kind: graph.NodeUpdated, node: n, before: old.Element})
		}
	}
	for id, e := range next.edges {
		old, known := g.result.edges[id]
		switch {
		case !known:
			come = append(come, event{kind: graph.EdgeAdded, edge: e})
		case old.Revision() != e.Revision() || old.From() != e.From():
			come = append(come, event{kind: graph.EdgeUpdated, edge: e, before: old.Element})
		}
	}
	return append(append(append(gone, went...), came...), come...)
}
