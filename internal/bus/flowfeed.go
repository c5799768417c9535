package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// FlowFeedOptions describe how flow batches are received.
type FlowFeedOptions struct {
	Stream StreamOptions // its name is "weft_flow" unless it has one
	// Past is how far back the stream is read at the start.
	Past time.Duration
	// Handle takes each batch once; when it returns, the batch is kept and will be acknowledged. It is called by
	// one goroutine at a time.
	Handle func(FlowDelivery)
	// HoldTime is how long an acknowledgement waits for the stream to have the batch as well, while the stream brings
	// nothing; 1 s.
	HoldTime time.Duration
	Logger   *slog.Logger
}

// FlowDelivery is one flow batch.
type FlowDelivery struct {
	Token string    // of the member on whose subject it came: see Token
	Data  []byte    // as the agent encoded it; the receiver's to keep
	At    time.Time // when it arrived at the bus
	Past  bool      // from before the feed: it was sent to another analyzer, or to this one before a restart
}

// FlowFeed brings the flow batches of all members, each once.
//
// A batch comes directly and through the stream, and the first one counts. What is in the stream is there again after
// a restart, so a batch is acknowledged when the stream has brought it; where the stream does not store, the batch
// is acknowledged without it after HoldTime.
type FlowFeed struct {
	c       *Conn
	opts    FlowFeedOptions
	log     *slog.Logger
	core    *nats.Subscription
	stop    chan struct{}
	stopped sync.WaitGroup
	began   time.Time

	mu       sync.Mutex
	spools   map[spoolKey]*spoolSeen
	waiting  []unacknowledged // in order of arrival
	stored   map[arrivalKey]bool
	stream   consumer
	sequence uint64    // of the stream: the last message taken
	moved    time.Time // when the stream brought a message last, or was opened
	state    State
	stats    FlowFeedStats
	closed   bool
	left     uint64        // how often the stream was left since it last held for flowSteady
	pause    time.Duration // before it is opened again
}

// FlowFeedStats count what came; they only grow.
type FlowFeedStats struct {
	Batches    uint64
	Duplicates uint64 // of batches that came again, beside the two ways that each comes
	Bad        uint64 // messages that are no flow batches
	Unstored   uint64 // acknowledged without the stream
	Dropped    uint64 // direct messages lost because this process was too slow; they come again
}

type spoolKey struct {
	token string
	spool uint64
}

type spoolSeen struct {
	seen
	at time.Time
}

type arrivalKey struct {
	spoolKey
	seq uint64
}

type unacknowledged struct {
	key    arrivalKey
	reply  string // "": the stream has it
	at     time.Time
	passed bool // the stream brought what its member sent later: it will not bring this
}

const (
	flowTick      = 50 * time.Millisecond
	flowReopen    = 500 * time.Millisecond // at first; twice as long each time that the stream does not hold
	flowReopenMax = time.Minute
	flowSteady    = 2 * time.Minute // a stream that holds so long is well again
	flowForgets   = 2 * time.Hour   // spools that are silent
	flowPending   = 64 << 20
	mostUnstored  = 1 << 14 // acknowledgements that wait for the stream
	flowStreamKey = "weft_flow"
)

// FlowFeed starts receiving.
func (c *Conn) FlowFeed(opts FlowFeedOptions) (*FlowFeed, error) {
	if opts.HoldTime == 0 {
		opts.HoldTime = time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Stream.Name == "" {
		opts.Stream.Name = flowStreamKey
	}
	opts.Stream.subject = flowPrefix + "*"
	opts.Stream.NoAck = c.opts.Server != nil
	f := &FlowFeed{
		c: c, opts: opts, log: opts.Logger, stop: make(chan struct{}), began: time.Now(),
		spools: map[spoolKey]*spoolSeen{}, stored: map[arrivalKey]bool{},
		state: State{Reason: "starting", Starting: true, Since: time.Now()},
	}
	f.stream = consumer{c: c, stream: opts.Stream, subject: flowPrefix + "*", pending: 1 << 16, bytes: flowPending}
	sub, err := c.nc.Subscribe(flowPrefix+"*", f.direct)
	if err != nil {
		return nil, fmt.Errorf("subscription to flow batches: %w", err)
	}
	if err := sub.SetPendingLimits(1<<16, flowPending); err != nil {
		return nil, fmt.Errorf("subscription to flow batches: %w", err)
	}
	f.core = sub
	if c.Connected() {
		_ = c.nc.FlushTimeout(jetStreamWait) // what is published from now on arrives
	}
	f.stopped.Go(f.run)
	return f, nil
}

// State says whether batches are kept by the stream.
func (f *FlowFeed) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Stats returns the counters.
func (f *FlowFeed) Stats() FlowFeedStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	stats := f.stats
	if n, err := f.core.Dropped(); err == nil && n > 0 {
		stats.Dropped = uint64(n)
	}
	return stats
}

