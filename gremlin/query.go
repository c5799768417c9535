package gremlin

import (
	"strings"
)

// Query is a parsed, checked and planned query. It is immutable.
type Query struct {
	calls []call
	plan  []planStep
}

// Parse reads a query and plans it. The error is a [*SyntaxError].
func Parse(text string) (*Query, error) {
	calls, err := parseCalls(text)
	if err != nil {
		return nil, err
	}
	plan, err := makePlan(calls)
	if err != nil {
		return nil, err
	}
	return &Query{calls: calls, plan: plan}, nil
}

// String writes the query in canonical form. Parsing it again gives the same query.
func (q *Query) String() string {
	return strings.Join(q.Steps(), ".")
}

// Steps lists the steps of the query in canonical form.
func (q *Query) Steps() []string {
	steps := make([]string, len(q.calls))
	for i, c := range q.calls {
		steps[i] = c.String()
	}
	return steps
}

// Result kinds, as [Result.Kind] names them.
const (
	KindGraph   = "graph"
	KindNodes   = "nodes"
	KindEdges   = "edges"
	KindValues  = "values"
	KindNumber  = "number"
	KindPaths   = "paths"
	KindMetrics = "metrics"
	KindHops    = "next-hops"
	KindSockets = "sockets"
	KindFlows   = "flows"
	KindPackets = "raw-packets"
	KindGroups  = "groups-of-flows"
)

// Kind names what the query gives: one of the Kind constants.
func (q *Query) Kind() string { return q.plan[len(q.plan)-1].out.tag() }

// Live reports whether the query is about now: whether it has no At or Context step.
func (q *Query) Live() bool {
	for _, s := range q.plan {
		if s.when != nil {
			return false
		}
	}
	return true
}

// ReadsPackets reports whether the query looks into packets that captures kept, whatever it makes of them.
func (q *Query) ReadsPackets() bool {
	for _, s := range q.plan {
		if s.out == kindPackets {
			return true
		}
	}
	return false
}
