package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weft-net/weft/skydive"
)

// element is one node or edge of a file.
type element struct {
	edge          bool
	id            string
	parent, child string         // of an edge
	text          jsontext.Value // as it stands in the file; the element's own
}

// badElement is an element that cannot be sent; the rest of the file can.
type badElement struct {
	At     string
	Reason error
}

func (e *badElement) Error() string { return fmt.Sprintf("%s: %v", e.At, e.Reason) }
func (e *badElement) Unwrap() error { return e.Reason }

// readElements calls yield for each element of a file, one at a time and in the
// file's order, so that a file larger than memory can be read. It takes what GET
// /api/topology and the query G answer ({"Nodes":[…],"Edges":[…]}, alone or in an
// array), arrays of elements, elements one after the other, and the messages that
// `weft listen` prints. An element with Parent or Child is an edge.
//
// Elements that make no sense are given to bad, and reading goes on; text that is
// no JSON ends it with an error that says where.
func readElements(r io.Reader, yield func(element) error, bad func(*badElement) error) error {
	f := elementReader{dec: jsontext.NewDecoder(r, jsontext.AllowInvalidUTF8(false)), yield: yield, bad: bad}
	for f.value = 1; ; f.value++ {
		switch err := f.any(); {
		case errors.Is(err, io.EOF): // between two values; inside of one it is io.ErrUnexpectedEOF
			return nil
		case err != nil:
			var syntax *jsontext.SyntacticError
			if errors.As(err, &syntax) {
				return fmt.Errorf("not JSON at byte %d: %w", syntax.ByteOffset, syntax.Err)
			}
			return err
		}
	}
}

type elementReader struct {
	dec   *jsontext.Decoder
	value int // number of the top-level value
	yield func(element) error
	bad   func(*badElement) error
}

func (f *elementReader) place() string {
	if p := f.dec.StackPointer(); p != "" && f.value == 1 {
		return string(p)
	}
	return fmt.Sprintf("value %d%s", f.value, f.dec.StackPointer())
}

// any reads one value of any of the known forms.
func (f *elementReader) any() error {
	switch f.dec.PeekKind() {
	case '[':
		if _, err := f.dec.ReadToken(); err != nil {
			return err
		}
		for f.dec.PeekKind() != ']' {
			if err := f.any(); err != nil {
				return err
			}
		}
		_, err := f.dec.ReadToken()
		return err
	case '{':
		return f.object()
	}
	value, err := f.dec.ReadValue()
	if err != nil {
		return err
	}
	if value.Kind() == 'n' {
		return nil // no elements
	}
	return f.bad(&badElement{At: f.place(), Reason: fmt.Errorf("an element expected, got %s", cut(string(value), 40))})
}

// object reads a graph, an element or a message. Which one shows only in its keys,
// so members are kept until one tells; those of a graph are streamed.
func (f *elementReader) object() error {
	at := ""
	if _, err := f.dec.ReadToken(); err != nil {
		return err
	}
	if at = string(f.dec.StackPointer()); at == "" || f.value > 1 {
		at = f.place()
	}
	text := []byte{'{'}
	graph := false
	for f.dec.PeekKind() != '}' {
		name, err := f.dec.ReadToken()
		if err != nil {
			return err
		}
		key := name.String()
		switch {
		case key == "Nodes" || key == "Edges":
			graph = true
			if err := f.any(); err != nil {
				return err
			}
		case key == "Obj" && f.dec.PeekKind() == '{': // a message
			graph = true
			if err := f.object(); err != nil {
				return err
			}
		default:
			value, err := f.dec.ReadValue()
			if err != nil {
				return err
			}
			if len(text) > 1 {
				text = append(text, ',')
			}
			if text, err = jsontext.AppendQuote(text, key); err != nil {
				return err
			}
			text = append(append(text, ':'), value...)
		}
	}
	if _, err := f.dec.ReadToken(); err != nil {
		return err
	}
	if graph || len(text) == 1 {
		return nil
	}
	return f.element(append(text, '}'), at)
}

// element checks what makes an element one and leaves the rest to the analyzer, so
// that what was in the file is sent as it was.
func (f *elementReader) element(text []byte, at string) error {
	var shape struct {
		ID            string
		Parent, Child *string
		Host, Origin  string
		Metadata      skydive.RawJSON
	}
	if err := json.Unmarshal(text, &shape); err != nil {
		return f.bad(&badElement{At: at, Reason: semantic(err)})
	}
	el := element{id: shape.ID, edge: shape.Parent != nil || shape.Child != nil, text: text}
	switch {
	case shape.ID == "":
		return f.bad(&badElement{At: at, Reason: errors.New("no ID")})
	case !shape.Metadata.IsNull() && jsontext.Value(shape.Metadata).Kind() != '{':
		return f.bad(&badElement{At: at, Reason: fmt.Errorf("/Metadata: not of the right kind (%s)", kindName(jsontext.Value(shape.Metadata).Kind()))})
	case el.edge && (shape.Parent == nil || *shape.Parent == "" || shape.Child == nil || *shape.Child == ""):
		return f.bad(&badElement{At: at, Reason: fmt.Errorf("edge %s: both Parent and Child are needed", shape.ID)})
	case el.edge:
		el.parent, el.child = *shape.Parent, *shape.Child
	}
	return f.yield(el)
}

// semantic shortens the JSON package's errors, which may be nested, to what the author
// of a file needs: where in the element, and what is wrong there.
func semantic(err error) error {
	pointer := ""
	var deepest *json.SemanticError
	for {
		var e *json.SemanticError
		if !errors.As(err, &e) {
			break
		}
		deepest, err = e, e.Err
		pointer += string(e.JSONPointer)
	}
	switch {
	case deepest == nil:
		return err
	case err != nil:
		return fmt.Errorf("%s: %w", orElse(pointer, "/"), err)
	}
	return fmt.Errorf("%s: not of the right kind (%s)", orElse(pointer, "/"), kindName(deepest.JSONKind))
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a text"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "a list"
	}
	return "something else"
}
