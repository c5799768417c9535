package analyzer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/skydive"
)

// rules executes the node rules and edge rules of the store: each is an origin of its own,
// so that what it put goes when the rule goes. Rules whose queries can be asked of a single
// node follow each change as it comes; the others are evaluated again, at most every
// 100 ms, when something changed. Of several analyzers on one bus the first by name does it.
//
// A rule does not react to what it did itself: one that makes its own query false (HasNot
// of a key that it sets) keeps what it put until the node changes otherwise. Two rules may
// still feed each other: see flips.
type rules struct {
	a       *Analyzer
	byKey   map[string]*rule // by kind and id
	leading bool
	sub     *graph.Subscription
}

// rule is one rule at work.
type rule struct {
	key    string
	origin string // full name
	writer api.OriginWriter
	// A node rule has one query, an edge rule two, a rule that creates a node none.
	queries []*selection
	event   func(ids ...string) graph.Event // what a match, or a pair of matches, makes
	drop    func(id string) graph.Event
	put     map[string]bool // what is in the graph, by id of the element
	next    time.Time       // when it may be evaluated as a whole again
	dirty   bool
	full    bool // more edges than a rule may make; said once
	flips   flips
	holds   []hold // since the last round
	told    time.Time
}

// hold is an element that a rule leaves alone for a while.
type hold struct {
	id   string
	wait time.Duration
}

// selection is a query of a rule and the nodes that it matches.
type selection struct {
	query   *gremlin.Query
	filter  *gremlin.Filter // nil: evaluate as a whole
	matched map[string]bool
}

const (
	ruleTick     = 20 * time.Millisecond
	ruleDelay    = 100 * time.Millisecond
	maxRuleEdges = 100_000
	ruleCommits  = 1000 // taken in a round
	tellHolds    = time.Minute
)

func newRules(a *Analyzer) *rules { return &rules{a: a, byKey: map[string]*rule{}} }

func (r *rules) run(ctx context.Context) {
	nodes, err := r.a.opts.Store.Watch(ctx, api.KindNodeRule)
	if err != nil {
		r.a.log.Warn("node rules are not executed", "error", err)
		return
	}
	edges, err := r.a.opts.Store.Watch(ctx, api.KindEdgeRule)
	if err != nil {
		r.a.log.Warn("edge rules are not executed", "error", err)
		return
	}
	defer func() {
		if r.sub != nil {
			r.sub.Close()
		}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-nodes:
			if ok {
				r.changed(ctx, api.KindNodeRule, e)
			}
		case e, ok := <-edges:
			if ok {
				r.changed(ctx, api.KindEdgeRule, e)
			}
		case <-tick.C:
		}
		r.lead(ctx)
		if !r.leading || len(r.byKey) == 0 {
			if r.sub != nil {
				r.sub.Close()
				r.sub = nil
			}
			tick.Reset(time.Second)
			continue
		}
		tick.Reset(ruleTick)
		r.follow(ctx)
	}
}

// lead takes the rules over, or leaves them to another analyzer.
func (r *rules) lead(ctx context.Context) {
	leads := r.a.leads()
	if leads == r.leading {
		return
	}
	r.leading = leads
	for _, one := range r.byKey {
		one.dirty, one.next = leads, time.Time{}
		if !leads {
			r.commit(ctx, one, nil, true)
			clear(one.put)
		}
	}
}

// changed takes a change of the store.
func (r *rules) changed(ctx context.Context, kind string, e api.StoreEvent) {
	key := kind + "." + e.ID
	old := r.byKey[key]
	if e.Data == nil {
		if old != nil {
			r.commit(ctx, old, nil, true)
			old.writer.Close()
			delete(r.byKey, key)
		}
		return
	}
	made, err := compileRule(kind, e.ID, e.Data, r.a.opts.Host)
	if err != nil {
		r.a.log.Warn("rule not executed", "kind", kind, "id", e.ID, "error", err)
		return
	}
	made.key, made.put, made.dirty = key, map[string]bool{}, true
	made.origin = r.a.OriginName(key)
	if old != nil {
		made.writer = old.writer
	} else {
		made.writer = r.a.Origin(key, api.OriginOptions{})
	}
	r.byKey[key] = made
}