// Close stops receiving and waits for the handler to return. What was not acknowledged comes again.
func (f *FlowFeed) Close() {
	close(f.stop)
	f.stopped.Wait()
	_ = f.core.Unsubscribe() // fails only with its connection
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.stream.close()
}

// direct takes a message as it was published.
func (f *FlowFeed) direct(m *nats.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key, fr, ok := f.parse(m)
	if !ok || f.closed {
		return
	}
	if !f.take(key, fr, time.Now(), false) && !f.stored[key] {
		f.stats.Duplicates++ // sent again: the acknowledgement may have been lost
	}
	if !f.state.Stream || f.stored[key] || len(f.waiting) >= mostUnstored {
		delete(f.stored, key)
		f.acknowledge(key.token, m.Reply)
		return
	}
	f.waiting = append(f.waiting, unacknowledged{key: key, reply: m.Reply, at: time.Now()})
}

// streamed takes a message from the stream.
func (f *FlowFeed) streamed(generation int, m *nats.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		return // a status message of the consumer
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || generation != f.stream.generation {
		return
	}
	f.sequence = meta.Sequence.Stream
	defer func() { f.moved = time.Now() }()
	key, fr, ok := f.parse(m)
	if !ok {
		return
	}
	first := f.take(key, fr, meta.Timestamp, meta.Timestamp.Before(f.began))
	found := f.arrived(key)
	if first && !found && !meta.Timestamp.Before(f.began) && len(f.stored) < mostUnstored {
		f.stored[key] = true // the stream was faster: acknowledge when it comes directly
	}
}

// arrived acknowledges a batch that the stream brought, if it waits for that. What a member sends is stored in its order.
func (f *FlowFeed) arrived(key arrivalKey) bool {
	at := slices.IndexFunc(f.waiting, func(w unacknowledged) bool { return w.key == key && w.reply != "" })
	if at < 0 {
		return false
	}
	f.acknowledge(key.token, f.waiting[at].reply)
	f.waiting[at].reply = ""
	for i := range f.waiting[:at] {
		if w := &f.waiting[i]; w.key.token == key.token {
			w.passed = true
		}
	}
	for len(f.waiting) > 0 && f.waiting[0].reply == "" {
		f.waiting = f.waiting[1:]
	}
	return true
}

func (f *FlowFeed) parse(m *nats.Msg) (arrivalKey, flowFrame, bool) {
	fr, err := parseFlowFrame(m.Data)
	if err != nil {
		f.stats.Bad++
		if f.c.faults.first(m.Subject) {
			f.log.Warn("message on a flow subject refused", "subject", m.Subject, "bytes", len(m.Data), "error", err)
		}
		return arrivalKey{}, flowFrame{}, false
	}
	return arrivalKey{spoolKey{strings.TrimPrefix(m.Subject, flowPrefix), fr.spool}, fr.seq}, fr, true
}

// take hands a batch to the handler unless that had it.
func (f *FlowFeed) take(key arrivalKey, fr flowFrame, at time.Time, past bool) bool {
	s := f.spools[key.spoolKey]
	if s == nil {
		s = &spoolSeen{}
		f.spools[key.spoolKey] = s
	}
	s.at = time.Now()
	if !s.add(fr.seq) {
		return false
	}
	f.stats.Batches++
	f.opts.Handle(FlowDelivery{Token: key.token, Data: fr.data, At: at, Past: past})
	return true
}

