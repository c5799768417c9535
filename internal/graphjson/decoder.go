package graphjson

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weft-net/weft/graph"
)

// DefaultMaxDepth is how deep values may nest when a Decoder does not say.
const DefaultMaxDepth = 64

// Decoder reads JSON texts one after the other. The zero Decoder is ready.
type Decoder struct {
	// MaxDepth bounds the nesting of objects and lists; 0 = DefaultMaxDepth. More than
	// graph.MaxDepth is that, so that what is read can be applied and sent on.
	MaxDepth int

	tokens jsontext.Decoder
	input  bytes.Buffer
	data   []byte
	text   string // data as a string, from which keys and strings are cut
	fields []graph.Field
	values []graph.Value
	host   string // the last host, shared by the elements that name it
}

// Value reads a text that is one JSON value.
func (d *Decoder) Value(data []byte) (graph.Value, error) {
	var v graph.Value
	err := d.whole(data, func() (err error) {
		v, err = d.value()
		return err
	})
	return v, err
}

// Metadata reads a text that is one JSON object, or null for none.
func (d *Decoder) Metadata(data []byte) (graph.Metadata, error) {
	var m graph.Metadata
	err := d.whole(data, func() (err error) {
		m, err = d.metadata()
		return err
	})
	return m, err
}

// whole runs read over a text and sees to it that nothing follows the value.
func (d *Decoder) whole(data []byte, read func() error) error {
	d.start(data)
	err := read()
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return translate(err, int64(len(data)))
	}
	return nil
}

func (d *Decoder) start(data []byte) {
	d.data = data
	d.text = string(data)
	d.input = *bytes.NewBuffer(data)
	d.tokens.Reset(&d.input)
	d.fields = d.fields[:0]
	d.values = d.values[:0]
}

// end fails when there is more than white space left.
func (d *Decoder) end() error {
	rest := bytes.TrimLeft(d.data[d.tokens.InputOffset():], " \t\r\n")
	if len(rest) > 0 {
		return newError(int64(len(d.data)-len(rest)), "", "there is more after the JSON value: send one value a message")
	}
	return nil
}

func (d *Decoder) maxDepth() int {
	if d.MaxDepth > 0 {
		return min(d.MaxDepth, graph.MaxDepth)
	}
	return DefaultMaxDepth
}

// fail makes an error about the value just read.
func (d *Decoder) fail(format string, args ...any) error {
	return newError(d.tokens.InputOffset(), d.tokens.StackPointer(), fmt.Sprintf(format, args...))
}

// wrong makes an error about the value to be read next.
func (d *Decoder) wrong(want string) error {
	kind := d.tokens.PeekKind()
	if kind == jsontext.KindInvalid || kind == '}' || kind == ']' {
		if _, err := d.tokens.ReadToken(); err != nil {
			return err // malformed rather than of the wrong type
		}
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		return err
	}
	return d.fail("want %s, got %s", want, kindName(kind))
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "a list"
	}
	return "something else"
}

// value reads any value.
func (d *Decoder) value() (graph.Value, error) {
	switch d.tokens.PeekKind() {
	case '"':
		s, err := d.string()
		return graph.String(s), err
	case '0':
		return d.number()
	case '{':
		m, err := d.metadata()
		return graph.Object(m), err
	case '[':
		return d.list()
	case 't':
		_, err := d.tokens.ReadToken()
		return graph.Bool(true), err
	case 'f':
		_, err := d.tokens.ReadToken()
		return graph.Bool(false), err
	case 'n':
		_, err := d.tokens.ReadToken()
		return graph.Null(), err
	}
	_, err := d.tokens.ReadToken()
	if err == nil {
		err = d.fail("want a value")
	}
	return graph.Value{}, err
}

// string reads a string; without escapes it is a cut of the text.
func (d *Decoder) string() (string, error) {
	raw, err := d.tokens.ReadValue()
	if err != nil {
		return "", err
	}
	if raw[0] != '"' {
		return "", d.fail("want a string, got %s", kindName(raw.Kind()))
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		end := int(d.tokens.InputOffset())
		return d.text[end-len(raw)+1 : end-1], nil
	}
	plain, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return "", d.fail("bad string: %v", err)
	}
	return string(plain), nil
}

func (d *Decoder) number() (graph.Value, error) {
	raw, err := d.tokens.ReadValue()
	if err != nil {
		return graph.Value{}, err
	}
	if n, ok := smallInteger(raw); ok {
		return graph.Int(n), nil
	}
	end := int(d.tokens.InputOffset())
	text := d.text[end-len(raw) : end]
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return graph.Int(n), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return graph.Value{}, d.fail("number %s is out of range: send it as a string", clip(text, 40))
	}
	return graph.Float(f), nil
}

// smallInteger parses an integer of up to 18 digits, as nearly all numbers are.
func smallInteger(raw []byte) (n int64, ok bool) {
	negative := raw[0] == '-'
	digits := raw
	if negative {
		digits = raw[1:]
	}
	if len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

func (d *Decoder) list() (graph.Value, error) {
	if err := d.open(); err != nil {
		return graph.Value{}, err
	}
	base := len(d.values)
	for d.tokens.PeekKind() != ']' {
		v, err := d.value()
		if err != nil {
			return graph.Value{}, err
		}
		d.values = append(d.values, v)
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		return graph.Value{}, err
	}
	list := graph.List(d.values[base:]...)
	d.values = d.values[:base]
	return list, nil
}

// metadata reads an object or null.
func (d *Decoder) metadata() (graph.Metadata, error) {
	switch d.tokens.PeekKind() {
	case 'n':
		_, err := d.tokens.ReadToken()
		return graph.Metadata{}, err
	case '{':
	default:
		return graph.Metadata{}, d.wrong("an object")
	}
	if err := d.open(); err != nil {
		return graph.Metadata{}, err
	}
	base := len(d.fields)
	for d.tokens.PeekKind() != '}' {
		key, err := d.string()
		if err != nil {
			return graph.Metadata{}, err
		}
		v, err := d.value()
		if err != nil {
			return graph.Metadata{}, err
		}
		d.fields = append(d.fields, graph.Field{Key: key, Value: v})
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		return graph.Metadata{}, err
	}
	m := graph.NewMetadata(d.fields[base:]...)
	d.fields = d.fields[:base]
	return m, nil
}

// open reads the start of an object or a list and watches the depth.
func (d *Decoder) open() error {
	if _, err := d.tokens.ReadToken(); err != nil {
		return err
	}
	if d.tokens.StackDepth() > d.maxDepth() {
		return d.fail("nested deeper than %d levels: flatten it", d.maxDepth())
	}
	return nil
}
