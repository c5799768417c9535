package gremlin

import (
	"container/heap"
	"iter"
	"slices"
	"strings"

	"github.com/weft-net/weft/graph"
)

// runFilter passes what fulfils the condition of Has, HasEither, HasKey or HasNot.
func runFilter(x *exec, _ int, s *planStep, in stream) stream {
	out := in
	switch in.kind {
	case kindNodes:
		out.nodes = filtered(x, in.nodes, s.cond, nodeElement)
	case kindEdges:
		out.edges = filtered(x, in.edges, s.cond, edgeElement)
	case kindValues:
		out.values = keep(x, in.values, func(v graph.Value) bool {
			return v.Kind() == graph.KindObject && s.cond.fields(objectField(v.Object()))
		})
	case kindFlows:
		out.flows = keep(x, in.flows, func(f Flow) bool { return s.cond.fields(f.Field) })
	case kindSockets:
		out.table = newTable()
		for _, id := range in.table.ids {
			var rows []graph.Metadata
			for _, row := range in.table.rows[id] {
				if x.tick() && s.cond.fields(objectField(row)) {
					rows = append(rows, row)
				}
			}
			if len(rows) > 0 {
				out.table.add(id, rows...)
			}
		}
	}
	return out
}

func objectField(m graph.Metadata) func(string) (graph.Value, bool) { return m.Lookup }

// keep passes the rows that a test accepts.
func keep[T any](x *exec, rows iter.Seq[T], test func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		for row := range rows {
			if !x.tick() {
				return
			}
			if test(row) && !yield(row) {
				return
			}
		}
	}
}

// runRange passes the rows from the from-th, counted from 0, up to but without the to-th, and then stops what is
// before it.
func runRange(x *exec, _ int, s *planStep, in stream) stream {
	out := in
	switch in.kind {
	case kindNodes:
		out.nodes = slice(x, in.nodes, s.from, s.to)
	case kindEdges:
		out.edges = slice(x, in.edges, s.from, s.to)
	case kindValues:
		out.values = slice(x, in.values, s.from, s.to)
	case kindPaths:
		out.paths = slice(x, in.paths, s.from, s.to)
	case kindFlows:
		out.flows = slice(x, in.flows, s.from, s.to)
	}
	return out
}

func slice[T any](x *exec, rows iter.Seq[T], from, to int64) iter.Seq[T] {
	return func(yield func(T) bool) {
		if from >= to {
			return
		}
		var n int64
		for row := range rows {
			if n >= from && !yield(row) {
				return
			}
			if n++; n >= to || !x.tick() {
				return
			}
		}
	}
}

// runDedup passes the first of the rows that are equal: in their id, or in the values of the keys. Rows that have none
// of the keys all pass, as in Skydive.
func runDedup(x *exec, i int, s *planStep, in stream) stream {
	out := in
	switch in.kind {
	case kindNodes:
		out.nodes = dedup(x, in.nodes, elementKey(s.keys, nodeElement))
	case kindEdges:
		out.edges = dedup(x, in.edges, elementKey(s.keys, edgeElement))
	case kindPaths:
		nodes := func(yield func(graph.Node) bool) {
			for path := range in.paths {
				for _, n := range path {
					if !yield(n) {
						return
					}
				}
			}
		}
		out = stream{kind: kindNodes, scope: in.scope, nodes: dedup(x, nodes, elementKey(s.keys, nodeElement))}
	case kindValues:
		if total := x.reduced(i, in); total != nil {
			out.values = total.values(x, i)
			break
		}
		out.values = dedup(x, in.values, func(v graph.Value, b []byte) ([]byte, bool) {
			return v.AppendJSON(b), true
		})
	case kindFlows:
		out.flows = dedup(x, in.flows, func(f Flow, b []byte) ([]byte, bool) {
			return flowKey(s.keys, f, b)
		})
	}
	return out
}

// flowKey appends what tells flows apart; false when a flow has none of the keys.
func flowKey(keys []string, f Flow, b []byte) ([]byte, bool) {
	if len(keys) == 0 {
		return append(b, f.UUID()...), true
	}
	return fieldsKey(keys, f.Field, b)
}

// elementKey makes the function that tells elements apart.
func elementKey[T any](keys []string, element func(T) graph.Element) func(T, []byte) ([]byte, bool) {
	if len(keys) == 0 {
		return func(row T, b []byte) ([]byte, bool) { return append(b, element(row).ID()...), true }
	}
	return func(row T, b []byte) ([]byte, bool) { return fieldsKey(keys, element(row).Field, b) }
}

// fieldsKey appends the values of keys; false when there is none.
func fieldsKey(keys []string, field func(string) (graph.Value, bool), b []byte) (_ []byte, found bool) {
	for n, key := range keys {
		if v, ok := field(key); ok {
			found = true
			b = append(b, byte(n), byte(n>>8))
			b = v.AppendJSON(b)
		}
	}
	return b, found
}

