package api

import (
	"context"
	"fmt"
	"sync"

	"github.com/weft-net/weft/graph"
)

// sharedWriter lets several requests write for one origin, one batch after the other.
type sharedWriter struct {
	name string // as elements show it
	full string // as the graph knows it
	mu   sync.Mutex
	out  OriginWriter
}

func openShared(c Committer, name string, opts OriginOptions) *sharedWriter {
	return &sharedWriter{name: name, full: c.OriginName(name), out: c.Origin(name, opts)}
}

// commit brings events in and waits until they can be seen. The first rejection is an
// error that wraps the graph's.
func (w *sharedWriter) commit(ctx context.Context, events ...graph.Event) error {
	pending, err := w.send(ctx, events)
	if err != nil {
		return err
	}
	result, err := pending.Wait(ctx)
	if err != nil {
		return fmt.Errorf("commit of %s: %w", w.name, err)
	}
	if len(result.Rejected) > 0 {
		rejection := result.Rejected[0]
		return fmt.Errorf("%s: %w", rejection.ID, rejection.Err)
	}
	return nil
}

func (w *sharedWriter) send(ctx context.Context, events []graph.Event) (Pending, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pending, err := w.out.Commit(ctx, events)
	if err != nil {
		return nil, fmt.Errorf("commit of %s: %w", w.name, err)
	}
	return pending, nil
}

// snapshot replaces all that the origin says.
func (w *sharedWriter) snapshot(ctx context.Context, events []graph.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	pending, err := w.out.Snapshot(ctx, events)
	if err == nil {
		_, err = pending.Wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("snapshot of %s: %w", w.name, err)
	}
	return nil
}

func (w *sharedWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out.Close()
}
