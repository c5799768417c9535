package api

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
)

// group is all subscribers with the same filter. It belongs to the hub's goroutine.
//
// There are three ways to follow a filter. Without one, every change goes through. An
// incremental filter is a test of single elements: the group remembers which elements
// are in, and looks at what a commit touched. Any other query is evaluated again when
// something changed, not more often than every Limits.RefilterDelay, and compared with
// the former result.
type group struct {
	h       *hub
	text    string
	query   *gremlin.Query
	filter  *gremlin.Filter // incremental
	members map[*subscriber]struct{}
	ctx     context.Context
	stop    context.CancelFunc

	nodes map[string]struct{} // in, by an incremental filter
	edges map[string]struct{}
	// shared says that contents hold the two sets: they are copied before a change.
	shared bool

	result  *outcome // of a query that is evaluated again; never changed
	dirty   bool
	waiting bool // for an evaluation or for the delay before it
	last    time.Time

	starting bool // the first evaluation is under way
	round    int  // of evaluations; results of former ones do not count
	missed   bool // commits, while the first evaluation was under way
	backlog  []*graph.Commit
	asked    []func() // syncs that wait for it
	failure  error    // of the last evaluation
}

// outcome is the graph that a query gave.
type outcome struct {
	nodes map[string]graph.Node
	edges map[string]graph.Edge
}

// maxBacklog is how many commits wait for a group's first evaluation before it starts
// anew.
const maxBacklog = 10_000

func newGroup(h *hub, text string, query *gremlin.Query) *group {
	g := &group{h: h, text: text, query: query, members: make(map[*subscriber]struct{})}
	g.ctx, g.stop = context.WithCancel(h.ctx)
	if query != nil {
		if filter, ok := query.Filter(); ok {
			g.filter = filter
		}
	}
	return g
}

// start evaluates the filter for the first time.
func (g *group) start() {
	if g.query == nil {
		return
	}
	g.starting, g.backlog, g.missed = true, nil, false
	g.again()
}

// again evaluates the query on the graph as of now.
func (g *group) again() {
	g.waiting, g.dirty = true, false
	g.round++
	view, err := g.h.now()
	if err != nil {
		g.evaluated(nil, err)
		return
	}
	round := g.round
	go func() {
		out, err := g.evaluate(view)
		g.h.do(func() {
			if round == g.round {
				g.evaluated(out, err)
			}
		})
	}()
}

// evaluate runs the query; few run at once.
func (g *group) evaluate(view *graph.View) (*outcome, error) {
	select {
	case g.h.workers <- struct{}{}:
		defer func() { <-g.h.workers }()
	case <-g.ctx.Done():
		return nil, g.ctx.Err()
	}
	g.h.s.metrics.evaluations.Inc()
	result, err := g.h.s.deps.Engine.ExecOn(g.ctx, g.query, view)
	if err != nil {
		return nil, err
	}
	nodes, edges := result.Graph()
	out := &outcome{nodes: make(map[string]graph.Node, len(nodes)), edges: make(map[string]graph.Edge, len(edges))}
	for _, n := range nodes {
		out.nodes[n.ID()] = n
	}
	for _, e := range edges {
		out.edges[e.ID()] = e
	}
	return out, nil
}

// evaluated takes the result of an evaluation.
func (g *group) evaluated(out *outcome, err error) {
	if g.ctx.Err() != nil {
		return
	}
	g.waiting, g.last, g.failure = false, time.Now(), err
	if err != nil {
		g.h.s.log.Warn("filter of subscribers failed, it is tried again", "filter", g.text, "error", err)
		g.dirty = true
		g.answer()
		g.later(max(time.Second, g.h.s.limits.RefilterDelay))
		return
	}
	if g.missed {
		g.lose()
		return
	}
	if g.filter != nil {
		g.nodes, g.edges, g.shared = keys(out.nodes), keys(out.edges), false
	} else if g.starting {
		g.result = out
	} else {
		g.deliver(g.compare(out), "")
		g.result = out
	}
	if g.starting {
		backlog := g.backlog
		g.starting, g.backlog = false, nil
		for _, c := range backlog {
			g.commit(c)
		}
	}
	g.answer()
	if g.dirty {
		g.refilter()
	}
}

// answer gives those their state who asked before there was one.
func (g *group) answer() {
	asked := g.asked
	g.asked = nil
	for _, ask := range asked {
		ask()
	}
}

func keys[V any](m map[string]V) map[string]struct{} {
	set := make(map[string]struct{}, len(m))
	for key := range m {
		set[key] = struct{}{}
	}
	return set
}

