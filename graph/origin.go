package graph

import "strings"

// origin is one writer of the graph: its position, the elements it owns, and the layers it lays over others.
type origin struct {
	graph      *Graph
	name       string
	epoch, seq uint64
	mark       uint32 // of its last snapshot

	nodes, edges ownedList
	layers       map[*element]uint32 // to the snapshot that named the layer last
	parked       int                 // edges that wait

	heard      Moment // of its last batch, or when it was found to hold something
	prev, next *origin
}

// originList is a list of origins in the order in which they were added.
type originList struct {
	first, last *origin
	count       int
}

func (l *originList) add(o *origin) {
	o.prev, o.next = l.last, nil
	if l.last == nil {
		l.first = o
	} else {
		l.last.next = o
	}
	l.last = o
	l.count++
}

func (l *originList) drop(o *origin) {
	if o.prev == nil {
		l.first = o.next
	} else {
		o.prev.next = o.next
	}
	if o.next == nil {
		l.last = o.prev
	} else {
		o.next.prev = o.prev
	}
	o.prev, o.next = nil, nil
	l.count--
}

const (
	maxForgotten    = 10_000 // forgotten origins whose position is remembered
	originsPerBatch = 4      // origins looked at in Apply: more than a batch can add
	originsPerTrim  = 1000   // and in Trim
)

// hear gives the origin of a batch, a forgotten one in its old position.
func (g *Graph) hear(name string, m Moment) *origin {
	o := g.origins[name]
	switch {
	case o != nil:
		g.known.drop(o)
	case g.forgotten[name] != nil:
		o = g.forgotten[name]
		g.positions.drop(o)
		delete(g.forgotten, name)
		g.origins[name] = o
	default:
		o = &origin{graph: g, name: cloneString(name)}
		g.origins[o.name] = o
	}
	o.heard = m
	g.known.add(o)
	return o
}

// idle tells whether nothing in the live graph is the origin's. Versions of the past may still name it.
func (o *origin) idle() bool {
	return o.nodes.count == 0 && o.edges.count == 0 && len(o.layers) == 0 && o.parked == 0
}

// forgetOrigins forgets origins that hold nothing and have been silent for OriginAge. One that holds something is
// looked at again after as long. What a forgotten origin said last is remembered of a number of them, so that none of
// it is applied again when it comes late; of unnumbered ones there is nothing to remember.
func (g *Graph) forgetOrigins(now Moment, budget int) {
	for ; budget > 0 && g.known.first != nil; budget-- {
		o := g.known.first
		if o.heard > now {
			o.heard = now // the clock went back
		}
		if now-o.heard < Moment(g.opts.OriginAge) {
			return
		}
		g.known.drop(o)
		if !o.idle() {
			o.heard = now
			g.known.add(o)
			continue
		}
		delete(g.origins, o.name)
		g.counts.forgotten++
		if o.epoch == 0 {
			continue
		}
		o.layers = nil
		if g.positions.count >= maxForgotten {
			oldest := g.positions.first
			g.positions.drop(oldest)
			delete(g.forgotten, oldest.name)
		}
		g.positions.add(o)
		g.forgotten[o.name] = o
	}
}

// ownedList is the list of the elements that an origin owns and that live.
type ownedList struct {
	first *element
	count int
}

func (l *ownedList) add(e *element) {
	e.next, e.prev = l.first, nil
	if l.first != nil {
		l.first.prev = e
	}
	l.first = e
	l.count++
}

func (l *ownedList) drop(e *element) {
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.next, e.prev = nil, nil
	l.count--
}

func (o *origin) owned(edge bool) *ownedList {
	if edge {
		return &o.edges
	}
	return &o.nodes
}

func (o *origin) setLayer(e *element) {
	if o.layers == nil {
		o.layers = make(map[*element]uint32)
	}
	o.layers[e] = o.mark
}

// OriginState is the position of an origin, and how much of the graph is its.
type OriginState struct {
	Name                 string
	Epoch, Seq           uint64
	Nodes, Edges, Layers int
}

// Origins gives every origin that has something in the graph or wrote within Options.OriginAge, and maybe some of a
// while before, sorted by name.
func (g *Graph) Origins() []OriginState {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]OriginState, 0, len(g.origins))
	for _, o := range g.origins {
		out = append(out, OriginState{o.name, o.epoch, o.seq, o.nodes.count, o.edges.count, len(o.layers)})
	}
	sortBy(out, func(a, b OriginState) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// position decides what to do with a numbered batch, and moves the origin there.
func (o *origin) position(b *Batch) (Status, error) {
	switch {
	case b.Epoch == 0:
		return Applied, nil
	case b.Epoch < o.epoch:
		return Stale, nil
	case b.Epoch == o.epoch && b.Seq <= o.seq:
		return Duplicate, nil
	case b.Snapshot:
	case b.Epoch > o.epoch && b.Seq != 1:
		return Applied, &GapError{Origin: b.Origin, Epoch: b.Epoch, Want: 1, Got: b.Seq}
	case b.Epoch == o.epoch && b.Seq != o.seq+1:
		return Applied, &GapError{Origin: b.Origin, Epoch: b.Epoch, Want: o.seq + 1, Got: b.Seq}
	}
	o.epoch, o.seq = b.Epoch, b.Seq
	return Applied, nil
}

// find gives the layer of an origin beside the owner's.
func findLayer(layers *[]layer, o *origin) (int, bool) {
	if layers != nil {
		for i, l := range *layers {
			if l.origin == o && l.rank != RankOwner {
				return i, true
			}
		}
	}
	return 0, false
}

// own is the owner's layer of a version.
func (v *version) own() Metadata {
	if v.layers == nil {
		return v.meta
	}
	return (*v.layers)[0].meta
}

// stack puts layers in their order, the owner's first.
func stack(owner *origin, own Metadata, over []layer) *[]layer {
	if len(over) == 0 && !own.masked() {
		return nil
	}
	layers := make([]layer, 0, 1+len(over))
	layers = append(layers, layer{owner, RankOwner, own})
	layers = append(layers, over...)
	sortBy(layers[1:], func(a, b layer) int {
		if a.rank != b.rank {
			return int(a.rank) - int(b.rank)
		}
		return strings.Compare(a.origin.name, b.origin.name)
	})
	return &layers
}

// merge lays the layers over each other.
func merge(own Metadata, layers *[]layer) Metadata {
	if layers == nil {
		return own
	}
	m := (*layers)[0].meta.shown()
	for _, l := range (*layers)[1:] {
		m = m.Merge(l.meta)
	}
	return m
}

// over is the layers beside the owner's, without that of one origin.
func over(layers *[]layer, without *origin) []layer {
	if layers == nil {
		return nil
	}
	out := make([]layer, 0, len(*layers))
	for _, l := range (*layers)[1:] {
		if l.origin != without {
			out = append(out, l)
		}
	}
	return out
}
