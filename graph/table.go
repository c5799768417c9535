package graph

import (
	"iter"
	"sync/atomic"
)

// A table maps 64-bit hashes to element handles. One goroutine writes, any number read without locks. It holds no
// keys: a handle it gives is a candidate, which the reader checks against the element as its view sees it, so a
// collision or a stale entry costs time and never truth.
//
// It is split in shards so that growing one is short. A slot is the hash's tag and a handle, or the tag and the
// number of an overflow set when a hash has many handles. An entry never moves within an array, and an array that
// grows is replaced as a whole, so a reader sees each entry that was there when it began.
type table struct {
	shards [tableShards]tableShard
	sets   atomic.Pointer[[]*atomic.Pointer[handleSet]]
	free   []uint32 // numbers of sets that are not in use
}

const (
	tableShards  = 64
	singles      = 8         // handles of one hash before they go to a set
	slotSet      = 1 << 31   // the low half is the number of a set
	slotDead     = 1<<32 - 1 // the low half of a slot that was given up
	firstSlots   = 8
	setShardSize = 1 << 14 // handles in a set before it is split
)

type tableShard struct {
	array atomic.Pointer[slotArray]
	live  int
	used  int // live and dead
}

type slotArray struct {
	mask  uint32
	slots []atomic.Uint64
}

func splitHash(hash uint64) (shard int, tag uint32) {
	return int(hash >> 58), uint32(hash) ^ uint32(hash>>26)
}

func makeSlot(tag, low uint32) uint64 { return uint64(tag)<<32 | uint64(low) }

// candidates appends the handles of a hash to buf, and gives its overflow set if there is one.
func (t *table) candidates(hash uint64, buf []uint32) ([]uint32, *handleSet) {
	shard, tag := splitHash(hash)
	a := t.shards[shard].array.Load()
	if a == nil {
		return buf, nil
	}
	var set *handleSet
	for i := tag & a.mask; ; i = (i + 1) & a.mask {
		s := a.slots[i].Load()
		if s == 0 {
			return buf, set
		}
		if uint32(s>>32) != tag {
			continue
		}
		switch low := uint32(s); {
		case low == slotDead:
		case low&slotSet != 0:
			set = (*t.sets.Load())[low&^slotSet].Load()
		default:
			buf = append(buf, low)
		}
	}
}

// insert adds a handle unless the hash has it.
func (t *table) insert(hash uint64, handle uint32) {
	shard, tag := splitHash(hash)
	sh := &t.shards[shard]
	a := sh.array.Load()
	if a == nil || (sh.used+1)*4 > len(a.slots)*3 {
		a = sh.rebuild(a)
	}
	var set *handleSet
	count := 0
	free := -1
	for i := tag & a.mask; ; i = (i + 1) & a.mask {
		s := a.slots[i].Load()
		if s == 0 {
			if free < 0 {
				free = int(i)
			}
			break
		}
		low := uint32(s)
		if low == slotDead {
			if free < 0 {
				free = int(i)
			}
			continue
		}
		if uint32(s>>32) != tag {
			continue
		}
		if low&slotSet != 0 {
			set = t.setAt(low &^ slotSet)
			continue
		}
		if low == handle {
			return
		}
		count++
	}
	if set != nil {
		set.insert(handle)
		return
	}
	low := handle
	if count >= singles {
		n, set := t.newSet()
		set.insert(handle)
		low = n | slotSet
	}
	if a.slots[free].Load() == 0 {
		sh.used++
	}
	sh.live++
	a.slots[free].Store(makeSlot(tag, low))
}

// remove takes a handle of a hash away.
func (t *table) remove(hash uint64, handle uint32) {
	shard, tag := splitHash(hash)
	sh := &t.shards[shard]
	a := sh.array.Load()
	if a == nil {
		return
	}
	for i := tag & a.mask; ; i = (i + 1) & a.mask {
		s := a.slots[i].Load()
		if s == 0 {
			return
		}
		low := uint32(s)
		if uint32(s>>32) != tag || low == slotDead {
			continue
		}
		if low&slotSet != 0 {
			n := low &^ slotSet
			set := t.setAt(n)
			if !set.remove(handle) {
				continue
			}
			if set.len() == 0 {
				a.slots[i].Store(makeSlot(tag, slotDead))
				sh.live--
				t.dropSet(n)
			}
			return
		}
		if low == handle {
			a.slots[i].Store(makeSlot(tag, slotDead))
			sh.live--
			return
		}
	}
}

// replace puts a handle in the place of another one of the hash, and tells whether that was there.
func (t *table) replace(hash uint64, old, handle uint32) bool {
	shard, tag := splitHash(hash)
	a := t.shards[shard].array.Load()
	if a == nil {
		return false
	}
	for i := tag & a.mask; ; i = (i + 1) & a.mask {
		switch a.slots[i].Load() {
		case 0:
			return false
		case makeSlot(tag, old):
			a.slots[i].Store(makeSlot(tag, handle))
			return true
		}
	}
}

