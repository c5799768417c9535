package runner

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture"
)

const (
	pace       = 100 * time.Millisecond // of the table's clock
	batchBytes = 192 << 10              // of reports, at most about
)

// ring is one source with its table. Its goroutine owns both.
type ring struct {
	tap      *tap
	source   capture.Source
	table    *flow.Table
	requests chan question
	over     chan struct{} // closed when the table is
	stopping atomic.Bool
	draining atomic.Bool // the source says io.EOF when it gave all

	queries []question
	reports []byte // encoded, not yet in the spool
	packets uint64 // that reports newly count
	since   time.Time
	most    int // bytes of reports that go together
}

func newRing(t *tap, source capture.Source) *ring {
	r := &ring{tap: t, source: source, requests: make(chan question, 64), over: make(chan struct{})}
	opts := t.runner.tableOptions(&t.capture, t.node.TID)
	opts.Report = r.report
	r.table = flow.NewTable(opts)
	r.most = t.runner.batchBytes()
	return r
}

// stop makes the ring give what it has, and end. A source that cannot be stopped ends when it has nothing more at hand.
func (r *ring) stop() {
	if s, ok := r.source.(interface{ Stop() error }); ok {
		if s.Stop() == nil {
			r.draining.Store(true)
		}
	}
	r.stopping.Store(true)
	r.source.Wake()
}

// run reads until the source ends or is stopped. The error is nil when it was stopped.
func (r *ring) run() error {
	err := r.read()
	r.tap.runner.closing <- struct{}{} // others need the processors, too
	r.table.Close()
	r.flush()
	<-r.tap.runner.closing
	close(r.over)
	closed := r.source.Close()
	stats, failed := r.source.Stats()
	live := r.table.Ledger()
	lost := stats.Dropped
	if failed != nil {
		r.tap.account.note(r, live, r.tap.account.lostBy(r))
	} else {
		// Whatever the ring received and the table never saw was lost in the ring.
		lost = max(lost, stats.Received-min(stats.Received, live.Counted+live.Dropped()))
		r.tap.account.note(r, live, lost)
	}
	return errors.Join(err, closed)
}

// lostBy is what a ring was last known to have lost.
func (a *account) lostBy(r *ring) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if part := a.rings[r]; part != nil {
		return part.dropped
	}
	return 0
}

func (r *ring) read() error {
	var advanced time.Time
	link := r.source.LinkType()
	for {
		wait := pace
		if len(r.queries) > 0 {
			wait = 0
		}
		packets, err := r.source.Read(wait)
		if len(packets) > 0 {
			r.table.Add(link, packets)
		}
		took := len(packets)
		if s, ok := r.source.(recorder); ok {
			for _, record := range s.Records() {
				r.table.Record(record)
				took++
			}
		}
		now := r.tap.runner.opts.Now()
		if now.Sub(advanced) >= pace {
			r.table.Advance(now.UnixNano())
			advanced = now
			stats, failed := r.source.Stats()
			if failed != nil {
				stats.Dropped = r.tap.account.lostBy(r)
			}
			r.tap.account.note(r, r.table.Ledger(), stats.Dropped)
		}
		if len(r.reports) > 0 && now.Sub(r.since) >= r.tap.runner.opts.Settings.Linger {
			r.flush()
		}
		r.answer()
		switch {
		case errors.Is(err, io.EOF):
			if r.stopping.Load() {
				return nil
			}
			return fmt.Errorf("the source ended: %w", err)
		case err != nil:
			return err
		case r.stopping.Load() && took == 0 && !r.draining.Load():
			return nil
		}
	}
}

// report takes a flow report of the table.
func (r *ring) report(f *flow.Flow, _ flow.Reason) {
	if len(r.reports) == 0 {
		r.since = r.tap.runner.opts.Now()
	}
	before := len(r.reports)
	r.reports = flow.AppendMessageFlow(r.reports, f)
	if before > 0 && len(r.reports) > r.most {
		// What was there goes alone: together they may be more than the bus takes.
		own := r.reports[before:]
		r.reports = r.reports[:before]
		r.flush()
		r.reports = append(r.reports, own...)
		r.since = r.tap.runner.opts.Now()
	}
	// A packet in a tunnel is counted in the ledger once, with its outermost flow.
	if f.ParentUUID == "" && f.LastUpdateMetric != nil {
		r.packets += uint64(f.LastUpdateMetric.ABPackets + f.LastUpdateMetric.BAPackets)
	}
	if len(r.reports) >= r.most {
		r.flush()
	}
}

// flush brings reports to the spool.
func (r *ring) flush() {
	if len(r.reports) == 0 {
		return
	}
	r.tap.runner.out.reports(r, r.reports, r.packets)
	r.reports, r.packets = r.reports[:0], 0
	r.most = r.tap.runner.batchBytes()
}

// batchBytes is how many bytes of reports go together, if one is not longer: fewer if the bus takes no more.
func (r *Runner) batchBytes() int {
	if r.opts.Publish != nil {
		if most := r.opts.Publish.MostBytes(); most > 0 {
			return min(batchBytes, most)
		}
	}
	return batchBytes
}