// lose handles a loss of place in the graph's log: everything is told anew.
func (g *group) lose() {
	if g.query != nil {
		g.start()
	}
	for sub := range g.members {
		g.h.resync(sub)
	}
}

// commit handles one commit.
func (g *group) commit(c *graph.Commit) {
	switch {
	case g.query == nil:
		g.deliver(everything(c), c.Origin)
	case g.starting:
		if g.backlog = append(g.backlog, c); len(g.backlog) > maxBacklog {
			g.backlog, g.missed = nil, true
		}
	case g.filter != nil:
		view, err := g.h.s.deps.Graph.At(c.Moment)
		if err != nil {
			g.h.s.log.Warn("filter of subscribers starts anew", "filter", g.text, "error", err)
			g.lose()
			return
		}
		g.deliver(g.sift(c, view), c.Origin)
	default:
		g.dirty = true
		g.refilter()
	}
}

// refilter evaluates the query again, now or when the delay is over.
func (g *group) refilter() {
	if g.waiting {
		return
	}
	g.later(g.h.s.limits.RefilterDelay - time.Since(g.last))
}

func (g *group) later(delay time.Duration) {
	g.waiting = true
	again := func() {
		switch {
		case g.ctx.Err() != nil:
		case g.starting || g.filter != nil:
			g.lose() // what changed meanwhile was not told
		default:
			g.again()
		}
	}
	if delay <= 0 {
		again()
		return
	}
	time.AfterFunc(delay, func() { g.h.do(again) })
}

// everything is a commit for those without a filter.
func everything(c *graph.Commit) []event {
	events := make([]event, len(c.Changes))
	for i, change := range c.Changes {
		events[i] = event{kind: change.Kind, node: change.Node, edge: change.Edge, before: change.Before, direct: true}
	}
	return events
}

// deliver encodes events once for each class of members and queues them.
func (g *group) deliver(events []event, origin string) {
	if len(events) == 0 || len(g.members) == 0 {
		return
	}
	type batch struct {
		frames []frame
		size   int64
	}
	var all, foreign [classes]*batch
	gather := func(c class, own bool) *batch {
		b := new(batch)
		for i := range events {
			if own && events[i].direct {
				continue
			}
			var data frame
			if own && all[c] != nil {
				data = all[c].frames[i]
			} else {
				data = g.h.encoder.encode(&events[i], c)
			}
			b.frames = append(b.frames, data)
			b.size += int64(len(data))
		}
		return b
	}
	for sub := range g.members {
		shared, own := &all, sub.echo != "" && sub.echo == origin
		if own {
			shared = &foreign
		}
		if shared[sub.class] == nil {
			shared[sub.class] = gather(sub.class, own)
		}
		g.h.push(sub, shared[sub.class].frames, shared[sub.class].size)
	}
}

// state is a queue entry with the group's graph as of now. Nothing is gathered before
// its turn to be written comes.
func (g *group) state(sub *subscriber, kind, uuid string) (outgoing, error) {
	if g.query != nil && g.failure != nil && (g.starting || g.filter == nil) {
		return outgoing{}, fmt.Errorf("filter %s: %w", g.text, g.failure)
	}
	if g.query != nil && g.filter == nil {
		out := g.result
		return stateMessage(g.h.s, sub.protobuf, kind, uuid, func(buf *buffer, flush func() error, tail string) error {
			return appendElements(buf, maps.Values(out.nodes), maps.Values(out.edges), flush, tail)
		}), nil
	}
	view, err := g.h.now()
	if err != nil {
		return outgoing{}, err
	}
	if g.query == nil {
		return stateMessage(g.h.s, sub.protobuf, kind, uuid, func(buf *buffer, flush func() error, tail string) error {
			return appendGraph(buf, view, flush, tail)
		}), nil
	}
	g.shared = true
	nodes, edges := seen(g.nodes, view.Node), seen(g.edges, view.Edge)
	return stateMessage(g.h.s, sub.protobuf, kind, uuid, func(buf *buffer, flush func() error, tail string) error {
		if err := appendElements(buf, nodes, edges, flush, tail); err != nil {
			return err
		}
		return view.Err()
	}), nil
}

// seen gives what a view has of a set of ids, when it is asked for.
func seen[E any](ids map[string]struct{}, find func(string) (E, bool)) iter.Seq[E] {
	return func(yield func(E) bool) {
		for id := range ids {
			if e, ok := find(id); ok && !yield(e) {
				return
			}
		}
	}
}
