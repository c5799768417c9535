package runner

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/weft-net/weft/internal/capture/spool"
)

const (
	publishLimit = 30 * time.Second
	resendAfter  = 15 * time.Second // without an acknowledgement
	retryDelay   = 500 * time.Millisecond
	warnEvery    = time.Minute
)

// transit is what became of batches on their way out.
type transit struct {
	mu       sync.Mutex
	cuts     map[uint64]*cut // whose parts are on their way, by their number
	cut      uint64          // batches that went in parts
	kept     uint64          // raw packets and messages that did not fit
	flows    uint64          // flows that did not fit
	heard    time.Time       // of the last acknowledgement; the start at first
	waiting  time.Time       // when it was last warned of that nobody takes batches
	oversize time.Time       // when it was last warned of what does not fit
}

// send hands batches to the bus, oldest first, and again from the oldest that nobody has when some may be lost.
func (r *Runner) send(ctx context.Context) {
	kept := r.out.spool
	var cursor uint64
	wait := time.NewTimer(0)
	defer wait.Stop()
	again := func() {
		cursor = 0
		r.out.transit.forget()
	}
	for ctx.Err() == nil {
		batch, ok := kept.Next(cursor)
		if ok {
			err := r.publish(ctx, &batch)
			if err == nil {
				cursor = batch.Cursor
				continue
			}
			r.refused(err)
			again()
			wait.Reset(retryDelay)
			select {
			case <-ctx.Done():
			case <-wait.C:
			}
			continue
		}
		wait.Reset(resendAfter)
		select {
		case <-ctx.Done():
		case <-kept.Changed():
		case <-wait.C:
			again()
		}
	}
}

// publish hands over a batch, in parts if the bus does not take it whole. What fits into no part is lost, so that the
// batches behind it go on.
func (r *Runner) publish(ctx context.Context, batch *spool.Batch) error {
	most := r.opts.Publish.MostBytes()
	if most <= 0 || len(batch.Payload) <= most {
		return r.publishOne(ctx, batch.Spool, batch.Seq, batch.Payload)
	}
	c := cutBatch(batchName{batch.Spool, batch.Seq}, batch.Payload, most)
	if len(c.parts) == 0 {
		r.out.finish(c, r.opts.Now())
		return nil
	}
	parts := c.parts
	r.out.transit.begin(c)
	for i, part := range parts {
		if err := r.publishOne(ctx, c.number, uint64(i)+1, part); err != nil {
			return fmt.Errorf("part %d of %d: %w", i+1, len(parts), err)
		}
	}
	return nil
}

func (r *Runner) publishOne(ctx context.Context, spool, seq uint64, payload []byte) error {
	limited, cancel := context.WithTimeout(ctx, publishLimit)
	defer cancel()
	return r.opts.Publish.PublishFlows(limited, spool, seq, payload)
}

// refused tells of batches that nobody takes: in the log at once for who looks closely, and for all when it lasts.
func (r *Runner) refused(err error) {
	r.log.Debug("flow batches wait for an analyzer", "error", err)
	t, now := &r.out.transit, r.opts.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.heard) < warnEvery || now.Sub(t.waiting) < warnEvery {
		return
	}
	t.waiting = now
	stats := r.out.spool.Stats()
	r.log.Warn("flow reports wait: no analyzer took any for a minute or more", "since", t.heard, "batches", stats.Batches, "bytes", stats.Bytes, "error", err)
}

// taken is called when a batch, or a part of one, is acknowledged.
func (r *Runner) taken(spool, seq uint64) {
	now := r.opts.Now()
	c, whole := r.out.transit.ack(spool, seq, now)
	switch {
	case c == nil:
		r.out.spool.Ack(spool, seq)
	case whole:
		r.out.finish(c, now)
	}
}

// begin notes a cut whose parts are sent from now on. It needs them no more.
func (t *transit) begin(c *cut) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cuts == nil {
		t.cuts = map[uint64]*cut{}
	}
	c.parts = nil
	t.cuts[c.number] = c
}

// forget drops all cuts: what is not acknowledged is cut and sent again.
func (t *transit) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.cuts)
}

// ack gives the cut that the number belongs to, nil if there is none, and whether this was its last part.
func (t *transit) ack(number, seq uint64, now time.Time) (c *cut, whole bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heard = now
	c = t.cuts[number]
	if c == nil || seq == 0 || seq > uint64(len(c.acked)) || c.acked[seq-1] {
		return c, false
	}
	c.acked[seq-1] = true
	if c.left--; c.left > 0 {
		return c, false
	}
	delete(t.cuts, number)
	return c, true
}

// finish takes a batch out of the spool whose parts all arrived, and counts what did not fit into any.
func (o *outlet) finish(c *cut, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := &c.lost
	if l.unclear {
		for _, cost := range o.spool.Drop(c.of.spool, c.of.seq) {
			lose(l.packets, cost.Key, cost.Packets)
		}
	} else {
		o.spool.Ack(c.of.spool, c.of.seq)
	}
	for key, n := range l.packets {
		if a := o.charged(key); a != nil {
			a.drop(n)
			o.dirty[a.key] = true
		}
	}
	missing := uint64(0)
	for key, n := range l.kept {
		missing += n
		if a := o.charged(key); a != nil {
			a.miss(n)
			o.dirty[a.key] = true
		}
	}
	o.transit.note(c, missing, now, o.log)
	// The loss and the acknowledgement are kept at once, and as one.
	o.append(nil, []spool.Entry{{Key: booksKey, Value: []byte(o.books)}}, nil)
}

// note counts a batch that did not go whole, and warns of what did not fit.
func (t *transit) note(c *cut, kept uint64, now time.Time, log *slog.Logger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut++
	t.kept += kept
	t.flows += c.lost.flows
	if !c.lost.any() || now.Sub(t.oversize) < warnEvery {
		return
	}
	t.oversize = now
	log.Warn("flow reports too large for the bus: some went without packets kept of them, or not at all",
		"packets without", t.kept, "flows lost", t.flows, "unreadable", c.lost.unclear,
		"remedy", "raise max_payload of NATS, or keep less of each packet (--header-size)")
}
