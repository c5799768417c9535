package gremlin

import (
	"fmt"
	"iter"

	"github.com/weft-net/weft/graph"
)

// runValues gives the value of a key for each row that has it. Empty lists and objects are left out, as in Skydive.
func runValues(x *exec, i int, s *planStep, in stream) stream {
	key := s.keys[0]
	out := stream{kind: kindValues, scope: in.scope, reduction: in.reduction}
	switch in.kind {
	case kindNodes:
		out.values = elementValues(x, in.nodes, key, nodeElement)
	case kindEdges:
		out.values = elementValues(x, in.edges, key, edgeElement)
	case kindFlows:
		out.values = func(yield func(graph.Value) bool) {
			for f := range in.flows {
				v, ok := f.Field(key)
				if !ok {
					x.fail(i, noField(f, key))
					return
				}
				if !yield(v) {
					return
				}
			}
		}
	case kindSockets:
		out.values = func(yield func(graph.Value) bool) {
			for _, id := range in.table.sortedIDs() {
				for _, row := range in.table.rows[id] {
					if v, ok := row.Lookup(key); ok && !yield(v) {
						return
					}
				}
			}
		}
	}
	return out
}

// noField words what Skydive refuses, too, and says how to leave such flows out.
func noField(f Flow, key string) error {
	return fmt.Errorf("flow %s has no field '%s': put HasKey(%s) before this step, which keeps the flows that have it", f.UUID(), key, quote(key))
}

func elementValues[T any](x *exec, rows iter.Seq[T], key string, element func(T) graph.Element) iter.Seq[graph.Value] {
	return func(yield func(graph.Value) bool) {
		for row := range rows {
			if !x.tick() {
				return
			}
			v, ok := element(row).Field(key)
			if !ok || (v.Kind() == graph.KindList || v.Kind() == graph.KindObject) && v.Len() == 0 {
				continue
			}
			if !yield(v) {
				return
			}
		}
	}
}

// runValueMap gives an object with the keys that each row has; without keys, the whole metadata.
func runValueMap(x *exec, _ int, s *planStep, in stream) stream {
	out := stream{kind: kindValues, scope: in.scope}
	if in.kind == kindNodes {
		out.values = valueMaps(x, in.nodes, s.keys, nodeElement)
	} else {
		out.values = valueMaps(x, in.edges, s.keys, edgeElement)
	}
	return out
}

func valueMaps[T any](x *exec, rows iter.Seq[T], keys []string, element func(T) graph.Element) iter.Seq[graph.Value] {
	return func(yield func(graph.Value) bool) {
		for row := range rows {
			if !x.tick() {
				return
			}
			e := element(row)
			if len(keys) == 0 {
				if !yield(graph.Object(e.Metadata())) {
					return
				}
				continue
			}
			var fields []graph.Field
			for _, key := range keys {
				if v, ok := e.Field(key); ok {
					fields = append(fields, graph.F(key, v))
				}
			}
			if len(fields) > 0 && !yield(graph.Object(graph.NewMetadata(fields...))) {
				return
			}
		}
	}
}

// elementFields are the fields that every element has.
var elementFields = [...]string{"@ID", "@Host", "@Origin", "@CreatedAt", "@UpdatedAt", "@DeletedAt", "@Revision"}

// runKeys gives the names of the fields that any of the rows has, each once: those of elements, then those of the
// metadata, with the keys within objects as dotted names.
func runKeys(x *exec, i int, _ *planStep, in stream) stream {
	if total := x.reduced(i, in); total != nil {
		return stream{kind: kindValues, scope: in.scope, values: total.values(x, i)}
	}
	names := func(yield func(string) bool) {
		switch in.kind {
		case kindNodes:
			elementKeys(x, in.nodes, nodeElement)(yield)
		case kindEdges:
			elementKeys(x, in.edges, edgeElement)(yield)
		case kindFlows:
			for f := range in.flows {
				for _, key := range f.Keys() {
					if !yield(key) {
						return
					}
				}
			}
		case kindMetrics:
			for _, id := range in.table.sortedIDs() {
				for _, row := range in.table.rows[id] {
					for key := range row.All() {
						if !yield(key) {
							return
						}
					}
				}
			}
		}
	}
	return stream{kind: kindValues, scope: in.scope, values: func(yield func(graph.Value) bool) {
		seen := map[string]struct{}{}
		for name := range names {
			if _, again := seen[name]; again {
				continue
			}
			if !x.mayHold(len(seen) + 1) {
				return
			}
			seen[name] = struct{}{}
			if !yield(graph.String(name)) {
				return
			}
		}
	}}
}

