package gremlin

import "github.com/weft-net/weft/graph"

// Filter is a query as a test of single elements, for subscribers that follow changes: what a change costs depends on
// the change, not on the size of the graph.
//
// The graph that it describes is:
//
//	G                                    every node and every edge
//	G.V().Has…                           the nodes that match; no edges
//	G.V().Has….SubGraph([edge filter])   the nodes that match, and the edges (that fulfil the edge filter) whose
//	                                     parent and child both match
//	G.E().Has…                           the edges that match; no nodes
//
// and chains of these: SubGraph().V().Has() narrows the nodes, SubGraph().E().Has() the edges of what was before.
// HasEither, HasKey, HasNot and Dedup() without keys are allowed where Has is. An edge comes and goes with its ends:
// when a node begins or ceases to match, ask again about the edges of that node.
type Filter struct {
	nodes *condition
	edges *condition
	both  bool // the filter on nodes also rules the ends of edges

	wantNodes, wantEdges bool
}

// Filter gives the query as an incremental Filter. It is false when the query can only be evaluated as a whole: when
// membership depends on anything but an element and the ends of an edge.
func (q *Query) Filter() (*Filter, bool) {
	f := &Filter{wantNodes: true, wantEdges: true}
	at := kindGraph
	for i := range q.plan[1:] {
		s := &q.plan[1+i]
		cond := s.cond
		if s.hasID {
			cond = &condition{key: "@ID", pred: literalPredicate(graph.String(s.id))}
		}
		switch {
		case s.role == roleSource && !s.count && s.out == kindNodes:
			if !f.wantNodes {
				return nil, false
			}
			f.nodes, f.wantEdges = f.nodes.and(cond), false
		case s.role == roleSource && !s.count:
			f.edges, f.wantNodes, f.wantEdges = f.edges.and(cond), false, true
		case s.role == roleFilter && at == kindNodes:
			f.nodes = f.nodes.and(cond)
		case s.role == roleFilter && at == kindEdges:
			f.edges = f.edges.and(cond)
		case s.role == roleDedup:
		case s.call.spec.name == "SubGraph" && at == kindNodes:
			f.edges, f.both, f.wantEdges = f.edges.and(cond), true, true
		default:
			return nil, false // among them E().SubGraph(): whether a node belongs depends on its edges
		}
		at = s.out
	}
	return f, true
}

// Node reports whether a node belongs to the filtered graph.
func (f *Filter) Node(n graph.Node) bool {
	return f.wantNodes && f.nodes.element(n.Element)
}

// Edge reports whether an edge belongs to the filtered graph; the view is where its ends are looked up.
func (f *Filter) Edge(v *graph.View, e graph.Edge) bool {
	if !f.wantEdges || !f.edges.element(e.Element) {
		return false
	}
	if !f.both || f.nodes == nil {
		return true
	}
	parent, ok := v.Parent(e)
	if !ok || !f.nodes.element(parent.Element) {
		return false
	}
	child, ok := v.Child(e)
	return ok && f.nodes.element(child.Element)
}

// Graph reports whether the filtered graph can hold nodes, and whether it can hold edges.
func (f *Filter) Graph() (nodes, edges bool) { return f.wantNodes, f.wantEdges }
