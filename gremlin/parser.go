package gremlin

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-net/weft/graph"
)

// What a query may be at most. A query over these is refused before it costs anything.
const (
	maxQueryBytes = 256 << 10
	maxSteps      = 256
	maxNesting    = 16
	maxArgs       = 16384 // in the whole query
)

// keywords are arguments that are words.
var keywords = [...]string{"ASC", "DESC", "NOW", "FOREVER"}

// parser turns tokens into calls. It knows the grammar; what a step makes of its arguments is the table's affair.
//
//	query    = "G" { "." step }
//	step     = "G" | name "(" { argument [ "," ] } ")"
//	argument = string | number | "true" | "false" | keyword | predicate "(" { argument } ")" | "Metadata" "(" … ")"
type parser struct {
	lex  lexer
	tok  token
	args int
}

// parseCalls reads the whole text.
func parseCalls(text string) ([]call, error) {
	if len(text) > maxQueryBytes {
		return nil, &SyntaxError{Line: 1, Column: 1, Got: fmt.Sprintf("a query of %d bytes", len(text)), Expected: fmt.Sprintf("at most %d", maxQueryBytes)}
	}
	p := &parser{lex: newLexer(text)}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind != tokenName || !strings.EqualFold(p.tok.text, "G") {
		return nil, p.unexpected(`"G", with which every query starts`)
	}
	calls := []call{{pos: p.tok.pos, spec: stepByName("G")}}
	for {
		if err := p.advance(); err != nil {
			return nil, err
		}
		switch {
		case p.tok.kind == tokenEnd:
			return calls, nil
		case p.tok.kind == tokenOpen && calls[len(calls)-1].spec.bare:
			return nil, p.unexpected(`"." and a step: G takes no parentheses`)
		case p.tok.kind != tokenDot:
			return nil, p.unexpected(`"." and a step, or the end of the query`)
		}
		if len(calls) >= maxSteps {
			return nil, p.unexpected(fmt.Sprintf("at most %d steps", maxSteps))
		}
		c, err := p.step()
		if err != nil {
			return nil, err
		}
		calls = append(calls, c)
	}
}

func (p *parser) advance() (err error) {
	p.tok, err = p.lex.next()
	return err
}

func (p *parser) unexpected(want string) *SyntaxError {
	return &SyntaxError{Line: p.tok.pos.line, Column: p.tok.pos.column, Got: p.tok.String(), Expected: want}
}

// step reads what follows a dot.
func (p *parser) step() (call, error) {
	if err := p.advance(); err != nil {
		return call{}, err
	}
	if p.tok.kind != tokenName {
		return call{}, p.unexpected("the name of a step")
	}
	spec := stepByName(p.tok.text)
	if spec == nil {
		err := p.unexpected("a step")
		err.Nearest = nearest(p.tok.text, StepNames())
		return call{}, err
	}
	c := call{pos: p.tok.pos, spec: spec}
	if spec.bare {
		return c, nil
	}
	if err := p.advance(); err != nil {
		return call{}, err
	}
	if p.tok.kind != tokenOpen {
		return call{}, p.unexpected(`"(" after ` + spec.name)
	}
	var err error
	c.args, err = p.arguments(1)
	return c, err
}

// arguments reads up to the closing parenthesis; the opening one is the current token.
func (p *parser) arguments(depth int) ([]arg, error) {
	if depth > maxNesting {
		return nil, p.unexpected(fmt.Sprintf("at most %d levels of parentheses", maxNesting))
	}
	var args []arg
	for {
		if err := p.advance(); err != nil {
			return nil, err
		}
		switch p.tok.kind {
		case tokenClose:
			return args, nil
		case tokenComma:
			continue
		}
		if p.args++; p.args > maxArgs {
			return nil, p.unexpected(fmt.Sprintf("at most %d arguments", maxArgs))
		}
		a, err := p.argument(depth)
		if err != nil {
			return nil, err
		}
		args = append(args, a)
	}
}

func (p *parser) argument(depth int) (arg, error) {
	t := p.tok
	switch t.kind {
	case tokenString, tokenNumber:
		return arg{pos: t.pos, kind: argValue, value: t.value}, nil
	case tokenEnd:
		return arg{}, p.unexpected(`an argument or ")"`)
	case tokenName:
	default:
		return arg{}, p.unexpected(`an argument or ")"`)
	}
	upper := strings.ToUpper(t.text)
	switch {
	case upper == "TRUE" || upper == "FALSE":
		return arg{pos: t.pos, kind: argValue, value: graph.Bool(upper == "TRUE")}, nil
	case slices.Contains(keywords[:], upper):
		return arg{pos: t.pos, kind: argKeyword, name: upper}, nil
	}
	a := arg{pos: t.pos, kind: argPredicate, name: upper}
	spec := predicateByName(upper)
	if upper == "METADATA" {
		a.kind, a.name = argMetadata, "Metadata"
	} else if spec == nil {
		err := p.unexpected("a string, a number, true, false, a predicate or a keyword")
		names := append(PredicateNames(), keywords[:]...)
		err.Nearest = nearest(t.text, append(names, "Metadata", "true", "false"))
		if err.Nearest == "" {
			err.Nearest = "the string " + quote(shorten(t.text))
		}
		return arg{}, err
	}
	if err := p.advance(); err != nil {
		return arg{}, err
	}
	if p.tok.kind != tokenOpen {
		return arg{}, p.unexpected(`"(" after ` + a.name)
	}
	var err error
	if a.args, err = p.arguments(depth + 1); err != nil {
		return arg{}, err
	}
	if spec != nil {
		a.pred, err = spec.compile(a)
	}
	return a, err
}

// argumentError is a SyntaxError at an argument.
func argumentError(a arg, want string) *SyntaxError {
	return &SyntaxError{Line: a.pos.line, Column: a.pos.column, Got: a.describe(), Expected: want}
}

// countError is a SyntaxError about the number of arguments.
func countError(pos position, name string, got int, want string) *SyntaxError {
	plural := " arguments"
	if got == 1 {
		plural = " argument"
	}
	return &SyntaxError{Line: pos.line, Column: pos.column, Got: name + " with " + strconv.Itoa(got) + plural, Expected: want}
}
