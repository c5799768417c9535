package graphtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weft-net/weft/graph"
)

// Model is the graph as its documentation says, without any cleverness.
type Model struct {
	Nodes, Edges map[string]*Element
	Past         []State // after every commit that changed something, oldest first

	origins map[string]*position
	parked  []parkedEdge
	touched map[string]bool // in the commit being made
}

// State is the whole graph after one commit.
type State struct {
	Moment       graph.Moment
	Nodes, Edges map[string]*Element
}

// Element is a node or an edge of the model.
type Element struct {
	ID, Owner, Host, Origin, Parent, Child string
	Edge                                   bool
	Created, Updated, Deleted, Revision    int64
	Own                                    map[string]any
	Layers                                 map[string]Layer // by origin, the owner's own one not among them
	Samples                                map[string][]Sample
}

// Layer is what an origin says of another's element. A removed key has the value Removed.
type Layer struct {
	Rank graph.Rank
	Data map[string]any
}

// Removed is the value of a key that a layer takes away.
type Removed struct{}

// Sample is the sample of a series.
type Sample struct {
	Names       []string
	Values      []int64
	Start, Last int64
}

type position struct{ epoch, seq uint64 }

type parkedEdge struct {
	origin string
	ev     graph.Event
}

// NewModel makes an empty model.
func NewModel() *Model {
	return &Model{
		Nodes: map[string]*Element{}, Edges: map[string]*Element{}, origins: map[string]*position{},
	}
}

// Apply does what graph.ApplyAt does, and tells the status or the gap.
func (m *Model) Apply(at graph.Moment, b *graph.Batch) (graph.Status, bool) {
	p := m.origins[b.Origin]
	if p == nil {
		p = &position{}
		m.origins[b.Origin] = p
	}
	if b.Epoch != 0 {
		switch {
		case b.Epoch < p.epoch:
			return graph.Stale, true
		case b.Epoch == p.epoch && b.Seq <= p.seq:
			return graph.Duplicate, true
		case !b.Snapshot && b.Epoch > p.epoch && b.Seq != 1, !b.Snapshot && b.Epoch == p.epoch && b.Seq != p.seq+1:
			return graph.Applied, false
		}
		*p = position{b.Epoch, b.Seq}
	}
	m.touched = map[string]bool{}
	before := m.copyState(at)
	named := map[string]bool{}
	if b.Snapshot {
		m.parked = slices.DeleteFunc(m.parked, func(x parkedEdge) bool { return x.origin == b.Origin })
	}
	for i := range b.Events {
		m.event(at, b, &b.Events[i], named)
	}
	if b.Snapshot {
		m.sweep(at, b.Origin, named)
	}
	after := m.copyState(at)
	if before.String() != after.String() {
		m.Past = append(m.Past, after)
	}
	return graph.Applied, true
}

func key(edge bool, id string) string {
	if edge {
		return "edge " + id
	}
	return "node " + id
}

func (m *Model) elements(edge bool) map[string]*Element {
	if edge {
		return m.Edges
	}
	return m.Nodes
}

func (m *Model) event(at graph.Moment, b *graph.Batch, ev *graph.Event, named map[string]bool) {
	edge := ev.Edge
	switch ev.Op {
	case graph.PutEdge, graph.DeleteEdge, graph.PatchEdge:
		edge = true
	}
	e := m.elements(edge)[ev.ID]
	switch ev.Op {
	case graph.PutNode, graph.PutEdge:
		m.put(at, b, ev, e, edge, named)
	case graph.DeleteNode, graph.DeleteEdge:
		m.unpark(b.Origin, ev.ID, edge)
		if e != nil && (e.Owner == b.Origin || ev.Rank == graph.RankUser) {
			m.delete(e)
		}
	case graph.PatchNode, graph.PatchEdge:
		m.patch(at, b, ev, e, edge, named)
	case graph.PutLayer:
		if e != nil {
			named["layer "+key(edge, ev.ID)] = true
			m.setLayer(at, e, b.Origin, Layer{ev.Rank, Plain(ev.Metadata)}, ev)
		}
	case graph.DropLayer:
		if e != nil {
			m.dropLayer(at, e, b.Origin, ev)
		}
	case graph.PutSample:
		if e != nil {
			m.sample(at, e, ev)
		}
	}
}

func (m *Model) unpark(origin, id string, edge bool) {
	if edge {
		m.parked = slices.DeleteFunc(m.parked, func(x parkedEdge) bool { return x.origin == origin && x.ev.ID == id })
	}
}