// follow brings every rule up to date with the graph.
func (r *rules) follow(ctx context.Context) {
	if r.sub == nil {
		r.sub = r.a.graph.Subscribe()
		for _, one := range r.byKey {
			one.dirty, one.next = true, time.Time{}
		}
	}
	events := map[*rule][]graph.Event{}
	for range ruleCommits {
		c, ok, err := r.sub.TryNext()
		if err != nil { // the place is lost: look at everything
			r.sub.Resync()
			for _, one := range r.byKey {
				one.dirty = true
			}
			break
		}
		if !ok {
			break
		}
		for _, one := range r.byKey {
			events[one] = one.take(events[one], c)
		}
	}
	now := time.Now()
	for _, key := range slices.Sorted(maps.Keys(r.byKey)) {
		one := r.byKey[key]
		events[one] = one.again(events[one], r.a.graph.View(), now)
		if list := events[one]; len(list) > 0 {
			r.commit(ctx, one, list, false)
		}
		if one.dirty && !now.Before(one.next) {
			one.dirty, one.next = false, now.Add(ruleDelay)
			if err := r.evaluate(ctx, one); err != nil && ctx.Err() == nil {
				r.a.log.Warn("rule not evaluated", "rule", one.key, "error", err)
			}
		}
		r.tell(one, now)
	}
}

// tell counts what the rule leaves alone, and says so now and then.
func (r *rules) tell(one *rule, now time.Time) {
	if len(one.holds) == 0 {
		return
	}
	r.a.counters.holds.Add(uint64(len(one.holds)))
	if now.Sub(one.told) > tellHolds {
		one.told = now
		r.a.log.Warn("rule changes the same elements again and again, as rules do that feed each other: it is held back",
			"rule", one.key, "elements", len(one.holds), "one", one.holds[0].id, "for", one.holds[0].wait)
	}
	one.holds = nil
}

func (r *rules) commit(ctx context.Context, one *rule, events []graph.Event, whole bool) {
	say := one.writer.Commit
	if whole {
		say = one.writer.Snapshot
	}
	if _, err := say(ctx, events); err != nil && ctx.Err() == nil {
		r.a.log.Warn("rule not applied", "rule", one.key, "error", err)
		one.dirty = true
	}
}

