package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/internal/auth"
	"github.com/weft-net/weft/skydive"
)

// socket is one open WebSocket. Three goroutines belong to it: the one of its HTTP
// handler reads, one writes what is queued, one pings and watches for signs of life.
type socket struct {
	*hello
	s      *Server
	conn   *websocket.Conn
	life   *lifeConn
	in     *bufio.Reader
	out    *queue
	remote net.Addr
	role   auth.Role
	since  time.Time
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	done   chan struct{} // closed when everything of the connection is over
	gone   atomic.Bool   // the peer has left; what it said is being settled
	hurry  sync.Once

	unanswered atomic.Int32 // SyncRequests whose answers are not written yet
}

// openSocket takes a request to a WebSocket. Everything that can be wrong with it is
// answered with an HTTP status before the upgrade.
func (s *Server) openSocket(w http.ResponseWriter, r *http.Request, endpoint string, serve func(*socket) error) error {
	return s.openJoined(w, r, endpoint, nil, serve)
}

// openJoined is openSocket for those whose queue may be filled before the client knows
// that it is connected: join is called then, and what it returns at the end.
func (s *Server) openJoined(w http.ResponseWriter, r *http.Request, endpoint string, join func(*socket) func(), serve func(*socket) error) error {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		return failf(http.StatusUpgradeRequired, "%s speaks WebSocket only: connect with a WebSocket client", endpoint)
	}
	h, err := readHello(endpoint, r)
	if err != nil {
		return err
	}
	if endpoint != skydive.PathPublisher {
		if err := s.hub.hasRoom(r.Context(), h.filter); err != nil {
			return err
		}
	}
	c := &socket{hello: h, s: s, out: newQueue(s.limits.QueueBytes), role: roleIn(r.Context()), since: s.now(), done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(r.Context()))
	defer c.cancel()
	if err := s.sockets.enter(r.Context(), c, s.now()); err != nil {
		return err
	}
	defer s.sockets.leave(c)
	if c.notified() {
		s.news.await(r.Context())
	}
	if join != nil {
		defer join(c)()
	}
	w.Header().Set(skydive.HeaderHostID, s.deps.Host)
	w.Header().Set(skydive.HeaderServiceType, s.deps.Service)
	door := &hijackable{ResponseWriter: w, timeout: s.limits.WriteTimeout}
	conn, err := websocket.Accept(door, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // the guard has checked the origin
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil //nolint:nilerr // Accept has answered
	}
	conn.SetReadLimit(s.limits.MaxBody)
	s.sockets.opened(c, conn, door)
	c.run(serve)
	return nil
}

// run serves the connection until it ends, for whatever reason.
func (c *socket) run(serve func(*socket) error) {
	var helpers sync.WaitGroup
	helpers.Go(c.write)
	helpers.Go(c.ping)
	err := serve(c)
	c.cancel()
	c.out.close()
	_ = c.life.Conn.Close()
	_ = c.conn.CloseNow()
	helpers.Wait()
	c.s.log.Debug("websocket closed", "endpoint", c.endpoint, "client", c.origin(), "cause", err)
}

// read returns the next message in buf, grown as needed.
func (c *socket) read(buf []byte) ([]byte, error) {
	kind, reader, err := c.conn.Reader(context.Background())
	if err != nil {
		return buf, err
	}
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(512, cap(buf)))
		}
		n, err := reader.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return buf, err
		}
	}
	if want := c.messageType(); kind != want {
		// Skydive takes either: the content tells what it is.
		c.s.metrics.received.WithLabelValues(c.endpoint, "other frame type").Inc()
	}
	return buf, nil
}

func (c *socket) messageType() websocket.MessageType {
	if c.protobuf {
		return websocket.MessageBinary
	}
	return websocket.MessageText
}

// write sends what is queued, as much as there is with one system call.
func (c *socket) write() {
	var entries []outgoing
	var err error
	for err == nil {
		if entries, err = c.out.take(c.ctx, entries); err != nil {
			return
		}
		c.life.Cork()
		for _, entry := range entries {
			if err = c.writeEntry(entry); err != nil {
				break
			}
		}
		if flushed := c.life.Uncork(); err == nil {
			err = flushed
		}
	}
	// What a publisher sent before it left may still lie in the kernel's buffer, and the
	// reader is to have it; a mere subscriber has nothing more to say.
	if c.reads() {
		_ = c.life.Conn.Close()
	}
}

func (c *socket) writeEntry(entry outgoing) error {
	for _, data := range entry.frames {
		if err := c.conn.Write(context.Background(), c.messageType(), data); err != nil {
			return err
		}
		c.s.metrics.sent.Inc()
	}
	if entry.stream == nil {
		return nil
	}
	out, err := c.conn.Writer(context.Background(), c.messageType())
	if err != nil {
		return err
	}
	if err := entry.stream(out); err != nil {
		return err // the message is broken off: the connection has to go
	}
	c.s.metrics.sent.Inc()
	if entry.done != nil {
		entry.done() // before the client can know
	}
	return out.Close()
}

// ping pings at once and then at every delay, and ends a connection whose peer has been
// silent for too long.
func (c *socket) ping() {
	tick := time.NewTicker(c.s.limits.PingDelay)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(c.ctx, c.s.limits.PingDelay)
		_ = c.conn.Ping(ctx) // any byte is an answer; silence is what counts
		cancel()
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return
		}
		if c.life.silence(time.Now()) > c.s.limits.PongTimeout {
			c.s.metrics.silent.Inc()
			_ = c.life.Conn.Close()
			return
		}
	}
}

