package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/skydive"
)

// flowFeed brings the reports of the hub of flows to the clients of /ws/subscriber/flow.
// While there are clients, one goroutine reads the hub, encodes each report once for all
// of them, and queues the frames; a client that does not keep up loses what does not fit
// its queue, and is told how much. Nobody waits for anybody.
type flowFeed struct {
	s *Server

	mu      sync.Mutex
	session *flowSession // nil: no client is there
}

// flowSession is a subscription of the hub and those it is for. The members belong to
// the feed's mutex.
type flowSession struct {
	sub     FlowSubscription
	cancel  context.CancelFunc
	members []*flowClient
}

// flowClient is one client of the feed.
type flowClient struct {
	*socket
	everything bool     // namespace "flow"
	captures   []string // namespaces "flow/<id>": the ids
	stats      bool
	lost       uint64 // flows since it was last told; belongs to the session's goroutine
}

func newFlowClient(c *socket) *flowClient {
	if c.namespaces == nil {
		return &flowClient{socket: c, everything: true, stats: true}
	}
	client := &flowClient{socket: c}
	for _, name := range c.namespaces {
		id, one := cutFlowNamespace(name)
		switch {
		case name == skydive.NamespaceFlow:
			client.everything = true
		case name == skydive.NamespaceStats:
			client.stats = true
		case one && !slices.Contains(client.captures, id):
			client.captures = append(client.captures, id)
		}
	}
	return client
}

// serveFlowSubscriber answers GET /ws/subscriber/flow.
func (s *Server) serveFlowSubscriber(w http.ResponseWriter, r *http.Request) error {
	if s.deps.Flows == nil {
		return failf(http.StatusNotFound, "%s is not served here: this process keeps no flows, ask an analyzer", skydive.PathSubscriberFlow)
	}
	var client *flowClient
	// A client is in the feed before it learns that it is connected, so that it misses
	// nothing of what comes after that.
	join := func(c *socket) func() {
		client = newFlowClient(c)
		s.flows.join(client)
		return func() { s.flows.leave(client) }
	}
	return s.openJoined(w, r, skydive.PathSubscriberFlow, join, func(*socket) error { return client.listen() })
}

// listen reads on, as that is where pings are answered. Nothing is taken.
func (c *flowClient) listen() error {
	var buf []byte
	var err error
	received := c.s.metrics.received.WithLabelValues(c.endpoint, "ignored")
	for {
		if buf, err = c.read(buf[:0]); err != nil {
			return err
		}
		received.Inc()
	}
}

func (f *flowFeed) join(client *flowClient) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.session == nil {
		ctx, cancel := context.WithCancel(context.Background())
		session := &flowSession{sub: f.s.deps.Flows.Subscribe(), cancel: cancel}
		f.session = session
		f.s.running.Go(func() { f.run(ctx, session) })
	}
	f.session.members = append(slices.Clone(f.session.members), client)
}

func (f *flowFeed) leave(client *flowClient) {
	f.mu.Lock()
	defer f.mu.Unlock()
	session := f.session
	if session == nil {
		return
	}
	session.members = slices.DeleteFunc(slices.Clone(session.members), func(one *flowClient) bool { return one == client })
	if len(session.members) == 0 {
		f.session = nil
		session.cancel()
	}
}

// members are the clients of a session, as a list that nobody changes.
func (f *flowFeed) members(session *flowSession) []*flowClient {
	f.mu.Lock()
	defer f.mu.Unlock()
	return session.members
}

// flowRetry is how long the feed waits after a failure of the hub.
const flowRetry = time.Second

// run reads the hub for a session until that has no members.
func (f *flowFeed) run(ctx context.Context, session *flowSession) {
	defer session.sub.Close()
	encoder := &flowEncoder{ids: newEncoder()}
	for ctx.Err() == nil {
		batch, err := session.sub.Next(ctx)
		var lagged *FlowsLaggedError
		switch {
		case err == nil:
			f.deliver(encoder, batch, f.members(session))
		case ctx.Err() != nil:
			return
		case errors.As(err, &lagged):
			f.s.metrics.lagged.Inc()
			f.s.metrics.flowsLost.WithLabelValues("server").Add(float64(lagged.Lost))
			for _, client := range f.members(session) {
				client.lost += lagged.Lost
			}
		default:
			f.s.log.Warn("flow subscribers get nothing at the moment", "retry", flowRetry, "error", err)
			select {
			case <-time.After(flowRetry):
			case <-ctx.Done():
			}
		}
	}
}

// deliver queues a batch for those who want something of it.
func (f *flowFeed) deliver(encoder *flowEncoder, batch *FlowBatch, members []*flowClient) {
	encoder.begin(batch)
	for _, client := range members {
		if client.everything && len(batch.Flows) > 0 {
			f.push(encoder, client, encoder.flows("", client.protobuf))
		}
		for _, id := range client.captures {
			f.push(encoder, client, encoder.flows(id, client.protobuf))
		}
		if client.stats && len(batch.Stats) > 0 {
			f.push(encoder, client, encoder.stats(client.protobuf))
		}
	}
}

// push queues frames for a client, with word of what it lost before them; when there is
// no room they are lost too.
func (f *flowFeed) push(encoder *flowEncoder, client *flowClient, run flowFrames) {
	if len(run.frames) == 0 {
		return
	}
	entry := outgoing{frames: run.frames, size: run.size}
	if client.lost > 0 {
		word := encoder.lost(client.lost, client.protobuf)
		entry.frames = append([]frame{word}, entry.frames...)
		entry.size += int64(len(word))
	}
	if client.out.push(entry) == nil {
		client.lost = 0
		f.s.metrics.flowsSent.Add(float64(run.flows))
		return
	}
	client.lost += uint64(run.flows)
	f.s.metrics.dropped.WithLabelValues("slow flow subscriber").Add(float64(len(run.frames)))
	f.s.metrics.flowsLost.WithLabelValues("client").Add(float64(run.flows))
}

// downUpper is the name of what was lost while an agent was down, where that is an upper bound.
const downUpper = "agent_down_upper"

// statsOf is what a message of the namespace "stats" says.
func statsOf(s *flow.Stats) skydive.CaptureStats {
	stats := skydive.CaptureStats{
		CaptureID: s.CaptureID, FlowCount: s.FlowCount, FlowDropped: s.FlowDropped,
		KernelFlowDropped: s.KernelFlowDropped, PacketsDropped: s.PacketsDropped, PacketsReceived: s.PacketsReceived,
		NodeTID: s.NodeTID,
	}
	if s.Ledger != nil {
		stats.Ledger = showLedger(*s.Ledger)
		exact := flow.CauseDown.String()
		if n, down := stats.Ledger.Drops[exact]; down && s.DownUpper {
			delete(stats.Ledger.Drops, exact)
			stats.Ledger.Drops[downUpper] = n
		}
	}
	return stats
}