// evaluate asks the queries anew and says all that the rule makes.
func (r *rules) evaluate(ctx context.Context, one *rule) error {
	for _, s := range one.queries {
		result, err := r.a.opts.Engine.Exec(ctx, s.query)
		if err != nil {
			return err
		}
		nodes, _ := result.Graph()
		s.matched = make(map[string]bool, len(nodes))
		for _, n := range nodes {
			s.matched[n.ID()] = true
		}
	}
	var events []graph.Event
	put := map[string]bool{}
	for e := range one.all {
		if len(events) >= maxRuleEdges {
			if !one.full {
				one.full = true
				r.a.log.Warn("rule makes too many edges; the rest is left out", "rule", one.key, "edges", maxRuleEdges)
			}
			break
		}
		put[e.ID] = true
		events = append(events, e)
	}
	if maps.Equal(put, one.put) && len(put) > 0 {
		return nil
	}
	now := time.Now()
	for _, sets := range [][2]map[string]bool{{put, one.put}, {one.put, put}} {
		for id := range sets[0] {
			if sets[1][id] {
				continue
			}
			if wait := one.flip(id, now); wait > 0 { // all of the rule is one evaluation
				one.next = later(one.next, now.Add(wait))
			}
		}
	}
	one.put = put
	r.commit(ctx, one, events, true)
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// flip notes a change of mind. The rule leaves the element alone for what it returns.
func (one *rule) flip(id string, now time.Time) time.Duration {
	wait := one.flips.count(id, now)
	if wait > 0 {
		one.holds = append(one.holds, hold{id, wait})
	}
	return wait
}

// again appends what the rule does about the elements that it left alone for long enough.
func (one *rule) again(events []graph.Event, v *graph.View, now time.Time) []graph.Event {
	for _, id := range one.flips.due(now) {
		one.dirty = one.dirty || slices.ContainsFunc(one.queries, func(s *selection) bool { return s.filter == nil })
		if n, ok := v.Node(id); ok {
			events = one.node(events, n)
		}
	}
	return events
}

// all gives everything that the rule makes.
func (one *rule) all(yield func(graph.Event) bool) {
	switch len(one.queries) {
	case 0:
		yield(one.event())
	case 1:
		for id := range one.queries[0].matched {
			if !yield(one.event(id)) {
				return
			}
		}
	case 2:
		for src := range one.queries[0].matched {
			for dst := range one.queries[1].matched {
				if src != dst && !yield(one.event(src, dst)) {
					return
				}
			}
		}
	}
}

// take appends what a commit makes the rule do.
func (one *rule) take(events []graph.Event, c *graph.Commit) []graph.Event {
	for i := range c.Changes {
		change := &c.Changes[i]
		if change.Sample {
			continue
		}
		switch change.Kind {
		case graph.NodeDeleted, graph.EdgeDeleted:
			id := change.Node.ID()
			if change.Kind == graph.EdgeDeleted {
				id = change.Edge.ID()
			}
			delete(one.put, id)
			for _, s := range one.queries {
				delete(s.matched, id)
				one.dirty = one.dirty || s.filter == nil && c.Origin != one.origin
			}
			// A node that the rule made, deleted by somebody else, is made again.
			one.dirty = one.dirty || len(one.queries) == 0 && c.Origin != one.origin
		case graph.NodeAdded, graph.NodeUpdated:
			if c.Origin != one.origin {
				events = one.node(events, change.Node)
			}
		case graph.EdgeAdded, graph.EdgeUpdated:
			if c.Origin != one.origin {
				one.dirty = one.dirty || slices.ContainsFunc(one.queries, func(s *selection) bool { return s.filter == nil })
			}
		}
	}
	return events
}

// node appends what a node that changed makes the rule do.
func (one *rule) node(events []graph.Event, n graph.Node) []graph.Event {
	id, now := n.ID(), time.Now()
	for i, s := range one.queries {
		if s.filter == nil {
			one.dirty = true
			continue
		}
		if s.matched == nil { // evaluated soon, as a whole
			return events
		}
		matches := s.filter.Node(n)
		if matches == s.matched[id] && (matches == one.put[id] || len(one.queries) != 1) {
			continue
		}
		if one.flips.held(id, now) || one.flip(id, now) > 0 {
			continue
		}
		if matches {
			s.matched[id] = true
		} else {
			delete(s.matched, id)
		}
		if len(one.queries) == 1 {
			if matches {
				one.put[id] = true
				events = append(events, one.event(id))
			} else {
				delete(one.put, id)
				events = append(events, one.drop(id))
			}
			continue
		}
		for other := range one.queries[1-i].matched {
			if other == id {
				continue
			}
			src, dst := id, other
			if i == 1 {
				src, dst = other, id
			}
			e := one.event(src, dst)
			switch {
			case matches && !one.put[e.ID] && len(one.put) < maxRuleEdges:
				one.put[e.ID] = true
				events = append(events, e)
			case !matches && one.put[e.ID]:
				delete(one.put, e.ID)
				events = append(events, one.drop(e.ID))
			}
		}
	}
	return events
}

// compileRule makes a rule ready for work.
func compileRule(kind, id string, data []byte, host string) (*rule, error) {
	if kind == api.KindEdgeRule {
		return compileEdgeRule(id, data, host)
	}
	var def skydive.NodeRule
	if err := json.Unmarshal(data, &def); err != nil {
		return nil, err
	}
	metadata, err := graph.MetadataOf(def.Metadata)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	if def.Action == skydive.NodeRuleCreate {
		node := graph.Event{Op: graph.PutNode, ID: ruleID(id), Host: host, Origin: "rules." + host, Metadata: metadata}
		return &rule{event: func(...string) graph.Event { return node }}, nil
	}
	query, err := selectNodes(def.Query)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	return &rule{
		queries: []*selection{query},
		event: func(ids ...string) graph.Event {
			return graph.Event{Op: graph.PutLayer, ID: ids[0], Rank: graph.RankRule, Metadata: metadata}
		},
		drop: func(id string) graph.Event { return graph.Event{Op: graph.DropLayer, ID: id} },
	}, nil
}

func compileEdgeRule(id string, data []byte, host string) (*rule, error) {
	var def skydive.EdgeRule
	if err := json.Unmarshal(data, &def); err != nil {
		return nil, err
	}
	metadata, err := graph.MetadataOf(def.Metadata)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	src, err := selectNodes(def.Src)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	dst, err := selectNodes(def.Dst)
	if err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	return &rule{
		queries: []*selection{src, dst},
		event: func(ids ...string) graph.Event {
			return graph.Event{
				Op: graph.PutEdge, ID: ruleID(id, ids[0], ids[1]), Host: host, Origin: "rules." + host,
				Parent: ids[0], Child: ids[1], Metadata: metadata,
			}
		},
		drop: func(id string) graph.Event { return graph.Event{Op: graph.DeleteEdge, ID: id} },
	}, nil
}

func selectNodes(text string) (*selection, error) {
	query, err := gremlin.Parse(text)
	if err != nil {
		return nil, err
	}
	s := &selection{query: query}
	if filter, ok := query.Filter(); ok {
		nodes, _ := filter.Graph()
		if !nodes {
			return nil, errors.New("it gives edges, a rule wants nodes")
		}
		s.filter = filter
	}
	return s, nil
}
