package graph

import (
	"cmp"
	"math"
	"strings"
)

// Equal tells whether two values are the same; an Int equals a Float never, as an integral float is an Int.
func (v Value) Equal(w Value) bool {
	return v.kind == w.kind && v.num == w.num && v.str == w.str
}

// Compare is a total order: by kind first (absent, null, bool, numbers, strings, lists, objects, removed), numbers
// numerically with NaN first, strings by bytes, lists and objects item by item.
func (v Value) Compare(w Value) int {
	if a, b := v.order(), w.order(); a != b {
		return cmp.Compare(a, b)
	}
	switch v.kind {
	case KindBool:
		return cmp.Compare(v.num, w.num)
	case KindInt, KindFloat:
		return compareNumbers(v, w)
	case KindString:
		return strings.Compare(v.str, w.str)
	case KindList:
		return compareLists(v, w)
	case KindObject:
		return compareObjects(v, w)
	}
	return 0
}

func (v Value) order() Kind {
	if v.kind == KindFloat {
		return KindInt
	}
	return v.kind
}

func compareNumbers(v, w Value) int {
	switch {
	case v.kind == KindInt && w.kind == KindInt:
		return cmp.Compare(int64(v.num), int64(w.num))
	case v.kind == KindFloat && w.kind == KindFloat:
		return cmp.Compare(v.Float(), w.Float())
	case v.kind == KindInt:
		return compareIntFloat(int64(v.num), w.Float())
	}
	return -compareIntFloat(int64(w.num), v.Float())
}

// compareIntFloat compares exactly, where a conversion of a large integer would round.
func compareIntFloat(n int64, f float64) int {
	switch {
	case f != f:
		return 1
	case f >= 1<<63:
		return -1
	case f < -(1 << 63):
		return 1
	}
	whole := math.Floor(f)
	if c := cmp.Compare(n, int64(whole)); c != 0 {
		return c
	}
	if f > whole {
		return -1
	}
	return 0
}

func compareLists(v, w Value) int {
	nv, sv := uvarint(v.str)
	nw, sw := uvarint(w.str)
	for range min(nv, nw) {
		var a, b string
		a, sv = cutSized(sv)
		b, sw = cutSized(sw)
		if c := unpack(a).Compare(unpack(b)); c != 0 {
			return c
		}
	}
	return cmp.Compare(nv, nw)
}

func compareObjects(v, w Value) int {
	nv, sv := uvarint(v.str)
	nw, sw := uvarint(w.str)
	for range min(nv, nw) {
		var a, b string
		a, sv = cutSized(sv)
		b, sw = cutSized(sw)
		if c := strings.Compare(a, b); c != 0 {
			return c
		}
		a, sv = cutSized(sv)
		b, sw = cutSized(sw)
		if c := unpack(a).Compare(unpack(b)); c != 0 {
			return c
		}
	}
	return cmp.Compare(nv, nw)
}
