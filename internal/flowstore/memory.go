package flowstore

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/flowquery/row"
)

// MemoryOptions bound a Memory.
type MemoryOptions struct {
	Window   time.Duration // since arrival, 1 h
	MaxBytes int64         // 256 MiB; the oldest reports go first
	// Update is how often agents report a flow that goes on: so long a flow counts as alive after its last report,
	// unless that says that it ended. 60 s.
	Update time.Duration
	Now    func() time.Time
}

// MemoryStats say what a Memory holds.
type MemoryStats struct {
	Flows   int    // different ones
	Reports int    // of them
	Bytes   int64  // of all that is held, about
	Evicted uint64 // reports that made room before their time
	Oldest  time.Time
}

// Memory is a Store that holds a window. Reports are kept as protobuf in segments, with a chain of the reports of
// each flow, newest first.
type Memory struct {
	opts MemoryOptions

	mu       sync.RWMutex
	segments []*segment
	next     uint64 // number of the next report
	flows    map[identity]*held
	bytes    int64
	evicted  uint64
	encoded  []byte // a flow, while it is added
}

// identity is a gremlin.FlowID of which the parts that many flows share are there once.
type identity struct {
	uuid          string
	capture, node unique.Handle[string]
}

func identify(uuid, capture, node string) identity {
	return identity{uuid, unique.Make(capture), unique.Make(node)}
}

// held is a flow of which there are reports.
type held struct {
	id     identity
	newest uint64 // number of the newest report
}

const (
	segmentBytes = 1 << 20
	reportBytes  = 64  // of the index of a report
	flowBytes    = 152 // of the index of a flow
)

// segment holds reports with consecutive numbers. Their data is never moved.
type segment struct {
	first   uint64
	data    []byte
	reports []report
	at      time.Time // arrival of the last one
}

// report is the index of one report. Times are ms.
type report struct {
	flow       *held
	prev       uint64 // number + 1 of the report before; 0 = none
	start      int64  // of the flow
	from, last int64  // what this report counted
	offset     uint32
	size       uint32
	ended      bool
}

// NewMemory makes an empty store.
func NewMemory(opts MemoryOptions) *Memory {
	opts.Window = cmp.Or(opts.Window, time.Hour)
	opts.MaxBytes = cmp.Or(opts.MaxBytes, 256<<20)
	opts.Update = cmp.Or(opts.Update, time.Minute)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Memory{opts: opts, flows: map[identity]*held{}}
}

// Append implements Store; it never fails.
func (m *Memory) Append(_ context.Context, b Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, f := range b.Flows {
		if b.Encoded != nil {
			m.add(f, b.Encoded[i], b.At)
			continue
		}
		m.encoded = f.AppendProto(m.encoded[:0])
		m.add(f, m.encoded, b.At)
	}
	m.trim()
	return nil
}

func (m *Memory) add(f *flow.Flow, data []byte, at time.Time) {
	var s *segment
	if n := len(m.segments); n > 0 {
		s = m.segments[n-1]
	}
	if s == nil || len(s.data)+len(data) > cap(s.data) {
		s = &segment{first: m.next, data: make([]byte, 0, max(segmentBytes, len(data)))}
		m.segments = append(m.segments, s)
		m.bytes += int64(cap(s.data))
	}
	r := report{
		start: f.Start, from: f.Start, last: f.Last, ended: f.FinishType != 0,
		offset: uint32(len(s.data)), size: uint32(len(data)),
	}
	if u := f.LastUpdateMetric; u != nil && u.Start != 0 {
		r.from, r.last = u.Start, max(u.Last, u.Start)
	}
	id := identify(f.UUID, f.CaptureID, f.NodeTID)
	if r.flow = m.flows[id]; r.flow != nil {
		r.prev = r.flow.newest + 1
	} else {
		id.uuid = strings.Clone(id.uuid) // not the flow around it
		r.flow = &held{id: id}
		m.flows[id] = r.flow
		m.bytes += flowBytes
	}
	r.flow.newest = m.next
	s.data = append(s.data, data...)
	s.reports = append(s.reports, r)
	s.at = at
	m.next++
	m.bytes += reportBytes
}

// trim lets the oldest segments go. The last one goes only by its age.
func (m *Memory) trim() {
	tooOld := m.opts.Now().Add(-m.opts.Window)
	for len(m.segments) > 0 {
		s := m.segments[0]
		full := m.bytes > m.opts.MaxBytes && len(m.segments) > 1
		if !full && !s.at.Before(tooOld) {
			return
		}
		if full {
			m.evicted += uint64(len(s.reports))
		}
		m.bytes -= int64(cap(s.data)) + int64(len(s.reports))*reportBytes
		m.segments[0] = nil
		m.segments = m.segments[1:]
		for i := range s.reports {
			number := s.first + uint64(i)
			if f := s.reports[i].flow; f.newest == number { // of the flow, no other is left
				delete(m.flows, f.id)
				m.bytes -= flowBytes
			}
		}
	}
}

// Trim lets go what left the window. The owner calls it now and then.
func (m *Memory) Trim() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trim()
}

func (s *segment) bytes(i int) []byte {
	r := &s.reports[i]
	return s.data[r.offset : r.offset+r.size : r.offset+r.size]
}

// find gives a report by its number, which must be held.
func (m *Memory) find(number uint64) (*segment, int) {
	i, found := slices.BinarySearchFunc(m.segments, number, func(s *segment, n uint64) int { return cmp.Compare(s.first, n) })
	if !found {
		i--
	}
	return m.segments[i], int(number - m.segments[i].first)
}

