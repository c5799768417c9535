package api

import (
	"context"
	"errors"
	"net/http"
)

// Server is the HTTP and WebSocket server's logic, without the listener.
type Server struct {
	deps Deps
}

// New checks the dependencies and starts what feeds the subscribers.
func New(deps Deps) (*Server, error) {
	switch {
	case deps.Graph == nil, deps.Engine == nil, deps.Committer == nil, deps.Store == nil:
		return nil, errors.New("api server: Graph, Engine, Committer and Store are required")
	}
	return &Server{deps: deps}, nil
}

// Handler returns the root handler.
func (s *Server) Handler() http.Handler { return http.NotFoundHandler() }

// Close ends the server's goroutines and its WebSocket connections.
func (s *Server) Close(ctx context.Context) error { return nil }
