package main

import (
	"reflect"
	"strings"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/spelling"
)

// flowNames answer which fields a flow can have, and of what kind each is.
type flowNames struct {
	whole *flow.Flow // has every part, and in each everything
	names []string   // of all that are no parts, in the order of JSON
	parts []string
}

func newFlowNames() flowNames {
	known := flowNames{whole: new(flow.Flow)}
	fillValue(reflect.ValueOf(known.whole).Elem())
	for _, name := range known.whole.Keys() {
		if kind, _ := known.kind(name); kind == flow.KindJSON && !strings.Contains(name, ".") {
			known.parts = append(known.parts, name)
		} else {
			known.names = append(known.names, name)
		}
	}
	return known
}

// fillValue makes everything in a value something that is not zero, so that no part and no field is left out.
func fillValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fillValue(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillValue(v.Index(0))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	}
}

// kind says of what kind a field is; false when there is none of that name.
func (k flowNames) kind(name string) (flow.Kind, bool) {
	v, ok := k.whole.Field(name)
	return v.Kind, ok
}

// fieldsIn gives the fields of a part, none of what is none.
func (k flowNames) fieldsIn(part string) (fields []string) {
	for _, name := range k.names {
		if strings.HasPrefix(name, part+".") {
			fields = append(fields, name)
		}
	}
	return fields
}

// unknown says what to write in place of a name that no field has; keys are names that would do besides.
func (k flowNames) unknown(name string, keys []string) string {
	text := "there is no field " + quotedWord(name)
	if near := spelling.Nearest(name, append(append([]string(nil), keys...), append(k.names, k.parts...)...)); near != "" {
		return text + ": did you mean " + near + "?"
	}
	if len(keys) > 0 {
		return text + ": write " + strings.Join(keys, ", ") + " or a field that 'weft flows --help' lists"
	}
	return text + ": 'weft flows --help' lists them"
}

// complete offers the fields that may follow in a list with commas between.
func (k flowNames) complete(typed string) (offers []string) {
	before := typed[:strings.LastIndexByte(typed, ',')+1]
	for _, name := range k.names {
		if strings.HasPrefix(name, typed[len(before):]) {
			offers = append(offers, before+name)
		}
	}
	return offers
}

// quotedWord puts what has other than letters between quotation marks, so that it is seen where it ends.
func quotedWord(word string) string {
	if word == "" || strings.ContainsAny(word, " '\",:") {
		return "'" + word + "'"
	}
	return word
}

// list is every field, as the help shows it: lines of fields, those of a part behind its name.
func (k flowNames) list() string {
	var b strings.Builder
	line := "  "
	add := func(word string) {
		if len(line)+len(word) > 96 {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = "    "
		}
		line += word + " "
	}
	flush := func() {
		if strings.TrimSpace(line) != "" {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
		line = "  "
	}
	for _, name := range k.names {
		if !strings.Contains(name, ".") {
			add(name)
		}
	}
	flush()
	for _, part := range k.parts {
		if part == "LastUpdateMetric" { // as Metric
			continue
		}
		label := part
		if part == "Metric" {
			label = "Metric, LastUpdateMetric"
		}
		line += label + ": "
		for _, name := range k.fieldsIn(part) {
			add(strings.TrimPrefix(name, part))
		}
		flush()
	}
	return strings.TrimRight(b.String(), "\n")
}
