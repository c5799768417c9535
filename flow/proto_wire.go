package flow

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// appendInt appends an integer field; zero is left out, as proto3 does.
func appendInt(dst []byte, num protowire.Number, v int64) []byte {
	if v == 0 {
		return dst
	}
	dst = appendTag(dst, num, varintField)
	return appendVarint(dst, uint64(v)) //nolint:gosec // int64 travels as its two's complement
}

// appendVarint and appendTag do what those of protowire do, and are small enough to become part of their callers.
func appendVarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

func appendTag(dst []byte, num protowire.Number, typ uint64) []byte {
	return appendVarint(dst, uint64(num)<<3|typ) //nolint:gosec // numbers are positive
}

func appendBool(dst []byte, num protowire.Number, v bool) []byte {
	if !v {
		return dst
	}
	return appendInt(dst, num, 1)
}

// appendText appends a string field. Strict readers refuse a string that is not UTF-8, so what is not is replaced.
func appendText(dst []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return appendElement(dst, num, s)
}

// appendElement appends one string of a repeated field, the empty one too.
func appendElement(dst []byte, num protowire.Number, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	dst = appendVarint(appendTag(dst, num, bytesField), uint64(len(s)))
	return append(dst, s...)
}

func appendData(dst []byte, num protowire.Number, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	dst = appendVarint(appendTag(dst, num, bytesField), uint64(len(b)))
	return append(dst, b...)
}

// openMessage begins an embedded message with room for a length below 128; closeMessage makes more room if that is
// not enough. The message lies between.
func openMessage(dst []byte, num protowire.Number) (out []byte, start int) {
	dst = appendTag(dst, num, bytesField)
	dst = append(dst, 0)
	return dst, len(dst)
}

func closeMessage(dst []byte, start int) []byte {
	length := uint64(len(dst) - start)
	if length < 0x80 {
		dst[start-1] = byte(length)
		return dst
	}
	more := protowire.SizeVarint(length) - 1
	for range more {
		dst = append(dst, 0)
	}
	copy(dst[start+more:], dst[start:len(dst)-more])
	protowire.AppendVarint(dst[:start-1], length)
	return dst
}

// wireReader reads the fields of one message.
type wireReader struct {
	rest []byte
	tag  uint64 // of the field read: number<<3 | wire type, so that a wrong wire type is an unknown field
	n    uint64 // of a varint
	data []byte // of a string, bytes or message; part of the input
	err  error

	shared string // the input, if texts are parts of it
	size   int    // capacity of the slice that begins where it does; tells where others begin
}

// share makes the texts that are read from here on parts of one string, so that they are one allocation.
func (r *wireReader) share() {
	r.shared, r.size = string(r.rest), cap(r.rest)
}

// consumeVarint is protowire's, and quick with short ones.
func consumeVarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	if len(b) > 1 && b[1] < 0x80 {
		return uint64(b[0]&0x7f) | uint64(b[1])<<7, 2
	}
	return protowire.ConsumeVarint(b)
}

// varint and bytes are the tags of fields, for comparison with wireReader.tag.
const (
	varintField = uint64(protowire.VarintType)
	bytesField  = uint64(protowire.BytesType)
)

// next reads the next field; false at the end or at an error, which is in err.
func (r *wireReader) next() bool {
	if len(r.rest) == 0 || r.err != nil {
		return false
	}
	tag, n := consumeVarint(r.rest)
	num, typ := protowire.DecodeTag(tag)
	if n < 0 || num < protowire.MinValidNumber {
		if n > 0 {
			_, _, n = protowire.ConsumeTag(r.rest) // why
		}
		return r.fail("tag", n)
	}
	r.rest = r.rest[n:]
	r.tag = tag
	r.n, r.data = 0, nil
	switch typ {
	case protowire.VarintType:
		r.n, n = consumeVarint(r.rest)
	case protowire.BytesType:
		var size uint64
		if size, n = consumeVarint(r.rest); n > 0 && size <= uint64(len(r.rest)-n) {
			r.data = r.rest[n:][:size]
			n += int(size) //nolint:gosec // no more than there is
		} else {
			r.data, n = protowire.ConsumeBytes(r.rest)
		}
	case protowire.Fixed32Type, protowire.Fixed64Type, protowire.StartGroupType, protowire.EndGroupType:
		n = protowire.ConsumeFieldValue(num, typ, r.rest)
	default:
		n = protowire.ConsumeFieldValue(num, typ, r.rest)
	}
	if n < 0 {
		return r.fail(fmt.Sprintf("field %d", num), n)
	}
	r.rest = r.rest[n:]
	return true
}

func (r *wireReader) fail(what string, n int) bool {
	r.err = fmt.Errorf("protobuf %s: %w", what, protowire.ParseError(n))
	return false
}

func (r *wireReader) int() int64     { return int64(r.n) }  //nolint:gosec // the inverse of appendInt
func (r *wireReader) uint32() uint32 { return uint32(r.n) } //nolint:gosec // proto3 readers cut what is too large
func (r *wireReader) bool() bool     { return r.n != 0 }

// text gives a string field; what is not UTF-8 is replaced.
func (r *wireReader) text() string {
	if !utf8.Valid(r.data) {
		return strings.ToValidUTF8(string(r.data), "\uFFFD")
	}
	if r.size > 0 {
		at := r.size - cap(r.data)
		return r.shared[at:][:len(r.data)]
	}
	return string(r.data)
}

// bytes gives a copy of a bytes field.
func (r *wireReader) bytes() []byte { return append([]byte(nil), r.data...) }

// enum gives an enumeration; what does not fit is the largest, which no name has.
func (r *wireReader) enum() uint8 { return uint8(min(r.n, 255)) }

// embedded decodes an embedded message into *p, made if need be: of several, the later add to the earlier.
func embedded[T any](r *wireReader, p **T, decode func(*T, *wireReader)) {
	if *p == nil {
		*p = new(T)
	}
	element(r, *p, decode)
}

// embeddedIn is embedded with the memory for what has to be made.
func embeddedIn[T any](r *wireReader, p **T, room *T, decode func(*T, *wireReader)) {
	if *p == nil {
		*p = room
	}
	element(r, *p, decode)
}

func element[T any](r *wireReader, p *T, decode func(*T, *wireReader)) {
	sub := wireReader{rest: r.data, shared: r.shared, size: r.size}
	decode(p, &sub)
	if sub.err != nil && r.err == nil {
		r.err = fmt.Errorf("field %d: %w", r.tag>>3, sub.err)
	}
}

// repeated decodes one element of a repeated message.
func repeated[T any](r *wireReader, list *[]T, decode func(*T, *wireReader)) {
	*list = append(*list, *new(T))
	element(r, &(*list)[len(*list)-1], decode)
}
