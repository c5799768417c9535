package flowstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/api"
)

// mostQueued is how many flows a hub holds for its slowest subscription.
const mostQueued = 1 << 18

// Hub brings reports into a Store, and to subscriptions. It implements api.FlowHub.
type Hub struct {
	store Store
	now   func() time.Time
	most  uint64

	mu      sync.Mutex
	batches []*api.FlowBatch
	first   uint64        // number of batches[0]
	flows   []uint64      // flows before each batch, since the hub began
	total   uint64        // flows, of all batches ever queued
	moved   chan struct{} // closed and replaced when a batch came
	subs    map[*subscription]bool
	lagged  uint64
}

type subscription struct {
	hub    *Hub
	next   uint64 // number of the batch
	before uint64 // flows before it
	closed chan struct{}
	once   sync.Once
}

// NewHub makes a hub before a store.
func NewHub(store Store, now func() time.Time) *Hub {
	if now == nil {
		now = time.Now
	}
	return &Hub{store: store, now: now, most: mostQueued, moved: make(chan struct{}), subs: map[*subscription]bool{}}
}

// Take keeps a batch and hands it on. An error means that it is not kept, nor handed on.
func (h *Hub) Take(ctx context.Context, b Batch) error {
	if err := h.store.Append(ctx, b); err != nil {
		return fmt.Errorf("flow store: %w", err)
	}
	if b.Past {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subs) == 0 {
		return nil
	}
	h.batches = append(h.batches, &api.FlowBatch{Host: b.Host, Flows: b.Flows, Stats: b.Stats})
	h.flows = append(h.flows, h.total)
	h.total += uint64(len(b.Flows))
	for len(h.batches) > 1 && (h.total-h.flows[0] > h.most || len(h.batches) > int(h.most)) {
		h.pop()
	}
	close(h.moved)
	h.moved = make(chan struct{})
	return nil
}

// Import implements api.FlowHub.
func (h *Hub) Import(ctx context.Context, flows []*flow.Flow) error {
	return h.Take(ctx, Batch{At: h.now(), Flows: flows})
}

// Subscribe implements api.FlowHub.
func (h *Hub) Subscribe() api.FlowSubscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &subscription{hub: h, next: h.first + uint64(len(h.batches)), before: h.total, closed: make(chan struct{})}
	h.subs[s] = true
	return s
}

// Stats says how many subscriptions there are, and how many flows they lost by being slow.
func (h *Hub) Stats() (subscriptions int, lagged uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs), h.lagged
}

func (h *Hub) pop() {
	h.batches[0] = nil
	h.batches, h.flows = h.batches[1:], h.flows[1:]
	h.first++
}

// release lets go what every subscription has.
func (h *Hub) release() {
	for len(h.batches) > 0 {
		for s := range h.subs {
			if s.next <= h.first {
				return
			}
		}
		h.pop()
	}
	h.batches, h.flows = nil, nil
}

// Next implements api.FlowSubscription.
func (s *subscription) Next(ctx context.Context) (*api.FlowBatch, error) {
	for {
		select {
		case <-s.closed:
			return nil, context.Canceled
		default:
		}
		batch, moved, err := s.take()
		if batch != nil || err != nil {
			return batch, err
		}
		select {
		case <-moved:
		case <-s.closed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *subscription) take() (*api.FlowBatch, chan struct{}, error) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.next < h.first {
		before := h.total
		if len(h.flows) > 0 {
			before = h.flows[0]
		}
		lost := before - s.before
		s.next, s.before = h.first, before
		h.lagged += lost
		return nil, nil, &api.FlowsLaggedError{Lost: lost}
	}
	i := s.next - h.first
	if i >= uint64(len(h.batches)) {
		return nil, h.moved, nil
	}
	batch := h.batches[i]
	s.next++
	s.before += uint64(len(batch.Flows))
	if i == 0 {
		h.release()
	}
	return batch, nil, nil
}

// Close implements api.FlowSubscription.
func (s *subscription) Close() {
	s.once.Do(func() {
		close(s.closed)
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		delete(s.hub.subs, s)
		s.hub.release()
	})
}
