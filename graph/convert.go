package graph

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// ValueOf converts a Go value as JSON decoders give it: nil, bool, every integer and float, string, []any,
// []string, map[string]any, and Value and Metadata themselves.
func ValueOf(v any) (Value, error) { return valueOf(v, 0) }

func valueOf(v any, depth int) (Value, error) {
	if depth > MaxDepth {
		return Value{}, errDepth
	}
	switch v := v.(type) {
	case nil:
		return Null(), nil
	case Value:
		return v, nil
	case Metadata:
		return Object(v), nil
	case bool:
		return Bool(v), nil
	case string:
		return String(v), nil
	case int:
		return Int(int64(v)), nil
	case int8:
		return Int(int64(v)), nil
	case int16:
		return Int(int64(v)), nil
	case int32:
		return Int(int64(v)), nil
	case int64:
		return Int(v), nil
	case uint:
		return unsigned(uint64(v)), nil
	case uint8:
		return Int(int64(v)), nil
	case uint16:
		return Int(int64(v)), nil
	case uint32:
		return Int(int64(v)), nil
	case uint64:
		return unsigned(v), nil
	case float32:
		return Float(float64(v)), nil
	case float64:
		return Float(v), nil
	case []string:
		return Strings(v...), nil
	case []any:
		items := make([]Value, len(v))
		for i, item := range v {
			var err error
			if items[i], err = valueOf(item, depth+1); err != nil {
				return Value{}, fmt.Errorf("item %d: %w", i, err)
			}
		}
		return List(items...), nil
	case map[string]any:
		m, err := metadataOf(v, depth)
		if err != nil {
			return Value{}, err
		}
		return Object(m), nil
	}
	return Value{}, fmt.Errorf("value of Go type %T cannot be metadata", v)
}

func unsigned(u uint64) Value {
	if u > math.MaxInt64 {
		return Float(float64(u))
	}
	return Int(int64(u))
}

// MetadataOf converts a map as JSON decoders give it.
func MetadataOf(m map[string]any) (Metadata, error) { return metadataOf(m, 0) }

func metadataOf(m map[string]any, depth int) (Metadata, error) {
	fields := make([]Field, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v, err := valueOf(m[key], depth+1)
		if err != nil {
			return Metadata{}, fmt.Errorf("key %q: %w", key, err)
		}
		if !v.IsZero() {
			fields = append(fields, Field{key, v})
		}
	}
	return packFields(fields), nil
}

// Any is the value as a JSON decoder would give it, but that integers are int64.
func (v Value) Any() any {
	switch v.kind {
	case KindBool:
		return v.num == 1
	case KindInt:
		return int64(v.num)
	case KindFloat:
		return v.Float()
	case KindString:
		return v.str
	case KindList:
		out := make([]any, 0, v.Len())
		for item := range v.All() {
			out = append(out, item.Any())
		}
		return out
	case KindObject:
		out := make(map[string]any, v.Len())
		for k, item := range v.fields() {
			if item.kind != KindRemoved {
				out[k] = item.Any()
			}
		}
		return out
	}
	return nil
}

// Map is the metadata as a JSON decoder would give it, but that integers are int64.
func (m Metadata) Map() map[string]any {
	out := make(map[string]any, m.Len())
	for k, v := range m.All() {
		if v.kind != KindRemoved {
			out[k] = v.Any()
		}
	}
	return out
}
