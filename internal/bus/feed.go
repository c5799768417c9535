package bus

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// FeedOptions describe how graph batches are received.
type FeedOptions struct {
	Stream StreamOptions
	// Handle takes each batch. It is called by one goroutine at a time, in order.
	Handle func(Delivery)
	// HoldTime is how long the stream may keep a message back before the feed goes on
	// without it; 1 s.
	HoldTime  time.Duration
	HoldBytes int // of messages held meanwhile, 64 MiB
	Logger    *slog.Logger
	// OnStream is called each time that the stream is there, or back; the feed goes on meanwhile.
	OnStream func()
}

// Delivery is one batch, whole.
type Delivery struct {
	Token     string    // of the member on whose subject it came: see Token
	Data      []byte    // as graph.AppendBatch made it; the receiver's to keep
	At        time.Time // of the stream; zero when it came directly: use the local clock
	StreamSeq uint64    // of the stream; 0 when it came directly
}

// State is where batches come from, and whether they are kept.
type State struct {
	Stream     bool   // through the stream, else directly
	Persistent bool   // kept on disk
	Reason     string // why not
	Starting   bool   // neither is decided yet
	Since      time.Time
}

// Feed brings the batches of all members.
type Feed struct {
	c       *Conn
	opts    FeedOptions
	log     *slog.Logger
	core    *nats.Subscription
	stop    chan struct{}
	stopped sync.WaitGroup

	mu        sync.Mutex
	senders   map[senderKey]*sender
	held      []held // in order of arrival; those that the stream brought since are skipped
	heldBytes int
	state     State
	moved     time.Time // of the last message of the stream
	sequence  uint64    // of the last message of the stream
	stream    consumer
	opened    time.Time
	back      bool // the stream is back, and OnStream has not been called
	closed    bool
}

type senderKey struct {
	token    string
	instance uint64
}

type sender struct {
	assembler
	mark     uint64 // last frame taken when the feed left the stream
	streamed uint64 // last frame that the stream brought while the feed was direct
	seen     time.Time
}

type held struct {
	key    senderKey
	sender *sender
	frame  frame
	reply  string
	at     time.Time
}

// Feed starts receiving. The batches of this process come back through it too.
func (c *Conn) Feed(opts FeedOptions) (*Feed, error) {
	if opts.HoldTime == 0 {
		opts.HoldTime = time.Second
	}
	if opts.HoldBytes == 0 {
		opts.HoldBytes = 64 << 20
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Stream.NoAck = c.opts.Server != nil
	f := &Feed{
		c: c, opts: opts, log: opts.Logger,
		stop:    make(chan struct{}),
		senders: map[senderKey]*sender{},
		state:   State{Reason: "starting", Starting: true, Since: time.Now()},
	}
	f.stream = consumer{c: c, stream: opts.Stream, subject: graphPrefix + "*", pending: 1 << 18, bytes: 64 << 20}
	sub, err := c.nc.Subscribe(graphPrefix+"*", f.direct)
	if err != nil {
		return nil, fmt.Errorf("subscription to graph batches: %w", err)
	}
	if err := sub.SetPendingLimits(1<<18, opts.HoldBytes); err != nil {
		return nil, fmt.Errorf("subscription to graph batches: %w", err)
	}
	f.core = sub
	if c.Connected() {
		// What is published from now on arrives. Where the bus is not there, nothing can be.
		_ = c.nc.FlushTimeout(jetStreamWait)
	}
	f.stopped.Go(f.run)
	return f, nil
}

// State says where batches come from now.
func (f *Feed) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Sequence is that of the last message that the stream brought; 0 before the first.
func (f *Feed) Sequence() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sequence
}

// Dropped says how many direct messages were lost because this process was too slow.
func (f *Feed) Dropped() int {
	n, err := f.core.Dropped()
	if err != nil {
		return 0
	}
	return n
}

// Close stops receiving and waits for the handler to return.
func (f *Feed) Close() {
	close(f.stop)
	f.stopped.Wait()
	_ = f.core.Unsubscribe() // fails only with its connection
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stream.close()
	f.closed = true
}

