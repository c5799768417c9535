package flowquery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/capture/filter"
	"github.com/weft-net/weft/internal/flowquery/row"
	"github.com/weft-net/weft/internal/flowstore"
)

// Options are what a Source needs.
type Options struct {
	Conn  *bus.Conn
	Graph *graph.Graph    // tells the host of a node
	Store flowstore.Store // of the past
	// Hosts are those that run captures now.
	Hosts func() []string
	// Settling reports whether there may be more hosts than Hosts knows of yet: answers then say so. nil = never.
	Settling func() bool
	// Timeout is how long an agent may take for its whole answer, 5 s.
	Timeout time.Duration
}

// Source implements gremlin.FlowSource at an analyzer.
type Source struct {
	opts   Options
	asked  atomic.Uint64
	silent atomic.Uint64
}

// New makes a Source.
func New(opts Options) *Source {
	opts.Timeout = cmp.Or(opts.Timeout, 5*time.Second)
	return &Source{opts: opts}
}

// Stats says how many questions went to hosts, and how many of them were not answered.
func (s *Source) Stats() (asked, silent uint64) { return s.asked.Load(), s.silent.Load() }

// Flows implements gremlin.FlowSource.
func (s *Source) Flows(ctx context.Context, q gremlin.FlowQuery) iter.Seq2[gremlin.Flow, error] {
	if !q.Live {
		return func(yield func(gremlin.Flow, error) bool) {
			for f, err := range s.opts.Store.Flows(ctx, q) {
				if err != nil {
					yield(nil, err)
					return
				}
				if !yield(row.Row{Flow: f}, nil) {
					return
				}
			}
		}
	}
	return func(yield func(gremlin.Flow, error) bool) {
		s.settling(&q)
		question, err := q.MarshalJSON()
		if err != nil {
			yield(nil, err)
			return
		}
		for f, err := range s.flows(ctx, s.hosts(&q), flowsVerb, question, q.Warn) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(row.Row{Flow: f}, nil) {
				return
			}
		}
	}
}

// Reduce implements gremlin.FlowReducer: every host reduces its own flows.
func (s *Source) Reduce(ctx context.Context, q gremlin.FlowQuery, r gremlin.FlowReduction) (*gremlin.FlowTotal, error) {
	question, err := marshalReduction(&q, r)
	if err != nil {
		return nil, err
	}
	s.settling(&q)
	total := r.New()
	for part, err := range scatter(ctx, s, s.hosts(&q), reduceVerb, question, q.Warn, keepPart) {
		if err == nil {
			err = total.MergePart(part)
		}
		if err != nil {
			return nil, err
		}
	}
	return total, nil
}

// settling warns that the answer may lack hosts which nobody knows of yet.
func (s *Source) settling(q *gremlin.FlowQuery) {
	if s.opts.Settling != nil && s.opts.Settling() && q.Warn != nil {
		q.Warn("this analyzer just started: hosts may still be joining, and their flows be missing; ask again in some seconds")
	}
}

func keepPart(part []byte) ([]byte, error) { return part, nil }

// wireReduction is the question of a reduction in JSON.
type wireReduction struct {
	Query     json.RawMessage
	Reduction gremlin.FlowReduction
}

func marshalReduction(q *gremlin.FlowQuery, r gremlin.FlowReduction) ([]byte, error) {
	query, err := q.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return json.Marshal(wireReduction{query, r})
}

func parseReduction(data []byte) (*gremlin.FlowQuery, gremlin.FlowReduction, error) {
	var w wireReduction
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, w.Reduction, fmt.Errorf("reduction of flows: %w", err)
	}
	q, err := gremlin.ParseFlowQuery(w.Query)
	if err != nil {
		return nil, w.Reduction, err
	}
	q.Warn = func(string) {}
	return q, w.Reduction, nil
}

// flows scatters a question and gives the flows of the answers.
func (s *Source) flows(ctx context.Context, hosts []string, verb string, question []byte, warn func(string)) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		for flows, err := range scatter(ctx, s, hosts, verb, question, warn, decodeFlows) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, f := range flows {
				if !yield(f, nil) {
					return
				}
			}
		}
	}
}

func decodeFlows(part []byte) ([]*flow.Flow, error) {
	var m flow.Message
	err := m.DecodeProto(part)
	return m.Flows, err
}

// hosts are those that can know flows that the query wants.
func (s *Source) hosts(q *gremlin.FlowQuery) []string {
	running := s.opts.Hosts()
	slices.Sort(running)
	running = slices.Compact(running)
	if q.AllNodes {
		return running
	}
	var hosts []string
	view := s.opts.Graph.View()
	for _, tid := range q.NodeTIDs {
		nodes, _, indexed := view.Lookup("TID", graph.String(tid))
		if !indexed {
			return running
		}
		for n := range nodes {
			if host := n.Host(); slices.Contains(running, host) && !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
	}
	slices.Sort(hosts)
	return hosts
}

// scatter asks all hosts at once and gives the parts of their answers as they come, so that a host that is slow holds
// up nobody else's answer. A host that fails is warned of. Parts are decoded on a goroutine of each host.
func scatter[T any](ctx context.Context, s *Source, hosts []string, verb string, question []byte, warn func(string), decode func([]byte) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		reading, leave := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer leave()
		answers := make(chan answer[T], 2)
		var left atomic.Int64
		left.Store(int64(len(hosts)))
		for _, host := range hosts {
			running.Go(func() {
				ask(reading, s, host, verb, question, answers, decode)
				if left.Add(-1) == 0 {
					close(answers)
				}
			})
		}
		for asked := len(hosts) > 0; asked; {
			a, more := <-answers
			if ctx.Err() != nil {
				yield(none, context.Cause(ctx))
				return
			}
			if a.err != nil {
				s.silent.Add(1)
				if warn != nil {
					warn(s.complaint(a.host, a.err))
				}
			}
			if a.whole && !yield(a.part, nil) {
				return
			}
			asked = more
		}
	}
}

