package gremlin

import (
	"iter"

	"github.com/weft-net/weft/graph"
)

// runSubGraph makes a graph: of nodes (or of the nodes of paths) with the edges between them, of edges with the nodes
// at their ends. The condition is on the edges. What follows stands on that graph.
func runSubGraph(x *exec, i int, s *planStep, in stream) stream {
	sub := &subgraph{nodes: map[string]int{}, edges: map[string]int{}, under: in.scope.source}
	caller := x.current
	x.run(i)
	if in.kind == kindEdges {
		sub.addEdges(x, s, in)
	} else {
		sub.addNodes(x, s, in)
	}
	x.run(caller)
	g := *in.scope
	g.source = sub
	return stream{kind: kindGraph, scope: &g}
}

// subgraph is a set of nodes and edges of another source.
type subgraph struct {
	under    source
	nodes    map[string]int // position in nodeList
	edges    map[string]int
	nodeList []graph.Node
	edgeList []graph.Edge
}

func (g *subgraph) addNode(x *exec, n graph.Node) bool {
	if _, again := g.nodes[n.ID()]; again {
		return true
	}
	if !x.mayHold(len(g.nodes) + 1) {
		return false
	}
	g.nodes[n.ID()] = len(g.nodeList)
	g.nodeList = append(g.nodeList, n)
	return true
}

func (g *subgraph) addEdge(x *exec, e graph.Edge) bool {
	if _, again := g.edges[e.ID()]; again {
		return true
	}
	if !x.mayHold(len(g.edges) + 1) {
		return false
	}
	g.edges[e.ID()] = len(g.edgeList)
	g.edgeList = append(g.edgeList, e)
	return true
}

func (g *subgraph) addEdges(x *exec, s *planStep, in stream) {
	for e := range in.edges {
		if !s.cond.element(e.Element) {
			continue
		}
		parent, ok := in.scope.Parent(e)
		child, found := in.scope.Child(e)
		if !ok || !found {
			continue
		}
		if !g.addNode(x, parent) || !g.addNode(x, child) || !g.addEdge(x, e) {
			return
		}
	}
}

func (g *subgraph) addNodes(x *exec, s *planStep, in stream) {
	for n := range nodesOf(in) {
		if !g.addNode(x, n) {
			return
		}
	}
	for _, n := range g.nodeList {
		for e, child := range in.scope.Out(n) {
			if !x.tick() {
				return
			}
			if _, ok := g.nodes[child.ID()]; !ok || !s.cond.element(e.Element) {
				continue
			}
			if !g.addEdge(x, e) {
				return
			}
		}
	}
}

func (g *subgraph) NodeCount() int { return len(g.nodeList) }
func (g *subgraph) EdgeCount() int { return len(g.edgeList) }

func (g *subgraph) Node(id string) (n graph.Node, ok bool) {
	at, ok := g.nodes[id]
	if ok {
		n = g.nodeList[at]
	}
	return n, ok
}

func (g *subgraph) Edge(id string) (e graph.Edge, ok bool) {
	at, ok := g.edges[id]
	if ok {
		e = g.edgeList[at]
	}
	return e, ok
}

func (g *subgraph) Nodes() iter.Seq[graph.Node] { return list(g.nodeList) }
func (g *subgraph) Edges() iter.Seq[graph.Edge] { return list(g.edgeList) }

func list[T any](rows []T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, row := range rows {
			if !yield(row) {
				return
			}
		}
	}
}

func (g *subgraph) Parent(e graph.Edge) (graph.Node, bool) { return g.Node(e.Parent()) }
func (g *subgraph) Child(e graph.Edge) (graph.Node, bool)  { return g.Node(e.Child()) }

func (g *subgraph) Out(n graph.Node) iter.Seq2[graph.Edge, graph.Node] {
	return g.within(g.under.Out(n))
}

func (g *subgraph) In(n graph.Node) iter.Seq2[graph.Edge, graph.Node] { return g.within(g.under.In(n)) }

// within passes the edges that belong to the subgraph.
func (g *subgraph) within(rows iter.Seq2[graph.Edge, graph.Node]) iter.Seq2[graph.Edge, graph.Node] {
	return func(yield func(graph.Edge, graph.Node) bool) {
		for e, n := range rows {
			if _, ok := g.edges[e.ID()]; ok && !yield(e, n) {
				return
			}
		}
	}
}

// Lookup finds nothing by index: a subgraph is scanned.
func (g *subgraph) Lookup(string, ...graph.Value) (iter.Seq[graph.Node], int, bool) {
	return nil, 0, false
}

// LookupEdges finds nothing by index.
func (g *subgraph) LookupEdges(string, ...graph.Value) (iter.Seq[graph.Edge], int, bool) {
	return nil, 0, false
}
