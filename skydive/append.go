package skydive

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// MaxDepth is how deep metadata may nest: decoding what is deeper is an error, and so is encoding it, so that a map
// that holds itself ends.
const MaxDepth = 512

var (
	errTooDeep   = fmt.Errorf("nested deeper than %d levels", MaxDepth)
	errNotFinite = errors.New("number is not finite; JSON has no NaN and no infinity")
)

// plain marks the bytes that a JSON string holds as they are.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString appends a JSON string. Invalid UTF-8 is an error: it would come back as another string.
func appendString(dst []byte, s string) ([]byte, error) {
	for i := 0; i < len(s); i++ {
		if !plain[s[i]] {
			return appendEscaped(dst, s, i)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"'), nil
}

// appendEscaped appends a JSON string of which the first n bytes are plain.
func appendEscaped(dst []byte, s string, n int) ([]byte, error) {
	const hex = "0123456789abcdef"
	begin := len(dst)
	dst = append(dst, '"')
	dst = append(dst, s[:n]...)
	for i := n; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				return dst[:begin], fmt.Errorf("string %q: invalid UTF-8 at byte %d", clip(s), i)
			}
			dst = append(dst, s[i:i+size]...)
			i += size
			continue
		}
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
	}
	return append(dst, '"'), nil
}

// clip shortens a string for an error text.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// AppendJSON appends the metadata with its keys in order. Values may be those that decoding gives, any other kind of
// integer or float, time.Time, slices of strings or ints, and what implements json.Marshaler.
func (m Metadata) AppendJSON(dst []byte) ([]byte, error) { return appendObject(dst, m, 1) }

// MarshalJSON gives the metadata with its keys in order; nil gives {}.
func (m Metadata) MarshalJSON() ([]byte, error) { return m.AppendJSON(nil) }

// appendObject sorts small objects, which nearly all are, without an allocation.
func appendObject(dst []byte, m map[string]any, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return dst, errTooDeep
	}
	var small [24]string
	keys := small[:0]
	for k := range m {
		keys = append(keys, k)
	}
	sortKeys(keys)
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendString(dst, k); err != nil {
			return dst, err
		}
		dst = append(dst, ':')
		if dst, err = appendValue(dst, m[k], depth); err != nil {
			return dst, fmt.Errorf("%q: %w", clip(k), err)
		}
	}
	return append(dst, '}'), nil
}

// sortKeys sorts by insertion what is short, which beats the general sort and keeps the keys on the stack.
func sortKeys(keys []string) {
	if len(keys) > 24 {
		sortMany(keys)
		return
	}
	for i := 1; i < len(keys); i++ {
		k := keys[i]
		j := i
		for ; j > 0 && k < keys[j-1]; j-- {
			keys[j] = keys[j-1]
		}
		keys[j] = k
	}
}

func appendValue(dst []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendString(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case float64:
		return appendFloat(dst, v, 64)
	case map[string]any:
		return appendObject(dst, v, depth+1)
	case Metadata:
		return appendObject(dst, v, depth+1)
	case []any:
		if depth >= MaxDepth {
			return dst, errTooDeep
		}
		return appendList(dst, v, func(dst []byte, e any) ([]byte, error) { return appendValue(dst, e, depth+1) })
	case []string:
		return appendList(dst, v, appendString)
	case []int64:
		return appendList(dst, v, func(dst []byte, e int64) ([]byte, error) { return strconv.AppendInt(dst, e, 10), nil })
	case []int:
		return appendList(dst, v, func(dst []byte, e int) ([]byte, error) { return strconv.AppendInt(dst, int64(e), 10), nil })
	case Millis:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case uint64:
		return strconv.AppendUint(dst, v, 10), nil
	case uint32:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case uint16:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case uint8:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case uint:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case int32:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int16:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int8:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case float32:
		return appendFloat(dst, float64(v), 32)
	case time.Time:
		return appendString(dst, v.Format(time.RFC3339Nano))
	case json.Marshaler:
		text, err := v.MarshalJSON()
		if err != nil {
			return dst, err
		}
		if !json.Valid(text) {
			return dst, fmt.Errorf("%T gave invalid JSON", v)
		}
		return append(dst, text...), nil
	}
	return dst, fmt.Errorf("value of type %T cannot be metadata", v)
}

func appendList[T any](dst []byte, list []T, each func([]byte, T) ([]byte, error)) ([]byte, error) {
	dst = append(dst, '[')
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = each(dst, e); err != nil {
			return dst, fmt.Errorf("item %d: %w", i, err)
		}
	}
	return append(dst, ']'), nil
}

// appendFloat writes integers that a float holds exactly without a point, and the rest in the shortest form.
func appendFloat(dst []byte, f float64, bits int) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, errNotFinite
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits), nil
}
