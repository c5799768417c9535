package api

import (
	_ "embed"
	"net/http"
)

// welcomePage says to who comes with a browser what this is, and where to go on. It is
// the same for everybody and tells nothing of the graph.
//
//go:embed welcome.html
var welcomePage []byte

// welcome answers GET /.
func (s *Server) welcome(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=UTF-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(welcomePage)
}
