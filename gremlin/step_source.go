package gremlin

import (
	"iter"
	"strings"

	"github.com/weft-net/weft/graph"
)

// runV starts from the nodes of the graph: one, those that an index finds, or all.
func runV(x *exec, i int, s *planStep, in stream) stream {
	g := in.scope
	stat := &x.stats[i]
	if s.count {
		stat.index = "counter"
		return stream{kind: kindScalar, scope: g, scalar: graph.Int(int64(g.NodeCount()))}
	}
	out := stream{kind: kindNodes, scope: g}
	if s.hasID {
		stat.index, stat.estimate = "id", 1
		n, ok := g.Node(s.id)
		if !ok {
			x.fail(i, &NotFoundError{What: "Node", ID: s.id})
		}
		out.nodes = func(yield func(graph.Node) bool) {
			stat.in++
			_ = ok && yield(n)
		}
		return out
	}
	rows, cond := search(x, i, s.cond, finder[graph.Node]{
		all: g.Nodes, size: g.NodeCount, byID: g.Node, lookup: g.Lookup,
		id: func(n graph.Node) string { return n.ID() },
	})
	out.nodes = filtered(x, rows, cond, nodeElement)
	return out
}

// runE starts from the edges of the graph.
func runE(x *exec, i int, s *planStep, in stream) stream {
	g := in.scope
	stat := &x.stats[i]
	if s.count {
		stat.index = "counter"
		return stream{kind: kindScalar, scope: g, scalar: graph.Int(int64(g.EdgeCount()))}
	}
	out := stream{kind: kindEdges, scope: g}
	if s.hasID {
		stat.index, stat.estimate = "id", 1
		e, ok := g.Edge(s.id)
		if !ok {
			x.fail(i, &NotFoundError{What: "Edge", ID: s.id})
		}
		out.edges = func(yield func(graph.Edge) bool) {
			stat.in++
			_ = ok && yield(e)
		}
		return out
	}
	rows, cond := search(x, i, s.cond, finder[graph.Edge]{
		all: g.Edges, size: g.EdgeCount, byID: g.Edge, lookup: g.LookupEdges,
		id: func(e graph.Edge) string { return e.ID() },
	})
	out.edges = filtered(x, rows, cond, edgeElement)
	return out
}

func nodeElement(n graph.Node) graph.Element { return n.Element }
func edgeElement(e graph.Edge) graph.Element { return e.Element }

// filtered passes the rows that fulfil a condition.
func filtered[T any](x *exec, rows iter.Seq[T], cond *condition, element func(T) graph.Element) iter.Seq[T] {
	if cond == nil {
		return rows
	}
	return func(yield func(T) bool) {
		for row := range rows {
			if !x.tick() {
				return
			}
			if cond.element(element(row)) && !yield(row) {
				return
			}
		}
	}
}

// finder is how a source finds elements of one type.
type finder[T any] struct {
	all    func() iter.Seq[T]
	size   func() int
	byID   func(id string) (T, bool)
	lookup func(key string, vals ...graph.Value) (iter.Seq[T], int, bool)
	id     func(T) string
}

// found is a way to the rows: more of them than the condition wants, but none too few.
type found[T any] struct {
	rows     iter.Seq[T]
	estimate int
	how      string
}

// search chooses the cheapest way to the elements that can fulfil a condition, and tells what is left to test.
func search[T any](x *exec, i int, cond *condition, f finder[T]) (rows iter.Seq[T], rest *condition) {
	best, ok := find(cond, f)
	if ok && cond.pred != nil {
		cond = nil // an index gives what it is asked for, and nothing else
	}
	if !ok {
		best = found[T]{rows: f.all(), estimate: f.size(), how: "scan"}
	}
	stat := &x.stats[i]
	stat.index, stat.estimate = best.how, best.estimate
	return func(yield func(T) bool) {
		for row := range best.rows {
			stat.in++
			if !yield(row) {
				return
			}
		}
	}, cond
}

// find looks for an index that serves a condition: for a test of one key the index of that key, for a conjunction
// that of its part which promises the fewest rows, for a disjunction those of all its parts.
func find[T any](cond *condition, f finder[T]) (best found[T], ok bool) {
	switch {
	case cond == nil:
		return best, false
	case cond.pred != nil:
		return findKey(cond, f)
	case cond.any:
		return findAny(cond, f)
	}
	for _, kid := range cond.kids {
		if way, found := find(kid, f); found && (!ok || way.estimate < best.estimate) {
			best, ok = way, true
		}
	}
	return best, ok
}

func findKey[T any](cond *condition, f finder[T]) (way found[T], ok bool) {
	values := cond.pred.equal
	if values == nil {
		return way, false
	}
	if cond.key != "@ID" {
		rows, estimate, ok := f.lookup(cond.key, values...)
		return found[T]{rows: rows, estimate: estimate, how: "index " + cond.key}, ok
	}
	rows := func(yield func(T) bool) {
		for n, v := range values {
			if v.Kind() != graph.KindString || repeated(values[:n], v) {
				continue
			}
			if row, ok := f.byID(v.Str()); ok && !yield(row) {
				return
			}
		}
	}
	return found[T]{rows: rows, estimate: len(values), how: "id"}, true
}

func repeated(before []graph.Value, v graph.Value) bool {
	for _, b := range before {
		if b.Equal(v) {
			return true
		}
	}
	return false
}

// findAny unites the ways of the parts of a disjunction; a row that two of them find comes once.
func findAny[T any](cond *condition, f finder[T]) (way found[T], ok bool) {
	var ways []found[T]
	var names []string
	for _, kid := range cond.kids {
		part, ok := find(kid, f)
		if !ok {
			return way, false
		}
		ways = append(ways, part)
		way.estimate += part.estimate
		names = append(names, part.how)
	}
	if len(ways) == 0 || way.estimate >= f.size() {
		return way, false
	}
	way.how = strings.Join(names, " + ")
	way.rows = func(yield func(T) bool) {
		seen := make(map[string]struct{}, way.estimate)
		for _, part := range ways {
			for row := range part.rows {
				id := f.id(row)
				if _, ok := seen[id]; ok {
					continue
				}
				seen[id] = struct{}{}
				if !yield(row) {
					return
				}
			}
		}
	}
	return way, true
}
