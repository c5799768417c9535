package skydive

import (
	"fmt"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// maxInt bounds the floats that are turned into integers: it and beyond do not fit an int64.
const maxInt = 1 << 63

// UnmarshalJSONFrom decodes an object or null.
func (m *wireMeta) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch kind := dec.PeekKind(); kind {
	case 'n':
		*m = nil
		_, err := dec.ReadToken()
		return err
	case '{':
		object, err := decodeObject(dec, 1)
		*m = object
		return err
	default:
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
		return fmt.Errorf("expected an object, got %v", kind)
	}
}

func decodeObject(dec *jsontext.Decoder, depth int) (map[string]any, error) {
	if depth > MaxDepth {
		return nil, errTooDeep
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	m := make(map[string]any)
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		if m[key], err = decodeValue(dec, depth); err != nil {
			return nil, err
		}
	}
	_, err := dec.ReadToken()
	return m, err
}

func decodeValue(dec *jsontext.Decoder, depth int) (any, error) {
	switch dec.PeekKind() {
	case '{':
		return decodeObject(dec, depth+1)
	case '[':
		return decodeList(dec, depth+1)
	case '0':
		text, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		return parseNumber(text)
	}
	t, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case '"':
		return t.String(), nil
	case 't':
		return true, nil
	case 'f':
		return false, nil
	}
	return nil, nil
}

func decodeList(dec *jsontext.Decoder, depth int) ([]any, error) {
	if depth > MaxDepth {
		return nil, errTooDeep
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	list := []any{}
	for dec.PeekKind() != ']' {
		v, err := decodeValue(dec, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := dec.ReadToken()
	return list, err
}

// parseNumber gives an int64 for a JSON number that is equal to one, else a float64.
func parseNumber(text []byte) (any, error) {
	s := string(text)
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("number %s is out of range", clip(s))
	}
	if f == math.Trunc(f) && f >= -maxInt && f < maxInt {
		return int64(f), nil
	}
	return f, nil
}