// acknowledge tells the sender that a batch is kept; the reply must be the sender's own.
func (f *FlowFeed) acknowledge(token, reply string) {
	if reply == "" {
		return
	}
	if !strings.HasPrefix(reply, inboxPrefix+token+".") {
		f.c.counters.BadRequests.Add(1)
		return
	}
	_ = f.c.publish(reply, "", []byte(directAck)) // the sender sends it again when this is lost
}

// run opens the stream, and acknowledges what it does not store in time.
func (f *FlowFeed) run() {
	tick := time.NewTicker(flowTick)
	defer tick.Stop()
	var tried time.Time
	for {
		f.mu.Lock()
		f.overdue()
		f.steady(time.Now())
		open, pause := f.stream.sub != nil, max(f.pause, flowReopen)
		f.mu.Unlock()
		if !open && time.Since(tried) > pause {
			f.reopen()
			tried = time.Now()
		}
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}
	}
}

// overdue acknowledges what the stream does not store, and leaves it. A stream that still brings what came before, as
// after a start, is not late.
func (f *FlowFeed) overdue() {
	now := time.Now()
	late := 0
	for len(f.waiting) > 0 {
		w := f.waiting[0]
		if now.Sub(w.at) <= f.opts.HoldTime || w.reply != "" && !w.passed && now.Sub(f.moved) <= f.opts.HoldTime {
			break
		}
		if w.reply != "" {
			f.acknowledge(w.key.token, w.reply)
			late++
		}
		f.waiting = f.waiting[1:]
	}
	if late > 0 {
		f.stats.Unstored += uint64(late)
		f.pause = min(max(2*f.pause, flowReopen), flowReopenMax)
		f.leave(fmt.Sprintf("the stream %s takes longer than %v to store a batch: the disk of the analyzer's data directory or its processor is too slow for the flows that come: "+
			"give it a faster one, or capture less", f.opts.Stream.Name, f.opts.HoldTime))
	}
	if len(f.waiting) == 0 {
		f.waiting = nil
	}
	for key, s := range f.spools {
		if now.Sub(s.at) > flowForgets {
			delete(f.spools, key)
		}
	}
	if len(f.stored) > 0 && len(f.waiting) == 0 && len(f.stored) >= mostUnstored {
		clear(f.stored) // their direct copies were lost
	}
}

// leave goes on without the stream, until it is opened again.
func (f *FlowFeed) leave(reason string) {
	if f.state.Stream {
		f.left++
	}
	if f.state.Stream && f.left == 1 {
		f.log.Warn("flow batches come directly: nothing of them is kept on disk", "reason", reason)
	}
	if f.state.Stream || f.state.Reason != reason {
		f.state = State{Reason: reason, Since: time.Now()}
	}
	f.stream.close()
}

// steady tells that a stream that was left holds again.
func (f *FlowFeed) steady(now time.Time) {
	if f.left > 0 && f.state.Stream && now.Sub(f.state.Since) > flowSteady {
		f.log.Info("flow batches come through the stream again", "stream", f.opts.Stream.Name, "left", f.left)
		f.left, f.pause = 0, 0
	}
}

// reopen gets a consumer on the stream, behind what it brought before.
func (f *FlowFeed) reopen() {
	err := f.stream.reopen(&f.mu, func(server *Server) error {
		return errors.Join(server.JetStream(), server.Room()) // the feed of graph batches starts it
	}, f.begin, f.streamed)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.leave(err.Error())
		return
	}
	f.moved = time.Now()
	f.state = State{Stream: true, Persistent: f.opts.Stream.File, Since: f.moved}
	if !f.opts.Stream.File {
		f.state.Reason = "the data directory is memory"
	}
}

// begin is where on the stream to read on: at first from so far in the past as was asked for.
func (f *FlowFeed) begin(js nats.JetStreamContext) (nats.SubOpt, error) {
	info, err := js.StreamInfo(f.opts.Stream.Name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", f.opts.Stream.Name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sequence > 0 && f.sequence <= info.State.LastSeq {
		return nats.StartSequence(f.sequence + 1), nil
	}
	return nats.StartTime(f.began.Add(-f.opts.Past)), nil
}