// chain gives the reports of a flow that are held, newest first.
func (m *Memory) chain(number uint64) iter.Seq2[*segment, int] {
	return func(yield func(*segment, int) bool) {
		for {
			s, i := m.find(number)
			prev := s.reports[i].prev
			if !yield(s, i) || prev == 0 || prev-1 < m.segments[0].first {
				return
			}
			number = prev - 1
		}
	}
}

// Flows implements Store.
func (m *Memory) Flows(ctx context.Context, q gremlin.FlowQuery) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		tids := map[string]bool{}
		for _, tid := range q.NodeTIDs {
			tids[tid] = true
		}
		left := int64(-1)
		if q.Limit >= 0 && q.SortBy == "" && !q.HasDedup {
			left = q.Offset + q.Limit
		}
		for n, data := range m.lived(q.From.Millis(), q.To.Millis()) {
			if left == 0 {
				return
			}
			if n%64 == 0 && ctx.Err() != nil {
				yield(nil, context.Cause(ctx))
				return
			}
			f := &flow.Flow{}
			if err := f.DecodeProto(data); err != nil {
				yield(nil, fmt.Errorf("flow in memory: %w", err)) // this process wrote it
				return
			}
			if !q.AllNodes && !tids[f.NodeTID] || !q.Filter.Match(row.Row{Flow: f}) {
				continue
			}
			if !yield(f, nil) {
				return
			}
			left--
		}
	}
}

// lived finds for each flow that lived in [from, to] the report that shows it.
func (m *Memory) lived(from, to int64) [][]byte {
	m.mu.RLock()
	defer m.mu.RUnlock()
	type choice struct {
		number uint64
		data   []byte
	}
	var chosen []choice
	for _, f := range m.flows {
		newest := f.newest
		var show choice
		alive, settled := false, false
		for s, i := range m.chain(newest) {
			r := &s.reports[i]
			number := s.first + uint64(i)
			last := r.last
			if number == newest && !r.ended {
				last += m.opts.Update.Milliseconds()
			}
			alive = alive || r.start <= to && last >= from
			if !alive {
				break // older reports end earlier
			}
			show = choice{number, s.bytes(i)}
			if settled = r.from <= to; settled {
				break
			}
		}
		if alive {
			chosen = append(chosen, show)
		}
	}
	slices.SortFunc(chosen, func(a, b choice) int { return cmp.Compare(a.number, b.number) })
	out := make([][]byte, len(chosen))
	for i, c := range chosen {
		out[i] = c.data
	}
	return out
}

// overlapping gives the reports of a flow that counted something in [from, to], in order of time.
func (m *Memory) overlapping(id gremlin.FlowID, from, to int64) ([]*flow.Flow, error) {
	m.mu.RLock()
	var data [][]byte
	if f := m.flows[identify(id.UUID, id.CaptureID, id.NodeTID)]; f != nil {
		for s, i := range m.chain(f.newest) {
			r := &s.reports[i]
			if r.from <= to && r.last >= from {
				data = append(data, s.bytes(i))
			}
		}
	}
	m.mu.RUnlock()
	flows := make([]*flow.Flow, 0, len(data))
	for _, d := range slices.Backward(data) {
		f := &flow.Flow{}
		if err := f.DecodeProto(d); err != nil {
			return nil, fmt.Errorf("flow in memory: %w", err)
		}
		flows = append(flows, f)
	}
	slices.SortStableFunc(flows, func(a, b *flow.Flow) int { return cmp.Compare(a.Last, b.Last) })
	return flows, nil
}

// Metrics implements Store.
func (m *Memory) Metrics(_ context.Context, q gremlin.FlowQuery, id gremlin.FlowID) ([]flow.Metric, error) {
	flows, err := m.overlapping(id, q.From.Millis(), q.To.Millis())
	var out []flow.Metric
	for _, f := range flows {
		if f.LastUpdateMetric != nil {
			out = append(out, *f.LastUpdateMetric)
		} else if f.Metric != nil {
			out = append(out, *f.Metric)
		}
	}
	return out, err
}

// RawPackets implements Store. A packet that several reports brought is there once.
func (m *Memory) RawPackets(_ context.Context, q gremlin.FlowQuery, ids []gremlin.FlowID) (map[gremlin.FlowID][]flow.RawPacket, error) {
	out := map[gremlin.FlowID][]flow.RawPacket{}
	for _, id := range ids {
		flows, err := m.overlapping(id, q.From.Millis(), q.To.Millis())
		if err != nil {
			return nil, err
		}
		var packets []flow.RawPacket
		for _, f := range flows {
			packets = append(packets, f.LastRawPackets...)
		}
		slices.SortStableFunc(packets, func(a, b flow.RawPacket) int { return cmp.Compare(a.Index, b.Index) })
		packets = slices.CompactFunc(packets, func(a, b flow.RawPacket) bool { return a.Index == b.Index })
		if len(packets) > 0 {
			out[id] = packets
		}
	}
	return out, nil
}

// Stats says what is held.
func (m *Memory) Stats() MemoryStats {
	m.mu.RLock()
	defer m.mu.RUnlock()
	stats := MemoryStats{Flows: len(m.flows), Bytes: m.bytes, Evicted: m.evicted}
	for _, s := range m.segments {
		stats.Reports += len(s.reports)
	}
	if len(m.segments) > 0 {
		stats.Oldest = m.segments[0].at
	}
	return stats
}
