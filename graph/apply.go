package graph

import (
	"strings"
)

func cloneString(s string) string { return strings.Clone(s) }

// Apply commits a batch at a moment of the graph's clock, later than every commit before it, even when the clock
// went back. It fails for a *GapError only; single events that are refused are in the Result.
func (g *Graph) Apply(b *Batch) (Result, error) { return g.apply(0, b) }

// ApplyAt commits a batch at the moment that its stream gave it, so that every graph on the stream has the same
// past. A moment that is not later than the last commit becomes the next after it.
func (g *Graph) ApplyAt(m Moment, b *Batch) (Result, error) { return g.apply(m, b) }

func (g *Graph) apply(m Moment, b *Batch) (Result, error) {
	g.mu.Lock()
	res, orphans, err := g.commit(m, b)
	g.mu.Unlock()
	g.tellOrphans(orphans)
	return res, err
}

// txn is one commit being made.
type txn struct {
	g       *Graph
	m       Moment
	ms      int64
	before  Moment // the last commit
	batch   *Batch
	origin  *origin
	res     Result
	orphans []orphan
}

// touch is an element that a commit changed.
type touch struct {
	e      *element
	before *version // nil: created in this commit
	sample bool     // samples came
	other  bool     // something else changed
	dead   bool
}

func (g *Graph) commit(m Moment, b *Batch) (Result, []orphan, error) {
	if m == 0 {
		m = MomentOf(g.opts.Now())
	}
	if m <= g.last {
		m = g.last + 1
	}
	g.forgetOrigins(m, originsPerBatch)
	o := g.hear(b.Origin, m)
	status, err := o.position(b)
	if err != nil || status != Applied {
		return Result{Moment: g.last, Status: status}, nil, err
	}
	t := txn{g: g, m: m, ms: m.Millis(), before: g.last, batch: b, origin: o}
	t.expireParked()
	if b.Snapshot {
		t.beginSnapshot()
	}
	for i := range b.Events {
		if err := t.event(&b.Events[i]); err != nil {
			t.res.Rejected = append(t.res.Rejected, Rejection{Index: i, ID: b.Events[i].ID, Err: err})
			g.counts.rejected++
		}
	}
	if b.Snapshot {
		t.endSnapshot()
	}
	t.publish()
	return t.res, t.orphans, nil
}

// publish makes the commit visible, all of it at once, and writes it to the subscribers' log.
func (t *txn) publish() {
	g := t.g
	ended := len(g.touches)
	t.res.Moment = g.last
	if ended > 0 {
		if g.last == 0 {
			g.earliest.Store(int64(min(g.born, t.m)))
		}
		g.last = t.m
		t.res.Moment = t.m
		t.logChanges()
		g.counts.commits++
		g.counts.changes += uint64(t.res.Changes)
		g.state.Store(&state{moment: t.m, nodes: g.counts.nodes, edges: g.counts.edges, logged: g.log.head.Load()})
		g.log.broadcast()
		clear(g.touches)
		if cap(g.touches) > 1<<12 {
			g.touches = nil
		} else {
			g.touches = g.touches[:0]
		}
	}
	g.trim(t.m-Moment(g.opts.Window), 2*ended+4)
}

// logChanges counts the changes of the commit, and lists them for subscribers if there are any.
func (t *txn) logChanges() {
	g := t.g
	n := 0
	for i := range g.touches {
		to := &g.touches[i]
		if to.e == nil {
			continue
		}
		to.e.touch = 0
		if to.before == nil && to.dead {
			to.e = nil // came and went within the commit
			continue
		}
		n++
	}
	t.res.Changes = n
	if n == 0 || !g.log.wanted() {
		return
	}
	c := &Commit{Moment: t.m, Origin: t.origin.name, Epoch: t.batch.Epoch, Seq: t.batch.Seq}
	c.Changes = make([]Change, 0, n)
	c.Bytes = 128
	for i := range g.touches {
		to := &g.touches[i]
		if to.e == nil {
			continue
		}
		v := to.e.head.Load()
		now := Element{e: to.e, v: v, hi: t.m}
		ch := Change{Sample: to.sample && !to.other && !to.dead}
		switch {
		case to.before == nil:
			ch.Kind = NodeAdded
		case to.dead:
			ch.Kind = NodeDeleted
		default:
			ch.Kind = NodeUpdated
		}
		if to.before != nil {
			ch.Before = Element{e: to.e, v: to.before, hi: t.before}
		}
		if to.e.edge {
			ch.Kind += EdgeAdded - NodeAdded
			ch.Edge = Edge{now}
		} else {
			ch.Node = Node{now}
		}
		c.Changes = append(c.Changes, ch)
		c.Bytes += changeBytes
		if !ch.Sample {
			c.Bytes += int(v.bytes())
		}
	}
	g.log.append(c)
}

const changeBytes = 96

// touch notes that the commit changes an element, with the version that it had before.
func (t *txn) touch(e *element, before *version) *touch {
	g := t.g
	if e.touch == 0 {
		g.touches = append(g.touches, touch{e: e, before: before})
		e.touch = uint32(len(g.touches))
	}
	return &g.touches[e.touch-1]
}

// touchLast moves an element to the end of the commit: a node that goes comes after its edges.
func (t *txn) touchLast(e *element, before *version) *touch {
	if e.touch == 0 || int(e.touch) == len(t.g.touches) {
		return t.touch(e, before)
	}
	old := t.g.touches[e.touch-1]
	t.g.touches[e.touch-1] = touch{}
	t.g.touches = append(t.g.touches, old)
	e.touch = uint32(len(t.g.touches))
	return &t.g.touches[e.touch-1]
}

