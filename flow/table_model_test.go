package flow

import (
	"math/rand/v2"
	"testing"
)

// followSimply is tcp as its comment says it, one case after the other, but for gaps that are filled.
func followSimply(h *hot, s *segment, direction uint32) {
	length := s.payload
	if s.tcp&(tcpSYN|tcpFIN) != 0 {
		length++
	}
	back := direction ^ 1
	if s.tcp&tcpACK != 0 && h.flags&(hotPending<<back) != 0 && int32(s.ack-h.pending[back]) >= 0 {
		h.flags &^= hotPending << back
		h.smoothen(back, uint32(s.time>>tickBits)-h.sent[back])
	}
	if length == 0 || s.tcp&tcpRST != 0 {
		return
	}
	end := s.seq + length
	if h.flags&(hotNext<<direction) != 0 && s.seq != h.next[direction] {
		if int32(s.seq-h.next[direction]) < 0 {
			if s.tcp&tcpSYN == 0 {
				h.flags &^= hotPending << direction
			}
			if int32(end-h.next[direction]) > 0 {
				h.next[direction] = end
			}
			return
		}
	}
	h.flags |= hotNext << direction
	h.next[direction] = end
	if h.flags&(hotPending<<direction) == 0 {
		h.flags |= hotPending << direction
		h.pending[direction] = end
		h.sent[direction] = uint32(s.time >> tickBits)
	}
}

// TestTCPWithoutBranches holds the state of connections to the simple way of following them, over segments of all kinds: in order, ahead,
// behind, across the end of the sequence numbers, acknowledging something or nothing, with time going backwards now and then.
func TestTCPWithoutBranches(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 3))
		table := NewTable(Options{})
		s := segment{key: key{keyKind: kindLive}, flags: segTCP, time: 1e9}
		slot := table.settle(&s, &owner{})
		got := table.hotAt(slot)
		want := *got
		seq := [2]uint32{rng.Uint32N(5000) - 2500, rng.Uint32()}
		for step := range 5000 {
			direction := rng.Uint32N(2)
			s.payload = []uint32{0, 0, 1, 700}[rng.IntN(4)]
			s.seq, s.ack = seq[direction], seq[direction^1]-rng.Uint32N(3)*350
			switch rng.IntN(8) {
			case 0:
				s.seq += rng.Uint32N(2000)
			case 1:
				s.seq -= rng.Uint32N(2000)
			}
			s.tcp = []uint8{tcpACK, tcpACK, tcpACK, 0, tcpSYN, tcpFIN | tcpACK, tcpSYN | tcpFIN, tcpRST, tcpRST | tcpSYN}[rng.IntN(9)]
			s.time += int64(rng.IntN(100_000)) - 5000
			seq[direction] = s.seq + s.payload
			table.coldAt(slot).gap = [2]uint64{} // a segment that fills one leaves the measurement alone, which is not asked here
			table.tcp(slot, got, &s, direction)
			want.flags = want.flags&(3<<nextShift|3<<pendingShift) | got.flags&^(3<<nextShift|3<<pendingShift)
			followSimply(&want, &s, direction)
			if *got != want {
				t.Fatalf("seed %d, step %d, direction %d: %+v\ngot  %+v\nwant %+v", seed, step, direction, s, *got, want)
			}
		}
	}
}

// TestCandidate holds the choice without a branch to a search: it finds the only entry with a tag wherever it stands, and no slot where there is none.
func TestCandidate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for range 100_000 {
		tag := rng.Uint32N(4) << (30 * rng.Uint32N(2))
		var b bucket
		want := noSlot
		for i := range b {
			other := rng.Uint32N(4) << (30 * rng.Uint32N(2))
			if other == tag && want != noSlot {
				other = tag ^ 1<<rng.Uint32N(32)
			}
			switch rng.IntN(6) {
			case 0:
				b[i] = entryDeleted
			case 1:
				b[i] = entryEmpty
			default:
				slot := rng.Uint32() >> 8
				b[i] = uint64(other)<<32 | uint64(slot+slotOffset)
				if other == tag {
					want = slot
				}
			}
		}
		got := b.candidate(rng.Uint64()<<32 | uint64(tag))
		if tag == 0 && want != noSlot {
			continue // a deleted entry has that tag too, and the key tells
		}
		if got != want && (want != noSlot || got < noSlot-1) {
			t.Fatalf("tag %x in %x: slot %d, want %d", tag, b, got, want)
		}
	}
}

// TestKeyIs holds two keys to being different if any bits of them are.
func TestKeyIs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	for range 100_000 {
		var k key
		for i := range k {
			k[i] = rng.Uint64()
		}
		o := k
		for range rng.IntN(4) {
			i := rng.IntN(len(o))
			switch rng.IntN(3) {
			case 0:
				o[i] ^= 1 << rng.IntN(64)
			case 1:
				o[i] = 0
			case 2: // words that change places, and each other's values
				o[i], o[(i+1)%len(o)] = o[(i+1)%len(o)], o[i]
			}
		}
		if k.is(&o) != (k == o) || k.is(&o) != (k.network(&o)|k.rest(&o) == 0) {
			t.Fatalf("%x and %x: the same is %v", k, o, k.is(&o))
		}
	}
	var zero key
	for i := range 512 {
		o := zero
		o[i/64] = 1 << (i % 64)
		for j := range 512 {
			k := zero
			k[j/64] = 1 << (j % 64)
			if k.is(&o) != (i == j) {
				t.Fatalf("%x and %x: the same is %v", k, o, k.is(&o))
			}
		}
	}
}

// TestSlabsStay holds flows to their places while a table grows, and new ones to being empty.
func TestSlabsStay(t *testing.T) {
	var slab []*[chunkSize]hot
	var first []*hot
	for len(slab) < 3*growChunks {
		before := len(slab)
		slab = grow(slab, growth(len(slab)))
		if added := len(slab) - before; added != 1 && added != growChunks || before < growChunks && added != 1 {
			t.Fatalf("%d chunks became %d", before, len(slab))
		}
		for i, chunk := range slab[before:] {
			for j := range chunk {
				if chunk[j] != (hot{}) {
					t.Fatalf("chunk %d: a new flow is not empty", before+i)
				}
				chunk[j].serial = uint32(before + i)
			}
			first = append(first, &chunk[0])
		}
	}
	for i, chunk := range slab {
		if first[i] != &chunk[0] {
			t.Fatalf("chunk %d moved", i)
		}
		for j := range chunk {
			if chunk[j].serial != uint32(i) {
				t.Fatalf("chunk %d shares memory with chunk %d", i, chunk[j].serial)
			}
		}
	}
}
