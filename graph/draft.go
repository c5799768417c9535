package graph

import "strings"

// draft is metadata while many operations of a patch change it: an object that one of them goes into is unpacked once,
// where Set and Unset pack all of it anew each time.
type draft struct {
	fields map[string]draftField
}

// draftField is a value, or an object that was unpacked.
type draftField struct {
	value Value
	inner *draft
}

func draftOf(m Metadata) *draft {
	d := &draft{fields: make(map[string]draftField, m.Len())}
	for key, v := range m.All() {
		d.fields[key] = draftField{value: v}
	}
	return d
}

// open gives the draft of an object, nil when there is none under the key.
func (d *draft) open(key string) *draft {
	f, ok := d.fields[key]
	if !ok || f.inner == nil && f.value.kind != KindObject {
		return nil
	}
	if f.inner == nil {
		f = draftField{inner: draftOf(f.value.Object())}
		d.fields[key] = f
	}
	return f.inner
}

// set is Metadata.Set.
func (d *draft) set(path string, v Value) {
	if v.IsZero() {
		d.unset(path)
		return
	}
	for {
		head, rest, dotted := strings.Cut(path, ".")
		if _, whole := d.fields[path]; whole || !dotted {
			d.fields[path] = draftField{value: v}
			return
		}
		inner := d.open(head)
		if inner == nil {
			inner = draftOf(Metadata{})
			d.fields[head] = draftField{inner: inner}
		}
		d, path = inner, rest
	}
}

// unset is Metadata.Unset.
func (d *draft) unset(path string) {
	for {
		if _, whole := d.fields[path]; whole {
			delete(d.fields, path)
			return
		}
		head, rest, dotted := strings.Cut(path, ".")
		inner := d.open(head)
		if !dotted || inner == nil {
			return
		}
		d, path = inner, rest
	}
}

// has tells whether Metadata.Lookup finds something.
func (d *draft) has(path string) bool {
	if _, ok := d.fields[path]; ok {
		return true
	}
	for i := 0; i < len(path); i++ {
		if path[i] != '.' {
			continue
		}
		if inner := d.open(path[:i]); inner != nil {
			if inner.has(path[i+1:]) {
				return true
			}
		} else if _, ok := d.fields[path[:i]].value.lookup(path[i+1:]); ok {
			return true
		}
	}
	return false
}

// metadata packs the draft.
func (d *draft) metadata() Metadata {
	fields := make([]Field, 0, len(d.fields))
	for key, f := range d.fields {
		if f.inner != nil {
			f.value = Object(f.inner.metadata())
		}
		fields = append(fields, Field{key, f.value})
	}
	return NewMetadata(fields...)
}

// manyOps is how many operations a draft is worth while for.
const manyOps = 4

// applyPatch applies path operations to an origin's own layer. With lower layers, a removal of what they have is kept
// to mask it.
func applyPatch(m Metadata, patch []PathOp, lower Metadata) Metadata {
	if len(patch) > manyOps {
		return applyManyOps(m, patch, lower)
	}
	for _, op := range patch {
		if op.Value.kind != KindRemoved {
			m = m.set(op.Path, op.Value)
			continue
		}
		m = m.Unset(op.Path)
		if _, there := lower.Lookup(op.Path); there {
			m = m.set(op.Path, op.Value)
		}
	}
	return m
}

func applyManyOps(m Metadata, patch []PathOp, lower Metadata) Metadata {
	d, under := draftOf(m), draftOf(lower)
	for _, op := range patch {
		if op.Value.kind != KindRemoved {
			d.set(op.Path, op.Value)
			continue
		}
		d.unset(op.Path)
		if under.has(op.Path) {
			d.set(op.Path, op.Value)
		}
	}
	return d.metadata()
}
