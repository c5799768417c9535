package gremlin

import (
	"iter"

	"github.com/weft-net/weft/graph"
)

// around is the way from a node to its edges and the nodes behind them.
type around func(n graph.Node) iter.Seq2[graph.Edge, graph.Node]

// both goes over the edges of a node in either direction; an edge from a node to itself comes once.
func both(g source) around {
	return func(n graph.Node) iter.Seq2[graph.Edge, graph.Node] {
		return func(yield func(graph.Edge, graph.Node) bool) {
			for e, other := range g.Out(n) {
				if !yield(e, other) {
					return
				}
			}
			for e, other := range g.In(n) {
				if e.Parent() == e.Child() {
					continue
				}
				if !yield(e, other) {
					return
				}
			}
		}
	}
}

// runOut goes to children, runIn to parents, runBoth to either. A node is reached once for each edge.
func runOut(x *exec, _ int, s *planStep, in stream) stream { return toNodes(x, s, in, in.scope.Out) }

func runIn(x *exec, _ int, s *planStep, in stream) stream { return toNodes(x, s, in, in.scope.In) }

func runBoth(x *exec, _ int, s *planStep, in stream) stream { return toNodes(x, s, in, both(in.scope)) }

func toNodes(x *exec, s *planStep, in stream, step around) stream {
	return stream{kind: kindNodes, scope: in.scope, nodes: func(yield func(graph.Node) bool) {
		for n := range in.nodes {
			for _, other := range step(n) {
				if !x.tick() {
					return
				}
				if s.cond.element(other.Element) && !yield(other) {
					return
				}
			}
		}
	}}
}

func runOutE(x *exec, _ int, s *planStep, in stream) stream { return toEdges(x, s, in, in.scope.Out) }

func runInE(x *exec, _ int, s *planStep, in stream) stream { return toEdges(x, s, in, in.scope.In) }

func runBothE(x *exec, _ int, s *planStep, in stream) stream {
	return toEdges(x, s, in, both(in.scope))
}

func toEdges(x *exec, s *planStep, in stream, step around) stream {
	return stream{kind: kindEdges, scope: in.scope, edges: func(yield func(graph.Edge) bool) {
		for n := range in.nodes {
			for e := range step(n) {
				if !x.tick() {
					return
				}
				if s.cond.element(e.Element) && !yield(e) {
					return
				}
			}
		}
	}}
}

// runInV goes to the parent and runOutV to the child of an edge: Skydive's meaning, the opposite of TinkerPop's.
func runInV(x *exec, _ int, s *planStep, in stream) stream {
	return toEnds(x, s, in, in.scope.Parent)
}

func runOutV(x *exec, _ int, s *planStep, in stream) stream {
	return toEnds(x, s, in, in.scope.Child)
}

func runBothV(x *exec, _ int, s *planStep, in stream) stream {
	return toEnds(x, s, in, in.scope.Parent, in.scope.Child)
}

func toEnds(x *exec, s *planStep, in stream, ends ...func(graph.Edge) (graph.Node, bool)) stream {
	return stream{kind: kindNodes, scope: in.scope, nodes: func(yield func(graph.Node) bool) {
		for e := range in.edges {
			for _, end := range ends {
				if !x.tick() {
					return
				}
				if n, ok := end(e); ok && s.cond.element(n.Element) && !yield(n) {
					return
				}
			}
		}
	}}
}
