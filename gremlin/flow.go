package gremlin

import (
	"context"
	"iter"

	"github.com/weft-net/weft/graph"
)

// Flow is one flow as the steps see it. Its fields, their names and its JSON are those of Skydive's flow model.
type Flow interface {
	// UUID identifies the flow in the results of Metrics, RawPackets and Sockets.
	UUID() string
	// Field reads a field by its dotted name: "Network.A", "Metric.ABBytes", "NodeTID".
	Field(path string) (graph.Value, bool)
	// Keys lists the names that Field knows.
	Keys() []string
	// AppendJSON appends the flow as a JSON object.
	AppendJSON(dst []byte) []byte
}

// FlowID tells a flow from all others. The UUID alone does not: every capture on a node sees the same flow there.
type FlowID struct{ UUID, CaptureID, NodeTID string }

// FlowIDOf reads what tells a flow from all others.
func FlowIDOf(f Flow) FlowID {
	text := func(key string) string {
		v, _ := f.Field(key)
		if v.Kind() != graph.KindString {
			return ""
		}
		return v.Str()
	}
	return FlowID{UUID: f.UUID(), CaptureID: text("CaptureID"), NodeTID: text("NodeTID")}
}

// RawPacket is one captured packet.
type RawPacket struct {
	Timestamp int64 // ms
	Nanos     int64 // since Timestamp, 0 to 999,999; not in the JSON, which is Skydive's
	Index     int64 // within the flow
	Data      []byte
	LinkType  int64
}

// FlowMetric is the traffic of a flow over [Start, Last], as the object that Metrics shows.
type FlowMetric = graph.Metadata

// FlowQuery is what a query wants of the flows, with everything pushed down that a source can use. A source applies
// Filter, NodeTIDs and the interval. Sort, Dedup, Offset and Limit are offers: they say what will be done with the
// answer, so that a source may send less; the steps apply them again on what it sends, except for Offset, which a
// source must not apply.
type FlowQuery struct {
	Filter   *FlowFilter // nil = all
	NodeTIDs []string    // captured on these nodes; ignored when AllNodes
	AllNodes bool

	Live     bool         // the flows of now, from where they are captured
	From, To graph.Moment // otherwise: those that overlap [From, To]

	SortBy   string // "" = unsorted
	SortDesc bool
	Dedup    []string // keys; nil = no deduplication, empty = by UUID
	HasDedup bool
	Offset   int64
	Limit    int64 // flows wanted after Offset; -1 = all

	// Warn adds to the warnings of the result, such as that a host did not answer. It is called from the goroutine
	// of the query, and is never nil in a query that a source gets from an Engine.
	Warn func(text string) `json:"-"`
}

// FlowFilter is a condition on flows: a tree of And and Or over single conditions. Match evaluates it. It goes to other
// processes by MarshalJSON and ParseFlowFilter.
type FlowFilter struct {
	And []*FlowFilter
	Or  []*FlowFilter

	Key       string        // of a single condition
	Predicate string        // "EQ", "NE", "NEE", "LT", "GT", "LTE", "GTE", "INSIDE", "OUTSIDE", "BETWEEN", "WITHIN", "WITHOUT", "REGEX", "IPV4RANGE", "IPV6RANGE", "IPRANGE", "HASKEY", "HASNOT"
	Args      []graph.Value // of the predicate
	cond      *condition
}

// Match reports whether the fields of a flow fulfil the filter. Only filters that came in a FlowQuery, or out
// of ParseFlowFilter, can match.
func (f *FlowFilter) Match(flow Flow) bool {
	if f == nil || f.cond == nil {
		return true
	}
	return f.cond.fields(flow.Field)
}

// FlowSource is where flows come from. It is called from the goroutine of the query, with the query's context, and
// must return soon after the context ends. Implementations are safe for concurrent use.
type FlowSource interface {
	// Flows gives the flows that the query wants; an error ends the sequence.
	Flows(ctx context.Context, q FlowQuery) iter.Seq2[Flow, error]
	// Metrics gives the metrics of a flow within the interval of the query (its last one when live), in order of time.
	Metrics(ctx context.Context, q FlowQuery, flow Flow) ([]FlowMetric, error)
	// RawPackets gives the captured packets of flows within the interval, by the flow and in order, filtered by a BPF
	// expression unless it is empty.
	RawPackets(ctx context.Context, q FlowQuery, flows []Flow, bpf string) (map[FlowID][]RawPacket, error)
}

// WorkflowSource runs the workflows that users stored. The graph is the one at the Workflow step.
type WorkflowSource interface {
	// Call runs a workflow by its id or name and gives the nodes and edges that it selects. An unknown name is
	// ErrNoWorkflow.
	Call(ctx context.Context, name string, args []graph.Value, view *graph.View) (nodes []graph.Node, edges []graph.Edge, err error)
}
