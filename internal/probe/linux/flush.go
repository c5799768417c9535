package linux

import (
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
)

// flush says all that has changed, as one batch: what goes, then nodes, then edges, then
// samples. The first one is the whole state.
func (l *loop) flush() {
	if !l.started {
		return
	}
	start := time.Now()
	now := l.env.Now().UnixMilli()
	var events []graph.Event

	nodes := l.flushSpaces(nil)
	nodes = l.flushLinks(nodes, now)
	dropped, puts := l.flushEdges()

	events = append(events, dropped...)
	for _, id := range l.removed {
		events = append(events, graph.Event{Op: graph.DeleteNode, ID: id})
	}
	l.removed = nil
	events = append(events, nodes...)
	events = append(events, puts...)
	events = append(events, l.samples...)
	l.samples = nil

	switch {
	case !l.count.replaced:
		l.count.replaced = true
		l.sink.Replace(events)
	case len(events) > 0:
		l.count.commits.Inc()
		l.sink.Commit(events...)
	}
	l.lastFlush = time.Since(start)
}

// flushSpaces describes the host and those namespaces that changed.
func (l *loop) flushSpaces(events []graph.Event) []graph.Event {
	if l.hostDirty {
		l.hostDirty = false
		m := l.host.metadata(l.all)
		events = l.say(events, l.host.id, m, &l.host.said, &l.host.shown)
	}
	for s := range l.dirtySpace {
		delete(l.dirtySpace, s)
		if _, reachable := s.path(); !s.ready || (!s.shown && !reachable) {
			continue // what it waits for makes it dirty again
		}
		m := s.describe(l.host.tid)
		first, name, tid := !s.shown, s.name(), tidOf(s.said)
		events = l.say(events, s.id, m, &s.said, &s.shown)
		if first {
			owns := edge{l.host.id, s.id, ownership, ""}
			events = append(events, owns.event(l.env.Host))
			for _, k := range s.links {
				l.dirty[k] = struct{}{}
				l.dirtyEdges[k] = struct{}{}
			}
		}
		if name != s.name() {
			l.touchRefs(ref{space: s})
		}
		if tid != tidOf(s.said) {
			for _, k := range s.links {
				l.dirty[k] = struct{}{}
			}
		}
	}
	return events
}

func tidOf(m graph.Metadata) string {
	v, _ := m.Get("TID")
	return v.Str()
}

// flushLinks describes those links that changed.
func (l *loop) flushLinks(events []graph.Event, now int64) []graph.Event {
	for len(l.dirty) > 0 { // showing one may make others dirty
		for k := range l.dirty {
			delete(l.dirty, k)
			if !k.asked || !(k.space.own || k.space.shown) {
				continue // what it waits for makes it dirty again
			}
			l.refreshLists(k)
			first := !k.shown
			events = l.say(events, k.id, l.describe(k), &k.said, &k.shown)
			if first {
				l.sample(k, k.first, now) // whoever captures it takes this as the beginning
				l.dirtyEdges[k] = struct{}{}
				for other := range l.refs[k.ref()] {
					l.dirtyEdges[other] = struct{}{}
					l.dirty[other] = struct{}{} // it may show the name
				}
				if k.vxlan != nil {
					l.touchTunnel(k.vxlan.vni)
				}
			}
		}
	}
	return events
}

// flushEdges brings the edges of those links up to date that may have changed.
func (l *loop) flushEdges() (dropped, puts []graph.Event) {
	for k := range l.dirtyEdges {
		delete(l.dirtyEdges, k)
		if !k.shown {
			continue // showing it makes its edges dirty
		}
		wanted, refs := l.wantedEdges(k)
		l.setRefs(k, refs)
		edges := make(map[string]edge, len(wanted))
		for _, e := range wanted {
			id := e.id()
			edges[id] = e
			if _, ok := k.edges[id]; !ok {
				puts = append(puts, e.event(l.env.Host))
			}
		}
		for id := range k.edges {
			if _, ok := edges[id]; !ok {
				dropped = append(dropped, graph.Event{Op: graph.DeleteEdge, ID: id})
			}
		}
		k.edges = edges
	}
	return dropped, puts
}