// end closes the connection with a reason, without waiting for the peer for long.
func (c *socket) end(code websocket.StatusCode, reason string) {
	c.hurry.Do(func() {
		go func() {
			timer := time.AfterFunc(time.Second, func() { _ = c.life.Conn.Close() })
			defer timer.Stop()
			_ = c.conn.Close(code, reason[:min(len(reason), 120)])
		}()
	})
}

// send queues one message for this client alone. When the client reads nothing, it is
// dropped and counted.
func (c *socket) send(kind, uuid string, status int, obj []byte) {
	if !c.wants(skydive.NamespaceGraph) {
		return
	}
	data := appendMessage(nil, c.protobuf, kind, uuid, status, obj)
	if err := c.out.push(outgoing{frames: []frame{data}, size: int64(len(data)), answer: true}); err != nil {
		c.s.metrics.dropped.WithLabelValues("reply").Inc()
	}
}

// complain tells the client what was wrong with a message of its own.
func (c *socket) complain(status int, uuid, id string, cause error) {
	c.s.metrics.complaints.Inc()
	obj := appendComplaint(nil, cause.Error(), id)
	c.send(skydive.MsgError, uuid, status, obj)
	c.s.log.Debug("message refused", "client", c.origin(), "status", status, "id", clip(id), "error", cause)
}

// reads says whether the client has nothing to say that changes anything.
func (c *socket) reads() bool {
	return c.endpoint == skydive.PathSubscriber || c.endpoint == skydive.PathSubscriberFlow
}

// alive says whether the peer has given a sign of life within the last ping.
func (c *socket) alive(now time.Time) bool {
	return c.life == nil || !c.gone.Load() && c.life.silence(now) < c.s.limits.PingDelay*3/2
}

// status is the connection as /api/status shows it.
func (c *socket) status() skydive.Conn {
	info := skydive.Conn{
		ServiceType: c.clientType, ClientProtocol: skydive.ProtocolJSON, IsConnected: true,
		ConnectTime: c.since, RemoteHost: c.host,
	}
	if c.protobuf {
		info.ClientProtocol = skydive.ProtocolProtobuf
	}
	if tcp, ok := c.remote.(*net.TCPAddr); ok {
		info.Addr, info.Port = tcp.IP.String(), tcp.Port
	}
	return info
}

// sockets are the open WebSockets, one for each endpoint and host id.
type sockets struct {
	limit int

	mu      sync.Mutex
	open    map[[2]string]*socket
	closing bool
	gauge   func(endpoint string, delta float64)
}

// enter makes room for a connection. A client that reconnects while the server still
// holds its former connection takes that one's place, unless the former is proven alive:
// then two clients have one name, and the new one is refused as in Skydive.
func (t *sockets) enter(ctx context.Context, c *socket, now time.Time) error {
	key := [2]string{c.endpoint, c.host}
	for {
		t.mu.Lock()
		old := t.open[key]
		switch {
		case t.closing:
			t.mu.Unlock()
			return failf(http.StatusServiceUnavailable, "the server is stopping")
		case old == nil && len(t.open) >= t.limit:
			t.mu.Unlock()
			return failf(http.StatusServiceUnavailable, "%d WebSockets are open: close some, or raise the setting api.max-sockets", t.limit)
		case old == nil:
			t.open[key] = c
			t.gauge(c.endpoint, 1)
			t.mu.Unlock()
			return nil
		case old.alive(now):
			t.mu.Unlock()
			return failf(http.StatusConflict, "%s %q is connected to %s already: give each client an id of its own", skydive.HeaderHostID, clip(c.host), c.endpoint)
		}
		t.mu.Unlock()
		// What the old connection leaves behind has to be settled before the new begins.
		_ = old.life.Conn.Close()
		select {
		case <-old.done:
		case <-ctx.Done():
			return fmt.Errorf("former connection of %q: %w", clip(c.host), ctx.Err())
		}
	}
}

// opened is called after the upgrade; a server that began to stop meanwhile ends it.
func (t *sockets) opened(c *socket, conn *websocket.Conn, door *hijackable) {
	t.mu.Lock()
	c.conn, c.life, c.in, c.remote = conn, door.life, door.in, door.life.RemoteAddr()
	closing := t.closing
	t.mu.Unlock()
	if closing {
		c.end(websocket.StatusGoingAway, "the server is stopping")
	}
}

func (t *sockets) leave(c *socket) {
	t.mu.Lock()
	delete(t.open, [2]string{c.endpoint, c.host})
	t.gauge(c.endpoint, -1)
	t.mu.Unlock()
	close(c.done)
}

// all lists the connections, those that are being opened too: what is queued for them waits.
func (t *sockets) all() []*socket {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.open))
}

// established lists the connections that are past their handshake.
func (t *sockets) established() []*socket {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*socket, 0, len(t.open))
	for _, c := range t.open {
		if c.life != nil {
			list = append(list, c)
		}
	}
	return list
}

// close ends all connections and lets no new one in.
func (t *sockets) close(ctx context.Context) error {
	t.mu.Lock()
	t.closing = true
	t.mu.Unlock()
	list := t.established()
	for _, c := range list {
		c.end(websocket.StatusGoingAway, "the server is stopping")
	}
	for _, c := range list {
		select {
		case <-c.done:
		case <-ctx.Done():
			return fmt.Errorf("open WebSockets: %w", ctx.Err())
		}
	}
	return nil
}

// status lists publishers and subscribers by host id; a pubsub client is both.
func (t *sockets) status() (publishers, subscribers map[string]skydive.Conn) {
	publishers, subscribers = map[string]skydive.Conn{}, map[string]skydive.Conn{}
	for _, c := range t.established() {
		if !c.reads() {
			publishers[c.host] = c.status()
		}
		if c.endpoint != skydive.PathPublisher {
			subscribers[c.host] = c.status()
		}
	}
	return publishers, subscribers
}
