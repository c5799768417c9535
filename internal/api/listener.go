package api

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// HTTPServer builds the http.Server that is fit to face bad clients: the head of a
// request, its body and the silence between two requests have deadlines, and heads have
// a bound. Serve it on a listener from LimitListener. WebSockets are not among what
// http.Server.Shutdown waits for: call Server.Close first.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: s.limits.HeaderTimeout,
		IdleTimeout:       s.limits.IdleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// LimitListener bounds how many connections are open at once (Limits.MaxConns); beyond
// it new ones wait in the kernel's queue until one closes. Idle ones close soon, by the
// deadlines of HTTPServer.
func (s *Server) LimitListener(l net.Listener) net.Listener {
	return &limitListener{Listener: l, slots: make(chan struct{}, s.limits.MaxConns), closed: make(chan struct{})}
}

type limitListener struct {
	net.Listener
	slots  chan struct{}
	close  sync.Once
	closed chan struct{}
}

// Accept waits for a slot and then for a connection.
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// A peer that vanished without a word is noticed even where nothing is sent.
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3})
	}
	return &limitedConn{Conn: conn, free: func() { <-l.slots }}, nil
}

// Close closes the listener and ends a waiting Accept.
func (l *limitListener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	freed atomic.Bool
	free  func()
}

// Close gives the slot back.
func (c *limitedConn) Close() error {
	if !c.freed.Swap(true) {
		defer c.free()
	}
	return c.Conn.Close()
}
