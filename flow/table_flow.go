package flow

// hot is what packets change: two cache lines. Counts are those since the last report or spill.
type hot struct {
	key     key
	packets [2]uint32 // A to B, B to A
	bytes   [2]uint32
	last    int64     // ns
	next    [2]uint32 // the sequence number that TCP sends next; ICMP: the one asked
	pending [2]uint32 // the sequence number whose acknowledgement ends a measurement
	sent    [2]uint32 // when that was sent, in units of 64 ns
	smooth  [2]uint32 // the running RTT towards B and towards A, in units of 64 ns
	serial  uint32
	flags   uint32
}

// Flags of hot. The low bits are those of the first segment's direction.
const (
	hotShort       uint32 = 1 << (16 + iota) // expires early
	hotFIN                                   // the flags of both directions are neighbours: [0] then [1]
	hotFINBack                               //
	hotNext                                  // next[0] is known
	hotNextBack                              //
	hotPending                               // pending[0] is under way
	hotPendingBack                           //
	hotClosed                                // FIN both ways, or RST
	hotRST                                   //
	hotReported                              // at least once
	hotTouched                               // since the clock's hand was here
	hotLink                                  // has MAC addresses
	hotChild                                 // within a tunnel
	hotSYN                                   // a SYN awaits its answer
	hotSYNFromB                              // and B sent it
	hotOver                                  // reported for the last time, and shown to scans for a while
)

// Where hotNext and hotPending stand.
const (
	nextShift    = 19
	pendingShift = 21
)

// cold is what the start, the reports and TCP's flags change: four cache lines, of which the flags of TCP need the first.
type cold struct {
	rtt       int64 // ns
	syn       [2]int64
	fin       [2]int64
	rst       [2]int64
	synTTL    [2]uint8
	direction uint16
	hash      uint32

	start    int64 // ns
	reported int64 // when, ns
	since    int64 // the last packet of the report before, ns; the start before the first
	path     uint64
	told     [4]uint64 // packets and bytes as of the last report

	packets [2]uint64
	bytes   [2]uint64
	ids     ids
	parent  uint64 // the ParentUUID

	linkID     uint64
	outOfOrder [2]uint32
	skipped    [2]uint32
	gap        [2]uint64 // bytes skipped
	netID      uint32
	fragments  uint32
	macs       [12]byte
	icmp       uint8
}

func (t *Table) hotAt(slot uint32) *hot {
	return &t.hot[slot>>chunkBits][slot&(chunkSize-1)]
}

func (t *Table) coldAt(slot uint32) *cold {
	return &t.cold[slot>>chunkBits][slot&(chunkSize-1)]
}

func (t *Table) dueAt(slot uint32) *int64 {
	return &t.due[slot>>chunkBits][slot&(chunkSize-1)]
}

// begin makes the flow of a segment and returns its slot. parent is the id of the flow around it, 0 if there is none.
func (t *Table) begin(s *segment, parent uint64) uint32 {
	slot := t.allocate()
	t.serial++
	if t.serial == 0 {
		t.serial = 1
	}
	h, c := t.hotAt(slot), t.coldAt(slot)
	*h = hot{key: s.key, last: s.time, serial: t.serial, flags: hotTouched}
	if s.flags&segShort != 0 {
		h.flags |= hotShort
	}
	if s.flags&segLink != 0 {
		h.flags |= hotLink
	}
	if s.key[keyApp]&0xffffffff != 0 {
		h.flags |= hotChild
	}
	*c = cold{
		parent: parent, path: s.path, hash: uint32(s.hash), start: s.time, since: s.time, reported: s.time,
		linkID: s.linkID, netID: s.netID, icmp: s.icmp, macs: s.macs, direction: s.flags & segDirection,
	}
	h.flags |= uint32(c.direction)
	c.ids = t.names.name(&s.key, parent, milliseconds(s.time))
	if milliseconds(s.time) < t.named {
		c.ids.flow = mix(c.ids.flow^uint64(t.serial), 0x9e3779b97f4a7c15) // it may have had that id before
	}
	*t.dueAt(slot) = s.time + startDelay
	t.index.insert(s.hash, slot)
	t.ledger.Flows++
	return slot
}

