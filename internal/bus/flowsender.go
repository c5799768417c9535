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
	acks  *nats.Subscription
	inbox string

	window *window[batchKey]

	sending sync.Mutex // one PublishFlows at a time
	buf     []byte     // guarded by sending

	mu    sync.Mutex
	onAck func(spool, seq uint64)
}

type batchKey struct{ spool, seq uint64 }

// FlowSender returns a new sender.
func (c *Conn) FlowSender(opts FlowSenderOptions) (*FlowSender, error) {
	s := &FlowSender{
		c: c, inbox: c.nc.NewRespInbox() + ".",
		window: newWindow[batchKey](opts.WindowBytes, opts.AckTimeout, &c.counters.LostAcks),
	}
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

// MostBytes is how long a batch may be, 0 when nothing is known of the bus yet. It changes with the connection.
func (s *FlowSender) MostBytes() int { return max(s.c.most()-flowHeader, 0) }

// PublishFlows sends a batch, after waiting for room in the window. ErrDisconnected and ErrLost mean that an unknown
// part of what is not acknowledged did not arrive, ErrTooLarge that this batch never will.
func (s *FlowSender) PublishFlows(ctx context.Context, spool, seq uint64, payload []byte) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	if most := int(s.c.nc.MaxPayload()); most > 0 && len(payload)+flowHeader > most {
		return s.c.refused(len(payload)+flowHeader, nats.ErrMaxPayload)
	}
	if err := s.window.room(ctx); err != nil {
		return err
	}
	s.buf = appendFlowFrame(s.buf[:0], flowFrame{spool, seq, payload})
	s.window.add(batchKey{spool, seq}, len(payload))
	reply := s.inbox + strconv.FormatUint(spool, 16) + "-" + strconv.FormatUint(seq, 16)
	if err := s.c.publish(FlowSubject(s.c.opts.Member), reply, s.buf); err != nil {
		s.window.drop()
		return err
	}
	return nil
}

// ack takes the answer of an analyzer, which is directAck, or of the stream of an existing NATS, in JSON.
func (s *FlowSender) ack(m *nats.Msg) {
	if m.Header.Get("Status") == "503" { // nobody takes flows, not even a stream
		s.window.unheard()
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
	s.window.acked(batchKey{spool, seq})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.onAck != nil {
		s.onAck(spool, seq)
	}
}

// InFlight says how many batches and bytes are not acknowledged.
func (s *FlowSender) InFlight() (batches, bytes int) { return s.window.inFlight() }

// Close ends the sender; what is in flight may still arrive.
func (s *FlowSender) Close() { _ = s.acks.Unsubscribe() } // fails only with its connection
