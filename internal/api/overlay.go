package api

import (
	"strings"

	"github.com/weft-net/weft/graph"
)

// overlay returns the metadata that, laid over old, makes it wanted: changed keys with
// their new values, keys that went as removed, objects compared key by key.
func overlay(old, wanted graph.Metadata) graph.Metadata {
	return graph.NewMetadata(appendRemoved(appendChanged(nil, old, wanted, overlay), old, wanted)...)
}

// changes is overlay without the removals: what is wanted differently from old.
func changes(old, wanted graph.Metadata) graph.Metadata {
	return graph.NewMetadata(appendChanged(nil, old, wanted, changes)...)
}

func appendChanged(fields []graph.Field, old, wanted graph.Metadata, within func(old, wanted graph.Metadata) graph.Metadata) []graph.Field {
	for key, v := range wanted.All() {
		was, known := old.Get(key)
		switch {
		case known && was.Equal(v):
		case known && was.Kind() == graph.KindObject && v.Kind() == graph.KindObject && was.Len() > 0:
			if inner := within(was.Object(), v.Object()); inner.Len() > 0 {
				fields = append(fields, graph.F(key, graph.Object(inner)))
			}
		default:
			fields = append(fields, graph.F(key, v))
		}
	}
	return fields
}

func appendRemoved(fields []graph.Field, old, wanted graph.Metadata) []graph.Field {
	for key := range old.All() {
		if _, kept := wanted.Get(key); !kept {
			fields = append(fields, graph.F(key, graph.Removed()))
		}
	}
	return fields
}

// addOverlay lays a later overlay over an earlier one; what it removes stays marked.
func addOverlay(layer, over graph.Metadata) graph.Metadata {
	for key, v := range over.All() {
		was, known := layer.Get(key)
		if known && was.Kind() == graph.KindObject && v.Kind() == graph.KindObject {
			v = graph.Object(addOverlay(was.Object(), v.Object()))
		}
		layer = layer.With(graph.F(key, v))
	}
	return layer
}

// difference lists the operations that lead from one metadata to another, with dotted
// paths into objects. It returns false when a key that would be a part of a path has a
// dot itself, as a path could not name it.
func difference(old, wanted graph.Metadata) ([]graph.PathOp, bool) {
	return appendDifference(nil, "", old, wanted)
}

func appendDifference(ops []graph.PathOp, prefix string, old, wanted graph.Metadata) ([]graph.PathOp, bool) {
	plain := true
	add := func(key string, v graph.Value) {
		plain = plain && key != "" && !strings.Contains(key, ".")
		ops = append(ops, graph.PathOp{Path: prefix + key, Value: v})
	}
	for key, v := range wanted.All() {
		was, known := old.Get(key)
		switch {
		case known && was.Equal(v):
		case known && was.Kind() == graph.KindObject && v.Kind() == graph.KindObject && was.Len() > 0 && v.Len() > 0:
			var ok bool
			if ops, ok = appendDifference(ops, prefix+key+".", was.Object(), v.Object()); !ok || strings.Contains(key, ".") {
				return nil, false
			}
		default:
			add(key, v)
		}
	}
	for key := range old.All() {
		if _, kept := wanted.Get(key); !kept {
			add(key, graph.Removed())
		}
	}
	return ops, plain
}
