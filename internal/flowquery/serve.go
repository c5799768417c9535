// Package flowquery asks the agents about the flows of now. [Serve] answers at the agent, from what its captures
// hold; [Source] asks at the analyzer: it sends each question to the hosts that can know, all at once, and gives
// their answers as they come; what sorts is the query. Questions about the past go to a flowstore.Store.
//
// A host that does not answer in time is named in a warning of the result, which then holds what the others said.
// Flows travel as messages of Skydive's flow protobuf; filters are evaluated at the agent, which sends no more
// than the query's limit.
//
// Source may be used from any goroutine; each question starts goroutines that end with it. Serve runs each answer
// on a goroutine of its own until its stop function is called.
package flowquery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/flowquery/row"
)

const (
	flowsVerb   = "flows"
	packetsVerb = "packets"
	reduceVerb  = "reduce"
	partBytes   = 128 << 10 // of a part of an answer, about
	mostAnswers = 16        // given at once by one agent
	mostUUIDs   = 100_000   // of a question for packets
	mostAsked   = 5000      // of those that are put, of which each may be in a capture of its own
)

// Live is what an agent's captures hold now.
type Live interface {
	// Flows gives the flows that the query wants: filtered, and at most Offset+Limit where that is safe. A flow is
	// the caller's until the next one.
	Flows(ctx context.Context, q *gremlin.FlowQuery) iter.Seq2[*flow.Flow, error]
	// Reduce gives what the reduction makes of the flows that Flows would give.
	Reduce(ctx context.Context, q *gremlin.FlowQuery, r gremlin.FlowReduction) (*gremlin.FlowTotal, error)
	// RawPackets gives the packets kept of flows, in the order of time.
	RawPackets(ctx context.Context, ids []gremlin.FlowID) (map[gremlin.FlowID][]flow.RawPacket, error)
}

// Serve answers the questions of analyzers from what is live on this member. What it returns ends that.
func Serve(conn *bus.Conn, live Live) (stop func(), err error) {
	flows, err := conn.OnAsk(flowsVerb, mostAnswers, func(ctx context.Context, data []byte, say func([]byte) error) error {
		q, err := gremlin.ParseFlowQuery(data)
		if err != nil {
			return err
		}
		q.Warn = func(string) {}
		return sayFlows(live.Flows(ctx, q), say)
	})
	if err != nil {
		return nil, fmt.Errorf("flow queries: %w", err)
	}
	reductions, err := conn.OnAsk(reduceVerb, mostAnswers, func(ctx context.Context, data []byte, say func([]byte) error) error {
		q, r, err := parseReduction(data)
		if err != nil {
			return err
		}
		total, err := live.Reduce(ctx, q, r)
		if err != nil {
			return err
		}
		for part, err := range total.Parts(partBytes) {
			if err != nil {
				return err
			}
			if err := say(part); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		flows()
		return nil, fmt.Errorf("flow queries: %w", err)
	}
	packets, err := conn.OnAsk(packetsVerb, mostAnswers, func(ctx context.Context, data []byte, say func([]byte) error) error {
		ids, err := parseIDs(data)
		if err != nil {
			return err
		}
		found, err := live.RawPackets(ctx, ids)
		if err != nil {
			return err
		}
		return sayFlows(withPackets(ids, found), say)
	})
	if err != nil {
		flows()
		reductions()
		return nil, fmt.Errorf("flow queries: %w", err)
	}
	return func() { flows(); reductions(); packets() }, nil
}

// seenIn names the flows of one capture on one node.
type seenIn struct {
	CaptureID, NodeTID string
	UUIDs              []string
}

func marshalIDs(ids []gremlin.FlowID) ([]byte, error) {
	var groups []*seenIn
	at := map[gremlin.FlowID]*seenIn{} // without the UUID
	for _, id := range ids {
		where := gremlin.FlowID{CaptureID: id.CaptureID, NodeTID: id.NodeTID}
		g := at[where]
		if g == nil {
			g = &seenIn{CaptureID: id.CaptureID, NodeTID: id.NodeTID}
			at[where] = g
			groups = append(groups, g)
		}
		g.UUIDs = append(g.UUIDs, id.UUID)
	}
	return json.Marshal(groups)
}

func parseIDs(data []byte) (ids []gremlin.FlowID, err error) {
	var groups []seenIn
	if err := json.Unmarshal(data, &groups); err != nil {
		return nil, fmt.Errorf("raw packets: %w", err)
	}
	for _, g := range groups {
		if n := len(ids) + len(g.UUIDs); n > mostUUIDs {
			return nil, fmt.Errorf("raw packets of %d flows: at most %d at once", n, mostUUIDs)
		}
		for _, uuid := range g.UUIDs {
			ids = append(ids, gremlin.FlowID{UUID: uuid, CaptureID: g.CaptureID, NodeTID: g.NodeTID})
		}
	}
	return ids, nil
}

// withPackets makes flows of which only the identity and the packets are known, a few packets at a time.
func withPackets(ids []gremlin.FlowID, found map[gremlin.FlowID][]flow.RawPacket) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		for _, id := range ids {
			say := func(some []flow.RawPacket) bool {
				return yield(&flow.Flow{UUID: id.UUID, CaptureID: id.CaptureID, NodeTID: id.NodeTID, LastRawPackets: some}, nil)
			}
			var some []flow.RawPacket
			size := 0
			for _, p := range found[id] {
				some, size = append(some, p), size+len(p.Data)
				if size > partBytes {
					if !say(some) {
						return
					}
					some, size = nil, 0
				}
			}
			if len(some) > 0 && !say(some) {
				return
			}
		}
	}
}

