package graph

import (
	"fmt"
	"slices"
	"time"
)

// parking holds edges whose parent or child has not come yet.
type parking struct {
	byID   map[parkedKey]*parkedEdge
	byNode map[string]*parkedList
	queue  parkedList
}

// parkedList is a list of edges in the order of their coming, of which some are gone.
type parkedList struct {
	edges []*parkedEdge
	gone  int
}

func (l *parkedList) add(x *parkedEdge) { l.edges = append(l.edges, x) }

// oldest is the first that waits; there must be one.
func (l *parkedList) oldest() *parkedEdge {
	for l.edges[0].gone {
		l.edges[0] = nil
		l.edges = l.edges[1:]
		l.gone--
	}
	return l.edges[0]
}

// dropped notes that one more is gone, and sweeps when half of them are.
func (l *parkedList) dropped() {
	if l.gone++; l.gone*2 > len(l.edges) {
		l.edges = slices.DeleteFunc(l.edges, func(x *parkedEdge) bool { return x.gone })
		l.gone = 0
	}
}

type parkedKey struct {
	origin *origin
	id     string
}

type parkedEdge struct {
	origin        *origin
	ev            Event
	parent, child string
	since         time.Time // by the local clock
	gone          bool
}

type orphan struct {
	origin string
	ev     Event
	err    error
}

func (p *parking) len() int { return len(p.byID) }

// park keeps an edge until its nodes are there.
func (t *txn) park(ev *Event, parent, child string) error {
	g := t.g
	p := &g.parked
	if p.byID == nil {
		p.byID = make(map[parkedKey]*parkedEdge)
		p.byNode = make(map[string]*parkedList)
	}
	if len(p.byID) >= g.opts.OrphanMax {
		g.counts.orphans++
		return fmt.Errorf("%w: %d edges wait already", ErrOrphan, len(p.byID))
	}
	x := &parkedEdge{origin: t.origin, ev: *ev, since: g.opts.Now()}
	x.ev.ID, x.ev.Host, x.ev.Origin = cloneString(ev.ID), cloneString(ev.Host), cloneString(ev.Origin)
	x.ev.Metadata = t.cloneMetadata(ev.Metadata)
	x.parent, x.child = cloneString(parent), cloneString(child)
	x.ev.Parent, x.ev.Child = x.parent, x.child
	p.byID[parkedKey{x.origin, x.ev.ID}] = x
	x.origin.parked++
	for _, id := range x.ends() {
		if p.byNode[id] == nil {
			p.byNode[id] = &parkedList{}
		}
		p.byNode[id].add(x)
	}
	p.queue.add(x)
	t.res.Parked++
	return nil
}

// ends are the nodes that the edge waits for or has.
func (x *parkedEdge) ends() []string {
	if x.parent == x.child {
		return []string{x.parent}
	}
	return []string{x.parent, x.child}
}

func (p *parking) drop(x *parkedEdge) {
	x.gone = true
	delete(p.byID, parkedKey{x.origin, x.ev.ID})
	x.origin.parked--
	for _, id := range x.ends() {
		list := p.byNode[id]
		if list.dropped(); len(list.edges) == 0 {
			delete(p.byNode, id)
		}
	}
	p.queue.dropped()
}

// unpark creates the edges that waited for a node, and for no other.
func (t *txn) unpark(id string) {
	p := &t.g.parked
	list := p.byNode[id]
	if list == nil {
		return
	}
	for _, x := range slices.Clone(list.edges) {
		if x.gone {
			continue
		}
		parent, child := t.g.find(x.parent, false), t.g.find(x.child, false)
		if parent == nil || child == nil {
			continue
		}
		p.drop(x)
		if t.g.find(x.ev.ID, true) == nil {
			t.createEdge(&x.ev, x.origin, parent.asNode(), child.asNode())
		} else {
			t.giveUp(x, ErrOwned)
		}
	}
}

// dropParked forgets a waiting edge that its origin put again or deleted.
func (t *txn) dropParked(id string, o *origin) {
	if x := t.g.parked.byID[parkedKey{o, id}]; x != nil {
		t.g.parked.drop(x)
	}
}

// dropParkedOf forgets the waiting edges of an origin that says its whole state anew.
func (t *txn) dropParkedOf(o *origin) {
	p := &t.g.parked
	for _, x := range slices.Clone(p.queue.edges) {
		if !x.gone && x.origin == o {
			p.drop(x)
		}
	}
}

// patchParked patches a waiting edge of the origin.
func (t *txn) patchParked(ev *Event) bool {
	x := t.g.parked.byID[parkedKey{t.origin, ev.ID}]
	if x == nil {
		return false
	}
	x.ev.Metadata = applyPatch(x.ev.Metadata, ev.Patch, Metadata{})
	return true
}

// expireParked gives up the edges that waited too long.
func (t *txn) expireParked() {
	p := &t.g.parked
	if len(p.byID) == 0 {
		return
	}
	now := t.g.opts.Now()
	for len(p.byID) > 0 {
		x := p.queue.oldest()
		waited := now.Sub(x.since)
		if waited < 0 {
			x.since, waited = now, 0 // the clock went back
		}
		if waited < t.g.opts.OrphanAge {
			return
		}
		p.drop(x)
		t.giveUp(x, fmt.Errorf("%w within %s", ErrOrphan, t.g.opts.OrphanAge))
	}
}

func (t *txn) giveUp(x *parkedEdge, err error) {
	t.g.counts.orphans++
	t.orphans = append(t.orphans, orphan{x.origin.name, x.ev, err})
}

func (g *Graph) tellOrphans(orphans []orphan) {
	if g.opts.OnOrphan == nil {
		return
	}
	for _, o := range orphans {
		g.opts.OnOrphan(o.origin, o.ev, o.err)
	}
}
