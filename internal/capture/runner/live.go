package runner

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/flowquery/row"
)

const (
	slice   = 16 << 10 // flows that a table looks at between two batches of packets
	handful = 256      // flows handed over at once
)

// question is what the owner of a table is asked. It is answered in slices; step reports whether there is more to do.
type question interface {
	step(t *flow.Table) (more bool)
}

// answer works on the questions for one slice each.
func (r *ring) answer() {
	for full := false; !full; {
		select {
		case q := <-r.requests:
			r.queries = append(r.queries, q)
		default:
			full = true
		}
	}
	r.queries = slices.DeleteFunc(r.queries, func(q question) bool { return !q.step(r.table) })
}

// ask hands a question to the owner. It reports whether there still is one.
func (r *ring) ask(ctx context.Context, q question) bool {
	select {
	case r.requests <- q:
		r.source.Wake()
		return true
	case <-r.over:
	case <-ctx.Done():
	}
	return false
}

// scan looks for flows. Whoever asked takes them from found, which is closed at the end; a slow taker holds up the
// scan, and never the packets.
type scan struct {
	ctx    context.Context
	pre    *flow.Prefilter
	match  func(*flow.Flow) bool
	most   int64 // flows wanted; -1 = all
	found  chan []*flow.Flow
	cursor uint64
	held   []*flow.Flow
	done   bool
}

func (s *scan) step(t *flow.Table) bool {
	if s.ctx.Err() != nil {
		close(s.found)
		return false
	}
	if len(s.held) >= handful || s.done {
		if len(s.held) > 0 {
			select {
			case s.found <- s.held:
				s.held = nil
			default:
				return true
			}
		}
		if s.done {
			close(s.found)
			return false
		}
	}
	next, done := t.Scan(s.cursor, slice, s.pre, func(f *flow.Flow) bool {
		if s.match(f) {
			s.held = append(s.held, f.Clone())
			s.most--
		}
		return s.most != 0
	})
	s.cursor = next
	s.done = done || s.most == 0
	return true
}

// reduce makes a total of flows, of which there are no copies.
type reduce struct {
	ctx    context.Context
	pre    *flow.Prefilter
	filter *gremlin.FlowFilter
	count  bool // of all flows: none of them is looked into
	total  *gremlin.FlowTotal
	done   chan struct{}
	cursor uint64
}

const uncounted = 8 * slice // flows that are counted without being looked into take so much less time

func (q *reduce) step(t *flow.Table) bool {
	over := false
	switch {
	case q.ctx.Err() != nil:
		over = true
	case q.count:
		n := 0
		n, q.cursor, over = t.Count(q.cursor, uncounted)
		q.total.AddCount(int64(n))
	default:
		var done bool
		q.cursor, done = t.Scan(q.cursor, slice, q.pre, func(f *flow.Flow) bool {
			if shown := (row.Row{Flow: f}); q.filter.Match(shown) {
				q.total.Add(shown)
			}
			return q.total.More()
		})
		over = done || !q.total.More()
	}
	if over {
		close(q.done)
	}
	return !over
}

// recall fetches the raw packets of flows.
type recall struct {
	ctx    context.Context
	of     flow.UUIDSet
	found  map[string][]flow.RawPacket
	cursor uint64
	done   chan struct{}
}

func (q *recall) step(t *flow.Table) bool {
	next, done := t.RawPackets(q.cursor, slice, q.of, func(uuid string, packets []flow.RawPacket) {
		q.found[uuid] = packets
	})
	q.cursor = next
	if !done && q.ctx.Err() == nil {
		return true
	}
	close(q.done)
	return false
}

// live gives the rings that count now, on all nodes or on those with the TIDs.
func (r *Runner) live(all bool, tids []string) (rings []*ring) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.taps {
		if all || slices.Contains(tids, t.node.TID) {
			t.mu.Lock()
			rings = append(rings, t.rings...)
			t.mu.Unlock()
		}
	}
	return rings
}

