package api

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/weft-net/weft/graph"
)

// stalledAfter is how long commits may wait, none of them getting through, before the
// server says that it is not ready.
const stalledAfter = 10 * time.Second

// commitWatch is a Committer that knows whether commits get through.
type commitWatch struct {
	Committer
	clock func() time.Time

	mu      sync.Mutex
	waiting int
	since   time.Time // of the last progress, or of when the first began to wait
}

// Origin opens a writer whose commits are watched.
func (c *commitWatch) Origin(name string, opts OriginOptions) OriginWriter {
	return &watchedWriter{OriginWriter: c.Committer.Origin(name, opts), watch: c}
}

// wait counts a caller that waits until the returned function is called with what came
// of it: an error is no progress.
func (c *commitWatch) wait() func(error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == 0 {
		c.since = c.clock()
	}
	c.waiting++
	return func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiting--
		if err == nil {
			c.since = c.clock()
		}
	}
}

// stalled says why the server is not ready, nil when commits get through.
func (c *commitWatch) stalled() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == 0 {
		return nil
	}
	if took := c.clock().Sub(c.since); took > stalledAfter {
		return fmt.Errorf("nothing could be committed for %s, %d wait: see the server's log for the bus and the disk", took.Round(time.Second), c.waiting)
	}
	return nil
}

type watchedWriter struct {
	OriginWriter
	watch *commitWatch
}

// Commit implements OriginWriter.
func (w *watchedWriter) Commit(ctx context.Context, events []graph.Event) (Pending, error) {
	return w.await(func() (Pending, error) { return w.OriginWriter.Commit(ctx, events) })
}

// Snapshot implements OriginWriter.
func (w *watchedWriter) Snapshot(ctx context.Context, events []graph.Event) (Pending, error) {
	return w.await(func() (Pending, error) { return w.OriginWriter.Snapshot(ctx, events) })
}

func (w *watchedWriter) await(commit func() (Pending, error)) (Pending, error) {
	over := w.watch.wait()
	pending, err := commit()
	over(err)
	if err != nil {
		return nil, err
	}
	return &watchedPending{Pending: pending, watch: w.watch}, nil
}

type watchedPending struct {
	Pending
	watch *commitWatch
}

// Wait implements Pending.
func (p *watchedPending) Wait(ctx context.Context) (graph.Result, error) {
	over := p.watch.wait()
	result, err := p.Pending.Wait(ctx)
	over(err)
	return result, err
}