// dedup drops rows whose key came before.
func dedup[T any](x *exec, rows iter.Seq[T], key func(T, []byte) ([]byte, bool)) iter.Seq[T] {
	return func(yield func(T) bool) {
		seen := map[string]struct{}{}
		var room []byte
		for row := range rows {
			if !x.tick() {
				return
			}
			b, ok := key(row, room[:0])
			room = b
			if ok {
				if _, again := seen[string(b)]; again {
					continue
				}
				if !x.mayHold(len(seen) + 1) {
					return
				}
				seen[string(b)] = struct{}{}
			}
			if !yield(row) {
				return
			}
		}
	}
}

// runSort orders rows by a field. Rows without it come last whatever the direction, and equal ones stand in the order
// of their ids, so that the same graph always gives the same answer. When a Limit follows, only as many rows as it
// wants are held.
func runSort(x *exec, _ int, s *planStep, in stream) stream {
	out := in
	switch in.kind {
	case kindNodes:
		out.nodes = sorted(x, in.nodes, s, elementSort(s.keys[0], nodeElement))
	case kindEdges:
		out.edges = sorted(x, in.edges, s, elementSort(s.keys[0], edgeElement))
	case kindFlows:
		out.flows = sorted(x, in.flows, s, func(f Flow) (graph.Value, string) {
			v, _ := f.Field(s.keys[0])
			return v, f.UUID()
		})
	case kindValues:
		out.values = sorted(x, in.values, s, func(v graph.Value) (graph.Value, string) {
			if v.Kind() == graph.KindObject && s.keys[0] != "@CreatedAt" {
				v, _ = v.Object().Lookup(s.keys[0])
			}
			return v, ""
		})
	}
	return out
}

// elementSort reads the field to sort by. The times and the revision of an element may be named without "@", as the
// documentation of Skydive does, when the metadata has no such key.
func elementSort[T any](key string, element func(T) graph.Element) func(T) (graph.Value, string) {
	builtin := ""
	switch key {
	case "ID", "Host", "Origin", "CreatedAt", "UpdatedAt", "DeletedAt", "Revision":
		builtin = "@" + key
	}
	return func(row T) (graph.Value, string) {
		e := element(row)
		v, ok := e.Field(key)
		if !ok && builtin != "" {
			v, _ = e.Field(builtin)
		}
		return v, e.ID()
	}
}

// sortRow is a row with what it is sorted by.
type sortRow[T any] struct {
	by  graph.Value
	id  string
	seq int
	row T
}

// sortHeap keeps the first rows of an order, the last of them on top.
type sortHeap[T any] struct {
	rows    []sortRow[T]
	compare func(a, b sortRow[T]) int
}

func (h *sortHeap[T]) Len() int           { return len(h.rows) }
func (h *sortHeap[T]) Less(i, j int) bool { return h.compare(h.rows[i], h.rows[j]) > 0 }
func (h *sortHeap[T]) Swap(i, j int)      { h.rows[i], h.rows[j] = h.rows[j], h.rows[i] }
func (h *sortHeap[T]) Push(v any)         { h.rows = append(h.rows, v.(sortRow[T])) }
func (h *sortHeap[T]) Pop() any {
	last := h.rows[len(h.rows)-1]
	h.rows = h.rows[:len(h.rows)-1]
	return last
}

func sorted[T any](x *exec, rows iter.Seq[T], s *planStep, by func(T) (graph.Value, string)) iter.Seq[T] {
	compare := func(a, b sortRow[T]) int {
		switch {
		case a.by.IsZero() != b.by.IsZero():
			if a.by.IsZero() {
				return 1
			}
			return -1
		case !a.by.IsZero():
			if c := a.by.Compare(b.by); c != 0 {
				if s.desc {
					return -c
				}
				return c
			}
		}
		if c := strings.Compare(a.id, b.id); c != 0 {
			return c
		}
		return a.seq - b.seq
	}
	return func(yield func(T) bool) {
		h := &sortHeap[T]{compare: compare}
		n := 0
		for row := range rows {
			if !x.tick() {
				return
			}
			v, id := by(row)
			next := sortRow[T]{v, id, n, row}
			n++
			switch {
			case s.top < 0:
				if !x.mayHold(len(h.rows) + 1) {
					return
				}
				h.rows = append(h.rows, next)
			case int64(len(h.rows)) < s.top:
				if !x.mayHold(len(h.rows) + 1) {
					return
				}
				heap.Push(h, next)
			case s.top > 0 && compare(next, h.rows[0]) < 0:
				h.rows[0] = next
				heap.Fix(h, 0)
			}
		}
		slices.SortFunc(h.rows, compare)
		for _, r := range h.rows {
			if !x.tick() || !yield(r.row) {
				return
			}
		}
	}
}
