package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gateWait is how long a request waits for its turn before it is sent away.
const gateWait = 5 * time.Second

// queuePerSlot is how many may wait for each that is let in.
const queuePerSlot = 16

// gate bounds how much of what is costly goes on at once. Those that come when it is
// full wait, but not all of them and not for ever.
type gate struct {
	what    string // in the refusal, with what to do about it
	slots   chan struct{}
	wait    time.Duration
	waiting atomic.Int64
	refused prometheus.Counter
}

func newGate(what string, slots int, refused prometheus.Counter) *gate {
	return &gate{what: what, slots: make(chan struct{}, slots), wait: gateWait, refused: refused}
}

// enter waits for a turn; leave has to be called when it is over. The error is a
// *busyError when there is none in time.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-g.slots }
	select {
	case g.slots <- struct{}{}:
		return leave, nil
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > int64(queuePerSlot*cap(g.slots)) {
		return nil, g.busy()
	}
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
		return leave, nil
	case <-timer.C:
		return nil, g.busy()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn: %w", ctx.Err())
	}
}

func (g *gate) busy() error {
	g.refused.Inc()
	return &busyError{fmt.Sprintf("%d %s", cap(g.slots), g.what)}
}

// busyError is answered with 503 and Retry-After.
type busyError struct{ reason string }

// Error says what there is too much of.
func (e *busyError) Error() string { return e.reason }

// retryAfter is how many seconds a client that was sent away is told to wait.
const retryAfter = "1"

func noteBusy(h http.Header, err error) {
	if busy := new(busyError); errors.As(err, &busy) {
		h.Set("Retry-After", retryAfter)
	}
}
