package graph

import (
	"iter"
	"math"
	"strconv"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds of values. KindAbsent is the zero Value's. KindRemoved masks a key of lower layers and never shows in
// results.
const (
	KindAbsent Kind = iota
	KindNull
	KindBool
	KindInt
	KindFloat
	KindString
	KindList
	KindObject
	KindRemoved
)

// String is the kind's name.
func (k Kind) String() string {
	switch k {
	case KindAbsent:
		return "absent"
	case KindNull:
		return "null"
	case KindBool:
		return "bool"
	case KindInt:
		return "int"
	case KindFloat:
		return "float"
	case KindString:
		return "string"
	case KindList:
		return "list"
	case KindObject:
		return "object"
	case KindRemoved:
		return "removed"
	}
	return "kind " + strconv.Itoa(int(k))
}

// Value is one immutable typed value. The zero Value is absent. Each value has one representation, so that equal
// values have equal bytes: an integral float is an Int, the keys of an object are sorted.
type Value struct {
	kind Kind
	num  uint64 // int, float bits, bool; of an object: 1 when it holds a removed value somewhere
	str  string // of a string the text, of a list or an object the packed items
}

// String is a text value. (The method of that name is the Stringer.)
func String(s string) Value { return Value{kind: KindString, str: s} }

// Int is an integer value.
func Int(n int64) Value { return Value{kind: KindInt, num: uint64(n)} }

// Float is a number; an integral one that fits is an Int, as in Skydive.
func Float(f float64) Value {
	if f >= -(1<<63) && f < 1<<63 && f == math.Trunc(f) {
		return Int(int64(f))
	}
	if f != f {
		f = math.NaN() // one NaN
	}
	return Value{kind: KindFloat, num: math.Float64bits(f)}
}

// Bool is a truth value.
func Bool(b bool) Value {
	if b {
		return Value{kind: KindBool, num: 1}
	}
	return Value{kind: KindBool}
}

// Null is JSON's null.
func Null() Value { return Value{kind: KindNull} }

// Removed masks a key of lower layers.
func Removed() Value { return Value{kind: KindRemoved} }

// List is a list of values; an absent or a removed one in it becomes null.
func List(vs ...Value) Value {
	var buf [256]byte
	b := appendUvarint(buf[:0], uint64(len(vs)))
	for _, v := range vs {
		switch {
		case v.kind == KindAbsent || v.kind == KindRemoved:
			v = Null()
		case v.kind == KindObject && v.num != 0:
			v = Object(v.Object().shown())
		}
		b = appendSizedValue(b, v)
	}
	return Value{kind: KindList, str: string(b)}
}

// Strings is a list of texts.
func Strings(ss ...string) Value {
	var buf [256]byte
	b := appendUvarint(buf[:0], uint64(len(ss)))
	for _, s := range ss {
		b = appendSizedValue(b, String(s))
	}
	return Value{kind: KindList, str: string(b)}
}

// Object is metadata as a value of other metadata.
func Object(m Metadata) Value {
	var buf [256]byte
	v := Value{kind: KindObject, str: string(m.appendObject(buf[:0]))}
	if m.masked() {
		v.num = 1
	}
	return v
}

// Kind is the value's type.
func (v Value) Kind() Kind { return v.kind }

// IsZero tells whether the value is absent.
func (v Value) IsZero() bool { return v.kind == KindAbsent }

// Str is the text of a string, and "" of anything else.
func (v Value) Str() string {
	if v.kind == KindString {
		return v.str
	}
	return ""
}

// Int is the integer, a float cut to one, 1 for true, and 0 for anything else.
func (v Value) Int() int64 {
	switch v.kind {
	case KindInt, KindBool:
		return int64(v.num)
	case KindFloat:
		return int64(math.Float64frombits(v.num))
	}
	return 0
}

// Float is the number as a float, and 0 for what is none.
func (v Value) Float() float64 {
	switch v.kind {
	case KindInt:
		return float64(int64(v.num))
	case KindFloat:
		return math.Float64frombits(v.num)
	}
	return 0
}

// Bool tells whether the value is true.
func (v Value) Bool() bool { return v.kind == KindBool && v.num == 1 }

// Len is the number of items of a list or of keys of an object, the bytes of a string, and 0 of anything else.
func (v Value) Len() int {
	switch v.kind {
	case KindString:
		return len(v.str)
	case KindList, KindObject:
		n, _ := uvarint(v.str)
		return int(n)
	}
	return 0
}

// All gives the items of a list in order; it gives nothing of anything else.
func (v Value) All() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.kind != KindList {
			return
		}
		count, s := uvarint(v.str)
		for range count {
			var item string
			item, s = cutSized(s)
			if !yield(unpack(item)) {
				return
			}
		}
	}
}

// Object is the metadata of an object, and empty for anything else.
func (v Value) Object() Metadata {
	if v.kind != KindObject {
		return Metadata{}
	}
	var buf [16]Field
	fields := buf[:0]
	for k, f := range v.fields() {
		fields = append(fields, Field{k, f})
	}
	return packFields(fields)
}

// fields gives the keys and values of an object without making metadata of it.
func (v Value) fields() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.kind != KindObject {
			return
		}
		count, s := uvarint(v.str)
		for range count {
			var key, val string
			key, s = cutSized(s)
			val, s = cutSized(s)
			if !yield(key, unpack(val)) {
				return
			}
		}
	}
}

// member is the value of one key of an object.
func (v Value) member(name string) (Value, bool) {
	if v.kind != KindObject {
		return Value{}, false
	}
	count, s := uvarint(v.str)
	for range count {
		var key, val string
		key, s = cutSized(s)
		val, s = cutSized(s)
		if key == name {
			return unpack(val), true
		}
	}
	return Value{}, false
}

// String is the text of a string as it is, and JSON of anything else.
func (v Value) String() string {
	if v.kind == KindString {
		return v.str
	}
	return string(v.AppendJSON(nil))
}
