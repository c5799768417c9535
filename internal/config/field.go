package config

import (
	"fmt"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Hidden is what stands for a secret that is set.
const Hidden = "********"

// EnvPrefix begins the name of every environment variable that weft reads.
const EnvPrefix = "WEFT_"

// Field is one setting of a [Config]: what it is called and what it is now.
type Field struct {
	Key    string // dotted, as in the file: "graph.window"
	Doc    string // one line for people
	Secret bool
	url    bool // addresses, which may hold a secret
	value  reflect.Value
}

// Env is the name of the environment variable that sets the field.
func (f Field) Env() string { return EnvName(f.Key) }

// Value is the setting as JSON and YAML show it: durations and sizes as text,
// a secret that is set as [Hidden], and a URL without the password in it.
func (f Field) Value() any {
	if f.Secret {
		if f.value.IsZero() {
			return ""
		}
		return Hidden
	}
	if f.url {
		return redactURLs(f.value.String())
	}
	switch v := f.value.Interface().(type) {
	case time.Duration:
		return formatDuration(v)
	case Bytes:
		return v.String()
	case []string:
		return append([]string{}, v...)
	default:
		return v
	}
}

// EnvName is the environment variable of a key: WEFT_GRAPH_WINDOW_BYTES for
// graph.window-bytes.
func EnvName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// Fields gives every setting in the order of the struct.
func (c Config) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) { walk(reflect.ValueOf(&c).Elem(), "", yield) }
}

func walk(v reflect.Value, prefix string, yield func(Field) bool) bool {
	for i := range v.NumField() {
		t := v.Type().Field(i)
		key := prefix + t.Tag.Get("koanf")
		if t.Type.Kind() == reflect.Struct {
			if !walk(v.Field(i), key+".", yield) {
				return false
			}
			continue
		}
		f := Field{Key: key, Doc: t.Tag.Get("doc"), Secret: t.Tag.Get("secret") == "true", url: t.Tag.Get("secret") == "url", value: v.Field(i)}
		if !yield(f) {
			return false
		}
	}
	return true
}

// Lookup gives a setting by its key, or the settings below it as nested maps:
// "graph.window", "graph", and "" for all. Secrets are hidden. The values are
// those that JSON can show.
func (c Config) Lookup(key string) (any, bool) {
	tree := map[string]any{}
	for f := range c.Fields() {
		if f.Key == key {
			return f.Value(), true
		}
		rest := f.Key
		if key != "" {
			var below bool
			if rest, below = strings.CutPrefix(f.Key, key+"."); !below {
				continue
			}
		}
		at := tree
		parts := strings.Split(rest, ".")
		for _, part := range parts[:len(parts)-1] {
			next, ok := at[part].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[part] = next
			}
			at = next
		}
		at[parts[len(parts)-1]] = f.Value()
	}
	if len(tree) == 0 {
		return nil, false
	}
	return tree, true
}

// set stores what a file, a variable or a flag gave.
func (f Field) set(from any) error {
	switch f.value.Interface().(type) {
	case time.Duration:
		if d, ok := from.(time.Duration); ok {
			f.value.SetInt(int64(d))
			return nil
		}
		d, err := parseDuration(scalar(from))
		if err != nil {
			return err
		}
		f.value.SetInt(int64(d))
	case Bytes:
		b, err := ParseBytes(scalar(from))
		if err != nil {
			return err
		}
		f.value.SetInt(int64(b))
	case []string:
		list, err := stringList(from)
		if err != nil {
			return err
		}
		f.value.Set(reflect.ValueOf(list))
	case string:
		switch from.(type) {
		case map[string]any, []any:
			return fmt.Errorf("not a single value %s", scalar(from))
		}
		f.value.SetString(scalar(from))
	case bool:
		b, err := strconv.ParseBool(scalar(from))
		if err != nil {
			return fmt.Errorf("neither true nor false %q", scalar(from))
		}
		f.value.SetBool(b)
	case int:
		n, err := strconv.Atoi(scalar(from))
		if err != nil {
			return fmt.Errorf("not a whole number %q", scalar(from))
		}
		f.value.SetInt(int64(n))
	default:
		return fmt.Errorf("setting of type %s cannot be read", f.value.Type())
	}
	return nil
}

// scalar is a value of YAML as the text it was; nothing is the empty text.
func scalar(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// stringList takes a YAML list, or one text with commas or spaces between, as
// the environment and Skydive's own settings have it.
func stringList(from any) ([]string, error) {
	switch from := from.(type) {
	case nil:
		return nil, nil
	case []string:
		return from, nil
	case []any:
		list := make([]string, 0, len(from))
		for _, v := range from {
			switch v.(type) {
			case map[string]any, []any, nil:
				return nil, fmt.Errorf("not a list of texts: it holds %s", scalar(v))
			}
			list = append(list, scalar(v))
		}
		return list, nil
	case map[string]any:
		return nil, fmt.Errorf("not a list of texts %s", scalar(from))
	}
	return strings.FieldsFunc(scalar(from), func(r rune) bool { return r == ',' || r == ' ' }), nil
}
