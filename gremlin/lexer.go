package gremlin

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weft-net/weft/graph"
)

// tokenKind is the class of a token.
type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenString
	tokenNumber
	tokenDot
	tokenComma
	tokenOpen
	tokenClose
)

// position is a place in the text; line and column count from 1.
type position struct{ offset, line, column int }

// token is one word of the text.
type token struct {
	kind  tokenKind
	pos   position
	text  string      // as written; of a string: its value
	value graph.Value // of a string or a number
}

// String describes a token in an error.
func (t token) String() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the query"
	case tokenString:
		return "the string " + quote(shorten(t.text))
	case tokenNumber:
		return "the number " + shorten(t.text)
	default:
		return strconv.Quote(shorten(t.text))
	}
}

// shorten keeps error messages readable.
func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// lexer splits a query into tokens. It is driven by the parser, one token at a time.
type lexer struct {
	text string
	pos  position
}

func newLexer(text string) lexer {
	return lexer{text: text, pos: position{line: 1, column: 1}}
}

// advance moves over n bytes that hold no line break.
func (l *lexer) advance(n int) {
	l.pos.column += utf8.RuneCountInString(l.text[l.pos.offset : l.pos.offset+n])
	l.pos.offset += n
}

func (l *lexer) skipSpace() {
	for l.pos.offset < len(l.text) {
		switch l.text[l.pos.offset] {
		case '\n':
			l.pos.offset++
			l.pos.line++
			l.pos.column = 1
		case ' ', '\t', '\r', '\f', '\v':
			l.advance(1)
		default:
			if !strings.HasPrefix(l.text[l.pos.offset:], "\u00a0") { // pasted from a web page
				return
			}
			l.advance(len("\u00a0"))
		}
	}
}

// next reads one token.
func (l *lexer) next() (token, error) {
	l.skipSpace()
	start := l.pos
	if start.offset >= len(l.text) {
		return token{kind: tokenEnd, pos: start}, nil
	}
	c := l.text[start.offset]
	single := func(kind tokenKind) (token, error) {
		l.advance(1)
		return token{kind: kind, pos: start, text: string(c)}, nil
	}
	switch {
	case c == '.' && !l.digitAt(start.offset+1):
		return single(tokenDot)
	case c == ',':
		return single(tokenComma)
	case c == '(':
		return single(tokenOpen)
	case c == ')':
		return single(tokenClose)
	case c == '\'' || c == '"':
		return l.scanString(c)
	case isLetter(c) || c == '_':
		return l.scanName(), nil
	case isDigit(c) || c == '-' || c == '+' || c == '.':
		return l.scanNumber()
	}
	r, size := utf8.DecodeRuneInString(l.text[start.offset:])
	got := strconv.QuoteRune(r)
	if r == utf8.RuneError && size == 1 {
		got = fmt.Sprintf("the byte 0x%02x, which is not UTF-8", c)
	}
	return token{}, &SyntaxError{Line: start.line, Column: start.column, Got: got, Expected: "a step, an argument or one of . , ( )"}
}

func (l *lexer) digitAt(i int) bool { return i < len(l.text) && isDigit(l.text[i]) }

func (l *lexer) scanName() token {
	start := l.pos
	end := start.offset
	for end < len(l.text) && (isLetter(l.text[end]) || isDigit(l.text[end]) || l.text[end] == '_') {
		end++
	}
	l.advance(end - start.offset)
	return token{kind: tokenName, pos: start, text: l.text[start.offset:end]}
}

func (l *lexer) scanNumber() (token, error) {
	start := l.pos
	i := start.offset
	if l.text[i] == '-' || l.text[i] == '+' {
		i++
	}
	float := false
	for ; i < len(l.text); i++ {
		c := l.text[i]
		if c == '.' || c == 'e' || c == 'E' {
			float = true
			if c != '.' && i+1 < len(l.text) && (l.text[i+1] == '-' || l.text[i+1] == '+') {
				i++
			}
			continue
		}
		if !isDigit(c) && !isLetter(c) && c != '_' {
			break
		}
	}
	text := l.text[start.offset:i]
	l.advance(i - start.offset)
	t := token{kind: tokenNumber, pos: start, text: text}
	if !float {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			t.value = graph.Int(n)
			return t, nil
		}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && plainNumber(text) {
		t.value = graph.Float(f)
		return t, nil
	}
	e := &SyntaxError{Line: start.line, Column: start.column, Got: strconv.Quote(shorten(text)), Expected: "a number"}
	if len(text) > 1 && isLetter(text[len(text)-1]) {
		e.Expected = "a number (write a duration as a string: '1m')"
	}
	return token{}, e
}

// plainNumber refuses what ParseFloat takes beside decimal numbers: hexadecimal, underscores, names.
func plainNumber(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isDigit(c) && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return false
		}
	}
	return true
}

// scanString reads a string. Known escapes are replaced; an unknown one keeps its backslash, so that the regular
// expressions of scripts that were written for Skydive, which has no escapes, mean what they meant.
func (l *lexer) scanString(delimiter byte) (token, error) {
	start := l.pos
	l.advance(1)
	var b strings.Builder
	for l.pos.offset < len(l.text) {
		c := l.text[l.pos.offset]
		switch {
		case c == delimiter:
			l.advance(1)
			return token{kind: tokenString, pos: start, text: b.String(), value: graph.String(b.String())}, nil
		case c == '\n':
			b.WriteByte(c)
			l.pos.offset++
			l.pos.line++
			l.pos.column = 1
		case c == '\\':
			l.scanEscape(&b)
		default:
			r, size := utf8.DecodeRuneInString(l.text[l.pos.offset:])
			if r == utf8.RuneError && size == 1 {
				return token{}, &SyntaxError{
					Line: l.pos.line, Column: l.pos.column,
					Got: fmt.Sprintf("the byte 0x%02x, which is not UTF-8", c), Expected: "text in UTF-8",
				}
			}
			b.WriteRune(r)
			l.advance(size)
		}
	}
	return token{}, &SyntaxError{
		Line: start.line, Column: start.column,
		Got: "a string without an end", Expected: "a closing " + string(delimiter),
	}
}

func (l *lexer) scanEscape(b *strings.Builder) {
	rest := l.text[l.pos.offset+1:]
	if rest != "" {
		if i := strings.IndexByte(`\'"ntr`, rest[0]); i >= 0 {
			b.WriteByte("\\'\"\n\t\r"[i])
			l.advance(2)
			return
		}
		if r, size := unicodeEscape(rest); size > 0 {
			b.WriteRune(r)
			l.advance(1 + size)
			return
		}
	}
	b.WriteByte('\\')
	l.advance(1)
}

// unicodeEscape reads uXXXX, or a pair of them for a character beyond the basic plane; size 0 when it is neither.
func unicodeEscape(s string) (r rune, size int) {
	high, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if high < 0xd800 || high > 0xdfff {
		return high, 5
	}
	if len(s) > 6 && s[5] == '\\' {
		if low, ok := hex4(s[6:]); ok && high < 0xdc00 && low >= 0xdc00 && low <= 0xdfff {
			return (high-0xd800)<<10 + (low - 0xdc00) + 0x10000, 11
		}
	}
	return 0, 0
}

func hex4(s string) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:5], 16, 32)
	return rune(n), err == nil
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