func (m *Model) put(at graph.Moment, b *graph.Batch, ev *graph.Event, e *Element, edge bool, named map[string]bool) {
	m.unpark(b.Origin, ev.ID, edge)
	if e != nil && e.Owner != b.Origin {
		return
	}
	if e == nil && !edge {
		m.create(at, b.Origin, ev, false)
		named[key(false, ev.ID)] = true
		m.arrive(at, b.Origin, named)
		return
	}
	stale := ev.Revision != 0 && !b.Snapshot && e != nil && ev.Revision <= e.Revision
	if edge && (e == nil || ev.Parent != e.Parent || ev.Child != e.Child) {
		if stale {
			return
		}
		if m.Nodes[ev.Parent] == nil || m.Nodes[ev.Child] == nil {
			m.parked = append(m.parked, parkedEdge{b.Origin, *ev})
			return
		}
		moved := *ev
		if e != nil {
			moved.Revision = max(ev.Revision, e.Revision+1)
			if moved.CreatedAt == 0 {
				moved.CreatedAt = e.Created
			}
			if moved.Host == "" {
				moved.Host = e.Host
			}
			m.delete(e)
		}
		m.create(at, b.Origin, &moved, true)
		named[key(true, ev.ID)] = true
		return
	}
	named[key(edge, ev.ID)] = true
	own := Plain(ev.Metadata)
	host, origin := e.Host, e.Origin
	if ev.Host != "" {
		host = ev.Host
	}
	if ev.Origin != "" {
		origin = ev.Origin
	}
	if host == e.Host && origin == e.Origin && text(own) == text(e.Own) || stale {
		return
	}
	e.Host, e.Origin, e.Own = host, origin, own
	m.bump(at, e, ev, true)
}

func (m *Model) create(at graph.Moment, owner string, ev *graph.Event, edge bool) {
	e := &Element{
		ID: ev.ID, Owner: owner, Host: ev.Host, Origin: ev.Origin, Edge: edge, Created: ev.CreatedAt,
		Updated: ev.UpdatedAt, Revision: ev.Revision, Own: Plain(ev.Metadata),
		Layers: map[string]Layer{}, Samples: map[string][]Sample{},
	}
	if edge {
		e.Parent, e.Child = ev.Parent, ev.Child
	}
	if e.Origin == "" {
		e.Origin = owner
	}
	if e.Created == 0 {
		e.Created = at.Millis()
	}
	if e.Updated == 0 {
		e.Updated = at.Millis()
	}
	m.elements(edge)[ev.ID] = e
	m.touched[key(edge, ev.ID)] = true
}

// arrive creates the edges that waited for a node; a snapshot that brought it has named its own.
func (m *Model) arrive(at graph.Moment, origin string, named map[string]bool) {
	var left []parkedEdge
	for _, x := range m.parked {
		if m.Nodes[x.ev.Parent] == nil || m.Nodes[x.ev.Child] == nil {
			left = append(left, x)
			continue
		}
		if m.Edges[x.ev.ID] == nil {
			m.create(at, x.origin, &x.ev, true)
			if x.origin == origin {
				named[key(true, x.ev.ID)] = true
			}
		}
	}
	m.parked = left
}

// bump counts a change; within a commit an element changes once.
func (m *Model) bump(at graph.Moment, e *Element, ev *graph.Event, owner bool) {
	k := key(e.Edge, e.ID)
	revision := e.Revision
	if !m.touched[k] {
		e.Revision++
		m.touched[k] = true
	}
	e.Updated = at.Millis()
	if ev == nil {
		return
	}
	if ev.UpdatedAt != 0 {
		e.Updated = ev.UpdatedAt
	}
	if owner && ev.Revision > revision {
		e.Revision = max(e.Revision, ev.Revision)
	}
}

func (m *Model) delete(e *Element) {
	if !e.Edge {
		for _, x := range m.Edges {
			if x.Parent == e.ID || x.Child == e.ID {
				m.delete(x)
			}
		}
	}
	delete(m.elements(e.Edge), e.ID)
	delete(m.touched, key(e.Edge, e.ID))
}

func (m *Model) patch(at graph.Moment, b *graph.Batch, ev *graph.Event, e *Element, edge bool, named map[string]bool) {
	if e == nil {
		for i, x := range m.parked {
			if edge && x.origin == b.Origin && x.ev.ID == ev.ID {
				own := Plain(x.ev.Metadata)
				patchMap(own, ev.Patch, nil)
				m.parked[i].ev.Metadata = packed(own)
			}
		}
		return
	}
	if e.Owner == b.Origin {
		named[key(edge, ev.ID)] = true
		own := clone(e.Own).(map[string]any)
		patchMap(own, ev.Patch, nil)
		if text(own) == text(e.Own) || ev.Revision != 0 && !b.Snapshot && ev.Revision <= e.Revision {
			return
		}
		e.Own = own
		m.bump(at, e, ev, true)
		return
	}
	l, had := e.Layers[b.Origin]
	rank := ev.Rank
	if rank == graph.RankOwner && had {
		rank = l.Rank
	}
	if rank == graph.RankOwner {
		rank = graph.RankUser
	}
	lower := e.merged(func(origin string, l Layer) bool {
		return origin != b.Origin && (l.Rank < rank || l.Rank == rank && origin < b.Origin)
	})
	data := map[string]any{}
	if had {
		data = clone(l.Data).(map[string]any)
	}
	patchMap(data, ev.Patch, lower)
	named["layer "+key(edge, ev.ID)] = true
	m.setLayer(at, e, b.Origin, Layer{rank, data}, ev)
}

func (m *Model) setLayer(at graph.Moment, e *Element, origin string, l Layer, ev *graph.Event) {
	if old, had := e.Layers[origin]; had && old.Rank == l.Rank && text(old.Data) == text(l.Data) {
		return
	}
	e.Layers[origin] = l
	m.bump(at, e, ev, false)
}