func sayFlows(flows iter.Seq2[*flow.Flow, error], say func([]byte) error) error {
	var part []byte
	for f, err := range flows {
		if err != nil {
			return err
		}
		part = flow.AppendMessageFlow(part, f)
		if len(part) >= partBytes {
			if err := say(part); err != nil {
				return err
			}
			part = part[:0]
		}
	}
	if len(part) == 0 {
		return nil
	}
	return say(part)
}

// local is a Source of one process: the API of an agent answers from it.
type local struct{ live Live }

// Local makes a gremlin.FlowSource of what is live here. It knows nothing of the past.
func Local(live Live) gremlin.FlowSource { return local{live} }

var errNoPast = errors.New("an agent knows the flows of now only: ask an analyzer about the past")

// Flows implements gremlin.FlowSource.
func (l local) Flows(ctx context.Context, q gremlin.FlowQuery) iter.Seq2[gremlin.Flow, error] {
	return func(yield func(gremlin.Flow, error) bool) {
		if !q.Live {
			yield(nil, errNoPast)
			return
		}
		for f, err := range l.live.Flows(ctx, &q) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(row.Row{Flow: f.Clone()}, nil) {
				return
			}
		}
	}
}

// Reduce implements gremlin.FlowReducer.
func (l local) Reduce(ctx context.Context, q gremlin.FlowQuery, r gremlin.FlowReduction) (*gremlin.FlowTotal, error) {
	return l.live.Reduce(ctx, &q, r)
}

// Metrics implements gremlin.FlowSource.
func (l local) Metrics(_ context.Context, _ gremlin.FlowQuery, f gremlin.Flow) ([]gremlin.FlowMetric, error) {
	return liveMetric(f), nil
}

func liveMetric(f gremlin.Flow) []gremlin.FlowMetric {
	if r, ok := f.(gremlin.MeasuredFlow); ok {
		return r.LiveMetrics()
	}
	return nil
}

// RawPackets implements gremlin.FlowSource.
func (l local) RawPackets(ctx context.Context, _ gremlin.FlowQuery, flows []gremlin.Flow, bpf string) (map[gremlin.FlowID][]gremlin.RawPacket, error) {
	ids := make([]gremlin.FlowID, len(flows))
	for i, f := range flows {
		ids[i] = gremlin.FlowIDOf(f)
	}
	found, err := l.live.RawPackets(ctx, ids)
	if err != nil {
		return nil, err
	}
	return sift(found, bpf)
}
