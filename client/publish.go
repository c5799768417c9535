package client

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/weft-net/weft/skydive"
)

// keepScratch is how much memory is kept from one message to the next.
const keepScratch = 1 << 20

// Ack says how Publisher.Flush learns that the server has done everything.
type Ack int

// Ways to learn it.
const (
	// AckAuto is AckFlush with weft and AckSync with Skydive.
	AckAuto Ack = iota
	// AckFlush sends weft's FlushRequest: cheap, and the reply counts what was committed and rejected.
	AckFlush
	// AckSync sends a SyncRequest and waits for the reply, which comes after all that was sent before: it works with
	// Skydive, but the reply is the whole graph, so flush seldom; and it counts nothing.
	AckSync
)

// PublishOptions say who publishes. The server makes the origin of what is published of ClientType and HostID, so name
// both to be the same publisher again after a restart.
type PublishOptions struct {
	ClientType  string // that of the Client when empty
	HostID      string // that of the Client when empty
	Persistence string // skydive.Persistent or skydive.DeleteOnDisconnect; the server's default when empty
	Protocol    string // skydive.ProtocolJSON when empty
	Path        string // skydive.PathPublisher when empty

	Ack Ack
	// MaxRate bounds messages a second; 0 is no bound. weft slows a publisher down by itself; Skydive cuts one that
	// sends more than about 2,500 a second for long, and loses what it has sent.
	MaxRate float64
	// OnError is told of each message that weft refused, from a goroutine of the Publisher: it must not call Flush
	// or Close. Skydive reports nothing.
	OnError func(*PublishError)

	ReadLimit int64 // bytes of a received message; DefaultReadLimit when 0
}

// PublishError is a message that the server refused.
type PublishError struct {
	Status int    // of HTTP
	UUID   string // of the message
	ID     string // of the element, when the server knows it
	Reason string
}

// Error gives `edge "e1" refused: child node is not known`.
func (e *PublishError) Error() string {
	if e.ID == "" {
		return "message refused: " + e.Reason
	}
	return fmt.Sprintf("element %q refused: %s", e.ID, e.Reason)
}

// Publisher writes the graph over one connection. It does not reconnect: what a server keeps of a lost publisher is
// for the owner of the data to decide, who makes another one and calls Sync. A method that sends queues the message,
// waits when the server is slower than the sender, and gives the connection's error once there is one.
type Publisher struct {
	path     string
	sock     *socket
	ack      Ack
	limiter  *rate.Limiter
	onError  func(*PublishError)
	rejected atomic.Int64
	closing  atomic.Bool

	mu      sync.Mutex // around encoding and queueing, so that messages keep the order of the calls
	scratch []byte
	object  []byte
	uuid    [36]byte
	count   uint64

	waitMu  sync.Mutex
	waiters map[string]chan skydive.FlushReply

	done chan struct{} // closed when the connection has ended
	err  error         // why; read after done
}

// Publish connects a publisher, which lives until Close or the end of ctx.
func (c *Client) Publish(ctx context.Context, o PublishOptions) (*Publisher, error) {
	header := http.Header{}
	header.Set(skydive.HeaderHostID, or(o.HostID, c.cfg.HostID))
	header.Set(skydive.HeaderClientType, or(o.ClientType, c.cfg.ClientType))
	switch o.Persistence {
	case "":
	case skydive.Persistent, skydive.DeleteOnDisconnect:
		header.Set(skydive.HeaderPersistencePolicy, o.Persistence)
	default:
		return nil, fmt.Errorf("persistence %q: choose %s or %s", o.Persistence, skydive.Persistent, skydive.DeleteOnDisconnect)
	}
	path := or(o.Path, skydive.PathPublisher)
	sock, err := c.dial(ctx, socketOptions{path: path, protocol: o.Protocol, header: header, limit: o.ReadLimit})
	if err != nil {
		return nil, err
	}
	p := &Publisher{
		path: path, sock: sock, ack: o.Ack, onError: o.OnError,
		waiters: make(map[string]chan skydive.FlushReply), done: make(chan struct{}),
	}
	if p.ack == AckAuto {
		p.ack = AckSync
		if sock.isWeft() {
			p.ack = AckFlush
		}
	}
	if o.MaxRate > 0 {
		p.limiter = rate.NewLimiter(rate.Limit(o.MaxRate), max(1, int(o.MaxRate/50)))
	}
	copy(p.uuid[:], randomUUID())
	stop := context.AfterFunc(ctx, func() { _ = sock.conn.CloseNow() })
	go p.readLoop(ctx, stop)
	return p, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// randomUUID gives a version 4 UUID.
func randomUUID() string {
	h := []byte(randomHex(16))
	h[12] = '4'
	h[16] = "89ab"[h[16]&3]
	return string(h[:8]) + "-" + string(h[8:12]) + "-" + string(h[12:16]) + "-" + string(h[16:20]) + "-" + string(h[20:])
}

// nextUUID gives a UUID for the next message: the last 12 digits count. It is valid until the next call.
func (p *Publisher) nextUUID() []byte {
	p.count++
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], p.count)
	hex.Encode(p.uuid[24:], n[2:])
	return p.uuid[:]
}