// find gives the live element of an id.
func (g *Graph) find(id string, edge bool) *element {
	e := g.latest(id, edge)
	if e == nil || e.dead {
		return nil
	}
	return e
}

// latest gives the last incarnation of an id that the window holds.
func (g *Graph) latest(id string, edge bool) *element {
	return g.latestOf(id, maphashString(g.seed, id), edge)
}

func (g *Graph) latestOf(id string, hash uint64, edge bool) *element {
	ids := &g.nodeIDs
	if edge {
		ids = &g.edgeIDs
	}
	var buf [8]uint32
	handles, set := ids.candidates(hash, buf[:0])
	elements := g.elementsOf(edge)
	for _, h := range handles {
		if e := elements.get(h); e != nil && e.id == id {
			return e
		}
	}
	if set != nil {
		for h := range set.all() {
			if e := elements.get(h); e != nil && e.id == id {
				return e
			}
		}
	}
	return nil
}

// create links a new element with its first version.
func (t *txn) create(e *element, ev *Event, o *origin) {
	g := t.g
	e.id = t.clone(ev.ID)
	e.owner = o
	e.mark = o.mark
	v := &e.first
	v.from = t.m
	v.to.Store(int64(forever))
	shown := ev.Origin
	if shown == "" {
		shown = o.name
	}
	v.place = g.place(ev.Host, shown)
	own := t.cloneMetadata(ev.Metadata)
	v.layers = stack(o, own, nil)
	v.meta = merge(own, v.layers)
	v.created, v.updated, v.revision = ev.CreatedAt, ev.UpdatedAt, ev.Revision
	if v.created == 0 {
		v.created = t.ms
	}
	if v.updated == 0 {
		v.updated = t.ms
	}
	e.head.Store(v)
	ids, hash := &g.nodeIDs, maphashString(g.seed, e.id)
	if e.edge {
		ids = &g.edgeIDs
	}
	older := g.latestOf(e.id, hash, e.edge)
	if older != nil {
		e.older.Store(older)
	}
	g.elementsOf(e.edge).add(e)
	if older == nil {
		ids.insert(hash, e.handle)
	} else {
		older.newer.Store(e)
		ids.replace(hash, older.handle, e.handle)
	}
	if e.edge {
		e.asEdge().link()
		g.counts.edges++
	} else {
		g.counts.nodes++
	}
	o.owned(e.edge).add(e)
	g.counts.versions++
	g.indexVersion(e, v, nil)
	t.touch(e, nil).other = true
}

// revise gives an element a version; within one commit there is one.
func (t *txn) revise(e *element, change func(v *version)) *version {
	g := t.g
	head := e.head.Load()
	updated, revision := e.shown(head, t.m)
	if head.from == t.m {
		// Nobody sees this version before the commit is published.
		old := &version{place: head.place, meta: head.meta}
		change(head)
		g.indexVersion(e, head, old)
		if !old.meta.Equal(head.meta) || old.place != head.place {
			g.unindexVersion(e, old, head)
		}
		return head
	}
	v := &version{
		from: t.m, place: head.place, meta: head.meta, layers: head.layers,
		created: head.created, updated: updated, revision: revision,
	}
	v.to.Store(int64(forever))
	v.prev.Store(head)
	change(v)
	if e.touch == 0 { // else a sample in this commit has counted already
		revision++
	}
	v.revision = max(v.revision, revision)
	t.touch(e, head).other = true
	head.to.Store(int64(t.m))
	e.head.Store(v)
	g.end(e, head, v)
	g.counts.versions++
	g.indexVersion(e, v, head)
	return v
}

// delete ends an element; a node takes its edges along.
func (t *txn) delete(e *element, deletedAt int64) {
	g := t.g
	if e.dead {
		return
	}
	if !e.edge {
		n := e.asNode()
		for x := n.out.first.Load(); x != nil; x = x.nextOut.Load() {
			t.delete(&x.element, deletedAt)
		}
		for x := n.in.first.Load(); x != nil; x = x.nextIn.Load() {
			t.delete(&x.element, deletedAt)
		}
	}
	head := e.head.Load()
	before := head
	if head.from == t.m && e.touch != 0 {
		before = t.g.touches[e.touch-1].before
	}
	touch := t.touchLast(e, before)
	touch.dead = true
	e.dead = true
	if deletedAt == 0 {
		deletedAt = t.ms
	}
	head.deleted = deletedAt
	if prev := head.prev.Load(); prev != nil && head.from == t.m {
		prev.deleted = deletedAt // nobody ever sees the version between
	}
	head.to.Store(int64(t.m))
	e.owner.owned(e.edge).drop(e)
	if head.layers != nil {
		for _, l := range *head.layers {
			if l.rank != RankOwner {
				t.forgetLayer(l.origin, e)
			}
		}
	}
	if e.edge {
		g.counts.edges--
	} else {
		g.counts.nodes--
	}
	g.end(e, head, nil)
}

func (t *txn) forgetLayer(o *origin, e *element) {
	if _, ok := o.layers[e]; ok {
		delete(o.layers, e)
		t.g.counts.layers--
	}
}

// clone copies text of a batch that was decoded from a message, so that an element does not hold the message.
func (t *txn) clone(s string) string {
	if t.batch.aliases {
		return cloneString(s)
	}
	return s
}

func (t *txn) cloneMetadata(m Metadata) Metadata {
	if t.batch.aliases {
		m.data = cloneString(m.data)
	}
	return m
}