// rebuild copies the live slots to a fresh array with room for more.
func (sh *tableShard) rebuild(old *slotArray) *slotArray {
	size := firstSlots
	for size < (sh.live+1)*2 {
		size *= 2
	}
	a := &slotArray{mask: uint32(size - 1), slots: make([]atomic.Uint64, size)}
	if old != nil {
		for j := range old.slots {
			s := old.slots[j].Load()
			if s == 0 || uint32(s) == slotDead {
				continue
			}
			i := uint32(s>>32) & a.mask
			for a.slots[i].Load() != 0 {
				i = (i + 1) & a.mask
			}
			a.slots[i].Store(s)
		}
	}
	sh.used = sh.live
	sh.array.Store(a)
	return a
}

func (t *table) setAt(n uint32) *handleSet { return (*t.sets.Load())[n].Load() }

func (t *table) newSet() (uint32, *handleSet) {
	set := &handleSet{}
	if n := len(t.free); n > 0 {
		number := t.free[n-1]
		t.free = t.free[:n-1]
		(*t.sets.Load())[number].Store(set)
		return number, set
	}
	var sets []*atomic.Pointer[handleSet]
	if old := t.sets.Load(); old != nil {
		sets = *old
	}
	p := &atomic.Pointer[handleSet]{}
	p.Store(set)
	// A reader holds the shorter slice: appending behind its end is not seen by it.
	sets = append(sets, p)
	t.sets.Store(&sets)
	return uint32(len(sets) - 1), set
}

func (t *table) dropSet(n uint32) {
	(*t.sets.Load())[n].Store(nil)
	t.free = append(t.free, n)
}

// A handleSet is a set of handles with one writer and lock-free readers. A large one is split in parts.
type handleSet struct {
	count atomic.Int64
	parts atomic.Pointer[[]handleArray]
}

type handleArray struct {
	array atomic.Pointer[[]atomic.Uint32]
	live  int
	used  int
}

const (
	deadHandle = 1<<32 - 1
	setParts   = 64
)

func mixHandle(h uint32) uint32 { return h * 0x9e3779b1 }

func (s *handleSet) len() int { return int(s.count.Load()) }

func (s *handleSet) part(handle uint32) *handleArray {
	parts := *s.parts.Load()
	if len(parts) == 1 {
		return &parts[0]
	}
	return &parts[(handle*0x85ebca6b)>>26]
}

func (s *handleSet) insert(handle uint32) bool {
	if s.parts.Load() == nil {
		parts := make([]handleArray, 1)
		s.parts.Store(&parts)
	}
	p := s.part(handle)
	if !p.insert(handle) {
		return false
	}
	if n := s.count.Add(1); n == setShardSize && len(*s.parts.Load()) == 1 {
		s.split()
	}
	return true
}

func (s *handleSet) split() {
	parts := make([]handleArray, setParts)
	for h := range (*s.parts.Load())[0].all() {
		parts[(h*0x85ebca6b)>>26].insert(h)
	}
	s.parts.Store(&parts)
}

func (s *handleSet) remove(handle uint32) bool {
	if !s.part(handle).remove(handle) {
		return false
	}
	s.count.Add(-1)
	return true
}

// all gives the handles in no order.
func (s *handleSet) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		parts := s.parts.Load()
		if parts == nil {
			return
		}
		for i := range *parts {
			for h := range (*parts)[i].all() {
				if !yield(h) {
					return
				}
			}
		}
	}
}

func (p *handleArray) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		a := p.array.Load()
		if a == nil {
			return
		}
		for i := range *a {
			if h := (*a)[i].Load(); h != 0 && h != deadHandle && !yield(h) {
				return
			}
		}
	}
}

func (p *handleArray) insert(handle uint32) bool {
	a := p.array.Load()
	if a == nil || (p.used+1)*4 > len(*a)*3 {
		a = p.rebuild(a)
	}
	mask := uint32(len(*a) - 1)
	free := -1
	for i := mixHandle(handle) >> 8 & mask; ; i = (i + 1) & mask {
		switch (*a)[i].Load() {
		case handle:
			return false
		case deadHandle:
			if free < 0 {
				free = int(i)
			}
			continue
		case 0:
			if free < 0 {
				free = int(i)
				p.used++
			}
		default:
			continue
		}
		(*a)[free].Store(handle)
		p.live++
		return true
	}
}

func (p *handleArray) remove(handle uint32) bool {
	a := p.array.Load()
	if a == nil {
		return false
	}
	mask := uint32(len(*a) - 1)
	for i := mixHandle(handle) >> 8 & mask; ; i = (i + 1) & mask {
		switch (*a)[i].Load() {
		case handle:
			(*a)[i].Store(deadHandle)
			p.live--
			return true
		case 0:
			return false
		}
	}
}

func (p *handleArray) rebuild(old *[]atomic.Uint32) *[]atomic.Uint32 {
	size := firstSlots
	for size < (p.live+1)*2 {
		size *= 2
	}
	a := make([]atomic.Uint32, size)
	mask := uint32(size - 1)
	if old != nil {
		for j := range *old {
			h := (*old)[j].Load()
			if h == 0 || h == deadHandle {
				continue
			}
			i := mixHandle(h) >> 8 & mask
			for a[i].Load() != 0 {
				i = (i + 1) & mask
			}
			a[i].Store(h)
		}
	}
	p.used = p.live
	p.array.Store(&a)
	return &a
}