// Flows gives the live flows that the query wants. With an order, they come in it, and no more than Offset+Limit where
// nothing is deduplicated; without one, they come as they are found. A flow is the caller's.
func (r *Runner) Flows(ctx context.Context, q *gremlin.FlowQuery) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		most := int64(-1)
		if q.Limit >= 0 && !q.HasDedup {
			most = max(q.Offset, 0) + q.Limit
		}
		if most == 0 {
			return
		}
		each := most // of one ring
		if q.SortBy != "" {
			each = -1
		}
		match := func(f *flow.Flow) bool { return q.Filter.Match(row.Row{Flow: f}) }
		scans := r.scan(ctx, q, each, match)
		if q.SortBy == "" {
			for f := range taken(ctx, scans) {
				if !yield(f, nil) {
					return
				}
				if most--; most == 0 {
					return
				}
			}
		} else {
			for _, f := range sorted(taken(ctx, scans), q, most) {
				if !yield(f, nil) {
					return
				}
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

type asked struct {
	ring *ring
	scan *scan
}

// scan asks all rings at once.
func (r *Runner) scan(ctx context.Context, q *gremlin.FlowQuery, most int64, match func(*flow.Flow) bool) (scans []asked) {
	pre := row.Prefilter(q.Filter)
	for _, ring := range r.live(q.AllNodes, q.NodeTIDs) {
		s := &scan{ctx: ctx, pre: pre, match: match, most: most, found: make(chan []*flow.Flow, 4)}
		if ring.ask(ctx, s) {
			scans = append(scans, asked{ring, s})
		}
	}
	return scans
}

// Reduce gives what the reduction makes of the live flows that the query wants. Every ring works on its own.
func (r *Runner) Reduce(ctx context.Context, q *gremlin.FlowQuery, what gremlin.FlowReduction) (*gremlin.FlowTotal, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pre := row.Prefilter(q.Filter)
	rings := r.live(q.AllNodes, q.NodeTIDs)
	parts := make([]*reduce, len(rings))
	for i, ring := range rings {
		part := &reduce{
			ctx: ctx, pre: pre, filter: q.Filter, count: q.Filter == nil && what.Kind == gremlin.ReduceCount,
			total: what.New(), done: make(chan struct{}),
		}
		if ring.ask(ctx, part) {
			parts[i] = part
		}
	}
	total := what.New()
	for i, part := range parts {
		if part == nil {
			continue
		}
		select {
		case <-part.done:
			total.Merge(part.total)
		case <-rings[i].over: // it has no live flows any more
		case <-ctx.Done():
		}
	}
	return total, ctx.Err()
}

// taken gives what the scans find, ring by ring; a ring that ends has no live flows any more.
func taken(ctx context.Context, scans []asked) iter.Seq[*flow.Flow] {
	return func(yield func(*flow.Flow) bool) {
		for _, a := range scans {
			for more := true; more; {
				var batch []*flow.Flow
				select {
				case batch, more = <-a.scan.found:
				case <-a.ring.over:
					more = false
				case <-ctx.Done():
					return
				}
				for _, f := range batch {
					if !yield(f) {
						return
					}
				}
			}
		}
	}
}

// sorted gives the first most flows in the order of the query, which is that of Gremlin's Sort: flows without the field
// come last, and equal ones by their UUIDs; -1 is all. It never holds many more than that.
func sorted(flows iter.Seq[*flow.Flow], q *gremlin.FlowQuery, most int64) []*flow.Flow {
	type keyed struct {
		flow *flow.Flow
		key  graph.Value
	}
	var list []keyed
	prune := func() {
		slices.SortStableFunc(list, func(a, b keyed) int {
			order := 0
			switch {
			case a.key.IsZero() && b.key.IsZero():
			case a.key.IsZero():
				return 1
			case b.key.IsZero():
				return -1
			case q.SortDesc:
				order = b.key.Compare(a.key)
			default:
				order = a.key.Compare(b.key)
			}
			return cmp.Or(order, strings.Compare(a.flow.UUID, b.flow.UUID))
		})
		if most >= 0 && int64(len(list)) > most {
			clear(list[most:])
			list = list[:most]
		}
	}
	for f := range flows {
		key, _ := row.Row{Flow: f}.Field(q.SortBy)
		list = append(list, keyed{f, key})
		if most >= 0 && int64(len(list)) >= 2*most+1000 {
			prune()
		}
	}
	prune()
	out := make([]*flow.Flow, len(list))
	for i := range list {
		out[i] = list[i].flow
	}
	return out
}

// RawPackets gives the packets kept of live flows, in the order of time. Flows that are not here are left out.
func (r *Runner) RawPackets(ctx context.Context, ids []gremlin.FlowID) (map[gremlin.FlowID][]flow.RawPacket, error) {
	// What is wanted of each capture on each node, which are those of a table.
	type place struct{ capture, node string }
	wanted := map[place][]string{}
	for _, id := range ids {
		in := place{id.CaptureID, id.NodeTID}
		wanted[in] = append(wanted[in], id.UUID)
	}
	sets := make(map[place]flow.UUIDSet, len(wanted))
	for in, uuids := range wanted {
		sets[in] = flow.NewUUIDSet(uuids)
	}
	packets := map[gremlin.FlowID][]flow.RawPacket{}
	for _, ring := range r.live(true, nil) {
		in := place{ring.tap.capture.UUID, ring.tap.node.TID}
		of := sets[in]
		if len(of) == 0 {
			continue
		}
		q := &recall{ctx: ctx, of: of, found: map[string][]flow.RawPacket{}, done: make(chan struct{})}
		if !ring.ask(ctx, q) {
			continue
		}
		select {
		case <-q.done:
		case <-ring.over:
			continue
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		for uuid, list := range q.found {
			id := gremlin.FlowID{UUID: uuid, CaptureID: in.capture, NodeTID: in.node}
			packets[id] = append(packets[id], list...)
		}
	}
	for _, list := range packets {
		slices.SortStableFunc(list, func(a, b flow.RawPacket) int {
			return cmp.Or(cmp.Compare(a.Time(), b.Time()), cmp.Compare(a.Index, b.Index))
		})
	}
	return packets, ctx.Err()
}
