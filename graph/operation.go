package graph

import (
	"fmt"
	"hash/maphash"
	"slices"
)

func maphashString(seed maphash.Seed, s string) uint64 { return maphash.String(seed, s) }

// event applies one event, or says why not.
func (t *txn) event(ev *Event) error {
	if ev.ID == "" {
		return fmt.Errorf("%w: no id", ErrInvalid)
	}
	if err := ev.checkDepth(); err != nil {
		return err
	}
	switch ev.Op {
	case PutNode:
		return t.putNode(ev)
	case PutEdge:
		return t.putEdge(ev, t.origin)
	case DeleteNode, DeleteEdge:
		return t.deleteElement(ev)
	case PatchNode, PatchEdge:
		return t.patch(ev)
	case PutLayer:
		return t.putLayer(ev)
	case DropLayer:
		return t.dropLayer(ev)
	case PutSample:
		return t.sample(ev)
	}
	return fmt.Errorf("%w: operation %d", ErrInvalid, ev.Op)
}

func (t *txn) putNode(ev *Event) error {
	e := t.g.find(ev.ID, false)
	if e == nil {
		n := &node{}
		t.create(&n.element, ev, t.origin)
		t.unpark(n.id)
		return nil
	}
	return t.put(e, ev)
}

// put replaces the owner's layer.
func (t *txn) put(e *element, ev *Event) error {
	if e.owner != t.origin {
		return fmt.Errorf("%w: %s belongs to %q", ErrOwned, ev.ID, e.owner.name)
	}
	e.mark = t.origin.mark
	head := e.head.Load()
	place := t.placeOf(head, ev)
	if place == head.place && head.own().Equal(ev.Metadata) {
		return nil
	}
	if err := t.newer(e, ev); err != nil {
		return err
	}
	own := t.cloneMetadata(ev.Metadata)
	t.revise(e, func(v *version) {
		v.place = place
		v.layers = stack(e.owner, own, over(v.layers, nil))
		v.meta = merge(own, v.layers)
		t.stamp(v, ev)
	})
	return nil
}

// placeOf is where an element is shown after an event, which may leave it to what it was.
func (t *txn) placeOf(v *version, ev *Event) *place {
	host, origin := ev.Host, ev.Origin
	if host == "" {
		host = v.place.host
	}
	if origin == "" {
		origin = v.place.origin
	}
	if host == v.place.host && origin == v.place.origin {
		return v.place
	}
	return t.g.place(host, origin)
}

// newer refuses an owner's event whose revision is not newer; within a snapshot there is nothing older to keep.
func (t *txn) newer(e *element, ev *Event) error {
	if ev.Revision == 0 || t.batch.Snapshot || e.owner != t.origin {
		return nil
	}
	if _, stored := e.shown(e.head.Load(), t.m); ev.Revision <= stored {
		return fmt.Errorf("%w: %s has %d, the event %d", ErrStale, ev.ID, stored, ev.Revision)
	}
	return nil
}

// stamp sets the times and the revision of a changed version.
func (t *txn) stamp(v *version, ev *Event) {
	v.updated = ev.UpdatedAt
	if v.updated == 0 {
		v.updated = t.ms
	}
	if ev.Revision > v.revision {
		v.revision = ev.Revision
	}
}

func (t *txn) putEdge(ev *Event, o *origin) error {
	t.dropParked(ev.ID, o)
	e := t.g.find(ev.ID, true)
	parent, child := ev.Parent, ev.Child
	if e != nil {
		if e.owner != o {
			return fmt.Errorf("%w: %s belongs to %q", ErrOwned, ev.ID, e.owner.name)
		}
		x := e.asEdge()
		if parent == "" {
			parent = x.parent.id
		}
		if child == "" {
			child = x.child.id
		}
		if parent == x.parent.id && child == x.child.id {
			return t.put(e, ev)
		}
		if err := t.newer(e, ev); err != nil {
			return err
		}
	}
	if parent == "" || child == "" {
		return fmt.Errorf("%w: edge %s without parent or child", ErrInvalid, ev.ID)
	}
	p, c := t.g.find(parent, false), t.g.find(child, false)
	if p == nil || c == nil {
		return t.park(ev, parent, child)
	}
	moved := *ev
	if e != nil {
		// An edge does not move: it ends, and another begins under its id.
		v := e.head.Load()
		_, revision := e.shown(v, t.m)
		moved.Revision = max(ev.Revision, revision+1)
		if moved.CreatedAt == 0 {
			moved.CreatedAt = v.created
		}
		if moved.Host == "" {
			moved.Host = v.place.host
		}
		t.delete(e, 0)
	}
	t.createEdge(&moved, o, p.asNode(), c.asNode())
	return nil
}

func (t *txn) createEdge(ev *Event, o *origin, parent, child *node) {
	x := &edge{parent: parent, child: child}
	x.edge = true
	t.create(&x.element, ev, o)
}

// deleteElement is honoured for the owner and for an operator. What is not there needs no deletion.
func (t *txn) deleteElement(ev *Event) error {
	isEdge := ev.Op == DeleteEdge
	if isEdge {
		t.dropParked(ev.ID, t.origin)
	}
	e := t.g.find(ev.ID, isEdge)
	if e == nil {
		return nil
	}
	if e.owner != t.origin && ev.Rank != RankUser {
		return fmt.Errorf("%w: %s belongs to %q", ErrOwned, ev.ID, e.owner.name)
	}
	t.delete(e, ev.DeletedAt)
	return nil
}