// NodeAdded says that there is a node.
func (p *Publisher) NodeAdded(ctx context.Context, n *skydive.Node) error {
	return p.send(ctx, skydive.MsgNodeAdded, n)
}

// NodeUpdated replaces a node's metadata. Skydive takes it only if Revision is higher than the one it has.
func (p *Publisher) NodeUpdated(ctx context.Context, n *skydive.Node) error {
	return p.send(ctx, skydive.MsgNodeUpdated, n)
}

// NodeDeleted says that a node is gone, and its edges with it.
func (p *Publisher) NodeDeleted(ctx context.Context, n *skydive.Node) error {
	return p.send(ctx, skydive.MsgNodeDeleted, n)
}

// EdgeAdded says that there is an edge. Skydive drops it when it does not know both nodes.
func (p *Publisher) EdgeAdded(ctx context.Context, e *skydive.Edge) error {
	return p.send(ctx, skydive.MsgEdgeAdded, e)
}

// EdgeUpdated replaces an edge's metadata; it must carry Parent and Child.
func (p *Publisher) EdgeUpdated(ctx context.Context, e *skydive.Edge) error {
	return p.send(ctx, skydive.MsgEdgeUpdated, e)
}

// EdgeDeleted says that an edge is gone.
func (p *Publisher) EdgeDeleted(ctx context.Context, e *skydive.Edge) error {
	return p.send(ctx, skydive.MsgEdgeDeleted, e)
}

// NodePartiallyUpdated changes some of a node's metadata.
func (p *Publisher) NodePartiallyUpdated(ctx context.Context, u *skydive.PartialUpdate) error {
	return p.send(ctx, skydive.MsgNodePartiallyUpdated, partial{u})
}

// EdgePartiallyUpdated changes some of an edge's metadata.
func (p *Publisher) EdgePartiallyUpdated(ctx context.Context, u *skydive.PartialUpdate) error {
	return p.send(ctx, skydive.MsgEdgePartiallyUpdated, partial{u})
}

// Sync says that g is all that this publisher has: what it published before and is not in g goes.
func (p *Publisher) Sync(ctx context.Context, g *skydive.Graph) error {
	return p.send(ctx, skydive.MsgSync, g)
}

// Send sends a message of NamespaceGraph whose object is JSON already, such as an element of a dump.
func (p *Publisher) Send(ctx context.Context, typ string, obj skydive.RawJSON) error {
	return p.send(ctx, typ, rawObject(obj))
}

// appender is an object that appends its JSON.
type appender interface {
	AppendJSON(dst []byte) ([]byte, error)
}

type rawObject skydive.RawJSON

func (r rawObject) AppendJSON(dst []byte) ([]byte, error) {
	if len(r) == 0 {
		return append(dst, "null"...), nil
	}
	return append(dst, r...), nil
}

type partial struct{ u *skydive.PartialUpdate }

func (u partial) AppendJSON(dst []byte) ([]byte, error) {
	raw, err := skydive.Raw(u.u)
	return append(dst, raw...), err
}

// send encodes and queues one message.
func (p *Publisher) send(ctx context.Context, typ string, obj appender) error {
	if p.limiter != nil {
		if err := p.limiter.Wait(ctx); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sendLocked(ctx, typ, string(p.nextUUID()), obj)
}

func (p *Publisher) sendLocked(ctx context.Context, typ, uuid string, obj appender) error {
	if p.closing.Load() {
		return fmt.Errorf("publish: %w", ErrClosed)
	}
	if cap(p.scratch) > keepScratch || cap(p.object) > keepScratch {
		p.scratch, p.object = nil, nil
	}
	frame, err := p.encode(typ, uuid, obj)
	if err != nil {
		return fmt.Errorf("publish %s: %w", typ, err)
	}
	if err := p.sock.out.wait(ctx); err != nil {
		return p.sendError(ctx, err)
	}
	if err := p.sock.write(frame); err != nil {
		return p.sendError(ctx, err)
	}
	return nil
}

// encode makes a frame in the scratch memory.
func (p *Publisher) encode(typ, uuid string, obj appender) ([]byte, error) {
	if p.sock.protocol == skydive.ProtocolProtobuf {
		var err error
		if p.object, err = obj.AppendJSON(p.object[:0]); err != nil {
			return nil, err
		}
		m := skydive.Message{Namespace: skydive.NamespaceGraph, Type: typ, UUID: uuid, Status: skydive.StatusOK, Obj: p.object}
		p.scratch = m.AppendProto(p.scratch[:0])
		return p.scratch, nil
	}
	dst, err := skydive.AppendEnvelope(p.scratch[:0], skydive.NamespaceGraph, typ, uuid, skydive.StatusOK)
	if err != nil {
		return nil, err
	}
	if dst, err = obj.AppendJSON(dst); err != nil {
		return nil, err
	}
	p.scratch = append(dst, '}')
	return p.scratch, nil
}

// sendError prefers the reason why the connection ended over what writing to it says, and waits a moment for it.
func (p *Publisher) sendError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("publish: %w", context.Cause(ctx))
	}
	_ = p.sock.conn.CloseNow()
	<-p.done
	if p.err != nil {
		return p.err
	}
	return fmt.Errorf("publish: %w", err)
}