// say adds the event that makes a node's metadata m, if one is needed.
func (l *loop) say(events []graph.Event, id string, m graph.Metadata, said *graph.Metadata, shown *bool) []graph.Event {
	if !*shown {
		*said, *shown = m, true
		return append(events, graph.Event{Op: graph.PutNode, ID: id, Host: l.env.Host, Metadata: m})
	}
	patch := difference(*said, m)
	if len(patch) == 0 {
		return events
	}
	*said = m
	return append(events, graph.Event{Op: graph.PatchNode, ID: id, Patch: patch})
}

// difference returns what has to be done to the keys of a to make it b.
func difference(a, b graph.Metadata) []graph.PathOp {
	var ops []graph.PathOp
	for key, value := range b.All() {
		if before, ok := a.Get(key); !ok || !before.Equal(value) {
			ops = append(ops, graph.PathOp{Path: key, Value: value})
		}
	}
	for key := range a.All() {
		if _, ok := b.Get(key); !ok {
			ops = append(ops, graph.PathOp{Path: key, Value: graph.Removed()})
		}
	}
	return ops
}

// describe returns the metadata of a link's node.
func (l *loop) describe(k *link) graph.Metadata {
	fields := make([]graph.Field, 0, 40)
	fields = append(fields, k.device.fields()...) // first: what netlink says is more exact
	fields = append(fields, k.linkState.fields...)
	if v4 := k.addressStrings(true); len(v4) > 0 {
		fields = append(fields, graph.F("IPV4", graph.Strings(v4...)))
	}
	if v6 := k.addressStrings(false); len(v6) > 0 {
		fields = append(fields, graph.F("IPV6", graph.Strings(v6...)))
	}
	if master := k.space.links[k.master]; k.master != 0 && master != nil {
		fields = append(fields, graph.F("MasterName", graph.String(master.name)))
	}
	if k.peerNS >= 0 {
		fields = append(fields, graph.F("LinkNetNsID", graph.Int(int64(k.peerNS))))
	}
	if k.elsewhere() {
		if peer := l.peerSpace(k); peer != nil && peer.name() != "" {
			fields = append(fields, graph.F("LinkNetNsName", graph.String(peer.name())))
		}
	}
	parent := l.host.tid
	if !k.space.own {
		parent = k.space.tid
	}
	fields = append(fields, graph.F("TID", graph.String(probe.TID(parent, k.name, k.kind))))
	return graph.NewMetadata(append(fields, k.lists...)...)
}

// refreshLists brings what is shown of a link's lists up to date, unless it is too early:
// then it is done later.
func (l *loop) refreshLists(k *link) {
	if !k.listsOld {
		return
	}
	now := time.Now()
	if now.Before(k.listsRest) {
		if _, ok := l.later[k]; !ok {
			l.later[k] = struct{}{}
			l.after(k.listsRest.Sub(now), func() {
				if _, ok := l.later[k]; ok {
					delete(l.later, k)
					l.touchLink(k)
				}
			})
		}
		return
	}
	k.listsOld, k.stateOld = false, false
	k.listsRest = now.Add(listsPause)
	limit := l.limits.NeighbourLimit
	k.lists = []graph.Field{
		graph.F("Neighbors", neighbourValues(k.neighbours, limit)), // absent values are left out
		graph.F("FDB", neighbourValues(k.fdb, limit)),
		graph.F("RoutingTables", k.routes),
	}
	if n := len(k.neighbours); n > limit {
		k.lists = append(k.lists, graph.F("NeighborsCount", graph.Int(int64(n))))
	}
	if n := len(k.fdb); n > limit {
		k.lists = append(k.lists, graph.F("FDBCount", graph.Int(int64(n))))
	}
}

// sample plans a sample of a link's counters, if they moved since the last one.
func (l *loop) sample(k *link, c counters, now int64) {
	if c == k.sampled && k.sampledAt != 0 {
		return
	}
	s := l.samplers.sample(c, k.sampledAt, now)
	l.samples = append(l.samples, graph.Event{Op: graph.PutSample, ID: k.id, Counters: s})
	k.sampled, k.sampledAt = c, now
}
