package apitest

import (
	"context"
	"fmt"
	"sync"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
)

// Committer applies batches to a graph directly. Hold makes commits wait.
type Committer struct {
	Graph *graph.Graph

	mu      sync.Mutex
	origins map[string]*writer
	held    chan struct{} // nil: not held
}

// Hold makes all commits block until the returned function is called.
func (c *Committer) Hold() (release func()) {
	held := make(chan struct{})
	c.mu.Lock()
	c.held = held
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		c.held = nil
		c.mu.Unlock()
		close(held)
	}
}

// OriginName implements api.Committer: names stay as they are.
func (c *Committer) OriginName(name string) string { return name }

// Origin implements api.Committer. The numbering goes on when an origin opens again.
func (c *Committer) Origin(name string, opts api.OriginOptions) api.OriginWriter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.origins == nil {
		c.origins = make(map[string]*writer)
	}
	w := c.origins[name]
	if w == nil {
		w = &writer{c: c, name: name}
		c.origins[name] = w
	}
	w.persist = w.persist || opts.Persist
	return w
}

// Persistent says whether an origin asked to survive.
func (c *Committer) Persistent(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.origins[name]
	return w != nil && w.persist
}

type writer struct {
	c       *Committer
	name    string
	persist bool

	mu  sync.Mutex
	seq uint64
}

// Commit implements api.OriginWriter.
func (w *writer) Commit(ctx context.Context, events []graph.Event) (api.Pending, error) {
	return w.apply(ctx, events, false)
}

// Snapshot implements api.OriginWriter.
func (w *writer) Snapshot(ctx context.Context, events []graph.Event) (api.Pending, error) {
	return w.apply(ctx, events, true)
}

// Close implements api.OriginWriter.
func (w *writer) Close() {}

func (w *writer) apply(ctx context.Context, events []graph.Event, whole bool) (api.Pending, error) {
	w.c.mu.Lock()
	held := w.c.held
	w.c.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	result, err := w.c.Graph.Apply(&graph.Batch{Origin: w.name, Epoch: 1, Seq: w.seq, Snapshot: whole, Events: events})
	if err != nil {
		return nil, fmt.Errorf("commit of %s: %w", w.name, err)
	}
	return done{result}, nil
}

type done struct{ result graph.Result }

// Wait implements api.Pending.
func (d done) Wait(context.Context) (graph.Result, error) { return d.result, nil }
