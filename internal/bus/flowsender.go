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
)

// FlowSenderOptions bound what a FlowSender has in flight.
type FlowSenderOptions struct {
	WindowBytes int           // unacknowledged bytes before PublishFlows waits, 4 MiB
	AckTimeout  time.Duration // silence after which the window is given up, 5 s
}

// FlowSender hands flow batches of this member over to the analyzers. It implements order.FlowPublisher: whoever
// made a batch keeps it until it is acknowledged, and sends it again after an error.
type FlowSender struct {
	c     *Conn
	opts  FlowSenderOptions
	acks  *nats.Subscription
	inbox string

	sending sync.Mutex // one PublishFlows at a time
	buf     []byte     // guarded by sending

	mu     sync.Mutex
	onAck  func(spool, seq uint64)
	flight map[batchKey]int // sizes
	bytes  int
	lost   error         // why the window was given up; the next PublishFlows says so
	moved  chan struct{} // closed and replaced when the window moves
	heard  time.Time     // of the last acknowledgement, or of the first batch in flight
}

type batchKey struct{ spool, seq uint64 }

// FlowSender returns a new sender.
func (c *Conn) FlowSender(opts FlowSenderOptions) (*FlowSender, error) {
	if opts.WindowBytes == 0 {
		opts.WindowBytes = 4 << 20
	}
	if opts.AckTimeout == 0 {
		opts.AckTimeout = 5 * time.Second
	}
	s := &FlowSender{c: c, opts: opts, flight: map[batchKey]int{}, moved: make(chan struct{})}
	s.inbox = c.nc.NewRespInbox() + "."
	var err error
	if s.acks, err = c.nc.Subscribe(s.inbox+"*", s.ack); err != nil {
		return nil, fmt.Errorf("subscription to acknowledgements of flows: %w", err)
	}
	return s, nil
}

// OnAck sets what is called for each batch that is kept by an analyzer or by the stream.
func (s *FlowSender) OnAck(f func(spool, seq uint64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onAck = f
}

// PublishFlows sends a batch, after waiting for room in the window. ErrDisconnected and ErrLost mean that an unknown
// part of what is not acknowledged did not arrive.
func (s *FlowSender) PublishFlows(ctx context.Context, spool, seq uint64, payload []byte) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	if most := int(s.c.nc.MaxPayload()); most > 0 && len(payload)+flowHeader > most {
		return fmt.Errorf("flow batch of %d bytes is too large for the bus, which takes %d: raise max_payload of NATS", len(payload), most)
	}
	if err := s.room(ctx); err != nil {
		return err
	}
	s.buf = appendFlowFrame(s.buf[:0], flowFrame{spool, seq, payload})
	key := batchKey{spool, seq}
	s.mu.Lock()
	if len(s.flight) == 0 {
		s.heard = time.Now()
	}
	s.bytes += len(payload) - s.flight[key]
	s.flight[key] = len(payload)
	s.mu.Unlock()
	reply := s.inbox + strconv.FormatUint(spool, 16) + "-" + strconv.FormatUint(seq, 16)
	if err := s.c.publish(FlowSubject(s.c.opts.Member), reply, s.buf); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.clear(nil)
		return err
	}
	return nil
}

// room waits until the window has room.
func (s *FlowSender) room(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if err := s.lost; err != nil {
			s.lost = nil
			return err
		}
		if len(s.flight) > 0 && time.Since(s.heard) > s.opts.AckTimeout {
			s.clear(nil)
			s.c.counters.LostAcks.Add(1)
			return fmt.Errorf("%w: no acknowledgement for %s", ErrLost, s.opts.AckTimeout)
		}
		if s.bytes < s.opts.WindowBytes {
			return nil
		}
		moved, silent := s.moved, time.NewTimer(time.Until(s.heard.Add(s.opts.AckTimeout))+time.Millisecond)
		s.mu.Unlock()
		select {
		case <-moved:
		case <-silent.C:
		case <-ctx.Done():
		}
		silent.Stop()
		s.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// clear forgets what is in flight; lost is what the next PublishFlows says.
func (s *FlowSender) clear(lost error) {
	clear(s.flight)
	s.bytes, s.lost = 0, lost
	close(s.moved)
	s.moved = make(chan struct{})
}

// ack takes the answer of an analyzer, which is directAck, or of the stream of an existing NATS, in JSON.
func (s *FlowSender) ack(m *nats.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Header.Get("Status") == "503" { // nobody takes flows, not even a stream
		if len(s.flight) > 0 {
			s.clear(fmt.Errorf("%w: no analyzer listens", ErrLost))
		}
		return
	}
	if string(m.Data) != directAck && !bytes.Contains(m.Data, []byte(`"seq"`)) {
		s.c.counters.StreamErrors.Add(1) // an analyzer will acknowledge it
		return
	}
	first, second, _ := strings.Cut(strings.TrimPrefix(m.Subject, s.inbox), "-")
	spool, err1 := strconv.ParseUint(first, 16, 64)
	seq, err2 := strconv.ParseUint(second, 16, 64)
	if err1 != nil || err2 != nil {
		return
	}
	key := batchKey{spool, seq}
	s.bytes -= s.flight[key]
	delete(s.flight, key)
	s.heard = time.Now()
	close(s.moved)
	s.moved = make(chan struct{})
	if s.onAck != nil {
		s.onAck(spool, seq)
	}
}

// InFlight says how many batches and bytes are not acknowledged.
func (s *FlowSender) InFlight() (batches, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.flight), s.bytes
}

// Close ends the sender; what is in flight may still arrive.
func (s *FlowSender) Close() { _ = s.acks.Unsubscribe() } // fails only with its connection
