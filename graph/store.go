package graph

import (
	"iter"
	"sync/atomic"
	"unsafe"
)

// element is what nodes and edges have in common: one incarnation of an id, from its creation to its deletion. What
// readers follow is atomic or never changes after the element was linked; the rest is the writer's.
type element struct {
	id      string
	owner   *origin
	head    atomic.Pointer[version]
	samples atomic.Pointer[[]*series]
	older   atomic.Pointer[element] // the incarnation before, while the window holds it
	newer   atomic.Pointer[element]

	handle uint32
	edge   bool
	dead   bool   // writer: deleted
	mark   uint32 // writer: the snapshot that named it last
	touch  uint32 // writer: its place + 1 in the transaction
	prev   *element
	next   *element // writer: the owner's elements

	first version
}

// node is an element with the ends of its lists of edges.
type node struct {
	element
	out, in adjacency
}

// edge is an element that hangs in the list of its parent and in that of its child.
type edge struct {
	element
	parent, child     *node
	nextOut, nextIn   atomic.Pointer[edge]
	priorOut, priorIn *edge // writer
}

// adjacency is a list of edges, threaded through them, oldest first. An edge that was taken out still points on, so
// a reader that stands on it finds its way.
type adjacency struct {
	first atomic.Pointer[edge]
	last  *edge // writer
}

func (e *element) asNode() *node { return (*node)(unsafe.Pointer(e)) }
func (e *element) asEdge() *edge { return (*edge)(unsafe.Pointer(e)) }

// version is one state of an element, valid from a moment until another.
type version struct {
	from Moment
	to   atomic.Int64
	prev atomic.Pointer[version]

	place    *place
	meta     Metadata // all layers merged
	layers   *[]layer // nil when the owner's is the only one, and meta is it
	created  int64
	updated  int64
	deleted  int64 // set before to, when the element ends with this version
	revision int64
}

// place is the display host and origin of elements, shared by all that have the same.
type place struct{ host, origin string }

// layer is what one origin says of an element.
type layer struct {
	origin *origin
	rank   Rank
	meta   Metadata
}

// at gives the last version that lived in [lo,hi].
func (e *element) at(lo, hi Moment) *version {
	for v := e.head.Load(); v != nil; v = v.prev.Load() {
		if v.from > hi {
			continue
		}
		to := Moment(v.to.Load())
		if to <= lo {
			return nil
		}
		if to > v.from { // else it began and ended in one commit
			return v
		}
	}
	return nil
}

// bytes is about what a past version occupies.
func (v *version) bytes() int64 {
	n := int64(unsafe.Sizeof(version{})) + int64(v.meta.bytes())
	if v.layers != nil {
		for _, l := range *v.layers {
			n += int64(unsafe.Sizeof(layer{})) + int64(l.meta.bytes())
		}
	}
	return n
}

// elements maps handles to elements. One goroutine writes, any number read.
type elements struct {
	chunks atomic.Pointer[[]*elementChunk]
	top    atomic.Uint32 // the highest handle ever given
	free   []uint32
	count  int
}

const chunkBits = 10

type elementChunk [1 << chunkBits]atomic.Pointer[element]

func (t *elements) get(handle uint32) *element {
	chunks := t.chunks.Load()
	if chunks == nil || int(handle>>chunkBits) >= len(*chunks) {
		return nil
	}
	return (*chunks)[handle>>chunkBits][handle&(1<<chunkBits-1)].Load()
}

// add gives the element a handle and links it.
func (t *elements) add(e *element) {
	if n := len(t.free); n > 0 {
		e.handle = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		e.handle = t.top.Load() + 1
	}
	at := int(e.handle >> chunkBits)
	var chunks []*elementChunk
	if p := t.chunks.Load(); p != nil {
		chunks = *p
	}
	if at >= len(chunks) {
		chunks = append(chunks, new(elementChunk))
		t.chunks.Store(&chunks)
	}
	chunks[at][e.handle&(1<<chunkBits-1)].Store(e)
	if e.handle > t.top.Load() {
		t.top.Store(e.handle)
	}
	t.count++
}

func (t *elements) drop(e *element) {
	(*t.chunks.Load())[e.handle>>chunkBits][e.handle&(1<<chunkBits-1)].Store(nil)
	t.free = append(t.free, e.handle)
	t.count--
}

// all gives every element that the window holds.
func (t *elements) all() iter.Seq[*element] {
	return func(yield func(*element) bool) {
		chunks := t.chunks.Load()
		if chunks == nil {
			return
		}
		for _, c := range *chunks {
			for i := range c {
				if e := c[i].Load(); e != nil && !yield(e) {
					return
				}
			}
		}
	}
}

// link hangs an edge in the lists of its nodes.
func (e *edge) link() {
	out := &e.parent.out
	if e.priorOut = out.last; e.priorOut == nil {
		out.first.Store(e)
	} else {
		e.priorOut.nextOut.Store(e)
	}
	out.last = e
	in := &e.child.in
	if e.priorIn = in.last; e.priorIn == nil {
		in.first.Store(e)
	} else {
		e.priorIn.nextIn.Store(e)
	}
	in.last = e
}

// unlink takes an edge out of both lists. Its own pointers on stay for readers that stand on it.
func (e *edge) unlink() {
	next := e.nextOut.Load()
	if e.priorOut == nil {
		e.parent.out.first.Store(next)
	} else {
		e.priorOut.nextOut.Store(next)
	}
	if next == nil {
		e.parent.out.last = e.priorOut
	} else {
		next.priorOut = e.priorOut
	}
	next = e.nextIn.Load()
	if e.priorIn == nil {
		e.child.in.first.Store(next)
	} else {
		e.priorIn.nextIn.Store(next)
	}
	if next == nil {
		e.child.in.last = e.priorIn
	} else {
		next.priorIn = e.priorIn
	}
	e.priorOut, e.priorIn = nil, nil
}
