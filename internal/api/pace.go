package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// pacedBody is a body that has to come at a rate: who sends less is not waited for. Only the time spent waiting for
// the client counts, so that nobody is blamed for a server that is slow itself.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	limits  *Limits
	until   time.Time // when it has to be there; zero: as long as the rate holds

	credit time.Duration // what the client may still take for the next byte
	got    int64
	waited time.Duration
	err    error
}

func (s *Server) paced(r *http.Request, control *http.ResponseController, until time.Time) *pacedBody {
	return &pacedBody{ReadCloser: r.Body, control: control, limits: &s.limits, until: until, credit: s.limits.BodyGrace}
}

// Read waits for what comes next; when too little came the error is a *slowError, for good.
func (b *pacedBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	start := time.Now()
	deadline := start.Add(min(b.credit, b.limits.RequestTimeout))
	if !b.until.IsZero() && b.until.Before(deadline) {
		deadline = b.until
	}
	_ = b.control.SetReadDeadline(deadline)
	n, err := b.ReadCloser.Read(p)
	took := time.Since(start)
	b.got += int64(n)
	b.waited += took
	earned := time.Duration(float64(n) / float64(b.limits.BodyRate) * float64(time.Second))
	b.credit = min(b.credit-took+earned, max(b.limits.BodyGrace, b.limits.RequestTimeout))
	if err == nil {
		return n, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.err = &slowError{got: b.got, in: b.waited, rate: b.limits.BodyRate, grace: b.limits.BodyGrace, within: b.limits.RequestTimeout, late: !b.until.IsZero() && !time.Now().Before(b.until)}
		return n, b.err
	}
	// The server reads on to see whether the client leaves while it is answered: that has time.
	rest := b.until
	if rest.IsZero() {
		rest = time.Now().Add(b.limits.RequestTimeout)
	}
	_ = b.control.SetReadDeadline(rest)
	return n, err
}

// slowError is answered with 408.
type slowError struct {
	got           int64
	in            time.Duration
	rate          int64
	grace, within time.Duration
	late          bool // the rate held, but the body was too long for it
}

// Error says how slow it was, and how slow it may be.
func (e *slowError) Error() string {
	if e.late {
		return fmt.Sprintf("body too slow: %d bytes came, and not all of it within %v: send it faster", e.got, e.within)
	}
	return fmt.Sprintf("body too slow: %d bytes in %.1f s: at least %d bytes/s have to come after the first %v", e.got, e.in.Seconds(), e.rate, e.grace)
}

// slowIn finds what a reader made of a body that was too slow.
func slowIn(err error) (slow *slowError, ok bool) {
	ok = errors.As(err, &slow)
	return slow, ok
}