// patch changes values of the origin's own layer.
func (t *txn) patch(ev *Event) error {
	isEdge := ev.Op == PatchEdge
	e := t.g.find(ev.ID, isEdge)
	if e == nil {
		if isEdge && t.patchParked(ev) {
			return nil
		}
		return fmt.Errorf("%w: %s", ErrUnknown, ev.ID)
	}
	head := e.head.Load()
	if e.owner != t.origin {
		return t.patchLayer(e, head, ev)
	}
	e.mark = t.origin.mark
	own := applyPatch(head.own(), ev.Patch, Metadata{})
	if own.Equal(head.own()) {
		return nil
	}
	if err := t.newer(e, ev); err != nil {
		return err
	}
	t.revise(e, func(v *version) {
		v.layers = stack(e.owner, own, over(v.layers, nil))
		v.meta = merge(own, v.layers)
		t.stamp(v, ev)
	})
	return nil
}

// patchLayer patches what an origin says of another's element. A removal masks what lower layers say.
func (t *txn) patchLayer(e *element, head *version, ev *Event) error {
	rank := ev.Rank
	var m Metadata
	if i, ok := findLayer(head.layers, t.origin); ok {
		l := (*head.layers)[i]
		m = l.meta
		if rank == RankOwner {
			rank = l.rank
		}
	}
	if rank == RankOwner {
		rank = RankUser
	}
	lower := merge(head.own(), stack(e.owner, head.own(), slices.DeleteFunc(over(head.layers, t.origin),
		func(l layer) bool { return !l.below(rank, t.origin) })))
	return t.setLayer(e, rank, applyPatch(m, ev.Patch, lower), ev)
}

// below tells whether the layer lies under one of a rank and an origin.
func (l layer) below(rank Rank, o *origin) bool {
	return l.rank < rank || l.rank == rank && l.origin.name < o.name
}

func (t *txn) putLayer(ev *Event) error {
	e := t.g.find(ev.ID, ev.Edge)
	if e == nil {
		return fmt.Errorf("%w: %s", ErrUnknown, ev.ID)
	}
	if ev.Rank == RankOwner {
		if e.owner == t.origin {
			return t.put(e, ev)
		}
		return fmt.Errorf("%w: layer of %s without a rank", ErrInvalid, ev.ID)
	}
	return t.setLayer(e, ev.Rank, t.cloneMetadata(ev.Metadata), ev)
}

// setLayer puts the origin's layer beside the owner's in its place.
func (t *txn) setLayer(e *element, rank Rank, m Metadata, ev *Event) error {
	o := t.origin
	head := e.head.Load()
	i, had := findLayer(head.layers, o)
	if had {
		o.setLayer(e)
		if old := (*head.layers)[i]; old.rank == rank && old.meta.Equal(m) {
			return nil
		}
	} else {
		o.setLayer(e)
		t.g.counts.layers++
	}
	t.revise(e, func(v *version) {
		own := v.own()
		v.layers = stack(e.owner, own, append(over(v.layers, o), layer{o, rank, m}))
		v.meta = merge(own, v.layers)
		t.stampLayer(v, ev)
	})
	return nil
}

// stampLayer sets the time of a change that another than the owner made; revisions are the owner's numbers.
func (t *txn) stampLayer(v *version, ev *Event) {
	v.updated = t.ms
	if ev != nil && ev.UpdatedAt != 0 {
		v.updated = ev.UpdatedAt
	}
}

func (t *txn) dropLayer(ev *Event) error {
	e := t.g.find(ev.ID, ev.Edge)
	if e == nil {
		return nil
	}
	t.takeLayer(e, t.origin, ev)
	return nil
}

func (t *txn) takeLayer(e *element, o *origin, ev *Event) {
	t.forgetLayer(o, e)
	if _, ok := findLayer(e.head.Load().layers, o); !ok {
		return
	}
	t.revise(e, func(v *version) {
		own := v.own()
		v.layers = stack(e.owner, own, over(v.layers, o))
		v.meta = merge(own, v.layers)
		t.stampLayer(v, ev)
	})
}

// beginSnapshot makes every mark of the origin's elements and layers an old one.
func (t *txn) beginSnapshot() {
	t.g.marks++
	t.origin.mark = t.g.marks
	t.dropParkedOf(t.origin)
}

// endSnapshot takes away what the snapshot did not name, edges first.
func (t *txn) endSnapshot() {
	o := t.origin
	for _, isEdge := range []bool{true, false} {
		for e := o.owned(isEdge).first; e != nil; {
			next := e.next // a deletion takes others along, but only a node's, and only edges
			if e.mark != o.mark {
				t.delete(e, 0)
			}
			e = next
		}
	}
	var gone []*element
	for e, mark := range o.layers {
		if mark != o.mark {
			gone = append(gone, e)
		}
	}
	sortBy(gone, func(a, b *element) int { return int(a.handle) - int(b.handle) })
	for _, e := range gone {
		t.takeLayer(e, o, nil)
	}
}