// allocate returns a free slot, making one by eviction when the table is full.
func (t *Table) allocate() uint32 {
	if n := len(t.free); n > 0 {
		slot := t.free[n-1]
		t.free = t.free[:n-1]
		return slot
	}
	if int(t.used) >= t.limit || int(t.used>>chunkBits) == len(t.hot) && !t.expand() {
		t.evict()
		slot := t.free[len(t.free)-1]
		t.free = t.free[:len(t.free)-1]
		return slot
	}
	slot := t.used
	t.used++
	return slot
}

// evictLooks bounds the search for a victim.
const evictLooks = 128

// evict reports and frees a flow that was not used since the clock's hand passed it. When the hand meets only flows in use, the
// longest unused of those it met goes.
func (t *Table) evict() {
	victim, oldest := noSlot, int64(never)
	for range evictLooks {
		if t.hand >= t.used {
			t.hand = 0
		}
		slot := t.hand
		t.hand++
		h := t.hotAt(slot)
		if h.last < oldest {
			victim, oldest = slot, h.last
		}
		if h.flags&hotTouched == 0 {
			victim = slot
			break
		}
		h.flags &^= hotTouched
	}
	if t.hotAt(victim).flags&hotOver == 0 {
		t.ledger.FlowsEvicted++
	}
	t.end(victim, Evicted, FinishTimeout)
}

// end reports a flow for the last time, unless that was done, and frees its slot.
func (t *Table) end(slot uint32, why Reason, finish FinishType) {
	h := t.hotAt(slot)
	if h.flags&hotOver == 0 {
		t.report(slot, why, finish)
	} else {
		t.over--
	}
	c := t.coldAt(slot)
	t.index.remove(c.hash, slot)
	t.named = max(t.named, milliseconds(c.start)+1)
	if t.nested {
		t.lost = append(t.lost, lostOwner{h.serial, c.ids.flow})
	}
	h.key = key{}
	*t.dueAt(slot) = never
	t.free = append(t.free, slot)
	if len(t.extras) > 0 {
		t.forget(slot)
	}
}

// close reports a flow that TCP ended for the last time. Scans see it until the next update would have been due: who asks for flows
// right after a short one finds it, as with Skydive, which removes such a flow with its update.
func (t *Table) close(slot uint32, now int64) {
	h := t.hotAt(slot)
	if t.linger == 0 {
		t.end(slot, Ended, finishOf(h.flags))
		return
	}
	t.report(slot, Ended, finishOf(h.flags))
	h.flags |= hotOver
	t.over++
	*t.dueAt(slot) = now + t.linger
}

// finishOf returns how a flow finished by itself.
func finishOf(flags uint32) FinishType {
	switch {
	case flags&hotRST != 0:
		return FinishRST
	case flags&hotClosed != 0:
		return FinishFIN
	}
	return NotFinished
}

// spill is when counts move to the cold part, well before they overflow.
const spill = 1 << 31

// observe counts a segment in its flow.
func (t *Table) observe(slot uint32, h *hot, s *segment) {
	direction := (h.flags ^ uint32(s.flags)) >> 3 & 1
	h.packets[direction]++
	h.bytes[direction] += s.length
	if s.time < h.last && h.last-s.time > startDelay {
		t.decoder.faults[FaultTime]++
	}
	h.last = max(h.last, s.time)
	h.flags |= hotTouched
	if h.bytes[direction]|h.packets[direction] >= spill {
		t.spill(slot)
	}
	if s.flags&segTCP != 0 && s.flags&segFragment == 0 {
		t.tcp(slot, h, s, direction)
		return
	}
	if s.flags&(segFragment|segEchoRequest|segEchoReply) == 0 {
		return
	}
	if s.flags&segFragment != 0 {
		t.coldAt(slot).fragments++
		if s.flags&segBroken != 0 {
			t.extraOf(slot).broken++
		}
	}
	if s.flags&segTCP != 0 {
		t.tcp(slot, h, s, direction)
		return
	}
	t.echo(slot, h, s, direction)
}

// spill moves the counts of the hot part to the cold part.
func (t *Table) spill(slot uint32) {
	h, c := t.hotAt(slot), t.coldAt(slot)
	for d := range 2 {
		c.packets[d] += uint64(h.packets[d])
		c.bytes[d] += uint64(h.bytes[d])
	}
	h.packets, h.bytes = [2]uint32{}, [2]uint32{}
}

func milliseconds(ns int64) int64 { return ns / 1e6 }
