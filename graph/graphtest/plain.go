package graphtest

import (
	"strings"

	"github.com/weft-net/weft/graph"
)

// MarshalJSON makes a removed key visible in comparisons.
func (Removed) MarshalJSON() ([]byte, error) { return []byte(`"(removed)"`), nil }

// Plain is metadata as plain maps, removed keys as Removed.
func Plain(m graph.Metadata) map[string]any {
	out := map[string]any{}
	for k, v := range m.All() {
		switch v.Kind() {
		case graph.KindRemoved:
			out[k] = Removed{}
		case graph.KindObject:
			out[k] = Plain(v.Object())
		default:
			out[k] = v.Any()
		}
	}
	return out
}

// packed is the way back.
func packed(m map[string]any) graph.Metadata {
	var fields []graph.Field
	for k, v := range m {
		fields = append(fields, graph.F(k, packedValue(v)))
	}
	return graph.NewMetadata(fields...)
}

func packedValue(v any) graph.Value {
	switch v := v.(type) {
	case Removed:
		return graph.Removed()
	case map[string]any:
		return graph.Object(packed(v))
	}
	out, err := graph.ValueOf(v)
	if err != nil {
		panic(err) // it came from a Value
	}
	return out
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = clone(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = clone(x)
		}
		return out
	}
	return v
}

// mergeMap lays one map over another, in place.
func mergeMap(m, over map[string]any) {
	for k, v := range over {
		switch v := v.(type) {
		case Removed:
			delete(m, k)
		case map[string]any:
			under, ok := m[k].(map[string]any)
			if !ok {
				under = map[string]any{}
			}
			mergeMap(under, v)
			m[k] = under
		default:
			m[k] = clone(v)
		}
	}
}

// patchMap patches a map in place. With a lower map, a removal of what that has is kept as Removed.
func patchMap(m map[string]any, patch []graph.PathOp, lower map[string]any) {
	for _, op := range patch {
		if op.Value.Kind() != graph.KindRemoved {
			setPath(m, op.Path, op.Value.Any())
			continue
		}
		unsetPath(m, op.Path)
		if lower != nil && hasPath(lower, op.Path) {
			setPath(m, op.Path, Removed{})
		}
	}
}

func setPath(m map[string]any, path string, v any) {
	head, rest, dotted := strings.Cut(path, ".")
	if !dotted {
		m[path] = v
		return
	}
	inner, ok := m[head].(map[string]any)
	if !ok {
		inner = map[string]any{}
		m[head] = inner
	}
	setPath(inner, rest, v)
}

func unsetPath(m map[string]any, path string) {
	head, rest, dotted := strings.Cut(path, ".")
	if !dotted {
		delete(m, path)
	} else if inner, ok := m[head].(map[string]any); ok {
		unsetPath(inner, rest)
	}
}

func hasPath(m map[string]any, path string) bool {
	head, rest, dotted := strings.Cut(path, ".")
	v, ok := m[head]
	if !ok || !dotted {
		return ok
	}
	inner, ok := v.(map[string]any)
	return ok && hasPath(inner, rest)
}