// direct takes a message as it was published.
func (f *Feed) direct(m *nats.Msg) {
	fr, err := parseFrame(m.Data)
	if err != nil {
		f.c.counters.BadFrames.Add(1)
		if f.c.faults.first(m.Subject) {
			f.log.Warn("message on a graph subject refused", "subject", m.Subject, "bytes", len(m.Data), "error", err)
		}
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	key := senderKey{strings.TrimPrefix(m.Subject, graphPrefix), fr.instance}
	s := f.sender(key)
	switch {
	case fr.number <= s.last: // the stream was faster
		f.acknowledge(key, m.Reply)
	case !f.state.Stream:
		f.take(key, s, fr, time.Time{}, 0)
		f.acknowledge(key, m.Reply)
		if fr.number > s.mark && fr.number == s.streamed { // as in streamed, the other way round
			f.follow()
		}
	case fr.number <= s.streamed: // the stream brought it, but too early for it to count
		f.take(key, s, fr, time.Time{}, 0)
		f.acknowledge(key, m.Reply)
	default:
		f.hold(held{key: key, sender: s, frame: fr, reply: m.Reply, at: time.Now()})
	}
}

// streamed takes a message from the stream.
func (f *Feed) streamed(generation int, m *nats.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		return // not of the stream: a status message of the consumer
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || generation != f.stream.generation {
		return
	}
	f.moved, f.sequence = time.Now(), meta.Sequence.Stream
	fr, err := parseFrame(m.Data)
	if err != nil {
		return // counted when it came directly
	}
	key := senderKey{strings.TrimPrefix(m.Subject, graphPrefix), fr.instance}
	s := f.sender(key)
	if !f.state.Stream {
		s.streamed = max(s.streamed, fr.number)
		// What was sent after the feed left the stream, and is here already, proves that
		// the stream stores again and that nothing is missed by following it.
		if fr.number > s.mark && fr.number <= s.last {
			f.follow()
		}
		return
	}
	if fr.number > s.last {
		f.take(key, s, fr, meta.Timestamp, meta.Sequence.Stream)
	}
	f.release()
}

func (f *Feed) take(key senderKey, s *sender, fr frame, at time.Time, sequence uint64) {
	batch, abandoned := s.add(fr)
	if abandoned {
		f.c.counters.Abandoned.Add(1)
	}
	if batch != nil {
		f.opts.Handle(Delivery{Token: key.token, Data: batch, At: at, StreamSeq: sequence})
	}
}

func (f *Feed) hold(h held) {
	f.held = append(f.held, h)
	f.heldBytes += len(h.frame.data)
	for f.heldBytes > f.opts.HoldBytes && len(f.held) > 1 {
		f.pop()
		f.c.counters.HeldDropped.Add(1)
	}
}

func (f *Feed) pop() held {
	h := f.held[0]
	f.held[0] = held{}
	f.held = f.held[1:]
	f.heldBytes -= len(h.frame.data)
	if len(f.held) == 0 {
		f.held = nil
	}
	return h
}

// release forgets what the stream brought.
func (f *Feed) release() {
	for len(f.held) > 0 && f.held[0].frame.number <= f.held[0].sender.last {
		h := f.pop()
		if f.opts.Stream.NoAck {
			f.acknowledge(h.key, h.reply)
		}
	}
}

func (f *Feed) sender(key senderKey) *sender {
	s := f.senders[key]
	if s == nil {
		s = &sender{}
		f.senders[key] = s
	}
	s.seen = time.Now()
	return s
}

// acknowledge tells the sender of a frame that it arrived. The reply subject must be the
// sender's own: it is free to name any.
func (f *Feed) acknowledge(key senderKey, reply string) {
	if reply == "" {
		return
	}
	if !strings.HasPrefix(reply, inboxPrefix+key.token+".") {
		f.c.counters.BadRequests.Add(1)
		return
	}
	_ = f.c.publish(reply, "", []byte(directAck)) // the sender asks again when it is lost
}

// leave goes on without the stream.
func (f *Feed) leave(reason string) {
	if f.state.Stream {
		f.c.counters.Switches.Add(1)
		f.log.Warn("graph batches come directly: nothing is kept on disk", "reason", reason)
	}
	f.state = State{Reason: reason, Since: time.Now()}
	for len(f.held) > 0 {
		h := f.pop()
		if h.frame.number > h.sender.last {
			f.take(h.key, h.sender, h.frame, time.Time{}, 0)
		}
		f.acknowledge(h.key, h.reply)
	}
	for _, s := range f.senders {
		s.mark, s.streamed = s.last, s.last
	}
}

// follow returns to the stream.
func (f *Feed) follow() {
	f.c.counters.Switches.Add(1)
	f.state = State{Stream: true, Persistent: f.opts.Stream.File, Since: time.Now()}
	if !f.opts.Stream.File {
		f.state.Reason = "the data directory is memory"
	}
	f.log.Info("graph batches come through the stream", "persistent", f.state.Persistent)
	f.back = true
}

const (
	feedTick     = 50 * time.Millisecond
	probeDirect  = 250 * time.Millisecond // between probes while direct
	probeStream  = time.Second            // between probes while the stream delivers
	reopenAfter  = 3 * time.Second        // without proof after opening
	senderExpiry = 10 * time.Minute
	spareBytes   = 8 << 20 // free space that is worth another try of JetStream
)

// run watches the stream: opens it, probes it, leaves it when it is stuck.
func (f *Feed) run() {
	tick := time.NewTicker(feedTick)
	defer tick.Stop()
	var probed, tried time.Time
	for {
		f.check()
		f.mu.Lock()
		back := f.back
		f.back = false
		open, stream := f.stream.sub != nil, f.state.Stream
		stuck := open && !stream && time.Since(f.opened) > reopenAfter
		f.mu.Unlock()
		if back && f.opts.OnStream != nil {
			f.opts.OnStream()
		}
		if stuck || (!open && time.Since(tried) > 500*time.Millisecond) {
			tried = time.Now()
			f.reopen(stuck)
			probed = time.Time{}
		}
		every := probeDirect
		if stream {
			every = probeStream
		}
		if time.Since(probed) >= every {
			probed = time.Now()
			_, _ = f.c.probe() // not connected: there is nothing to probe
		}
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}
	}
}

