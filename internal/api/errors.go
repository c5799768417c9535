package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/graphjson"
)

// httpError is an error with the status that a client gets for it.
type httpError struct {
	status int
	err    error
}

// Error is the text of the answer.
func (e *httpError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *httpError) Unwrap() error { return e.err }

// failf makes an httpError.
func failf(status int, format string, args ...any) error {
	return &httpError{status: status, err: fmt.Errorf(format, args...)}
}

// statusOf says with which status an error is answered.
func statusOf(err error) int {
	var (
		own     *httpError
		tooBig  *http.MaxBytesError
		syntax  *gremlin.SyntaxError
		bad     *graphjson.Error
		busy    *busyError
		unknown = http.StatusInternalServerError
	)
	if _, slow := slowIn(err); slow {
		return http.StatusRequestTimeout // whatever a reader made of it
	}
	switch {
	case errors.As(err, &own):
		return own.status
	case errors.As(err, &busy):
		return http.StatusServiceUnavailable
	case errors.As(err, &tooBig):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &syntax), errors.As(err, &bad):
		return http.StatusBadRequest
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrExists):
		return http.StatusConflict
	case errors.Is(err, ErrFull):
		return http.StatusInsufficientStorage
	case errors.Is(err, ErrAway):
		return http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return unknown
}

// writeError answers with an error as Skydive does: its text and a line feed.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // the client left: nobody reads an answer
	}
	status := statusOf(err)
	text := err.Error()
	noteBusy(w.Header(), err)
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		text = bodyTooBig(tooBig.Limit)
	}
	if _, slow := slowIn(err); slow {
		w.Header().Set("Connection", "close") // the rest of the body is still to come
	}
	if status >= http.StatusInternalServerError && w.Header().Get("Retry-After") == "" {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "status", status, "error", err)
	}
	// The answer is a text line; what came from the client must not break it.
	http.Error(w, strings.ToValidUTF8(text, "\uFFFD"), status)
}

func bodyTooBig(limit int64) string {
	return fmt.Sprintf("body larger than %d bytes: send less, or raise the setting api.max-body", limit)
}