func elementKeys[T any](x *exec, rows iter.Seq[T], element func(T) graph.Element) iter.Seq[string] {
	return func(yield func(string) bool) {
		for row := range rows {
			if !x.tick() {
				return
			}
			for _, name := range elementFields {
				if !yield(name) {
					return
				}
			}
			if !metadataKeys("", element(row).Metadata(), yield) {
				return
			}
		}
	}
}

func metadataKeys(prefix string, m graph.Metadata, yield func(string) bool) bool {
	for key, v := range m.All() {
		if !yield(prefix + key) {
			return false
		}
		if v.Kind() == graph.KindObject && !metadataKeys(prefix+key+".", v.Object(), yield) {
			return false
		}
	}
	return true
}

// runCount counts rows; of metrics, sockets and the like, what they belong to.
func runCount(x *exec, i int, _ *planStep, in stream) stream {
	if total := x.reduced(i, in); total != nil {
		return stream{kind: kindScalar, scope: in.scope, scalar: graph.Int(in.reduction.count(total))}
	}
	var n int64
	switch in.kind {
	case kindNodes:
		n = count(in.nodes)
	case kindEdges:
		n = count(in.edges)
	case kindValues:
		n = count(in.values)
	case kindPaths:
		n = count(in.paths)
	case kindFlows:
		n = count(in.flows)
	default:
		n = int64(len(in.table.ids))
	}
	return stream{kind: kindScalar, scope: in.scope, scalar: graph.Int(n)}
}

func count[T any](rows iter.Seq[T]) (n int64) {
	for range rows {
		n++
	}
	return n
}

// runSum adds up the numbers under a key. Rows without the key count nothing; a value that is no number is an error.
func runSum(x *exec, i int, s *planStep, in stream) stream {
	out := stream{kind: kindScalar, scope: in.scope}
	if total := x.reduced(i, in); total != nil {
		out.scalar = total.sum.value()
		if in.kind == kindMetrics && len(s.keys) == 0 {
			out.scalar = total.metrics.value()
		}
		return out
	}
	if in.kind == kindMetrics && len(s.keys) == 0 {
		out.scalar = sumMetrics(in.table)
		return out
	}
	var sum sum
	add := func(what string, v graph.Value, ok bool) bool {
		if ok && !sum.add(v) {
			x.fail(i, noNumber(what, v))
			return false
		}
		return x.tick()
	}
	switch in.kind {
	case kindNodes:
		for n := range in.nodes {
			if v, ok := n.Field(s.keys[0]); !add("node "+n.ID(), v, ok) {
				break
			}
		}
	case kindEdges:
		for e := range in.edges {
			if v, ok := e.Field(s.keys[0]); !add("edge "+e.ID(), v, ok) {
				break
			}
		}
	case kindFlows:
		for f := range in.flows {
			if v, ok := f.Field(s.keys[0]); !add("flow "+f.UUID(), v, ok) {
				break
			}
		}
	case kindValues:
		for v := range in.values {
			ok := true
			if len(s.keys) > 0 {
				v, ok = v.Object().Lookup(s.keys[0])
			}
			if !add("values", v, ok) {
				break
			}
		}
	case kindMetrics:
		for _, id := range in.table.sortedIDs() {
			for _, row := range in.table.rows[id] {
				if v, ok := row.Lookup(s.keys[0]); !add("metrics of "+id, v, ok) {
					break
				}
			}
		}
	}
	out.scalar = sum.value()
	return out
}

func noNumber(what string, v graph.Value) error {
	return fmt.Errorf("%s: the value %s is not a number and cannot be summed", what, shorten(v.String()))
}

// sum adds whole numbers exactly, until one that is not whole turns up.
type sum struct {
	whole int64
	real  float64
	float bool
}

func (s *sum) add(v graph.Value) bool {
	switch v.Kind() {
	case graph.KindInt:
		s.whole += v.Int()
	case graph.KindFloat:
		s.real += v.Float()
		s.float = true
	case graph.KindList:
		for e := range v.All() {
			if !s.add(e) {
				return false
			}
		}
	default:
		return false
	}
	return true
}

func (s *sum) merge(o sum) {
	s.whole += o.whole
	s.real += o.real
	s.float = s.float || o.float
}

func (s *sum) value() graph.Value {
	if s.float {
		return graph.Float(s.real + float64(s.whole))
	}
	return graph.Int(s.whole)
}
