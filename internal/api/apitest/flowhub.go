package apitest

import (
	"context"
	"sync"
	"testing"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/api"
)

// FlowHub is a hub of flows in memory: what Publish is given, each subscription gets. The
// zero FlowHub is ready for use.
type FlowHub struct {
	mu       sync.Mutex
	subs     map[*flowPlace]struct{}
	imported []*flow.Flow
}

// placeBound is how many batches may wait for a subscription.
const placeBound = 1024

// Subscribe implements api.FlowHub.
func (h *FlowHub) Subscribe() api.FlowSubscription {
	p := &flowPlace{hub: h, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = make(map[*flowPlace]struct{})
	}
	h.subs[p] = struct{}{}
	return p
}

// Import implements api.FlowHub: Imported gives what came, and subscriptions get it.
func (h *FlowHub) Import(_ context.Context, flows []*flow.Flow) error {
	h.mu.Lock()
	h.imported = append(h.imported, flows...)
	h.mu.Unlock()
	h.Publish(&api.FlowBatch{Flows: flows})
	return nil
}

// Imported is what Import was given so far.
func (h *FlowHub) Imported() []*flow.Flow {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.imported
}

// Subscriptions is how many are open.
func (h *FlowHub) Subscriptions() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs)
}

// Publish gives a batch to every subscription.
func (h *FlowHub) Publish(batch *api.FlowBatch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.subs {
		p.push(batch)
	}
}

// Overwrite makes each subscription lose its place, with so many flows.
func (h *FlowHub) Overwrite(flows uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.subs {
		p.lose(flows)
	}
}

// flowPlace is a subscription.
type flowPlace struct {
	hub  *FlowHub
	wake chan struct{}

	mu     sync.Mutex
	list   []*api.FlowBatch
	lost   uint64
	closed bool
}

func (p *flowPlace) push(batch *api.FlowBatch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) >= placeBound {
		for _, old := range p.list {
			p.lost += uint64(len(old.Flows))
		}
		p.list = nil
	}
	p.list = append(p.list, batch)
	p.signal()
}

func (p *flowPlace) lose(flows uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost += flows
	p.signal()
}

func (p *flowPlace) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Next implements api.FlowSubscription.
func (p *flowPlace) Next(ctx context.Context) (*api.FlowBatch, error) {
	for {
		p.mu.Lock()
		switch {
		case p.lost > 0:
			err := &api.FlowsLaggedError{Lost: p.lost}
			p.lost = 0
			p.mu.Unlock()
			return nil, err
		case len(p.list) > 0:
			batch := p.list[0]
			p.list = p.list[1:]
			p.mu.Unlock()
			return batch, nil
		}
		closed := p.closed
		p.mu.Unlock()
		if closed {
			return nil, context.Canceled
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close implements api.FlowSubscription.
func (p *flowPlace) Close() {
	p.hub.mu.Lock()
	delete(p.hub.subs, p)
	p.hub.mu.Unlock()
	p.mu.Lock()
	p.closed = true
	p.signal()
	p.mu.Unlock()
}

// Flow makes a TCP flow of a capture, with all that one of a connection has.
func Flow(uuid, capture string) *flow.Flow {
	return &flow.Flow{
		UUID: uuid, LayersPath: "Ethernet/IPv4/TCP", Application: "TCP", CaptureID: capture, NodeTID: "tid-1",
		Link:             &flow.Layer{Protocol: flow.Ethernet, A: "02:00:00:00:00:01", B: "02:00:00:00:00:02"},
		Network:          &flow.Layer{Protocol: flow.IPv4, A: "10.0.0.1", B: "10.0.0.2"},
		Transport:        &flow.TransportLayer{Protocol: flow.TCP, A: 40000, B: 443},
		LastUpdateMetric: &flow.Metric{ABPackets: 1, ABBytes: 60, Start: 1_700_000_000_000, Last: 1_700_000_001_000},
		Metric:           &flow.Metric{ABPackets: 10, ABBytes: 600, BAPackets: 8, BABytes: 4000, Start: 1_700_000_000_000, Last: 1_700_000_001_000, RTT: 250_000},
		TCPMetric:        &flow.TCPMetric{ABSynStart: 1_700_000_000_000, BASynStart: 1_700_000_000_000, ABSynTTL: 64, BASynTTL: 64},
		Start:            1_700_000_000_000, Last: 1_700_000_001_000,
		TrackingID: "0123456789abcdef", L3TrackingID: "fedcba9876543210",
	}
}

// StartWithFlows is Start with a hub of flows of the test's own.
func StartWithFlows(t testing.TB) (*Server, *FlowHub) {
	t.Helper()
	hub := new(FlowHub)
	return Start(t, func(d *api.Deps) { d.Flows = hub }), hub
}

// Report publishes flows and counters of an agent.
func (h *FlowHub) Report(flows []*flow.Flow, stats ...flow.Stats) {
	h.Publish(&api.FlowBatch{Host: "test", Flows: flows, Stats: stats})
}
