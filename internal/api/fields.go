package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weft-net/weft/skydive"
)

// mostUnknown is how many unknown fields an answer tells of.
const mostUnknown = 8

// fieldsOf lists the names in JSON of the fields of a struct, those of embedded structs too.
func fieldsOf(of reflect.Type) (names []string) {
	for i := range of.NumField() {
		f := of.Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			names = append(names, fieldsOf(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		names = append(names, name)
	}
	return names
}

// warnOfFields tells of the fields of a body that nobody reads. Skydive takes them without a word, so that they are no
// error; but a filter that is misspelt would let everything through. The body has been checked to be JSON.
func warnOfFields(header http.Header, body []byte, known []string) {
	decoder := jsontext.NewDecoder(bytes.NewReader(body))
	if decoder.PeekKind() != '{' {
		return
	}
	if _, err := decoder.ReadToken(); err != nil {
		return
	}
	for told := 0; told < mostUnknown && decoder.PeekKind() == '"'; {
		token, err := decoder.ReadToken()
		if err != nil {
			return
		}
		name := token.String()
		if err := decoder.SkipValue(); err != nil {
			return
		}
		if slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
			continue
		}
		text := fmt.Sprintf("unknown field %q", name)
		if near := nearestWord(name, known); near != "" {
			text += fmt.Sprintf(": did you mean %q?", near)
		} else {
			text += ": it is ignored"
		}
		header.Add(skydive.HeaderWarning, headerText(text))
		told++
	}
}

// nearestWord returns the name that was probably meant, "" when none is near. Case does not count.
func nearestWord(asked string, names []string) string {
	if len(asked) > 100 {
		return ""
	}
	best, least := "", max(1, (len(asked)+1)/3)+1
	for _, name := range names {
		if n := edits(strings.ToLower(asked), strings.ToLower(name)); n < least {
			best, least = name, n
		}
	}
	return best
}

// fieldNote says of a field what its values mean, where they do not speak for themselves.
func fieldNote(field string) string {
	if field == "ExtraLayers" {
		return fmt.Sprintf(": the sum of VRRP %d, DNS %d and DHCPv4 %d", skydive.ExtraLayerVRRP, skydive.ExtraLayerDNS, skydive.ExtraLayerDHCPv4)
	}
	return ""
}

// decodeBody decodes JSON whose names may be in any case, and words what does not fit.
func decodeBody(body []byte, into any) error {
	err := json.Unmarshal(body, into, json.MatchCaseInsensitiveNames(true))
	if err == nil {
		return nil
	}
	var misfit *json.SemanticError
	if !errors.As(err, &misfit) || misfit.GoType == nil {
		return failf(http.StatusBadRequest, "body: %w", err)
	}
	field := strings.ReplaceAll(strings.TrimPrefix(string(misfit.JSONPointer), "/"), "/", ".")
	what := "the body"
	if field != "" {
		what = field
	}
	return failf(http.StatusBadRequest, "body: %s is %s, but takes %s%s", clip(what), given(misfit), wanted(misfit.GoType), fieldNote(field))
}

// given says what stood there.
func given(misfit *json.SemanticError) string {
	text := clip(string(misfit.JSONValue))
	switch kind := misfit.JSONKind; {
	case text != "" && kind == '"':
		return "the string " + text
	case text != "" && kind == '0':
		return "the number " + text
	}
	switch misfit.JSONKind {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "a list"
	case '{':
		return "an object"
	}
	return misfit.JSONKind.String()
}

// wanted says what a field takes, in the words of JSON.
func wanted(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	default:
		return "an object"
	}
}
