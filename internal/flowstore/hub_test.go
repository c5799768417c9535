package flowstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ api.FlowHub = (*Hub)(nil)

func batchOf(n int) Batch {
	b := Batch{Host: "h", At: time.Now(), Stats: []flow.Stats{{CaptureID: "c"}}}
	for range n {
		b.Flows = append(b.Flows, &flow.Flow{UUID: "x"})
	}
	return b
}

func take(t testing.TB, h *Hub, b Batch) {
	t.Helper()
	if err := h.Take(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func TestSubscriptionsGetWhatComesAfterThem(t *testing.T) {
	h := NewHub(NewMemory(MemoryOptions{}), nil)
	take(t, h, batchOf(1))
	one, two := h.Subscribe(), h.Subscribe()
	defer two.Close()
	take(t, h, batchOf(2))
	past := batchOf(9)
	past.Past = true
	take(t, h, past)
	if err := h.Import(t.Context(), batchOf(3).Flows); err != nil {
		t.Fatal(err)
	}
	for _, s := range []api.FlowSubscription{one, two} {
		for _, want := range []int{2, 3} {
			b, err := s.Next(t.Context())
			if err != nil || len(b.Flows) != want {
				t.Fatalf("%+v (%v), want %d flows", b, err, want)
			}
		}
	}
	if len(h.batches) != 0 {
		t.Errorf("%d batches are held that everybody has", len(h.batches))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := one.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing came: %v", err)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, err := one.Next(t.Context()); err == nil {
			t.Error("a closed subscription gave something")
		}
	})
	one.Close()
	waiting.Wait()
	if n, _ := h.Stats(); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
}

func TestSlowSubscriptionIsToldWhatItLost(t *testing.T) {
	h := NewHub(NewMemory(MemoryOptions{}), nil)
	h.most = 10
	s := h.Subscribe()
	defer s.Close()
	take(t, h, batchOf(4))
	if b, err := s.Next(t.Context()); err != nil || len(b.Flows) != 4 {
		t.Fatalf("%+v (%v)", b, err)
	}
	for range 5 {
		take(t, h, batchOf(4))
	}
	var lagged *api.FlowsLaggedError
	if _, err := s.Next(t.Context()); !errors.As(err, &lagged) || lagged.Lost != 12 {
		t.Fatalf("%v", err)
	}
	for range 2 {
		if b, err := s.Next(t.Context()); err != nil || len(b.Flows) != 4 {
			t.Fatalf("%+v (%v)", b, err)
		}
	}
	if _, lost := h.Stats(); lost != 12 {
		t.Errorf("%d lost", lost)
	}
}
