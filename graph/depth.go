package graph

import (
	"fmt"
	"strings"
)

// MaxDepth is how deep lists and objects may nest in a value of metadata, so that what walks them stays bounded. It
// holds for what is decoded, converted and applied: what Apply accepts can be encoded and decoded again.
const MaxDepth = 128

var errDepth = fmt.Errorf("nested deeper than %d", MaxDepth)

// DeeperThan tells whether lists and objects nest deeper than n levels in the value; a number is 0 levels deep, an
// empty list 1.
func (v Value) DeeperThan(n int) bool {
	if v.kind != KindList && v.kind != KindObject {
		return n < 0
	}
	if n <= 0 {
		return true
	}
	return deepItems(v.str, v.kind == KindObject, n-1)
}

// deepPacked is DeeperThan of a packed value.
func deepPacked(s string, n int) bool {
	// A level takes a tag, a count and a length at least, the innermost one no length.
	if len(s) < 3*n+2 {
		return false
	}
	switch s[0] {
	case tagList:
		return n <= 0 || deepItems(s[1:], false, n-1)
	case tagObject, tagMaskedObject:
		return n <= 0 || deepItems(s[1:], true, n-1)
	}
	return false
}

// deepItems tells whether an item of a packed list or object is deeper than n levels.
func deepItems(s string, object bool, n int) bool {
	if len(s) < 3*n+2 {
		return false
	}
	count, s := uvarint(s)
	for range count {
		var item string
		if object {
			_, s = cutSized(s)
		}
		if item, s = cutSized(s); deepPacked(item, n) {
			return true
		}
	}
	return false
}

// tooDeep tells whether a value of the metadata is deeper than MaxDepth.
func (m Metadata) tooDeep() bool {
	if len(m.data) < 3*MaxDepth+2 {
		return false
	}
	n := m.Len()
	for i := range n {
		if deepPacked(m.value(n, i), MaxDepth) {
			return true
		}
	}
	return false
}

// pathDepth is how many levels of objects a path makes under its first key.
func pathDepth(path string) int { return strings.Count(path, ".") }

// tooDeepAt tells whether the value would be too deep at the path.
func (v Value) tooDeepAt(path string) bool { return v.DeeperThan(MaxDepth - pathDepth(path)) }

// checkDepth refuses an event that would make metadata deeper than MaxDepth.
func (ev *Event) checkDepth() error {
	if ev.Metadata.tooDeep() {
		return fmt.Errorf("%w: %s: metadata %w levels", ErrInvalid, ev.ID, errDepth)
	}
	for i, op := range ev.Patch {
		if op.Value.tooDeepAt(op.Path) {
			return fmt.Errorf("%w: %s: path operation %d has a path of %d levels, which with its value is %w",
				ErrInvalid, ev.ID, i, pathDepth(op.Path)+1, errDepth)
		}
	}
	if c := ev.Counters; c != nil && pathDepth(c.Prefix) >= MaxDepth {
		return fmt.Errorf("%w: %s: counters under a prefix of %d levels, %w",
			ErrInvalid, ev.ID, pathDepth(c.Prefix)+1, errDepth)
	}
	return nil
}
