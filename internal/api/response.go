package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

const (
	// holdBytes of an answer are held back: a handler that fails within them can still
	// answer with the error, and small answers get a length.
	holdBytes = 64 << 10
	// gzipAtLeast is the size from which an answer is worth compressing.
	gzipAtLeast = 1400
	// writeChunk is what goes out under one deadline.
	writeChunk = 256 << 10
)

// responseWriter remembers the status and gives every write a deadline of its own, so
// that a large answer may take long as long as the client reads.
type responseWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	status  int
}

// Status is what was answered.
func (w *responseWriter) Status() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// WriteHeader keeps the status.
func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends in pieces, each under a deadline.
func (w *responseWriter) Write(p []byte) (n int, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	for {
		piece := p[n:min(len(p), n+writeChunk)]
		_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout))
		m, err := w.ResponseWriter.Write(piece)
		n += m
		if err != nil || n >= len(p) {
			return n, err
		}
	}
}

// answer is what handlers write to. It holds the first bytes back and compresses when
// the client takes gzip and the answer is large enough.
type answer struct {
	out    *responseWriter
	pool   *spare
	gzip   bool // the client takes it
	status int
	held   []byte
	sent   bool
	packer *gzip.Writer
}

// compress puts an answer between a handler and its client.
func (s *Server) compress(w *responseWriter, r *http.Request) *answer {
	w.Header().Set("Vary", "Accept-Encoding")
	return &answer{out: w, pool: s.spare, gzip: acceptsGzip(r.Header.Get("Accept-Encoding"))}
}

func acceptsGzip(header string) bool {
	for entry := range strings.SplitSeq(header, ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(entry), ";")
		if name = strings.TrimSpace(name); name != "gzip" && name != "*" {
			continue
		}
		q := strings.TrimPrefix(strings.TrimSpace(quality), "q=")
		value, err := strconv.ParseFloat(q, 64)
		return err != nil || value > 0
	}
	return false
}

// Header returns the headers of the answer.
func (a *answer) Header() http.Header { return a.out.Header() }

// WriteHeader sets the status; it goes out with the first bytes.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write holds or sends.
func (a *answer) Write(p []byte) (int, error) {
	if a.sent {
		return a.pass(p)
	}
	if len(a.held)+len(p) <= holdBytes {
		a.held = append(a.held, p...)
		return len(p), nil
	}
	if err := a.flush(false); err != nil {
		return 0, err
	}
	return a.pass(p)
}

func (a *answer) pass(p []byte) (int, error) {
	if a.packer != nil {
		return a.packer.Write(p)
	}
	return a.out.Write(p)
}

// flush sends headers and what was held.
func (a *answer) flush(last bool) error {
	a.sent = true
	status := a.status
	if status == 0 {
		status = http.StatusOK
	}
	bodyless := status == http.StatusNoContent || status == http.StatusNotModified
	header := a.out.Header()
	if !bodyless && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	pack := a.gzip && !bodyless && (!last || len(a.held) >= gzipAtLeast) && header.Get("Content-Encoding") == ""
	switch {
	case pack:
		header.Set("Content-Encoding", "gzip")
		header.Del("Content-Length")
		a.packer = a.pool.packer()
		a.packer.Reset(a.out)
	case last && !bodyless:
		header.Set("Content-Length", strconv.Itoa(len(a.held)))
	}
	a.out.WriteHeader(status)
	if len(a.held) == 0 {
		return nil
	}
	_, err := a.pass(a.held)
	a.held = nil
	return err
}

// reset forgets what was held, so that an error can be answered instead. When bytes are
// out already it ends the connection: the client must not take a part for the whole.
func (a *answer) reset() {
	if a.sent {
		panic(http.ErrAbortHandler)
	}
	a.held, a.status = nil, 0
	a.Header().Del("Content-Type")
	a.Header().Del("Etag")
}

// Close sends what is left.
func (a *answer) Close() {
	if !a.sent {
		_ = a.flush(true) // the client is gone, then
	}
	if a.packer != nil {
		_ = a.packer.Close()
		a.packer.Reset(nil)
		a.pool.packers.Put(a.packer)
		a.packer = nil
	}
}
