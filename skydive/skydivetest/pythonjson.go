package skydivetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// PythonJSON writes a value as Python's json.dumps does: a space after each comma and colon, nothing but ASCII, and
// floats with a point even when they are whole. Keys come in order, so that the same value gives the same text.
// What JSON cannot hold panics: it is a mistake of the test.
func PythonJSON(v any) []byte { return appendPython(nil, v) }

func appendPython(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, '{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(appendPythonString(dst, k), ": "...)
			dst = appendPython(dst, v[k])
		}
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendPython(dst, e)
		}
		return append(dst, ']')
	case string:
		return appendPythonString(dst, v)
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if v == float64(int64(v)) {
			s += ".0"
		}
		return append(dst, s...)
	case nil, bool, int, int64, json.Number:
		text, _ := json.Marshal(v)
		return append(dst, text...)
	}
	// Any other kind goes through its JSON, numbers as they are written there.
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("skydivetest: %T: %v", v, err))
	}
	return appendPython(dst, parse(text))
}

// parse gives maps, lists, strings and numbers as they are written.
func parse(text []byte) any {
	var v any
	if err := decodeNumbers(text, &v); err != nil {
		panic(fmt.Sprintf("skydivetest: %v in %.200q", err, text))
	}
	return v
}

func appendPythonString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r >= 0x20 && r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, hi, lo)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return append(dst, '"')
}
