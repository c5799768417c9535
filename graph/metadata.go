package graph

import (
	"iter"
	"slices"
	"strings"
	"unique"
)

// Field is one key of Metadata with its value.
type Field struct {
	Key   string
	Value Value
}

// F makes a Field.
func F(key string, v Value) Field { return Field{key, v} }

// Metadata is an immutable set of typed fields, sorted by key. The zero Metadata is empty. Elements of one kind
// share one interned list of keys; the values are one packed string without pointers, which Values point into.
type Metadata struct {
	keys unique.Handle[string] // see keyList
	data string                // width | maskedFlag, n ends of width bytes each, values
}

// maskedFlag marks metadata that holds a removed value somewhere.
const maskedFlag = 0x80

// keyList is a sorted list of keys: the count, the ends of the keys, and the keys; numbers are 4 bytes.
type keyList string

func (k keyList) len() int { return int(k.number(0)) }

func (k keyList) number(i int) uint32 {
	s := k[4*i : 4*i+4]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func (k keyList) at(n, i int) string {
	start := uint32(0)
	if i > 0 {
		start = k.number(i)
	}
	base := 4 * (n + 1)
	return string(k[base+int(start) : base+int(k.number(i+1))])
}

// find gives the place of a key, and where it would be.
func (k keyList) find(key string) (int, bool) {
	n := k.len()
	lo, hi := 0, n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		at := k.at(n, mid)
		if at == key {
			return mid, true
		}
		if at < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, false
}

func appendUint32(b []byte, x uint32) []byte {
	return append(b, byte(x), byte(x>>8), byte(x>>16), byte(x>>24))
}

func internKeys(n int, key func(int) string) unique.Handle[string] {
	var buf [512]byte
	b := appendUint32(buf[:0], uint32(n))
	end := uint32(0)
	for i := range n {
		end += uint32(len(key(i)))
		b = appendUint32(b, end)
	}
	for i := range n {
		b = append(b, key(i)...)
	}
	return unique.Make(string(b))
}

// NewMetadata makes metadata of fields in any order: a later field of a key wins, absent values are left out.
func NewMetadata(fields ...Field) Metadata {
	var buf [16]Field
	sorted := buf[:0]
	inOrder := true
	for _, f := range fields {
		if n := len(sorted); n > 0 && sorted[n-1].Key >= f.Key {
			inOrder = false
		}
		sorted = append(sorted, f)
	}
	if !inOrder {
		slices.SortStableFunc(sorted, func(a, b Field) int { return strings.Compare(a.Key, b.Key) })
		out := sorted[:0]
		for i, f := range sorted {
			if i+1 < len(sorted) && sorted[i+1].Key == f.Key {
				continue
			}
			out = append(out, f)
		}
		sorted = out
	}
	return packFields(slices.DeleteFunc(sorted, func(f Field) bool { return f.Value.IsZero() }))
}

// packFields packs sorted fields without absent values.
func packFields(fields []Field) Metadata {
	if len(fields) == 0 {
		return Metadata{}
	}
	keys := internKeys(len(fields), func(i int) string { return fields[i].Key })
	return packValues(keys, fields)
}

func packValues(keys unique.Handle[string], fields []Field) Metadata {
	size := 0
	masked := false
	for _, f := range fields {
		size += packedLen(f.Value)
		masked = masked || f.Value.kind == KindRemoved || f.Value.kind == KindObject && f.Value.num != 0
	}
	width := endWidth(size)
	var buf [1024]byte
	b := buf[:0]
	if total := 1 + len(fields)*width + size; total > len(buf) {
		b = make([]byte, 0, total)
	}
	head := byte(width)
	if masked {
		head |= maskedFlag
	}
	b = append(b, head)
	end := 0
	for _, f := range fields {
		end += packedLen(f.Value)
		for i := range width {
			b = append(b, byte(end>>(8*i)))
		}
	}
	for _, f := range fields {
		b = appendValue(b, f.Value)
	}
	return Metadata{keys: keys, data: string(b)}
}

// endWidth is the width of the ends of values that take so many bytes together.
func endWidth(size int) int {
	switch {
	case size < 1<<8:
		return 1
	case size < 1<<16:
		return 2
	}
	return 4
}

// masked tells whether a removed value is somewhere in the metadata.
func (m Metadata) masked() bool { return m.data != "" && m.data[0]&maskedFlag != 0 }

func (m Metadata) keyList() keyList { return keyList(m.keys.Value()) }

// Len is the number of keys.
func (m Metadata) Len() int {
	if m.data == "" {
		return 0
	}
	return m.keyList().len()
}

// value is the i-th of n values.
func (m Metadata) value(n, i int) string {
	d := m.data
	switch d[0] &^ maskedFlag {
	case 1:
		start := 0
		if i > 0 {
			start = int(d[i])
		}
		return d[1+n+start : 1+n+int(d[1+i])]
	case 2:
		start, base := 0, 1+2*n
		if i > 0 {
			start = int(d[2*i-1]) | int(d[2*i])<<8
		}
		return d[base+start : base+(int(d[2*i+1])|int(d[2*i+2])<<8)]
	}
	start, base := 0, 1+4*n
	if i > 0 {
		start = end4(d, i-1)
	}
	return d[base+start : base+end4(d, i)]
}

func end4(d string, i int) int {
	s := d[1+4*i : 5+4*i]
	return int(s[0]) | int(s[1])<<8 | int(s[2])<<16 | int(s[3])<<24
}

// Get is the value of a key.
func (m Metadata) Get(key string) (Value, bool) {
	if m.data == "" {
		return Value{}, false
	}
	keys := m.keyList()
	i, ok := keys.find(key)
	if !ok {
		return Value{}, false
	}
	return unpack(m.value(keys.len(), i)), true
}

// All gives the fields sorted by key.
func (m Metadata) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if m.data == "" {
			return
		}
		keys := m.keyList()
		n := keys.len()
		for i := range n {
			if !yield(keys.at(n, i), unpack(m.value(n, i))) {
				return
			}
		}
	}
}

// Equal tells whether both hold the same fields.
func (m Metadata) Equal(o Metadata) bool { return m.data == o.data && m.keys == o.keys }

// With is the metadata with these fields set; an absent value leaves its key out.
func (m Metadata) With(fields ...Field) Metadata {
	if len(fields) == 0 {
		return m
	}
	var buf [24]Field
	all := m.appendFields(buf[:0])
	return NewMetadata(append(all, fields...)...)
}

// Without is the metadata without these keys.
func (m Metadata) Without(keys ...string) Metadata {
	var buf [16]Field
	out := buf[:0]
	for k, v := range m.All() {
		if !slices.Contains(keys, k) {
			out = append(out, Field{k, v})
		}
	}
	if len(out) == m.Len() {
		return m
	}
	return packFields(out)
}

func (m Metadata) appendFields(fields []Field) []Field {
	for k, v := range m.All() {
		fields = append(fields, Field{k, v})
	}
	return fields
}

// appendObject appends the payload of the object that holds the metadata.
func (m Metadata) appendObject(b []byte) []byte {
	n := m.Len()
	b = appendUvarint(b, uint64(n))
	if n == 0 {
		return b
	}
	keys := m.keyList()
	for i := range n {
		b = appendSizedString(b, keys.at(n, i))
		b = appendSizedString(b, m.value(n, i))
	}
	return b
}

// bytes is about what the metadata occupies beside the shared keys.
func (m Metadata) bytes() int { return len(m.data) }
