package graph

import (
	"iter"
	"strings"
)

// Lookup gives the nodes whose field has one of the values, or a list with one of them as an item, each node once,
// and about how many they are. The key is a metadata path, "@ID", "@Host" or "@Origin". ok is false when no index
// serves it, or none can: read all Nodes then. A key that is asked for often gets an index in a while.
func (v *View) Lookup(key string, vals ...Value) (seq iter.Seq[Node], estimate int, ok bool) {
	all, estimate, ok := v.lookup(key, false, vals)
	if !ok {
		return nil, 0, false
	}
	return func(yield func(Node) bool) {
		for e := range all {
			if !yield(Node{e}) {
				return
			}
		}
	}, estimate, true
}

// LookupEdges is Lookup for edges. No field of edges is indexed from the start.
func (v *View) LookupEdges(key string, vals ...Value) (seq iter.Seq[Edge], estimate int, ok bool) {
	all, estimate, ok := v.lookup(key, true, vals)
	if !ok {
		return nil, 0, false
	}
	return func(yield func(Edge) bool) {
		for e := range all {
			if !yield(Edge{e}) {
				return
			}
		}
	}, estimate, true
}

func (v *View) lookup(key string, edge bool, vals []Value) (iter.Seq[Element], int, bool) {
	key = strings.TrimPrefix(key, "Metadata.")
	if key == "@ID" {
		return v.lookupIDs(edge, vals), len(vals), true
	}
	for _, val := range vals {
		if val.kind == KindList || !indexable(val) {
			return nil, 0, false
		}
	}
	if v.g.sampled(key) {
		return nil, 0, false
	}
	x := findIndex(*v.g.indexesOf(edge).Load(), key)
	if x == nil {
		v.g.askIndex(key, edge)
		return nil, 0, false
	}
	if !x.ready.Load() {
		return nil, 0, false
	}
	estimate := 0
	var buf [16]uint32
	for _, val := range vals {
		handles, set := x.table.candidates(hashValue(v.g.seed, val), buf[:0])
		estimate += len(handles)
		if set != nil {
			estimate += set.len()
		}
	}
	return func(yield func(Element) bool) {
		for i, val := range vals {
			if !v.lookupValue(x, edge, val, vals[:i], yield) {
				return
			}
		}
	}, estimate, true
}

// lookupValue yields the elements with a value, but those that had one of the earlier values.
func (v *View) lookupValue(x *index, edge bool, val Value, earlier []Value, yield func(Element) bool) bool {
	elements := v.g.elementsOf(edge)
	check := func(h uint32) bool {
		e := elements.get(h)
		if e == nil {
			return true
		}
		seen, ok := v.see(e)
		if !ok {
			return true
		}
		have := x.field(seen.v)
		if !matches(have, val) {
			return true
		}
		for _, was := range earlier {
			if matches(have, was) {
				return true
			}
		}
		return yield(seen)
	}
	var buf [16]uint32
	handles, set := x.table.candidates(hashValue(v.g.seed, val), buf[:0])
	for _, h := range handles {
		if !check(h) {
			return false
		}
	}
	if set != nil {
		for h := range set.all() {
			if !check(h) {
				return false
			}
		}
	}
	return true
}

func (v *View) lookupIDs(edge bool, vals []Value) iter.Seq[Element] {
	return func(yield func(Element) bool) {
		for i, val := range vals {
			again := false
			for _, was := range vals[:i] {
				again = again || was.Equal(val)
			}
			if again || val.kind != KindString {
				continue
			}
			if e, ok := v.lookupID(val.str, edge); ok && !yield(e) {
				return
			}
		}
	}
}

// sampled tells whether samples show at the path, above it or under it: no index knows those.
func (g *Graph) sampled(path string) bool {
	for _, prefix := range *g.samplePaths.Load() {
		if pathsMeet(prefix, path) {
			return true
		}
	}
	return false
}

// pathsMeet tells whether one path is the other or leads to it.
func pathsMeet(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return strings.HasPrefix(b, a) && (len(a) == len(b) || b[len(a)] == '.')
}
