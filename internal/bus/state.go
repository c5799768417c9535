package bus

import (
	"math"

	"github.com/weft-net/weft/graph"
)

// Collect says an origin's whole state in a view as the events of a Snapshot: its nodes,
// then its edges, then its layers on what others own, with the last sample of each.
func Collect(v *graph.View, origin string) []graph.Event {
	var nodes, edges, rest []graph.Event
	for n := range v.Nodes() {
		if e, ok := say(n.Element, origin); ok {
			e.Op = graph.PutNode
			nodes = append(nodes, e)
		} else if e, ok := layer(n.Element, origin); ok {
			rest = append(rest, e)
		}
		rest = appendSample(rest, n.Element, origin, false)
	}
	for n := range v.Edges() {
		if e, ok := say(n.Element, origin); ok {
			e.Op, e.Parent, e.Child = graph.PutEdge, n.Parent(), n.Child()
			edges = append(edges, e)
		} else if e, ok := layer(n.Element, origin); ok {
			e.Edge = true
			rest = append(rest, e)
		}
		rest = appendSample(rest, n.Element, origin, true)
	}
	return append(append(nodes, edges...), rest...)
}

// say is the Put of an element that the origin owns.
func say(el graph.Element, origin string) (graph.Event, bool) {
	if el.Owner() != origin {
		return graph.Event{}, false
	}
	e := graph.Event{
		ID: el.ID(), Host: el.Host(), Origin: el.Origin(),
		CreatedAt: el.CreatedAt(), UpdatedAt: el.UpdatedAt(), Revision: el.Revision(),
	}
	for l := range el.Layers() {
		if l.Origin == origin {
			e.Metadata = l.Metadata
		}
	}
	return e, true
}

func layer(el graph.Element, origin string) (graph.Event, bool) {
	for l := range el.Layers() {
		if l.Origin == origin {
			return graph.Event{Op: graph.PutLayer, ID: el.ID(), Metadata: l.Metadata, Rank: l.Rank}, true
		}
	}
	return graph.Event{}, false
}

// counterPrefixes are those under which probes put samples.
var counterPrefixes = [...]string{"Metric"}

// appendSample adds the last sample of an element's counters, for its owner to say again.
func appendSample(dst []graph.Event, el graph.Element, origin string, edge bool) []graph.Event {
	if el.Owner() != origin {
		return dst
	}
	for _, prefix := range counterPrefixes {
		var last *graph.Counters
		for s := range el.Samples(prefix, 0, math.MaxInt64) {
			last = &s.Counters
		}
		if last != nil {
			dst = append(dst, graph.Event{Op: graph.PutSample, ID: el.ID(), Edge: edge, Counters: last})
		}
	}
	return dst
}
