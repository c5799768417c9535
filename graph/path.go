package graph

import "strings"

// manyDots is how many dots a path has at which going through the keys beats trying each of its heads.
const manyDots = 8

// Lookup finds the value at a dotted path: the key as a whole first, then object by object. On its way through a
// list it looks into each item, and gives the list of what it found. However long the path is, each key is looked at
// a few times at most.
func (m Metadata) Lookup(path string) (Value, bool) {
	if v, ok := m.Get(path); ok {
		return v, true
	}
	if strings.Count(path, ".") > manyDots {
		for key, v := range m.All() {
			if rest, ok := cutKey(path, key); ok {
				if found, ok := v.lookup(rest); ok {
					return found, true
				}
			}
		}
		return Value{}, false
	}
	for i := 0; i < len(path); i++ {
		if path[i] != '.' {
			continue
		}
		if v, ok := m.Get(path[:i]); ok {
			if found, ok := v.lookup(path[i+1:]); ok {
				return found, true
			}
		}
	}
	return Value{}, false
}

// cutKey cuts a key and a dot from the front of a path.
func cutKey(path, key string) (rest string, ok bool) {
	if len(path) <= len(key) || path[len(key)] != '.' || path[:len(key)] != key {
		return "", false
	}
	return path[len(key)+1:], true
}

func (v Value) lookup(path string) (Value, bool) {
	switch v.kind {
	case KindObject:
		if found, ok := v.member(path); ok {
			return found, true
		}
		for key, inner := range v.fields() { // sorted: the shortest head of the path first
			if rest, ok := cutKey(path, key); ok {
				if found, ok := inner.lookup(rest); ok {
					return found, true
				}
			}
		}
	case KindList:
		var found []Value
		found = v.lookupItems(path, found)
		if len(found) > 0 {
			return List(found...), true
		}
	}
	return Value{}, false
}

// lookupItems looks into each item of a list. Lists on the way are flattened, so that "Tables.Routes.Prefix" is one
// list of prefixes.
func (v Value) lookupItems(path string, found []Value) []Value {
	for item := range v.All() {
		switch item.kind {
		case KindObject:
			if got, ok := item.member(path); ok {
				found = append(found, got)
				continue
			}
			for key, inner := range item.fields() {
				rest, ok := cutKey(path, key)
				if !ok {
					continue
				}
				if inner.kind == KindList {
					found = inner.lookupItems(rest, found)
					break
				}
				if got, ok := inner.lookup(rest); ok {
					found = append(found, got)
					break
				}
			}
		case KindList:
			found = item.lookupItems(path, found)
		}
	}
	return found
}

// Set is the metadata with the value at a dotted path, which makes the objects that are missing. A key that is the
// whole path is replaced. An absent value unsets. What would nest deeper than MaxDepth is left out: the metadata stays
// as it was. Apply refuses such an event instead.
func (m Metadata) Set(path string, v Value) Metadata {
	if v.tooDeepAt(path) {
		return m
	}
	return m.set(path, v)
}

// set is Set of what is known not to be too deep.
func (m Metadata) set(path string, v Value) Metadata {
	if v.IsZero() {
		return m.Unset(path)
	}
	head, rest, dotted := strings.Cut(path, ".")
	if !dotted {
		return m.With(Field{path, v})
	}
	if _, whole := m.Get(path); whole {
		return m.With(Field{path, v})
	}
	inner, _ := m.Get(head)
	return m.With(Field{head, Object(inner.Object().set(rest, v))})
}

// Unset is the metadata without what is at a dotted path. An object that becomes empty stays.
func (m Metadata) Unset(path string) Metadata {
	if _, whole := m.Get(path); whole {
		return m.Without(path)
	}
	head, rest, dotted := strings.Cut(path, ".")
	if !dotted {
		return m
	}
	inner, ok := m.Get(head)
	if !ok || inner.kind != KindObject {
		return m
	}
	old := inner.Object()
	changed := old.Unset(rest)
	if changed.Equal(old) {
		return m
	}
	return m.With(Field{head, Object(changed)})
}

// Merge lays other metadata over this one: objects are merged key by key, anything else is replaced, and a removed
// value takes its key away.
func (m Metadata) Merge(over Metadata) Metadata {
	if over.Len() == 0 {
		return m.shown()
	}
	if m.Len() == 0 {
		return over.shown()
	}
	var buf [32]Field
	out := buf[:0]
	a, b := m.keyList(), over.keyList()
	na, nb := a.len(), b.len()
	for i, j := 0, 0; i < na || j < nb; {
		order := 0
		switch {
		case i == na:
			order = 1
		case j == nb:
			order = -1
		default:
			order = strings.Compare(a.at(na, i), b.at(nb, j))
		}
		var key string
		var v Value
		switch {
		case order < 0:
			key, v = a.at(na, i), unpack(m.value(na, i)).shown()
			i++
		case order > 0:
			key, v = b.at(nb, j), unpack(over.value(nb, j)).shown()
			j++
		default:
			key, v = b.at(nb, j), unpack(over.value(nb, j))
			if under := unpack(m.value(na, i)); under.kind == KindObject && v.kind == KindObject {
				v = Object(under.Object().Merge(v.Object()))
			} else {
				v = v.shown()
			}
			i++
			j++
		}
		if !v.IsZero() {
			out = append(out, Field{key, v})
		}
	}
	return packFields(out)
}

// shown is the metadata without removed values.
func (m Metadata) shown() Metadata {
	if !m.masked() {
		return m
	}
	var buf [16]Field
	out := buf[:0]
	for k, v := range m.All() {
		if v = v.shown(); !v.IsZero() {
			out = append(out, Field{k, v})
		}
	}
	return packFields(out)
}

// shown is the value without removed ones in it, absent when it is one itself.
func (v Value) shown() Value {
	switch {
	case v.kind == KindRemoved:
		return Value{}
	case v.kind == KindObject && v.num != 0:
		return Object(v.Object().shown())
	}
	return v
}
