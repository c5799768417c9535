package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// What an *Error is, for errors.Is.
var (
	ErrNotModified  = errors.New("not modified")        // 304: a patch that changes nothing
	ErrBadRequest   = errors.New("bad request")         // 400: the message says why
	ErrUnauthorized = errors.New("unauthorized")        // 401: no user, or a wrong password
	ErrForbidden    = errors.New("forbidden")           // 403, and 405, which Skydive answers to what a role may not do
	ErrNotFound     = errors.New("not found")           // 404
	ErrConflict     = errors.New("conflict")            // 409: a duplicate, or a host id that is connected already
	ErrUnavailable  = errors.New("service unavailable") // 502, 503, 504
)

// Other errors to branch on.
var (
	// ErrClosed says that the Subscription or Publisher was closed by its user.
	ErrClosed = errors.New("closed")
	// ErrTooLarge says that an answer is larger than Config.MaxResponse.
	ErrTooLarge = errors.New("answer is too large")
	// ErrIncomplete says that a partial update cannot be applied: the element is unknown, or the server sent no steps.
	ErrIncomplete = errors.New("update is incomplete")
)

// Error is an answer with an error status, to a REST call or to the handshake of a WebSocket, or a SyncReply with an
// error status, whose Method is "WS".
type Error struct {
	Status  int    // of HTTP
	Method  string // of HTTP, or "WS"
	Path    string // without the address
	Message string // what the server says, without the line's end
}

// Error gives "GET /api/node/x: 404 Node 'x' not found".
func (e *Error) Error() string {
	text := e.Message
	if text == "" {
		text = http.StatusText(e.Status)
	}
	return fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Status, text)
}

// Is says whether the status is of the kind that a sentinel names.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotModified:
		return e.Status == http.StatusNotModified
	case ErrBadRequest:
		return e.Status == http.StatusBadRequest
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized
	case ErrForbidden:
		return e.Status == http.StatusForbidden || e.Status == http.StatusMethodNotAllowed
	case ErrNotFound:
		return e.Status == http.StatusNotFound
	case ErrConflict:
		return e.Status == http.StatusConflict
	case ErrUnavailable:
		return e.Status == http.StatusBadGateway || e.Status == http.StatusServiceUnavailable || e.Status == http.StatusGatewayTimeout
	}
	return false
}

// maxErrorText bounds what is read of an error's body.
const maxErrorText = 64 << 10

// errorOf makes an Error of an answer, of which it reads the body.
func errorOf(method, path string, res *http.Response) *Error {
	var text []byte
	if res.Body != nil {
		text, _ = io.ReadAll(io.LimitReader(res.Body, maxErrorText))
	}
	return &Error{Status: res.StatusCode, Method: method, Path: path, Message: strings.TrimSpace(string(text))}
}
