package graph

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// The packed form of a value is a tag and a payload; its length is known from outside, from an offset table or a
// length in front. The same bytes are used in memory and on the wire.
//
//	null, false, true, removed  tag
//	int                         tag, zigzag varint
//	float                       tag, 8 bytes, little endian
//	string                      tag, bytes
//	list                        tag, count, count × (length, value)
//	object                      tag, count, count × (length, key, length, value), keys ascending
//
// Counts and lengths are varints. There is one form of each value, which decoding checks.
const (
	tagNull byte = iota + 1
	tagFalse
	tagTrue
	tagRemoved
	tagInt
	tagFloat
	tagString
	tagList
	tagObject
	tagMaskedObject // an object with a removed value somewhere in it
)

func appendUvarint(b []byte, x uint64) []byte {
	for x >= 0x80 {
		b = append(b, byte(x)|0x80)
		x >>= 7
	}
	return append(b, byte(x))
}

func uvarintLen(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }

// uvarint reads from trusted bytes.
func uvarint(s string) (uint64, string) {
	if len(s) > 0 && s[0] < 0x80 {
		return uint64(s[0]), s[1:]
	}
	var x uint64
	for i := 0; i < len(s) && i < 10; i++ {
		c := s[i]
		x |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return x, s[i+1:]
		}
	}
	return 0, ""
}

// checkedUvarint reads from bytes that nobody has checked; the form must be the shortest one.
func checkedUvarint(s string) (x uint64, n int, ok bool) {
	for i := 0; i < len(s) && i < 10; i++ {
		c := s[i]
		if i == 9 && c > 1 {
			return 0, 0, false
		}
		x |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return x, i + 1, i == 0 || c != 0
		}
	}
	return 0, 0, false
}

func zigzag(n int64) uint64   { return uint64(n<<1) ^ uint64(n>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// cutSized cuts a length and as many bytes from trusted bytes.
func cutSized(s string) (item, rest string) {
	n, s := uvarint(s)
	return s[:n], s[n:]
}

func packedLen(v Value) int {
	switch v.kind {
	case KindInt:
		return 1 + uvarintLen(zigzag(int64(v.num)))
	case KindFloat:
		return 9
	case KindString, KindList, KindObject:
		return 1 + len(v.str)
	}
	return 1
}

func appendValue(b []byte, v Value) []byte {
	switch v.kind {
	case KindBool:
		return append(b, tagFalse+byte(v.num))
	case KindInt:
		return appendUvarint(append(b, tagInt), zigzag(int64(v.num)))
	case KindFloat:
		x := v.num
		return append(b, tagFloat, byte(x), byte(x>>8), byte(x>>16), byte(x>>24),
			byte(x>>32), byte(x>>40), byte(x>>48), byte(x>>56))
	case KindString:
		return append(append(b, tagString), v.str...)
	case KindList:
		return append(append(b, tagList), v.str...)
	case KindObject:
		return append(append(b, tagObject+byte(v.num)), v.str...)
	case KindRemoved:
		return append(b, tagRemoved)
	}
	return append(b, tagNull)
}

func appendSizedValue(b []byte, v Value) []byte {
	return appendValue(appendUvarint(b, uint64(packedLen(v))), v)
}

func appendSizedString(b []byte, s string) []byte {
	return append(appendUvarint(b, uint64(len(s))), s...)
}

// unpack makes a value of trusted packed bytes, without copying.
func unpack(s string) Value {
	if len(s) == 0 {
		return Value{}
	}
	switch s[0] {
	case tagNull:
		return Null()
	case tagFalse:
		return Bool(false)
	case tagTrue:
		return Bool(true)
	case tagRemoved:
		return Removed()
	case tagInt:
		u, _ := uvarint(s[1:])
		return Int(unzigzag(u))
	case tagFloat:
		return Value{kind: KindFloat, num: floatBits(s[1:])}
	case tagString:
		return Value{kind: KindString, str: s[1:]}
	case tagList:
		return Value{kind: KindList, str: s[1:]}
	case tagObject:
		return Value{kind: KindObject, str: s[1:]}
	case tagMaskedObject:
		return Value{kind: KindObject, str: s[1:], num: 1}
	}
	return Value{}
}

func floatBits(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

var (
	errTruncated = errors.New("truncated")
	errForm      = errors.New("not in its one form")
)

// checkValue checks packed bytes from a stranger: after it, unpack and everything that walks the value is safe.
// masked tells whether a removed value is in it.
func checkValue(s string, depth int, inList bool) (masked bool, err error) {
	if len(s) == 0 {
		return false, errTruncated
	}
	if depth >= MaxDepth && (s[0] == tagList || s[0] == tagObject || s[0] == tagMaskedObject) {
		return false, errDepth
	}
	switch tag := s[0]; tag {
	case tagNull, tagFalse, tagTrue:
		if len(s) != 1 {
			return false, errForm
		}
	case tagRemoved:
		if len(s) != 1 || inList {
			return false, errForm
		}
		return true, nil
	case tagInt:
		_, n, ok := checkedUvarint(s[1:])
		if !ok || n != len(s)-1 {
			return false, errForm
		}
	case tagFloat:
		if len(s) != 9 {
			return false, errForm
		}
		x := floatBits(s[1:])
		if v := Float(math.Float64frombits(x)); v.kind != KindFloat || v.num != x {
			return false, errForm
		}
	case tagString:
	case tagList:
		return false, checkList(s[1:], depth)
	case tagObject, tagMaskedObject:
		masked, err := checkObject(s[1:], depth)
		if err != nil {
			return false, err
		}
		if masked != (tag == tagMaskedObject) || masked && inList {
			return false, errForm
		}
		return masked, nil
	default:
		return false, fmt.Errorf("unknown value tag %d", tag)
	}
	return false, nil
}

// checkedSized cuts a length and as many bytes.
func checkedSized(s string) (item, rest string, err error) {
	n, w, ok := checkedUvarint(s)
	if !ok {
		return "", "", errForm
	}
	if n > uint64(len(s)-w) {
		return "", "", errTruncated
	}
	return s[w : w+int(n)], s[w+int(n):], nil
}

func checkList(s string, depth int) error {
	count, w, ok := checkedUvarint(s)
	if !ok {
		return errForm
	}
	s = s[w:]
	if count > uint64(len(s)) {
		return errTruncated
	}
	for range count {
		var item string
		var err error
		if item, s, err = checkedSized(s); err != nil {
			return err
		}
		if _, err = checkValue(item, depth+1, true); err != nil {
			return err
		}
	}
	if s != "" {
		return errForm
	}
	return nil
}

func checkObject(s string, depth int) (masked bool, err error) {
	count, w, ok := checkedUvarint(s)
	if !ok {
		return false, errForm
	}
	s = s[w:]
	if count > uint64(len(s)) {
		return false, errTruncated
	}
	last := ""
	for i := range count {
		var key, val string
		if key, s, err = checkedSized(s); err != nil {
			return false, err
		}
		if i > 0 && key <= last {
			return false, errForm
		}
		last = key
		if val, s, err = checkedSized(s); err != nil {
			return false, err
		}
		m, err := checkValue(val, depth+1, false)
		if err != nil {
			return false, err
		}
		masked = masked || m
	}
	if s != "" {
		return false, errForm
	}
	return masked, nil
}
