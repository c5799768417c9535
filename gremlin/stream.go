package gremlin

import (
	"iter"
	"strings"

	"github.com/weft-net/weft/graph"
)

// kind is what flows between two steps.
type kind uint8

const (
	kindGraph kind = iota
	kindNodes
	kindEdges
	kindValues  // Values, ValueMap, Keys
	kindScalar  // Count, Sum
	kindPaths   // ShortestPathTo
	kindMetrics // by node or flow
	kindHops    // NextHop
	kindSockets // by node or flow
	kindFlows
	kindPackets // by flow
	kindGroups  // flows by a key
)

// String names the kind as an error does: "on edges".
func (k kind) String() string {
	return [...]string{
		"the graph", "nodes", "edges", "values", "a number", "paths", "metrics", "next hops", "sockets", "flows",
		"raw packets", "groups of flows",
	}[k]
}

// tag names the kind in an Explanation.
func (k kind) tag() string {
	return strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(k.String(), "the "), "a "), " ", "-")
}

// source is where elements come from: a view of the graph, or a subgraph of one.
type source interface {
	Node(id string) (graph.Node, bool)
	Edge(id string) (graph.Edge, bool)
	Nodes() iter.Seq[graph.Node]
	Edges() iter.Seq[graph.Edge]
	NodeCount() int
	EdgeCount() int
	Parent(e graph.Edge) (graph.Node, bool)
	Child(e graph.Edge) (graph.Node, bool)
	Out(n graph.Node) iter.Seq2[graph.Edge, graph.Node]
	In(n graph.Node) iter.Seq2[graph.Edge, graph.Node]
	Lookup(key string, vals ...graph.Value) (seq iter.Seq[graph.Node], estimate int, ok bool)
	LookupEdges(key string, vals ...graph.Value) (seq iter.Seq[graph.Edge], estimate int, ok bool)
}

// scope is the graph that a step stands on, and the time that it shows.
type scope struct {
	flowsFrom graph.Moment // of an interval: its begin as asked for, which flows may know and the graph not; 0 = from
	source
	view     *graph.View // under the source
	live     bool        // no At: the graph as it is
	interval bool        // At with a duration
	from, to graph.Moment
}

// stream is what one step hands to the next: rows of one kind, made as they are asked for, or a whole that is small.
type stream struct {
	kind  kind
	scope *scope

	nodes  iter.Seq[graph.Node]
	edges  iter.Seq[graph.Edge]
	values iter.Seq[graph.Value]
	paths  iter.Seq[[]graph.Node]
	flows  iter.Seq[Flow]
	query  *FlowQuery // behind flows: what was asked of the source

	reduction *reduction // behind flows of now: what a step to come makes of them, and may do without them

	scalar graph.Value
	table  *table // metrics, next hops, sockets, packets, groups
}

// table holds rows of objects by the id of what they belong to.
type table struct {
	ids  []string // in the order of arrival; the result is sorted
	rows map[string][]graph.Metadata
	flow map[string][]Flow // groups
	one  bool              // next hops: one object an id, not a list

	packets []RawPacket // raw packets: the same once more, as they came
}

func newTable() *table { return &table{rows: map[string][]graph.Metadata{}} }

// add appends rows to an id; an id without rows is still listed.
func (t *table) add(id string, rows ...graph.Metadata) {
	if _, ok := t.rows[id]; !ok {
		t.ids = append(t.ids, id)
	}
	t.rows[id] = append(t.rows[id], rows...)
}
