package skydive

import (
	"fmt"
	"maps"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// SyncRequest asks for the whole graph.
type SyncRequest struct {
	Time          Millis  `json:",omitzero"` // zero: now
	GremlinFilter *string `json:",omitzero"` // nil: as it is; "": none any more; else a query that gives a graph
}

// PartialUpdate is a change of an element's metadata, in order of Ops.
type PartialUpdate struct {
	ID        string
	UpdatedAt Millis
	Revision  int64
	Ops       []PartialOp
}

// PartialOp is one step of a PartialUpdate.
type PartialOp struct {
	Type  OpType
	Key   string // a path: "A.B" is key B of the object under A
	Value any    // as in Metadata; of OpAdd
}

// OpType is the kind of a PartialOp.
type OpType int

// Kinds of PartialOp.
const (
	OpAdd OpType = 1 // set the value, making objects on the way
	OpDel OpType = 2 // remove the key
)

// UnmarshalJSON decodes a step; a number that is equal to an integer becomes int64.
func (o *PartialOp) UnmarshalJSON(data []byte) error {
	var w struct {
		Type  OpType
		Key   string
		Value wireValue
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("partial update: %w", err)
	}
	*o = PartialOp{Type: w.Type, Key: w.Key, Value: w.Value.v}
	return nil
}

// MarshalJSON gives {"Type","Key","Value"}; the value may be of any kind that Metadata.AppendJSON takes.
func (o PartialOp) MarshalJSON() ([]byte, error) {
	dst := fmt.Appendf(nil, `{"Type":%d,"Key":`, int(o.Type))
	dst, err := appendString(dst, o.Key)
	if err != nil {
		return nil, err
	}
	dst = append(dst, `,"Value":`...)
	if dst, err = appendValue(dst, o.Value, 1); err != nil {
		return nil, fmt.Errorf("%q: %w", clip(o.Key), err)
	}
	return append(dst, '}'), nil
}

// wireValue decodes any JSON value as metadata holds it.
type wireValue struct{ v any }

func (w *wireValue) UnmarshalJSONFrom(dec *jsontext.Decoder) (err error) {
	w.v, err = decodeValue(dec, 1)
	return err
}

// Apply gives m with the steps of the update done, in order. m and what it holds stay as they are.
func (u *PartialUpdate) Apply(m Metadata) (Metadata, error) {
	out := maps.Clone(map[string]any(m))
	if out == nil {
		out = make(map[string]any)
	}
	for i, op := range u.Ops {
		switch op.Type {
		case OpAdd:
			setPath(out, op.Key, op.Value)
		case OpDel:
			unsetPath(out, op.Key)
		default:
			return nil, fmt.Errorf("partial update of %q: step %d has unknown type %d", clip(u.ID), i, op.Type)
		}
	}
	return out, nil
}

// setPath sets in m, which it may change; objects below m are copied before they are changed.
func setPath(m map[string]any, path string, v any) {
	for {
		head, rest, nested := strings.Cut(path, ".")
		if _, exact := m[path]; exact || !nested {
			m[path] = v
			return
		}
		below := maps.Clone(object(m[head]))
		if below == nil {
			below = make(map[string]any)
		}
		m[head] = below
		m, path = below, rest
	}
}

// unsetPath removes from m, which it may change; objects below m are copied before they are changed.
func unsetPath(m map[string]any, path string) {
	for {
		head, rest, nested := strings.Cut(path, ".")
		if _, exact := m[path]; exact || !nested {
			delete(m, path)
			return
		}
		below := object(m[head])
		if below == nil {
			return
		}
		below = maps.Clone(below)
		m[head] = below
		m, path = below, rest
	}
}

// object gives the map of a JSON object, nil for all else.
func object(v any) map[string]any {
	switch v := v.(type) {
	case map[string]any:
		return v
	case Metadata:
		return v
	}
	return nil
}

// Get gives the value at a path: the key itself when there is one, else "A.B" is key B of the object under A. Through
// a list it gives a list of what is found in each item.
func (m Metadata) Get(path string) (any, bool) { return lookup(m, path) }

func lookup(v any, path string) (any, bool) {
	if list, ok := v.([]any); ok {
		var found []any
		for _, item := range list {
			if x, ok := lookup(item, path); ok {
				found = append(found, x)
			}
		}
		return found, found != nil
	}
	m := object(v)
	if x, ok := m[path]; ok {
		return x, true
	}
	head, rest, nested := strings.Cut(path, ".")
	if !nested {
		return nil, false
	}
	below, ok := m[head]
	if !ok {
		return nil, false
	}
	return lookup(below, rest)
}

// Str gives the string at a path, "" when there is none.
func (m Metadata) Str(path string) string {
	v, _ := m.Get(path)
	s, _ := v.(string)
	return s
}

// Int gives the integer at a path, 0 when there is none.
func (m Metadata) Int(path string) int64 {
	v, _ := m.Get(path)
	i, _ := v.(int64)
	return i
}
