package graph

import (
	"fmt"
	"time"
)

// parking holds edges whose parent or child has not come yet, oldest first.
type parking struct {
	byID   map[parkedKey]*parkedEdge
	byNode map[string][]*parkedEdge
	queue  []*parkedEdge // in the order of their coming; gone ones are skipped
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
		p.byNode = make(map[string][]*parkedEdge)
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
	p.byNode[x.parent] = append(p.byNode[x.parent], x)
	if x.child != x.parent {
		p.byNode[x.child] = append(p.byNode[x.child], x)
	}
	p.queue = append(p.queue, x)
	t.res.Parked++
	return nil
}

func (p *parking) drop(x *parkedEdge) {
	x.gone = true
	delete(p.byID, parkedKey{x.origin, x.ev.ID})
	for _, id := range []string{x.parent, x.child} {
		list := p.byNode[id]
		for i, y := range list {
			if y == x {
				list[i] = list[len(list)-1]
				list[len(list)-1] = nil
				list = list[:len(list)-1]
				break
			}
		}
		if len(list) == 0 {
			delete(p.byNode, id)
		} else {
			p.byNode[id] = list
		}
	}
	for len(p.queue) > 0 && p.queue[0].gone {
		p.queue[0] = nil
		p.queue = p.queue[1:]
	}
	if len(p.queue) == 0 {
		p.queue = nil
	}
}

// unpark creates the edges that waited for a node, and for no other.
func (t *txn) unpark(id string) {
	p := &t.g.parked
	list := p.byNode[id]
	if len(list) == 0 {
		return
	}
	for _, x := range append([]*parkedEdge(nil), list...) {
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
	for _, x := range append([]*parkedEdge(nil), p.queue...) {
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
	x.ev.Metadata = applyPatch(x.ev.Metadata, ev.Patch)
	return true
}

// expireParked gives up the edges that waited too long.
func (t *txn) expireParked() {
	p := &t.g.parked
	if len(p.queue) == 0 {
		return
	}
	now := t.g.opts.Now()
	for len(p.queue) > 0 {
		x := p.queue[0]
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
