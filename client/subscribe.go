package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/skydive"
)

// Defaults of SubscribeOptions.
const (
	DefaultQueueEvents = 10_000
	DefaultQueueBytes  = 64 << 20
	DefaultMinBackoff  = 100 * time.Millisecond
	DefaultMaxBackoff  = 10 * time.Second
)

// resyncPause is the least time between whole graphs that partial updates make necessary.
const resyncPause = time.Second

// SubscribeOptions say what to subscribe to.
type SubscribeOptions struct {
	Filter       string   // a Gremlin query that gives a graph; everything when empty
	Sync         bool     // begin with the whole graph, and begin anew with it whenever events were lost
	Namespaces   []string // what the server may send; everything when empty
	UpdatePolicy string   // skydive.UpdateFull or skydive.UpdatePartial; the server's default when empty
	Protocol     string   // skydive.ProtocolJSON when empty
	Path         string   // skydive.PathSubscriber when empty
	ClientType   string   // that of the Client when empty
	HostID       string   // made anew when empty, so that there can be many; a server takes each only once

	// Replica, when set, takes in each event before it is given out, and turns partial updates into whole elements.
	Replica *Replica
	// Diff gives out, in place of each whole graph, the events that lead to it from what was known; it makes a Replica
	// when there is none, and needs Sync.
	Diff bool

	QueueEvents int   // messages that wait for a slow consumer; DefaultQueueEvents when 0
	QueueBytes  int   // bytes that wait for a slow consumer; DefaultQueueBytes when 0
	ReadLimit   int64 // bytes of a message; DefaultReadLimit when 0

	NoReconnect            bool          // end with the first connection
	MinBackoff, MaxBackoff time.Duration // between attempts to reconnect
}

// SubscriptionStats count what went through a Subscription.
type SubscriptionStats struct {
	Received   int64 // messages
	Lost       int64 // messages dropped because the consumer was slow
	Superseded int64 // messages dropped because a whole graph was on its way
	Reconnects int64
	Resyncs    int64 // whole graphs asked for beyond the first
}

// Subscription gives the events of the graph. Its connection is always read, and pings answered, however slow the
// consumer is; what does not fit the queue is dropped and made up for.
type Subscription struct {
	c       *Client
	o       SubscribeOptions
	q       *queue
	replica *Replica
	stop    context.CancelCauseFunc
	done    chan struct{}

	mu         sync.Mutex
	sock       *socket
	filter     string      // that a new connection begins with
	lastResync time.Time   // when the graph was last asked for
	later      *time.Timer // a resync that waits for its turn

	pending []Event // the consumer's
}

// Subscribe connects, and subscribes until Close or the end of ctx.
func (c *Client) Subscribe(ctx context.Context, o SubscribeOptions) (*Subscription, error) {
	switch o.UpdatePolicy {
	case "", skydive.UpdateFull, skydive.UpdatePartial:
	default:
		return nil, fmt.Errorf("update policy %q: choose %s or %s", o.UpdatePolicy, skydive.UpdateFull, skydive.UpdatePartial)
	}
	if o.Diff && !o.Sync {
		return nil, errors.New("subscribe: Diff needs Sync")
	}
	if o.Diff && o.Replica == nil {
		o.Replica = NewReplica()
	}
	o.Path = or(o.Path, skydive.PathSubscriber)
	o.ClientType = or(o.ClientType, c.cfg.ClientType)
	o.HostID = or(o.HostID, c.cfg.HostID+"-"+randomHex(4))
	setDefault(&o.QueueEvents, DefaultQueueEvents)
	setDefault(&o.QueueBytes, DefaultQueueBytes)
	setDefault(&o.MinBackoff, DefaultMinBackoff)
	setDefault(&o.MaxBackoff, DefaultMaxBackoff)

	s := &Subscription{
		c: c, o: o, q: newQueue(o.QueueEvents, o.QueueBytes, o.Protocol, o.Sync), replica: o.Replica, filter: o.Filter,
		done: make(chan struct{}),
	}
	sock, err := s.connect(ctx, false)
	if err != nil {
		if sock != nil {
			sock.close(false)
		}
		return nil, err
	}
	run, stop := context.WithCancelCause(ctx)
	s.stop = stop
	go s.run(run, sock)
	return s, nil
}

