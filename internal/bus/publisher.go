package bus

import (
	"bytes"
	"context"
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
	inbox   string          // replies go to inbox + number
	window  *window[uint64] // of frames, by their number

	mu  sync.Mutex // one Publish at a time
	buf []byte     // reused
}

// Publisher returns a new publisher.
func (c *Conn) Publisher(opts PublisherOptions) (*Publisher, error) {
	p := &Publisher{
		c: c, opts: opts, subject: GraphSubject(c.opts.Member),
		window: newWindow[uint64](opts.WindowBytes, opts.AckTimeout, &c.counters.LostAcks),
	}
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
	if p.opts.Acks {
		if err := p.window.room(ctx); err != nil {
			return err
		}
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
		p.window.add(f.number, len(msg))
	}
	if err := p.c.publish(p.subject, reply, msg); err != nil {
		p.window.drop()
		return err
	}
	p.c.number = f.number
	return nil
}

// directAck is what an analyzer answers to a frame that it took directly; the stream
// answers in JSON.
const directAck = "+"

func (p *Publisher) ack(m *nats.Msg) {
	number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, p.inbox), 10, 64)
	if err != nil {
		return
	}
	switch {
	case m.Header.Get("Status") == "503": // nobody takes graph batches, not even a stream
		p.window.unheard()
	case string(m.Data) != directAck && bytes.Contains(m.Data, []byte(`"error"`)):
		p.c.counters.StreamErrors.Add(1) // an analyzer will take it directly, and say so
	default:
		p.window.ackedThrough(func(sent uint64) bool { return sent <= number })
	}
}

// InFlight says how many frames and bytes are not acknowledged.
func (p *Publisher) InFlight() (frames, bytes int) { return p.window.inFlight() }

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
