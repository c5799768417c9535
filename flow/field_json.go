package flow

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// lookup finds a dotted path in JSON. A list stands for its elements: the path goes on in each, and what is found is
// the one value, or the list of the values.
func lookup(v jsontext.Value, path string) (Value, bool) {
	name, rest, dotted := strings.Cut(path, ".")
	switch v.Kind() {
	case '{':
		found := member(v, name)
		if found == nil {
			return Value{}, false
		}
		if dotted {
			return lookup(found, rest)
		}
		return fromJSON(found)
	case '[':
		var elements []jsontext.Value
		if json.Unmarshal(v, &elements) != nil {
			return Value{}, false
		}
		var all []Value
		for _, e := range elements {
			if got, ok := lookup(e, path); ok {
				all = append(all, got)
			}
		}
		return oneOf(all)
	}
	return Value{}, false
}

// oneOf makes one value of several.
func oneOf(all []Value) (Value, bool) {
	switch len(all) {
	case 0:
		return Value{}, false
	case 1:
		return all[0], true
	}
	b := []byte{'['}
	for i, v := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = v.appendJSON(b)
	}
	return Value{Kind: KindJSON, Str: string(append(b, ']'))}, true
}

func (v Value) appendJSON(dst []byte) []byte {
	switch v.Kind {
	case KindInt:
		return strconv.AppendInt(dst, v.Num, 10)
	case KindBool:
		return strconv.AppendBool(dst, v.Num != 0)
	case KindString:
		return appendString(dst, v.Str)
	case KindJSON:
		return append(dst, v.Str...)
	}
	return append(dst, "null"...)
}

// fromJSON makes a value of JSON.
func fromJSON(v jsontext.Value) (Value, bool) {
	switch v.Kind() {
	case '"':
		var s string
		if json.Unmarshal(v, &s) != nil {
			return Value{}, false
		}
		return text(s)
	case '0':
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return Value{}, false
		}
		return number(n)
	case 't':
		return Value{Kind: KindBool, Num: 1}, true
	case 'f':
		return Value{Kind: KindBool}, true
	case '{', '[':
		return Value{Kind: KindJSON, Str: string(v)}, true
	}
	return Value{}, false
}

// member finds a member of an object, or nil.
func member(object jsontext.Value, name string) (found jsontext.Value) {
	walk(object, func(key string, v jsontext.Value) bool {
		if key == name {
			found = v
		}
		return found == nil
	})
	return found
}

// members lists the names in an object.
func members(object jsontext.Value) (names []string) {
	walk(object, func(key string, _ jsontext.Value) bool {
		names = append(names, key)
		return true
	})
	return names
}

// walk visits the members of an object until visit says no.
func walk(object jsontext.Value, visit func(key string, v jsontext.Value) bool) {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if _, err := d.ReadToken(); err != nil {
		return
	}
	for d.PeekKind() == '"' {
		key, err := d.ReadToken()
		if err != nil {
			return
		}
		name := key.String()
		v, err := d.ReadValue()
		if err != nil || !visit(name, v.Clone()) {
			return
		}
	}
}
