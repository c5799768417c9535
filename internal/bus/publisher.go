package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weft-net/weft/graph"
)

// PublisherOptions bound what a Publisher has in flight.
type PublisherOptions struct {
	// Acks asks for an acknowledgement of each frame, from an analyzer or from the stream
	// of an existing NATS. Without them the caller has its own measure of what
	// is in flight.
	Acks        bool
	WindowBytes int           // unacknowledged bytes before Publish waits, 4 MiB
	AckTimeout  time.Duration // silence after which the window is given up, 5 s
}

// Publisher sends graph batches of this member, in call order.
type Publisher struct {
	c       *Conn
	opts    PublisherOptions
	subject string
	acks    *nats.Subscription
	inbox   string // replies go to inbox + number

	mu     sync.Mutex
	buf    []byte // reused; guarded by mu
	flight []flying
	bytes  int
	lost   error         // why the window was given up; reported by the next Publish
	moved  chan struct{} // closed and replaced when the window moves
	heard  time.Time     // of the last acknowledgement, or of the first frame in flight
}

type flying struct {
	number uint64
	size   int
}

// ErrLost says that batches were lost on their way, or may have been: what was published
// before must be said again with a snapshot.
var ErrLost = errors.New("batches lost on the way to the analyzer")

// Publisher returns a new publisher.
func (c *Conn) Publisher(opts PublisherOptions) (*Publisher, error) {
	if opts.WindowBytes == 0 {
		opts.WindowBytes = 4 << 20
	}
	if opts.AckTimeout == 0 {
		opts.AckTimeout = 5 * time.Second
	}
	p := &Publisher{c: c, opts: opts, subject: GraphSubject(c.opts.Member), moved: make(chan struct{})}
	if opts.Acks {
		p.inbox = c.nc.NewRespInbox() + "."
		var err error
		if p.acks, err = c.nc.Subscribe(p.inbox+"*", p.ack); err != nil {
			return nil, fmt.Errorf("subscription to acknowledgements: %w", err)
		}
	}
	return p, nil
}

// Publish sends a batch, in parts when it is larger than a message may be. It waits while
// the window is full. ErrDisconnected and ErrLost mean that an unknown part of what was
// published since the last error did not arrive.
func (p *Publisher) Publish(ctx context.Context, b *graph.Batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.room(ctx); err != nil {
		return err
	}
	p.buf = append(p.buf[:0], make([]byte, frameRoom)...)
	p.buf = graph.AppendBatch(p.buf, b)
	err := p.frames(p.buf[frameRoom:])
	if cap(p.buf) > 8<<20 {
		p.buf = nil // a rare giant is not kept
	}
	return err
}

// frames sends the parts of an encoded batch, which begins frameRoom bytes into p.buf.
func (p *Publisher) frames(data []byte) error {
	most := int(p.c.nc.MaxPayload()) - frameRoom
	if most <= 0 {
		most = 1<<20 - frameRoom
	}
	parts := (len(data) + most - 1) / most
	if parts > maxParts || len(data) > maxBatchSize {
		return fmt.Errorf("batch of %d bytes is too large for the bus: commit less at a time", len(data))
	}
	for i := range parts {
		chunk := data[i*most : min((i+1)*most, len(data))]
		if err := p.frame(frame{part: uint64(i), parts: uint64(parts), data: chunk}, i*most); err != nil {
			return err
		}
	}
	return nil
}

// frame sends one part. Its header is written right before the part, over what has been
// sent already, so that nothing is copied.
func (p *Publisher) frame(f frame, at int) error {
	p.c.send.Lock()
	defer p.c.send.Unlock()
	f.instance, f.number = p.c.instance, p.c.number+1
	var head [frameRoom]byte
	header := appendFrameHeader(head[:0], f)
	start := frameRoom + at - len(header)
	copy(p.buf[start:], header)
	msg := p.buf[start : frameRoom+at+len(f.data)]
	reply := ""
	if p.opts.Acks {
		reply = p.inbox + strconv.FormatUint(f.number, 10)
	}
	if err := p.c.publish(p.subject, reply, msg); err != nil {
		p.clear(nil)
		return err
	}
	p.c.number = f.number
	if p.opts.Acks {
		if len(p.flight) == 0 {
			p.heard = time.Now()
		}
		p.flight = append(p.flight, flying{f.number, len(msg)})
		p.bytes += len(msg)
	}
	return nil
}

// room waits until the window has room.
func (p *Publisher) room(ctx context.Context) error {
	if !p.opts.Acks {
		return nil
	}
	for {
		if err := p.lost; err != nil {
			p.lost = nil
			return err
		}
		if len(p.flight) > 0 && time.Since(p.heard) > p.opts.AckTimeout {
			p.clear(nil)
			p.c.counters.LostAcks.Add(1)
			return fmt.Errorf("%w: no acknowledgement for %s", ErrLost, p.opts.AckTimeout)
		}
		if p.bytes < p.opts.WindowBytes {
			return nil
		}
		moved, silent := p.moved, time.NewTimer(time.Until(p.heard.Add(p.opts.AckTimeout))+time.Millisecond)
		p.mu.Unlock()
		select {
		case <-moved:
		case <-silent.C:
		case <-ctx.Done():
		}
		silent.Stop()
		p.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// clear forgets what is in flight; lost is what the next Publish says.
func (p *Publisher) clear(lost error) {
	p.flight, p.bytes, p.lost = p.flight[:0], 0, lost
	close(p.moved)
	p.moved = make(chan struct{})
}

// directAck is what an analyzer answers to a frame that it took directly; the stream
// answers in JSON.
const directAck = "+"

func (p *Publisher) ack(m *nats.Msg) {
	number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, p.inbox), 10, 64)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case m.Header.Get("Status") == "503": // nobody takes graph batches, not even a stream
		if len(p.flight) > 0 {
			p.clear(fmt.Errorf("%w: no analyzer listens", ErrLost))
		}
		return
	case string(m.Data) != directAck && bytes.Contains(m.Data, []byte(`"error"`)):
		p.c.counters.StreamErrors.Add(1) // an analyzer will take it directly, and say so
		return
	}
	n := 0
	for n < len(p.flight) && p.flight[n].number <= number {
		p.bytes -= p.flight[n].size
		n++
	}
	if n == 0 {
		return
	}
	p.flight = append(p.flight[:0], p.flight[n:]...)
	p.heard = time.Now()
	close(p.moved)
	p.moved = make(chan struct{})
}

// InFlight says how many frames and bytes are not acknowledged.
func (p *Publisher) InFlight() (frames, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.flight), p.bytes
}

// Close ends the publisher; what is in flight may still arrive.
func (p *Publisher) Close() {
	if p.acks != nil {
		_ = p.acks.Unsubscribe() // fails only when the connection is gone, and it with it
	}
}

// probe sends a frame without content and returns its number.
func (c *Conn) probe() (uint64, error) {
	c.send.Lock()
	defer c.send.Unlock()
	msg := appendFrameHeader(nil, frame{instance: c.instance, number: c.number + 1})
	if err := c.publish(GraphSubject(c.opts.Member), "", msg); err != nil {
		return 0, err
	}
	c.number++
	return c.number, nil
}
