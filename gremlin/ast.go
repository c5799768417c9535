package gremlin

import (
	"strconv"
	"strings"

	"github.com/weft-net/weft/graph"
)

// call is one step of the text: a name and its arguments.
type call struct {
	pos  position
	spec *stepSpec
	args []arg
}

// argKind is the class of an argument.
type argKind uint8

const (
	argValue argKind = iota
	argPredicate
	argMetadata
	argKeyword // ASC DESC NOW FOREVER
)

// arg is one argument of a step or of a predicate.
type arg struct {
	pos   position
	kind  argKind
	value graph.Value // argValue
	name  string      // canonical name of a predicate or a keyword
	args  []arg       // of a predicate or of Metadata
	pred  *predicate  // compiled, of a predicate
}

// appendTo writes the canonical form.
func (c call) appendTo(b *strings.Builder) {
	b.WriteString(c.spec.name)
	if c.spec.bare {
		return
	}
	appendArgs(b, c.args)
}

func (c call) String() string {
	var b strings.Builder
	c.appendTo(&b)
	return b.String()
}

func appendArgs(b *strings.Builder, args []arg) {
	b.WriteByte('(')
	for i, a := range args {
		if i > 0 {
			b.WriteString(", ")
		}
		a.appendTo(b)
	}
	b.WriteByte(')')
}

func (a arg) appendTo(b *strings.Builder) {
	switch a.kind {
	case argKeyword:
		b.WriteString(a.name)
	case argPredicate, argMetadata:
		b.WriteString(a.name)
		appendArgs(b, a.args)
	default:
		b.WriteString(literal(a.value))
	}
}

// describe names an argument in an error.
func (a arg) describe() string {
	var b strings.Builder
	a.appendTo(&b)
	text := shorten(b.String())
	switch {
	case a.kind == argPredicate:
		return "the predicate " + text
	case a.kind == argValue && a.value.Kind() == graph.KindString:
		return "the string " + text
	case a.kind == argValue && (a.value.Kind() == graph.KindInt || a.value.Kind() == graph.KindFloat):
		return "the number " + text
	}
	return text
}

// literal writes a value so that parsing it gives the value again.
func literal(v graph.Value) string {
	switch v.Kind() {
	case graph.KindString:
		return quote(v.Str())
	case graph.KindFloat:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	default:
		return v.String()
	}
}

// quote writes a string in single quotes.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		switch r {
		case '\\', '\'':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		case '\r':
			b.WriteString(`\r`)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
