package graphjson

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Error says what is wrong with a text, and where.
type Error struct {
	Offset int64  // bytes from the start of the text
	Path   string // JSON pointer, "" at the top
	Reason string
}

// Error puts the reason first, as messages may be cut.
func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s, at byte %d", e.Reason, e.Offset)
	}
	return fmt.Sprintf("%s, at byte %d (%s)", e.Reason, e.Offset, e.Path)
}

// maxPath bounds a path in an error; hostile nesting makes long ones.
const maxPath = 120

func newError(offset int64, path jsontext.Pointer, reason string) *Error {
	text := string(path)
	if len(text) > maxPath {
		text = strings.ToValidUTF8(text[:maxPath], "") + "…"
	}
	return &Error{Offset: offset, Path: text, Reason: reason}
}

// translate makes an Error of what the tokenizer reports.
func translate(err error, size int64) error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return newError(size, "", "JSON ends too early: send the whole value")
		}
		return newError(size, "", err.Error())
	}
	reason := "malformed JSON"
	switch {
	case errors.Is(syntax.Err, jsontext.ErrDuplicateName):
		reason = fmt.Sprintf("key %q comes twice: send it once", clip(syntax.JSONPointer.LastToken(), maxPath))
	case errors.Is(syntax.Err, io.ErrUnexpectedEOF):
		reason = "JSON ends too early: send the whole value"
	case strings.Contains(syntax.Err.Error(), "UTF-8"):
		reason = "text is not UTF-8: encode it so"
	case strings.Contains(syntax.Err.Error(), "depth"):
		reason = "nested too deeply"
	case syntax.Err != nil:
		reason = "malformed JSON: " + clip(syntax.Err.Error(), 2*maxPath)
	}
	return newError(syntax.ByteOffset, syntax.JSONPointer, reason)
}

func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
