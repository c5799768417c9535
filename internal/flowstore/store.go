// Package flowstore keeps what agents report of flows, for questions about the past, and hands the reports on to
// those who follow them.
//
// A [Store] takes reports and answers for an interval; [Memory] is one that holds a window, bounded by bytes and by
// age. A [Hub] stands before a store: what it takes is appended to the store and then given to every subscription;
// it implements api.FlowHub.
//
// Any goroutine may call anything here. Nothing starts a goroutine. Flows that were given to a Batch, or came out of
// a subscription, are shared and not written to; those out of Store.Flows are the caller's own.
package flowstore

import (
	"context"
	"iter"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/gremlin"
)

// Batch is what an agent reported at once. Each flow is as of the report: its Metric counts since its start, its
// LastUpdateMetric since the report before.
type Batch struct {
	Host  string    // of the agent; "" when imported
	At    time.Time // of arrival
	Past  bool      // from before this process: kept, but not handed on
	Flows []*flow.Flow
	Stats []flow.Stats
	// Encoded has the bytes of each flow, as they came, so that they are not made again; nil = they are to be made.
	// They are read until Append returns.
	Encoded [][]byte
}

// Store keeps reports. What tells flows apart is their gremlin.FlowID: captures on one node report flows of one UUID. The interval of a query is [q.From, q.To]; its Filter and NodeTIDs are applied, its Limit
// where that is safe, and nothing else.
type Store interface {
	// Append keeps a batch; when it returns nil the batch may be acknowledged.
	Append(ctx context.Context, b Batch) error
	// Flows gives each flow that lived in the interval once, as of the last report that began within it.
	Flows(ctx context.Context, q gremlin.FlowQuery) iter.Seq2[*flow.Flow, error]
	// Metrics gives what each report of a flow that overlaps the interval counted, in order of time.
	Metrics(ctx context.Context, q gremlin.FlowQuery, id gremlin.FlowID) ([]flow.Metric, error)
	// RawPackets gives the packets of flows that reports within the interval brought, in order. Flows without any are left out.
	RawPackets(ctx context.Context, q gremlin.FlowQuery, ids []gremlin.FlowID) (map[gremlin.FlowID][]flow.RawPacket, error)
}
