package graph

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends the value as JSON; what JSON cannot say (absent, removed, NaN, infinite) is null.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.kind {
	case KindBool:
		return strconv.AppendBool(dst, v.num == 1)
	case KindInt:
		return strconv.AppendInt(dst, int64(v.num), 10)
	case KindFloat:
		return appendFloat(dst, v.Float())
	case KindString:
		return appendJSONString(dst, v.str)
	case KindList:
		dst = append(dst, '[')
		count, s := uvarint(v.str)
		for i := range count {
			var item string
			item, s = cutSized(s)
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = unpack(item).AppendJSON(dst)
		}
		return append(dst, ']')
	case KindObject:
		dst = append(dst, '{')
		count, s := uvarint(v.str)
		first := true
		for range count {
			var key, item string
			key, s = cutSized(s)
			item, s = cutSized(s)
			if item[0] == tagRemoved {
				continue
			}
			dst = appendKey(dst, key, first)
			first = false
			dst = unpack(item).AppendJSON(dst)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// AppendJSON appends the metadata as a JSON object, keys sorted.
func (m Metadata) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if m.data != "" {
		keys := m.keyList()
		n := keys.len()
		first := true
		for i := range n {
			item := m.value(n, i)
			if item[0] == tagRemoved {
				continue
			}
			dst = appendKey(dst, keys.at(n, i), first)
			first = false
			dst = unpack(item).AppendJSON(dst)
		}
	}
	return append(dst, '}')
}

// MarshalJSON implements json.Marshaler.
func (m Metadata) MarshalJSON() ([]byte, error) { return m.AppendJSON(nil), nil }

// MarshalJSON implements json.Marshaler.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

func appendKey(dst []byte, key string, first bool) []byte {
	if !first {
		dst = append(dst, ',')
	}
	return append(appendJSONString(dst, key), ':')
}

// appendFloat writes a float as ECMAScript does.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendJSONString quotes text; bytes that are not UTF-8 become the replacement character.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\ufffd`...)
			start = i + 1
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}
