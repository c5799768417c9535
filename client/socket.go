package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/skydive"
)

const (
	// DefaultReadLimit bounds a received message: the whole graph comes in one.
	DefaultReadLimit = 1 << 30
	// silence is how long a server may say nothing at all before it counts as gone; Skydive pings every 2 s.
	silence = 30 * time.Second
	// handshakeTime bounds the handshake of a WebSocket, and its good-bye.
	handshakeTime = 15 * time.Second
)

// socketOptions say how to connect a WebSocket.
type socketOptions struct {
	path     string
	protocol string
	header   http.Header
	limit    int64
}

// socket is a connected WebSocket. Somebody must always be in read, for that is where pings are answered.
type socket struct {
	conn     *websocket.Conn
	out      *sendBuffer
	header   http.Header // of the handshake's answer
	kind     websocket.MessageType
	protocol string
	seen     atomic.Int64 // when something was last received, in nanoseconds since the epoch
	stop     context.CancelFunc
	watched  chan struct{} // closed when the watch is over
}

// dial connects, and logs in before or again when it must. A refusal is an *Error.
func (c *Client) dial(ctx context.Context, o socketOptions) (*socket, error) {
	if o.protocol != "" && o.protocol != skydive.ProtocolJSON && o.protocol != skydive.ProtocolProtobuf {
		return nil, fmt.Errorf("protocol %q: choose %s or %s", o.protocol, skydive.ProtocolJSON, skydive.ProtocolProtobuf)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTime, fmt.Errorf("no answer within %v", handshakeTime))
	defer cancel()
	token, err := c.ensureToken(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.handshake(ctx, o, token)
	if errors.Is(err, ErrUnauthorized) && c.cfg.Username != "" {
		if token, err = c.renewToken(ctx, token); err != nil {
			return nil, err
		}
		s, err = c.handshake(ctx, o, token)
	}
	return s, err
}

func (c *Client) handshake(ctx context.Context, o socketOptions, token string) (*socket, error) {
	s := &socket{kind: websocket.MessageText, protocol: skydive.ProtocolJSON, watched: make(chan struct{})}
	if o.protocol == skydive.ProtocolProtobuf {
		s.kind, s.protocol = websocket.MessageBinary, o.protocol
	}
	header := o.header.Clone()
	header.Set(skydive.HeaderClientProtocol, s.protocol)
	setToken(header, token)

	base := c.http.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	hc := *c.http
	hc.Timeout = 0
	hc.Transport = gatherTransport{base: base, made: &s.out}

	alive := func() { s.seen.Store(time.Now().UnixNano()) }
	conn, res, err := websocket.Dial(ctx, c.base.String()+o.path, &websocket.DialOptions{
		HTTPClient: &hc, HTTPHeader: header,
		OnPingReceived: func(context.Context, []byte) bool { alive(); return true },
		OnPongReceived: func(context.Context, []byte) { alive() },
	})
	if err != nil {
		if res != nil && res.StatusCode != http.StatusSwitchingProtocols {
			return nil, errorOf(http.MethodGet, o.path, res)
		}
		return nil, fmt.Errorf("connect %s: %w", o.path, cause(ctx, err))
	}
	limit := o.limit
	if limit == 0 {
		limit = DefaultReadLimit
	}
	conn.SetReadLimit(limit)
	s.conn, s.header = conn, res.Header
	alive()
	watch, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.watch(watch)
	return s, nil
}

// isWeft says whether the server is weft, and so knows what weft adds.
func (s *socket) isWeft() bool { return len(s.header.Values(skydive.HeaderWeftVersion)) > 0 }

// read waits for a message. It ends when the socket is closed.
func (s *socket) read() ([]byte, error) {
	_, data, err := s.conn.Read(context.Background())
	if err != nil {
		return nil, err
	}
	s.seen.Store(time.Now().UnixNano())
	return data, nil
}

// write queues a frame. Whoever sends much waits for room before.
func (s *socket) write(frame []byte) error {
	return s.conn.Write(context.Background(), s.kind, frame)
}

// watch closes a connection on which nothing came for too long, after it has asked for a sign of life.
func (s *socket) watch(ctx context.Context) {
	defer close(s.watched)
	tick := time.NewTicker(silence / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		quiet := time.Since(time.Unix(0, s.seen.Load()))
		if quiet > silence {
			_ = s.conn.CloseNow()
			return
		}
		if quiet > silence/3 {
			ping, cancel := context.WithTimeout(ctx, silence/3)
			_ = s.conn.Ping(ping) // whatever comes back shows in seen
			cancel()
		}
	}
}

// close says good-bye when polite, and lets go of everything.
func (s *socket) close(polite bool) {
	if polite {
		_ = s.conn.Close(websocket.StatusNormalClosure, "")
	}
	_ = s.conn.CloseNow()
	s.stop()
	<-s.watched
}

// closeReason makes an error of what ended a read.
func closeReason(path string, err error) error {
	var ce websocket.CloseError
	if !errors.As(err, &ce) {
		return fmt.Errorf("%s: connection lost: %w", path, err)
	}
	if ce.Reason == "" {
		return fmt.Errorf("%s: the server closed the connection without a reason (code %d); Skydive does so when it refuses client type, protocol, filter or policy", path, ce.Code)
	}
	return fmt.Errorf("%s: the server closed the connection: %s (code %d)", path, ce.Reason, ce.Code)
}