// check leaves the stream when it has kept a message back for too long.
func (f *Feed) check() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.release()
	if f.state.Stream && len(f.held) > 0 {
		waited := now.Sub(f.held[0].at)
		switch {
		case waited > f.opts.HoldTime && now.Sub(f.moved) > f.opts.HoldTime:
			f.leave(f.stuckReason())
		case waited > 5*f.opts.HoldTime:
			// The stream delivers, but refused this one.
			h := f.pop()
			f.take(h.key, h.sender, h.frame, time.Time{}, 0)
			f.acknowledge(h.key, h.reply)
			f.c.counters.StreamErrors.Add(1)
		}
	}
	for key, s := range f.senders {
		if now.Sub(s.seen) > senderExpiry && len(f.held) == 0 {
			delete(f.senders, key)
		}
	}
}

func (f *Feed) stuckReason() string {
	if server := f.c.opts.Server; server != nil {
		if err := server.JetStream(); err != nil {
			return err.Error()
		}
		if err := server.Room(); err != nil {
			return "the stream does not store: " + err.Error()
		}
	}
	if err := f.c.LastError(); err != nil {
		return err.Error()
	}
	return "the stream does not deliver: see the log of NATS"
}

// reopen gets a consumer on the stream, if need be after another start of JetStream.
func (f *Feed) reopen(stuck bool) {
	err := f.stream.reopen(&f.mu, func(server *Server) error {
		if err := server.Room(); err != nil {
			return err
		}
		if stuck {
			return server.RestartJetStream()
		}
		return server.StartJetStream()
	}, func(nats.JetStreamContext) (nats.SubOpt, error) { return nats.DeliverNew(), nil }, f.streamed)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = time.Now()
	if err != nil && (f.state.Stream || f.state.Reason != err.Error()) {
		f.leave(err.Error())
	}
}