func setDefault[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// connect makes a connection and asks it for the graph, if the graph is wanted.
func (s *Subscription) connect(ctx context.Context, again bool) (*socket, error) {
	h := http.Header{}
	h.Set(skydive.HeaderHostID, s.o.HostID)
	h.Set(skydive.HeaderClientType, s.o.ClientType)
	for _, n := range s.o.Namespaces {
		h.Add(skydive.HeaderNamespace, n)
	}
	s.mu.Lock()
	filter := s.filter
	s.mu.Unlock()
	if filter != "" {
		h.Set(skydive.HeaderGremlinFilter, filter)
	}
	if s.o.UpdatePolicy != "" {
		h.Set(skydive.HeaderUpdatePolicy, s.o.UpdatePolicy)
	}
	sock, err := s.c.dial(ctx, socketOptions{path: s.o.Path, protocol: s.o.Protocol, header: h, limit: s.o.ReadLimit})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sock = sock
	if s.o.Sync {
		return sock, s.requestLocked(again)
	}
	if again {
		s.q.mark()
	}
	return sock, nil
}

// requestLocked asks for the graph; no event before it counts.
func (s *Subscription) requestLocked(resync bool) error {
	uuid := randomUUID()
	s.q.await(uuid, resync)
	return s.sendLocked(uuid, skydive.SyncRequest{})
}

func (s *Subscription) sendLocked(uuid string, req skydive.SyncRequest) error {
	m, err := skydive.NewMessage(skydive.NamespaceGraph, skydive.MsgSyncRequest, uuid, req)
	if err != nil {
		return err
	}
	frame, err := m.Append(nil, s.sock.protocol)
	if err != nil {
		return err
	}
	return s.sock.write(frame)
}

// SetFilter changes the filter, "" for none. The graph that it gives comes as an EventSync.
func (s *Subscription) SetFilter(ctx context.Context, filter string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	uuid := randomUUID()
	s.q.mu.Lock()
	s.q.asked[uuid] = true
	s.q.mu.Unlock()
	s.filter = filter
	if err := s.sendLocked(uuid, skydive.SyncRequest{GremlinFilter: &filter}); err != nil {
		return fmt.Errorf("set filter: %w; it takes effect with the next connection", err)
	}
	return nil
}

// resync asks for the graph because events were lost; a connection that fails is replaced by another that asks again.
func (s *Subscription) resync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastResync, s.later = time.Now(), nil
	s.q.mu.Lock()
	s.q.stats.Resyncs++
	s.q.mu.Unlock()
	if err := s.requestLocked(true); err != nil {
		_ = s.sock.conn.CloseNow()
	}
}

// run reads connection after connection.
func (s *Subscription) run(ctx context.Context, sock *socket) {
	defer close(s.done)
	proven := false // the server has sent something, so it does not refuse us
	wait := s.o.MinBackoff
	for {
		unhook := context.AfterFunc(ctx, func() { _ = sock.conn.CloseNow() })
		n, err := s.pump(sock)
		unhook()
		sock.close(false)
		if ctx.Err() != nil {
			s.q.end(context.Cause(ctx))
			return
		}
		why := closeReason(s.o.Path, err)
		if n > 0 {
			proven, wait = true, s.o.MinBackoff
		}
		if s.o.NoReconnect || !proven && refused(err) {
			s.q.end(why)
			return
		}
		s.c.log.Warn("subscription lost; reconnecting", "server", s.c.Address(), "path", s.o.Path, "error", why)
		if sock, err = s.reconnect(ctx, &wait); err != nil {
			s.q.end(err)
			return
		}
	}
}

// refused says whether a server that closes a connection on which nothing has come yet does not want the subscription.
// One that stops or starts again says so, and is waited for.
func refused(err error) bool {
	switch websocket.CloseStatus(err) {
	case -1, websocket.StatusGoingAway, websocket.StatusServiceRestart, websocket.StatusTryAgainLater:
		return false
	}
	return true
}

// pump reads until the connection ends, and gives how many messages came.
func (s *Subscription) pump(sock *socket) (int, error) {
	for n := 0; ; n++ {
		frame, err := sock.read()
		if err != nil {
			return n, err
		}
		s.q.push(frame)
	}
}

