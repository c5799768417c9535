package gremlin

import (
	"iter"
	"slices"

	"github.com/weft-net/weft/graph"
)

// runDescendants, runAscendants and runNeighbors give the start nodes and what is reached from them over edges that
// fulfil the condition, nearest first, each node once. Depth 0 means no limit, except for Neighbors.
func runDescendants(x *exec, _ int, s *planStep, in stream) stream {
	return reach(x, s, in, in.scope.Out, unlimited(s.depth))
}

func runAscendants(x *exec, _ int, s *planStep, in stream) stream {
	return reach(x, s, in, in.scope.In, unlimited(s.depth))
}

func runNeighbors(x *exec, _ int, s *planStep, in stream) stream {
	return reach(x, s, in, both(in.scope), s.depth)
}

// unlimited turns a depth of 0 into one that no graph reaches.
func unlimited(depth int64) int64 {
	if depth == 0 {
		return 1<<63 - 1
	}
	return depth
}

func reach(x *exec, s *planStep, in stream, step around, depth int64) stream {
	return stream{kind: kindNodes, scope: in.scope, nodes: func(yield func(graph.Node) bool) {
		seen := map[string]struct{}{}
		var level []graph.Node
		visit := func(n graph.Node, more bool) bool {
			if _, again := seen[n.ID()]; again {
				return true
			}
			if !x.mayHold(len(seen) + 1) {
				return false
			}
			seen[n.ID()] = struct{}{}
			if more {
				level = append(level, n)
			}
			return yield(n)
		}
		for n := range in.nodes {
			if !visit(n, depth > 0) {
				return
			}
		}
		for d := int64(1); d <= depth && len(level) > 0; d++ {
			from := level
			level = nil
			for _, n := range from {
				for e, other := range step(n) {
					if !x.tick() {
						return
					}
					if s.cond.element(e.Element) && !visit(other, d < depth) {
						return
					}
				}
			}
		}
	}}
}

// runShortestPath gives, for each start node, a path of fewest edges to the nearest node that fulfils the condition,
// over edges in either direction. A start node from which none is reached gives nothing.
func runShortestPath(x *exec, _ int, s *planStep, in stream) stream {
	step := both(in.scope)
	return stream{kind: kindPaths, scope: in.scope, paths: func(yield func([]graph.Node) bool) {
		started := map[string]struct{}{}
		for n := range in.nodes {
			if _, again := started[n.ID()]; again {
				continue
			}
			if !x.mayHold(len(started) + 1) {
				return
			}
			started[n.ID()] = struct{}{}
			if path := shortestPath(x, s, step, n); path != nil && !yield(path) {
				return
			}
		}
	}}
}

// pathNode is a node with the one before it on the way.
type pathNode struct {
	node   graph.Node
	before int
}

func shortestPath(x *exec, s *planStep, step around, start graph.Node) []graph.Node {
	queue := []pathNode{{start, -1}}
	seen := map[string]struct{}{start.ID(): {}}
	for at := 0; at < len(queue); at++ {
		if !x.tick() {
			return nil
		}
		if s.cond.element(queue[at].node.Element) {
			var path []graph.Node
			for i := at; i >= 0; i = queue[i].before {
				path = append(path, queue[i].node)
			}
			slices.Reverse(path)
			return path
		}
		for e, other := range step(queue[at].node) {
			if !x.tick() {
				return nil
			}
			if _, again := seen[other.ID()]; again || !s.also.element(e.Element) {
				continue
			}
			if !x.mayHold(len(seen) + 1) {
				return nil
			}
			seen[other.ID()] = struct{}{}
			queue = append(queue, pathNode{other, at})
		}
	}
	return nil
}

// runAs remembers the nodes that stand at this point under a name. All of them: a Limit behind it does not change
// what Select gives.
func runAs(x *exec, _ int, s *planStep, in stream) stream {
	out := in
	out.nodes = func(yield func(graph.Node) bool) {
		nodes := collect(x, in.nodes)
		if x.err != nil {
			return
		}
		x.marks[s.keys[0]] = nodes
		for _, n := range nodes {
			if !x.tick() || !yield(n) {
				return
			}
		}
	}
	return out
}

// runSelect gives the nodes remembered under names, one name after the other. What stands before it runs first.
func runSelect(x *exec, _ int, s *planStep, in stream) stream {
	out := in
	out.nodes = func(yield func(graph.Node) bool) {
		count(in.nodes)
		for _, name := range s.keys {
			for _, n := range x.marks[name] {
				if !x.tick() || !yield(n) {
					return
				}
			}
		}
	}
	return out
}

// nodesOf gives the nodes of a stream of nodes or paths.
func nodesOf(in stream) iter.Seq[graph.Node] {
	if in.kind != kindPaths {
		return in.nodes
	}
	return func(yield func(graph.Node) bool) {
		for path := range in.paths {
			for _, n := range path {
				if !yield(n) {
					return
				}
			}
		}
	}
}