func (m *Model) dropLayer(at graph.Moment, e *Element, origin string, ev *graph.Event) {
	if _, had := e.Layers[origin]; had {
		delete(e.Layers, origin)
		m.bump(at, e, ev, false)
	}
}

func (m *Model) sample(at graph.Moment, e *Element, ev *graph.Event) {
	c := ev.Counters
	series := e.Samples[c.Prefix]
	s := Sample{c.Names, c.Values, c.Start, c.Last}
	if n := len(series); n > 0 && fmt.Sprint(series[n-1]) == fmt.Sprint(s) {
		return
	}
	e.Samples[c.Prefix] = append(slices.Clone(series), s)
	if k := key(e.Edge, e.ID); !m.touched[k] {
		m.touched[k] = true
		e.Revision++
		if e.Updated = ev.UpdatedAt; e.Updated == 0 {
			e.Updated = at.Millis()
		}
	}
}

// sweep takes away what a snapshot did not name.
func (m *Model) sweep(at graph.Moment, origin string, named map[string]bool) {
	for _, edge := range []bool{true, false} {
		for _, e := range m.elements(edge) {
			if e.Owner == origin && !named[key(edge, e.ID)] {
				m.delete(e)
			}
		}
	}
	for _, edge := range []bool{true, false} {
		for _, e := range m.elements(edge) {
			if !named["layer "+key(edge, e.ID)] {
				m.dropLayer(at, e, origin, nil)
			}
		}
	}
}

func (m *Model) copyState(at graph.Moment) State {
	s := State{Moment: at, Nodes: map[string]*Element{}, Edges: map[string]*Element{}}
	for id, e := range m.Nodes {
		s.Nodes[id] = e.copy()
	}
	for id, e := range m.Edges {
		s.Edges[id] = e.copy()
	}
	return s
}

func (e *Element) copy() *Element {
	c := *e
	c.Layers, c.Samples = maps.Clone(e.Layers), maps.Clone(e.Samples)
	return &c
}

// At gives the state as of a moment.
func (m *Model) At(at graph.Moment) State {
	for i := len(m.Past) - 1; i >= 0; i-- {
		if m.Past[i].Moment <= at {
			return m.Past[i]
		}
	}
	return State{}
}

// Between gives each element that lived in [from,to] in its last version there; Deleted is set of those that ended.
func (m *Model) Between(from, to graph.Moment) State {
	first := m.At(from)
	out := State{Moment: to, Nodes: maps.Clone(first.Nodes), Edges: maps.Clone(first.Edges)}
	if out.Nodes == nil {
		out.Nodes, out.Edges = map[string]*Element{}, map[string]*Element{}
	}
	for _, s := range m.Past {
		if s.Moment > from && s.Moment <= to {
			maps.Copy(out.Nodes, s.Nodes)
			maps.Copy(out.Edges, s.Edges)
		}
	}
	return out
}

// Merged is what all layers and samples of the element say together.
func (e *Element) Merged() map[string]any {
	out := e.merged(func(string, Layer) bool { return true })
	for _, prefix := range slices.Sorted(maps.Keys(e.Samples)) {
		series := e.Samples[prefix]
		last := series[len(series)-1]
		object := func(values []int64, start, end int64) map[string]any {
			o := map[string]any{"Start": start, "Last": end}
			for i, name := range last.Names {
				o[name] = values[i]
			}
			return o
		}
		out[prefix] = object(last.Values, last.Start, last.Last)
		if len(series) > 1 {
			prior := series[len(series)-2]
			diff := make([]int64, len(last.Values))
			for i, x := range last.Values {
				diff[i] = x - prior.Values[i]
				if x < prior.Values[i] {
					diff[i] = x
				}
			}
			out["LastUpdate"+prefix] = object(diff, prior.Last, last.Last)
		}
	}
	return out
}

func (e *Element) merged(take func(string, Layer) bool) map[string]any {
	out := clone(e.Own).(map[string]any)
	names := slices.Collect(maps.Keys(e.Layers))
	slices.SortFunc(names, func(a, b string) int {
		if d := int(e.Layers[a].Rank) - int(e.Layers[b].Rank); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		if take(name, e.Layers[name]) {
			mergeMap(out, e.Layers[name].Data)
		}
	}
	return out
}

// String is the element as a Driver renders a graph's.
func (e *Element) String() string {
	s := fmt.Sprintf("%s host=%s origin=%s owner=%s created=%d updated=%d rev=%d %s", key(e.Edge, e.ID), e.Host,
		e.Origin, e.Owner, e.Created, e.Updated, e.Revision, text(e.Merged()))
	if e.Edge {
		s += " " + e.Parent + ">" + e.Child
	}
	return s
}

// String is every element on a line, sorted.
func (s State) String() string {
	var lines []string
	for _, e := range s.Nodes {
		lines = append(lines, e.String())
	}
	for _, e := range s.Edges {
		lines = append(lines, e.String())
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain maps always marshal
	}
	return string(b)
}