// reconnect tries until it succeeds, ctx ends, or the server says that there is no use in trying.
func (s *Subscription) reconnect(ctx context.Context, wait *time.Duration) (*socket, error) {
	for {
		timer := time.NewTimer(*wait/2 + rand.N(*wait/2+1))
		*wait = min(2**wait, s.o.MaxBackoff)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		case <-timer.C:
		}
		sock, err := s.connect(ctx, true)
		if err == nil {
			s.q.mu.Lock()
			s.q.stats.Reconnects++
			s.q.mu.Unlock()
			s.c.log.Info("subscription is back", "server", s.c.Address(), "path", s.o.Path)
			return sock, nil
		}
		if sock != nil {
			sock.close(false)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if refusal(err) {
			return nil, fmt.Errorf("reconnect: %w", err)
		}
		s.c.log.Debug("reconnect failed", "server", s.c.Address(), "path", s.o.Path, "error", err)
	}
}

// refusal says whether an error is one that trying again does not change. A conflict goes away when the server notices
// that the old connection is dead.
func refusal(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status >= 400 && e.Status < 500 &&
		e.Status != http.StatusConflict && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout
}

// Replica gives the copy of the graph that the subscription keeps, nil when the options ask for none.
func (s *Subscription) Replica() *Replica { return s.replica }

// Stats gives the counts so far.
func (s *Subscription) Stats() SubscriptionStats {
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	return s.q.stats
}

// Close ends the subscription; what is queued can still be read, and then ErrClosed.
func (s *Subscription) Close() {
	s.stop(ErrClosed)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.later != nil {
		s.later.Stop()
	}
}

// Events iterates over the events, until the subscription ends: after Close without an error, else with the error as
// the last. Leaving the loop leaves the subscription as it is; another loop goes on.
func (s *Subscription) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			ev, err := s.Next(context.Background())
			if errors.Is(err, ErrClosed) {
				return
			}
			if !yield(ev, err) || err != nil {
				return
			}
		}
	}
}

// Next waits for the next event. An error ends the subscription, unless it is that of ctx.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		if len(s.pending) > 0 {
			ev := s.pending[0]
			s.pending[0] = Event{}
			s.pending = s.pending[1:]
			return ev, nil
		}
		it, err := s.q.pop(ctx)
		if err != nil {
			return Event{}, err
		}
		ev, ok, err := s.take(it)
		if err != nil {
			s.stop(err)
			return Event{}, err
		}
		if ok {
			return ev, nil
		}
	}
}

// take makes an event of an item; false when there is none to give, or when it is in pending.
func (s *Subscription) take(it item) (Event, bool, error) {
	if it.mark {
		if !s.o.Sync {
			return Event{Type: EventLost, Lost: it.lost}, true, nil
		}
		if !it.resync {
			s.c.log.Warn("consumer is slow: events lost; asking for the whole graph")
			s.resync()
		}
		return Event{}, false, nil
	}
	m, err := skydive.DecodeMessage(it.frame, s.o.Protocol)
	if err != nil {
		return Event{}, false, fmt.Errorf("%s: %w", s.o.Path, err)
	}
	ev, err := decodeEvent(m)
	if err != nil {
		return Event{}, false, err
	}
	ev.Resync, ev.Lost = it.resync, it.lost
	if s.replica == nil {
		return ev, true, nil
	}
	if s.o.Diff && ev.Type == EventSync {
		s.pending = s.replica.Diff(ev.Graph)
		return Event{}, false, nil
	}
	ev, err = s.replica.Apply(ev)
	if errors.Is(err, ErrIncomplete) {
		return s.incomplete(ev, err)
	}
	return ev, err == nil, err
}

// incomplete repairs a replica that a partial update does not fit, at most once a second: a server that always sends
// such updates costs freshness, not the whole graph each time.
func (s *Subscription) incomplete(ev Event, why error) (Event, bool, error) {
	if !s.o.Sync {
		return ev, true, nil
	}
	s.mu.Lock()
	if s.later == nil {
		s.c.log.Debug("asking for the whole graph", "reason", why)
		s.later = time.AfterFunc(max(0, resyncPause-time.Since(s.lastResync)), s.resync)
	}
	s.mu.Unlock()
	return Event{}, false, nil
}