// Flush sends all that is queued and waits until the server has committed it. With AckFlush the reply counts what was
// committed and rejected since the connection began.
func (p *Publisher) Flush(ctx context.Context) (skydive.FlushReply, error) {
	typ, obj := skydive.MsgFlushRequest, rawObject(nil)
	if p.ack == AckSync {
		typ, obj = skydive.MsgSyncRequest, rawObject("{}")
	}
	reply := make(chan skydive.FlushReply, 1)
	p.mu.Lock()
	uuid := string(p.nextUUID())
	p.waitMu.Lock()
	p.waiters[uuid] = reply
	p.waitMu.Unlock()
	err := p.sendLocked(ctx, typ, uuid, obj)
	p.mu.Unlock()
	defer func() {
		p.waitMu.Lock()
		delete(p.waiters, uuid)
		p.waitMu.Unlock()
	}()
	if err != nil {
		return skydive.FlushReply{}, err
	}
	select {
	case r := <-reply:
		return r, nil
	case <-p.done:
		return skydive.FlushReply{}, p.err
	case <-ctx.Done():
		return skydive.FlushReply{}, fmt.Errorf("flush: no acknowledgement: %w", context.Cause(ctx))
	}
}

// Rejected counts the messages that the server has refused so far.
func (p *Publisher) Rejected() int64 { return p.rejected.Load() }

// Done is closed when the connection has ended; Err then says why.
func (p *Publisher) Done() <-chan struct{} { return p.done }

// Err gives why the connection ended: nil while it has not, ErrClosed after Close.
func (p *Publisher) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Close flushes, says good-bye and lets go of the connection. Its error is that of the flush.
func (p *Publisher) Close(ctx context.Context) error {
	var err error
	select {
	case <-p.done:
	default:
		_, err = p.Flush(ctx)
	}
	p.closing.Store(true)
	p.sock.close(err == nil)
	<-p.done
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// readLoop takes what the server says, and pings.
func (p *Publisher) readLoop(ctx context.Context, stop func() bool) {
	defer close(p.done)
	defer p.sock.stop()
	defer stop()
	for {
		frame, err := p.sock.read()
		if err != nil {
			p.err = p.readError(ctx, err)
			_ = p.sock.conn.CloseNow()
			return
		}
		m, err := skydive.DecodeMessage(frame, p.sock.protocol)
		if err != nil || m.Namespace != skydive.NamespaceGraph {
			continue // nothing that a publisher waits for
		}
		p.receive(m)
	}
}

func (p *Publisher) readError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("publish: %w", context.Cause(ctx))
	}
	if p.closing.Load() {
		return fmt.Errorf("publish: %w", ErrClosed)
	}
	return closeReason(p.path, err)
}

func (p *Publisher) receive(m *skydive.Message) {
	switch m.Type {
	case skydive.MsgError:
		p.rejected.Add(1)
		if p.onError == nil {
			return
		}
		var report skydive.ErrorReport
		if m.Obj.Decode(&report) != nil {
			report.Reason = string(m.Obj)
		}
		p.onError(&PublishError{Status: m.Status, UUID: m.UUID, ID: report.ID, Reason: report.Reason})
	case skydive.MsgFlushReply, skydive.MsgSyncReply:
		p.waitMu.Lock()
		reply := p.waiters[m.UUID]
		p.waitMu.Unlock()
		var r skydive.FlushReply
		if m.Type == skydive.MsgFlushReply {
			_ = m.Obj.Decode(&r) // an empty one acknowledges too
		}
		select {
		case reply <- r:
		default: // nobody waits, or there was a reply before
		}
	}
}
