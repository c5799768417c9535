package agent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
)

// State is how a probe fares.
type State struct {
	Status string // "starting", "running", "failed"
	Error  string // of the last failure
}

const (
	longestBackoff = 30 * time.Second
	stableAfter    = time.Minute // running that long, a probe's failures are forgotten
)

// task keeps one probe running.
type task struct {
	spec     probe.Spec
	env      probe.Env
	origin   string
	out      *outbox
	log      *slog.Logger
	backoff  time.Duration
	state    atomic.Pointer[State]
	restarts atomic.Uint64
}

func (t *task) run(ctx context.Context) {
	wait := t.backoff
	for {
		begun := time.Now()
		err := t.once(ctx)
		if ctx.Err() != nil {
			t.state.Store(&State{Status: "stopped"})
			return
		}
		if err == nil {
			err = fmt.Errorf("probe %s ended by itself", t.spec.Name)
		}
		if time.Since(begun) > stableAfter {
			wait = t.backoff
		}
		t.state.Store(&State{Status: "failed", Error: err.Error()})
		t.log.Warn("probe failed; it is started again", "error", err, "after", wait)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			t.state.Store(&State{Status: "stopped"})
			return
		case <-timer.C:
		}
		wait = min(2*wait, longestBackoff)
		t.restarts.Add(1)
	}
}

// once runs the probe until it returns. A panic in it is a failure of this probe only.
func (t *task) once(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("probe %s panicked: %v\n%s", t.spec.Name, v, debug.Stack())
		}
	}()
	p, err := t.spec.New(t.env)
	if err != nil {
		return fmt.Errorf("probe %s: %w", t.spec.Name, err)
	}
	s := &sink{task: t}
	defer s.close()
	t.state.Store(&State{Status: "running"})
	return p.Run(ctx, s)
}

// sink takes what one run of a probe says.
type sink struct {
	task   *task
	mu     sync.Mutex
	closed bool
}

var _ probe.Sink = (*sink)(nil)

// Commit implements probe.Sink.
func (s *sink) Commit(events ...graph.Event) { s.say(events, false) }

// Replace implements probe.Sink.
func (s *sink) Replace(events []graph.Event) { s.say(events, true) }

func (s *sink) say(events []graph.Event, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.task.out.commit(s.task.origin, events, whole)
	}
}

func (s *sink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// guest is the sink of an origin that no probe is.
type guest struct {
	origin string
	out    *outbox
}

var _ probe.Sink = guest{}

// Commit implements probe.Sink.
func (g guest) Commit(events ...graph.Event) { g.out.commit(g.origin, events, false) }

// Replace implements probe.Sink.
func (g guest) Replace(events []graph.Event) { g.out.commit(g.origin, events, true) }
