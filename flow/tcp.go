package flow

// Flags of the TCP header.
const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpRST = 0x04
	tcpACK = 0x10
)

// tick is the unit of times that are kept in 32 bits: 2^6 ns, which come round after 274 s.
const tickBits = 6

// tcp follows a connection: its life, the gaps in its sequence numbers, and how long acknowledgements take. The direction is 0
// from A to B.
//
// A segment beyond the expected number skips what is between; one below it that fills such a gap is out of order, and
// else a retransmission. The running RTT is that of RFC 6298 (an eighth of each new measurement), one measurement at a
// time in each direction, none over a retransmission (Karn's rule).
//
// Which segments carry data and which are acknowledged is as good as random, so what follows from that is chosen, not branched to.
func (t *Table) tcp(slot uint32, h *hot, s *segment, direction uint32) {
	if s.tcp&(tcpSYN|tcpFIN|tcpRST) != 0 {
		t.tcpEdge(slot, h, s, direction)
	}
	direction &= 1
	back := direction ^ 1
	flags, now := h.flags, uint32(s.time>>tickBits)

	// Acknowledgements of what went the other way.
	acked := uint32(s.tcp) / tcpACK & 1 & (flags >> (pendingShift + back)) &^ ((s.ack - h.pending[back]) >> 31)
	flags &^= acked << (pendingShift + back)
	smooth := h.smooth[back]
	ticks := now - h.sent[back]
	next := smooth + uint32(int32(ticks-smooth)>>3)
	if smooth == 0 {
		next = ticks
	}
	if acked&^(ticks>>31) != 0 {
		smooth = next
	}
	h.smooth[back] = smooth

	// The bytes of this direction. SYN and FIN count as one.
	length := s.payload + uint32((s.tcp|s.tcp>>1)&1)
	if s.tcp&tcpRST != 0 {
		length = 0
	}
	expected := h.next[direction]
	known := flags >> (nextShift + direction) & 1
	end := s.seq + length
	if length != 0 && s.seq != expected && known != 0 {
		h.flags = flags
		t.tcpGap(slot, h, s, direction, end)
		return
	}
	pending := flags >> (pendingShift + direction) & 1
	data := uint32(0)
	if length != 0 {
		data, expected = 1, end
	}
	h.next[direction] = expected
	flags |= data << (nextShift + direction)
	awaited, sent := h.pending[direction], h.sent[direction]
	if data&^pending != 0 {
		awaited, sent = end, now
	}
	h.pending[direction], h.sent[direction] = awaited, sent
	h.flags = flags | data<<(pendingShift+direction)
}

// tcpGap counts a segment with data that does not begin at the expected number.
func (t *Table) tcpGap(slot uint32, h *hot, s *segment, direction, end uint32) {
	ahead := int32(s.seq - h.next[direction])
	if ahead < 0 {
		t.tcpBehind(slot, h, s, direction, end)
		return
	}
	c := t.coldAt(slot)
	c.skipped[direction]++
	c.gap[direction] += uint64(ahead)
	h.next[direction] = end
	if h.flags&(hotPending<<direction) == 0 {
		h.flags |= hotPending << direction
		h.pending[direction] = end
		h.sent[direction] = uint32(s.time >> tickBits)
	}
}

// tcpBehind counts a segment that begins below the expected number.
func (t *Table) tcpBehind(slot uint32, h *hot, s *segment, direction, end uint32) {
	c := t.coldAt(slot)
	if s.tcp&tcpSYN == 0 {
		if gap := uint64(s.payload); gap > 0 && c.gap[direction] >= gap {
			c.gap[direction] -= gap
			c.skipped[direction] -= min(c.skipped[direction], 1)
		} else {
			h.flags &^= hotPending << direction // which of the two is acknowledged cannot be told
		}
		c.outOfOrder[direction]++
	}
	if int32(end-h.next[direction]) > 0 {
		h.next[direction] = end
	}
}

// smoothen takes a measurement into the running RTT. One that goes backwards in time says nothing.
func (h *hot) smoothen(direction, ticks uint32) {
	if int32(ticks) < 0 {
		return
	}
	if h.smooth[direction] == 0 {
		h.smooth[direction] = ticks
		return
	}
	h.smooth[direction] += uint32(int32(ticks-h.smooth[direction]) >> 3)
}

// tcpEdge notes the beginning and the end of a connection.
func (t *Table) tcpEdge(slot uint32, h *hot, s *segment, direction uint32) {
	c := t.coldAt(slot)
	switch {
	case s.tcp&tcpRST != 0:
		if c.rst[direction] == 0 {
			c.rst[direction] = s.time
		}
		t.answered(h, c, s, direction)
		if h.flags&hotClosed == 0 {
			h.flags |= hotClosed | hotRST
			*t.dueAt(slot) = min(*t.dueAt(slot), s.time+t.closeDelay)
		}
		return
	case s.tcp&tcpSYN != 0:
		if c.syn[direction] == 0 {
			c.syn[direction] = s.time
			c.synTTL[direction] = s.ttl
		}
		if s.tcp&tcpACK != 0 {
			t.answered(h, c, s, direction)
		} else {
			h.flags |= hotSYN
			h.flags &^= hotSYNFromB
			if direction == 1 {
				h.flags |= hotSYNFromB
			}
		}
	}
	if s.tcp&tcpFIN != 0 {
		if c.fin[direction] == 0 {
			c.fin[direction] = s.time
		}
		h.flags |= hotFIN << direction
		if h.flags&(hotFIN|hotFINBack) == hotFIN|hotFINBack && h.flags&hotClosed == 0 {
			h.flags |= hotClosed
			*t.dueAt(slot) = min(*t.dueAt(slot), s.time+t.closeDelay)
		}
	}
}

// answered takes the time from a SYN to its answer as the flow's RTT.
func (t *Table) answered(h *hot, c *cold, s *segment, direction uint32) {
	from := uint32(0)
	if h.flags&hotSYNFromB != 0 {
		from = 1
	}
	if h.flags&hotSYN != 0 && from != direction {
		h.flags &^= hotSYN
		if c.rtt == 0 && s.time >= c.syn[from] {
			c.rtt = s.time - c.syn[from]
		}
	}
}

// echo measures the time from an ICMP echo request to its reply.
func (t *Table) echo(slot uint32, h *hot, s *segment, direction uint32) {
	switch {
	case s.flags&segEchoRequest != 0:
		h.flags |= hotPending << direction
		h.pending[direction] = s.seq
		h.sent[direction] = uint32(s.time >> tickBits)
	case s.flags&segEchoReply != 0:
		back := direction ^ 1
		if h.flags&(hotPending<<back) == 0 || h.pending[back] != s.seq {
			return
		}
		h.flags &^= hotPending << back
		ticks := uint32(s.time>>tickBits) - h.sent[back]
		h.smoothen(back, ticks)
		if c := t.coldAt(slot); c.rtt == 0 && int32(ticks) > 0 {
			c.rtt = int64(ticks) << tickBits
		}
	}
}
