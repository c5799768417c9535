package api

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// readBuffer is what one read from the kernel may bring: publishers write small messages
// by the thousand, and what has arrived together is committed together.
const readBuffer = 128 << 10

// lifeConn is a connection that knows whether its peer lives. The peer is silent only
// for as long as the server waits for it in Read: while the server itself is busy, data
// may lie in the kernel's buffer, and with it the answers to pings. Every byte counts as
// life, not pongs alone.
type lifeConn struct {
	net.Conn
	waiting atomic.Int64 // since when Read waits, ns since the epoch; 0 = nobody waits
	timeout time.Duration

	mu   sync.Mutex
	cork bool
	held []byte // written while corked
}

// Read notes when it waits.
func (c *lifeConn) Read(p []byte) (int, error) {
	c.waiting.Store(time.Now().UnixNano())
	n, err := c.Conn.Read(p)
	c.waiting.Store(0)
	return n, err
}

// silence is how long the peer has kept the server waiting.
func (c *lifeConn) silence(now time.Time) time.Duration {
	since := c.waiting.Load()
	if since == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, since))
}

// corkAt is how much a corked connection holds before it sends all the same.
const corkAt = 64 << 10

// Write sends, or holds what will be followed by more. Each piece has a deadline of its
// own, so that a slow peer may take long for much, but not for ever for little.
func (c *lifeConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cork && len(c.held)+len(p) <= corkAt {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	if c.cork && len(p) <= corkAt {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	return c.send(p)
}

// Cork holds small writes back until Uncork.
func (c *lifeConn) Cork() {
	c.mu.Lock()
	c.cork = true
	c.mu.Unlock()
}

// Uncork sends what was held.
func (c *lifeConn) Uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cork = false
	return c.flush()
}

func (c *lifeConn) flush() error {
	if len(c.held) == 0 {
		return nil
	}
	_, err := c.send(c.held)
	c.held = c.held[:0]
	return err
}

func (c *lifeConn) send(p []byte) (n int, err error) {
	for n < len(p) {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(c.timeout))
		m, err := c.Conn.Write(p[n:min(len(p), n+writeChunk)])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// hijackable gives a WebSocket a lifeConn and a large read buffer instead of what the
// HTTP server has. The reader stays known, as only it can tell what has arrived.
type hijackable struct {
	http.ResponseWriter
	timeout time.Duration
	life    *lifeConn
	in      *bufio.Reader
	status  int
}

// WriteHeader remembers the status.
func (h *hijackable) WriteHeader(status int) {
	h.status = status
	h.ResponseWriter.WriteHeader(status)
}

// Hijack implements http.Hijacker.
func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{}) // the HTTP server's deadlines end here
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	h.life = &lifeConn{Conn: conn, timeout: h.timeout}
	h.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(early), h.life), readBuffer)
	if len(early) > 0 {
		_, _ = h.in.Peek(len(early)) // into the buffer, where the WebSocket looks for it
	}
	return h.life, bufio.NewReadWriter(h.in, bufio.NewWriterSize(h.life, 4<<10)), nil
}

// wholeFrame says whether a complete data frame has arrived in a reader.
func wholeFrame(in *bufio.Reader) bool {
	have := in.Buffered()
	if have < 2 {
		return false
	}
	head, _ := in.Peek(min(have, 14))
	size, length := 2, uint64(head[1]&0x7f)
	switch length {
	case 126:
		if size = 4; len(head) < size {
			return false
		}
		length = uint64(head[2])<<8 | uint64(head[3])
	case 127:
		if size = 10; len(head) < size {
			return false
		}
		length = 0
		for _, b := range head[2:10] {
			length = length<<8 | uint64(b)
		}
	}
	if head[1]&0x80 != 0 {
		size += 4 // the mask
	}
	opcode := head[0] & 0x0f
	return opcode < 8 && length <= uint64(have) && size+int(length) <= have
}
