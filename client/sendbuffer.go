package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

const (
	// highWater is how much may wait before senders wait too.
	highWater = 256 << 10
	// smallFrame is the largest control frame of a client: header, mask and 125 bytes. Frames up to this size are
	// written by their sender when nothing is before them, so that a good-bye is out before the connection is closed.
	smallFrame = 6 + 125
)

// gatherTransport lets a WebSocket library, which writes each message by itself, write many of them in one system
// call: it puts a sendBuffer around the connection that a handshake's answer carries. This also works above TLS, where
// it saves a record for each message.
type gatherTransport struct {
	base http.RoundTripper
	made **sendBuffer // set to the buffer of the last connection
}

func (t gatherTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.base.RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		return res, err
	}
	conn, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		_ = res.Body.Close()
		return nil, fmt.Errorf("HTTP transport %T gives connections that cannot be written to; use http.Transport", t.base)
	}
	b := newSendBuffer(conn)
	*t.made = b
	res.Body = b
	return res, nil
}

// sendBuffer takes what is written, and writes it from a goroutine of its own: while one batch is on its way the next
// one gathers, so that a single message goes at once and many go together. Reads go through. It lives until Close.
type sendBuffer struct {
	conn io.ReadWriteCloser

	mu      sync.Mutex
	pending []byte
	spare   []byte
	err     error // of writing; sticks
	closed  bool

	writing sync.Mutex    // held around each write to conn, so that they keep their order
	wake    chan struct{} // something is pending
	space   chan struct{} // pending was taken
	done    chan struct{} // closed by Close
	exited  chan struct{} // the goroutine is gone
}

func newSendBuffer(conn io.ReadWriteCloser) *sendBuffer {
	b := &sendBuffer{
		conn: conn, wake: make(chan struct{}, 1), space: make(chan struct{}, 1),
		done: make(chan struct{}), exited: make(chan struct{}),
	}
	go b.run()
	return b
}

func (b *sendBuffer) Read(p []byte) (int, error) { return b.conn.Read(p) }

// Write takes p, or writes it straight away when it is small and nothing is before it. It does not wait for room:
// senders of much call wait before.
func (b *sendBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	if b.err != nil {
		b.mu.Unlock()
		return 0, b.err
	}
	if len(p) <= smallFrame && len(b.pending) == 0 && b.writing.TryLock() {
		b.mu.Unlock()
		defer b.writing.Unlock()
		n, err := b.conn.Write(p)
		if err != nil {
			b.fail(err)
		}
		return n, err
	}
	b.pending = append(b.pending, p...)
	b.mu.Unlock()
	signal(b.wake)
	return len(p), nil
}

// wait waits until there is room for more, or gives the reason why there will be none.
func (b *sendBuffer) wait(ctx context.Context) error {
	for {
		b.mu.Lock()
		size, err := len(b.pending), b.err
		b.mu.Unlock()
		if err != nil {
			return err
		}
		if size < highWater {
			return nil
		}
		select {
		case <-b.space:
		case <-b.done:
			return io.ErrClosedPipe
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close closes the connection, which ends a write that is stuck, and waits for the goroutine.
func (b *sendBuffer) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	if b.err == nil {
		b.err = io.ErrClosedPipe
	}
	b.mu.Unlock()
	close(b.done)
	err := b.conn.Close()
	<-b.exited
	return err
}

func (b *sendBuffer) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}

func (b *sendBuffer) run() {
	defer close(b.exited)
	for {
		select {
		case <-b.wake:
		case <-b.done:
			return
		}
		if !b.writePending() {
			return
		}
	}
}

// writePending writes what is pending, and gives false when there is no use in going on.
func (b *sendBuffer) writePending() bool {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	batch := b.pending
	b.pending, b.spare = b.spare[:0], nil
	b.mu.Unlock()
	signal(b.space)
	if len(batch) == 0 {
		b.mu.Lock()
		b.spare = batch
		b.mu.Unlock()
		return true
	}
	if _, err := b.conn.Write(batch); err != nil {
		b.fail(err)
		signal(b.space)
		_ = b.conn.Close() // wakes the reader, who tells everybody
		return false
	}
	if cap(batch) > 4*highWater {
		return true // one huge message is no reason to keep its memory
	}
	b.mu.Lock()
	b.spare = batch[:0]
	b.mu.Unlock()
	return true
}

// signal leaves a mark on a channel of capacity one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