func (s *Source) complaint(host string, err error) string {
	if errors.Is(err, bus.ErrSilent) {
		return fmt.Sprintf("host %s did not answer within %s: its flows are missing, or some of them", host, s.opts.Timeout)
	}
	return fmt.Sprintf("host %s: %v: its flows are missing, or some of them", host, err)
}

type answer[T any] struct {
	host  string
	part  T
	whole bool // there is a part
	err   error
}

// ask puts the parts of one host's answer into the channel, and why there is no more. The context ends when nobody
// reads the channel; the timeout is for the host alone, so that its passing is always told.
func ask[T any](reading context.Context, s *Source, host, verb string, question []byte, into chan<- answer[T], decode func([]byte) (T, error)) {
	s.asked.Add(1)
	give := func(a answer[T]) bool {
		a.host = host
		select {
		case into <- a:
			return true
		case <-reading.Done():
			return false
		}
	}
	ctx, cancel := context.WithTimeout(reading, s.opts.Timeout)
	defer cancel()
	for part, err := range s.opts.Conn.Ask(ctx, host, verb, question) {
		var a answer[T]
		if a.err = err; err == nil {
			a.part, a.err = decode(part)
			a.whole = a.err == nil
		}
		if !give(a) || a.err != nil {
			return
		}
	}
}

// Metrics implements gremlin.FlowSource.
func (s *Source) Metrics(ctx context.Context, q gremlin.FlowQuery, f gremlin.Flow) ([]gremlin.FlowMetric, error) {
	if q.Live {
		return liveMetric(f), nil
	}
	metrics, err := s.opts.Store.Metrics(ctx, q, gremlin.FlowIDOf(f))
	out := make([]gremlin.FlowMetric, len(metrics))
	for i := range metrics {
		out[i] = row.Metric(&metrics[i])
	}
	return out, err
}

// RawPackets implements gremlin.FlowSource.
func (s *Source) RawPackets(ctx context.Context, q gremlin.FlowQuery, flows []gremlin.Flow, bpf string) (map[gremlin.FlowID][]gremlin.RawPacket, error) {
	ids := make([]gremlin.FlowID, 0, len(flows))
	asked := map[gremlin.FlowID]bool{}
	tids := map[string]bool{}
	for _, f := range flows {
		id := gremlin.FlowIDOf(f)
		if r, ok := f.(row.Row); !asked[id] && (!ok || r.Flow.RawPacketsCaptured > 0 || !q.Live) {
			asked[id] = true
			ids = append(ids, id)
			tids[id.NodeTID] = true
		}
	}
	if len(ids) == 0 {
		return sift(nil, bpf)
	}
	if !q.Live {
		found, err := s.opts.Store.RawPackets(ctx, q, ids)
		if err != nil {
			return nil, err
		}
		return sift(found, bpf)
	}
	where := gremlin.FlowQuery{}
	for tid := range tids {
		where.NodeTIDs = append(where.NodeTIDs, tid)
	}
	found := map[gremlin.FlowID][]flow.RawPacket{}
	for some := range slices.Chunk(ids, mostAsked) {
		question, err := marshalIDs(some)
		if err != nil {
			return nil, fmt.Errorf("raw packets: %w", err)
		}
		for f, err := range s.flows(ctx, s.hosts(&where), packetsVerb, question, q.Warn) {
			if err != nil {
				return nil, err
			}
			id := gremlin.FlowID{UUID: f.UUID, CaptureID: f.CaptureID, NodeTID: f.NodeTID}
			found[id] = append(found[id], f.LastRawPackets...)
		}
	}
	return sift(found, bpf)
}

// sift keeps the packets that an expression selects.
func sift(found map[gremlin.FlowID][]flow.RawPacket, bpf string) (map[gremlin.FlowID][]gremlin.RawPacket, error) {
	programs := map[flow.LinkType]*filter.Program{}
	if bpf != "" { // a bad expression is an error also where there is no packet
		if _, err := filter.Compile(bpf, flow.LinkEthernet, 1<<16); err != nil {
			return nil, err
		}
	}
	out := map[gremlin.FlowID][]gremlin.RawPacket{}
	for id, packets := range found {
		for _, p := range packets {
			if bpf != "" {
				program := programs[p.LinkType]
				if program == nil {
					var err error
					if program, err = filter.Compile(bpf, p.LinkType, 1<<16); err != nil {
						return nil, err
					}
					programs[p.LinkType] = program
				}
				if !program.Match(p.Data, len(p.Data)) {
					continue
				}
			}
			out[id] = append(out[id], gremlin.RawPacket{Timestamp: p.Timestamp, Nanos: p.Nanos, Index: p.Index, Data: p.Data, LinkType: int64(p.LinkType)})
		}
	}
	return out, nil
}
