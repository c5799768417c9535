package graph

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync/atomic"
)

// An index maps the values of one field to the elements that have it now or had it in the window. A list counts
// under each of its items. Objects are not indexed.
type index struct {
	key   string // "@Host" or a metadata path
	ready atomic.Bool
	table table
}

// field is the indexed value of a version.
func (x *index) field(v *version) Value {
	switch x.key {
	case "@Host":
		return String(v.place.host)
	case "@Origin":
		return String(v.place.origin)
	}
	val, _ := v.meta.Lookup(x.key)
	return val
}

// hashValue hashes what Equal compares.
func hashValue(seed maphash.Seed, v Value) uint64 {
	if v.kind == KindString {
		return maphash.String(seed, v.str)
	}
	return scramble(v.num + uint64(v.kind)<<56)
}

// scramble spreads small numbers over all bits.
func scramble(x uint64) uint64 {
	hi, lo := bits.Mul64(x^0x2d358dccaa6c78a5, 0x8bb84b93962eacc9)
	hi, lo = bits.Mul64(hi^0x8bb84b93962eacc9, lo^0x4b33a62ed433d4a3)
	return hi ^ lo
}

func indexable(v Value) bool {
	return v.kind != KindObject && v.kind != KindAbsent && v.kind != KindRemoved
}

// eachHash calls f with the hash of the value, or of each item of a list, however deep: a path through a list gives a
// list of what each item has, which can be lists again.
func eachHash(seed maphash.Seed, v Value, f func(hash uint64)) {
	if v.kind != KindList {
		if indexable(v) {
			f(hashValue(seed, v))
		}
		return
	}
	count, s := uvarint(v.str)
	for range count {
		var item string
		item, s = cutSized(s)
		eachHash(seed, unpack(item), f)
	}
}

// hasHash tells whether the value, or an item of it, has the hash.
func hasHash(seed maphash.Seed, v Value, hash uint64) bool {
	found := false
	eachHash(seed, v, func(h uint64) { found = found || h == hash })
	return found
}

// matches tells whether an indexed value answers a look-up.
func matches(have, want Value) bool {
	if have.kind != KindList {
		return have.Equal(want)
	}
	count, s := uvarint(have.str)
	for range count {
		var item string
		item, s = cutSized(s)
		if matches(unpack(item), want) {
			return true
		}
	}
	return false
}

// indexVersion adds an element under the values of its new version that the one before did not have.
func (g *Graph) indexVersion(e *element, v, before *version) {
	for _, x := range *g.indexesOf(e.edge).Load() {
		now := x.field(v)
		if now.IsZero() || before != nil && x.field(before).Equal(now) {
			continue
		}
		eachHash(g.seed, now, func(h uint64) { x.table.insert(h, e.handle) })
	}
}

// unindexVersion takes an element away under the values of a version that is gone, but where one of the versions
// that remain has the value.
func (g *Graph) unindexVersion(e *element, gone, after *version) {
	for _, x := range *g.indexesOf(e.edge).Load() {
		old := x.field(gone)
		if old.IsZero() || after != nil && x.field(after).Equal(old) {
			continue
		}
		eachHash(g.seed, old, func(h uint64) {
			for v := e.head.Load(); v != nil && after != nil; v = v.prev.Load() {
				if hasHash(g.seed, x.field(v), h) {
					return
				}
			}
			x.table.remove(h, e.handle)
		})
	}
}

func (g *Graph) indexesOf(edge bool) *atomic.Pointer[[]*index] {
	if edge {
		return &g.edgeIndexes
	}
	return &g.nodeIndexes
}

func findIndex(indexes []*index, key string) *index {
	for _, x := range indexes {
		if x.key == key {
			return x
		}
	}
	return nil
}

const (
	askedOften  = 32   // look-ups without an index before one is built
	worthIndex  = 1000 // elements below which none is built
	maxBuilt    = 16   // indexes built on demand, of nodes and of edges each
	maxAsked    = 256  // keys whose look-ups are counted
	maxIndexKey = 1024 // bytes of a key whose look-ups are counted
	buildChunk  = 512  // elements indexed at a time, between which the writer may go
)

// askIndex counts a look-up that no index served, and has one built when there were many. The goroutine that builds
// ends when it is done; it holds the writer up for one chunk at a time.
func (g *Graph) askIndex(key string, edge bool) {
	g.unindexed.Add(1)
	if len(key) > maxIndexKey {
		return
	}
	if strings.HasPrefix(key, "@") && key != "@Host" && key != "@Origin" {
		return
	}
	g.askedMu.Lock()
	defer g.askedMu.Unlock()
	asked := g.asked[edge]
	if asked == nil {
		asked = make(map[string]int)
		g.asked[edge] = asked
	}
	if _, known := asked[key]; !known && len(asked) >= maxAsked {
		clear(asked)
	}
	asked[key]++
	if asked[key] < askedOften || g.elementsOf(edge).top.Load() < worthIndex {
		return
	}
	if g.built[edge] >= maxBuilt {
		return
	}
	g.built[edge]++
	delete(asked, key)
	go g.buildIndex(key, edge)
}

func (g *Graph) elementsOf(edge bool) *elements {
	if edge {
		return &g.edges
	}
	return &g.nodes
}

// buildIndex adds an index, which the writer keeps from then on, and fills it with what was there.
func (g *Graph) buildIndex(key string, edge bool) {
	x := &index{key: key}
	g.mu.Lock()
	p := g.indexesOf(edge)
	if findIndex(*p.Load(), key) != nil {
		g.mu.Unlock()
		return
	}
	indexes := append(append([]*index(nil), *p.Load()...), x)
	p.Store(&indexes)
	g.mu.Unlock()
	table := g.elementsOf(edge)
	for from := uint32(1); from <= table.top.Load(); from += buildChunk {
		g.mu.Lock()
		for h := from; h < from+buildChunk && h <= table.top.Load(); h++ {
			e := table.get(h)
			if e == nil {
				continue
			}
			for v := e.head.Load(); v != nil; v = v.prev.Load() {
				eachHash(g.seed, x.field(v), func(hash uint64) { x.table.insert(hash, h) })
			}
		}
		g.mu.Unlock()
	}
	x.ready.Store(true)
}
