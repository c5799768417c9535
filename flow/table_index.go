package flow

import "math/bits"

// noSlot is the index of no flow.
const noSlot = ^uint32(0)

// index finds the slot of a flow by the hash of its key. It is open addressing over buckets of one cache line: eight
// entries, each the low 32 bits of the hash above the slot plus two. Zero is empty and ends a search; one was deleted and does not.
// The bucket comes from the same 32 bits, so that growing needs no keys.
type index struct {
	buckets []bucket
	mask    uint32
	entries int // live and deleted
	live    int
}

type bucket [8]uint64

const (
	entryEmpty   = 0
	entryDeleted = 1
	slotOffset   = 2
)

func (x *index) init(buckets int) {
	x.buckets = largeSlice[bucket](buckets)
	x.mask = uint32(buckets - 1)
	x.entries, x.live = 0, 0
}

// home returns the first bucket of a tag. Its bits are spread, so that neighbours of the mask matter.
func (x *index) home(tag uint32) uint32 { return bits.ReverseBytes32(tag) & x.mask }

// bucketOf returns the first bucket of a hash.
func (x *index) bucketOf(hash uint64) *bucket { return &x.buckets[x.home(uint32(hash))] }

// candidate returns the slot in a bucket that has the tag of a hash, its key not compared, or what is no slot or a wrong one where none has it or
// several. It looks at all entries, and chooses without a branch.
func (b *bucket) candidate(hash uint64) uint32 {
	tag := hash << 32
	x := only(b[0]^tag) | only(b[1]^tag) | only(b[2]^tag) | only(b[3]^tag)
	y := only(b[4]^tag) | only(b[5]^tag) | only(b[6]^tag) | only(b[7]^tag)
	return uint32(x|y) - slotOffset
}

// only returns x if it has no tag left, and else 0. It is written in this way because the compiler branches where it could choose.
func only(x uint64) uint64 {
	_, less := bits.Sub64(x, 1<<32, 0)
	return x & -less
}

// search goes through the slots that have the tag of a hash.
type search struct {
	tag, at uint32
	entry   int
}

func (x *index) lookup(hash uint64) search {
	return search{tag: uint32(hash), at: x.home(uint32(hash))}
}

func (s *search) next(x *index) uint32 {
	for {
		b := &x.buckets[s.at]
		for s.entry < len(b) {
			e := b[s.entry]
			s.entry++
			if e == entryEmpty {
				s.entry = 0
				return noSlot
			}
			if uint32(e>>32) == s.tag && uint32(e) >= slotOffset {
				return uint32(e) - slotOffset
			}
		}
		s.at = (s.at + 1) & x.mask
		s.entry = 0
	}
}

// insert adds a slot that is not there.
func (x *index) insert(hash uint64, slot uint32) {
	if x.entries+1 > len(x.buckets)*6 { // three quarters
		x.grow()
	}
	if x.put(uint64(uint32(hash))<<32 | uint64(slot+slotOffset)) {
		x.entries++
	}
	x.live++
}

// put stores an entry and reports whether its place was empty, not deleted.
func (x *index) put(entry uint64) bool {
	for at := x.home(uint32(entry >> 32)); ; at = (at + 1) & x.mask {
		b := &x.buckets[at]
		for i, e := range b {
			if uint32(e) < slotOffset {
				b[i] = entry
				return e == entryEmpty
			}
		}
	}
}

// grow makes room: twice as much, or as much again where deleted entries fill it.
func (x *index) grow() {
	old, live := x.buckets, x.live
	size := len(old)
	if live > size*3 {
		size *= 2
	}
	x.init(size)
	for i := range old {
		for _, e := range old[i] {
			if uint32(e) >= slotOffset {
				x.put(e)
			}
		}
	}
	x.entries, x.live = live, live
}

// remove takes a slot out; tag is the low half of its hash.
func (x *index) remove(tag, slot uint32) {
	entry := uint64(tag)<<32 | uint64(slot+slotOffset)
	for at := x.home(tag); ; at = (at + 1) & x.mask {
		b := &x.buckets[at]
		for i, e := range b {
			if e != entry {
				continue
			}
			x.live--
			// Entries fill a bucket from the left. The last one may go back to empty, since no search went past it.
			if i+1 < len(b) && b[i+1] == entryEmpty {
				b[i] = entryEmpty
				x.entries--
				return
			}
			b[i] = entryDeleted
			return
		}
	}
}
