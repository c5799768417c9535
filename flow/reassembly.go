package flow

// Reassembly counts what putting a TCP connection's stream together would meet: segments out of order and bytes that never
// came, in each direction. It keeps no data, only the ranges that came ahead of their turn, 16 for each direction at
// most; with more, the gap before the first is skipped. It belongs to one goroutine; the zero value is ready.
type Reassembly struct {
	sides [2]reassemblySide
}

const reassemblyRanges = 16

type reassemblySide struct {
	begun, sawStart, sawEnd           bool
	first                             uint32 // the sequence number after the last SYN's
	next                              uint32 // the sequence number expected
	ahead                             [reassemblyRanges]sequenceRange
	n                                 int
	packets, bytes                    int64
	outOfOrder, skipped, skippedBytes int64
}

// sequenceRange is sequence numbers from first up to and without end.
type sequenceRange struct{ first, end uint32 }

// Add takes a segment: back says that it went from B to A, flags are those of the TCP header, payload its bytes on the wire.
func (r *Reassembly) Add(back bool, seq uint32, flags uint8, payload uint32) {
	s := &r.sides[0]
	if back {
		s = &r.sides[1]
	}
	if flags&tcpSYN != 0 {
		seq++
		if !s.sawStart || s.first != seq { // not one that is sent again
			s.sawStart, s.begun, s.first, s.next, s.n = true, true, seq, seq, 0
		}
	}
	if flags&(tcpFIN|tcpRST) != 0 {
		s.sawEnd = true
	}
	if payload == 0 {
		return
	}
	s.packets++
	s.bytes += int64(payload)
	if !s.begun {
		s.begun, s.next = true, seq
	}
	end := seq + payload
	switch {
	case int32(seq-s.next) > 0:
		s.outOfOrder++
		s.keep(sequenceRange{seq, end})
	case int32(end-s.next) > 0:
		s.next = end
		s.follow()
	}
}

// keep holds a range that came ahead of its turn, in order.
func (s *reassemblySide) keep(r sequenceRange) {
	if s.n == reassemblyRanges {
		s.skip()
		if int32(r.first-s.next) <= 0 {
			if int32(r.end-s.next) > 0 {
				s.next = r.end
			}
			s.follow()
			return
		}
	}
	at := s.n
	for at > 0 && int32(s.ahead[at-1].first-r.first) > 0 {
		at--
	}
	copy(s.ahead[at+1:s.n+1], s.ahead[at:s.n])
	s.ahead[at] = r
	s.n++
}

// follow goes on through the ranges whose turn has come.
func (s *reassemblySide) follow() {
	done := 0
	for done < s.n && int32(s.ahead[done].first-s.next) <= 0 {
		if int32(s.ahead[done].end-s.next) > 0 {
			s.next = s.ahead[done].end
		}
		done++
	}
	copy(s.ahead[:], s.ahead[done:s.n])
	s.n -= done
}

// skip gives up the gap before the first range that is held.
func (s *reassemblySide) skip() {
	s.skipped++
	s.skippedBytes += int64(s.ahead[0].first - s.next)
	s.next = s.ahead[0].first
	s.follow()
}

// Close gives up the gaps that are left, when a flow ends.
func (r *Reassembly) Close() {
	for i := range r.sides {
		for r.sides[i].n > 0 {
			r.sides[i].skip()
		}
	}
}

// Fill puts the counters into a metric; its times and TTLs stay as they are.
func (r *Reassembly) Fill(m *TCPMetric) {
	a, b := &r.sides[0], &r.sides[1]
	m.ABSegmentOutOfOrder, m.ABSegmentSkipped, m.ABSegmentSkippedBytes = a.outOfOrder, a.skipped, a.skippedBytes
	m.ABPackets, m.ABBytes, m.ABSawStart, m.ABSawEnd = a.packets, a.bytes, int64(b2i(a.sawStart)), int64(b2i(a.sawEnd))
	m.BASegmentOutOfOrder, m.BASegmentSkipped, m.BASegmentSkippedBytes = b.outOfOrder, b.skipped, b.skippedBytes
	m.BAPackets, m.BABytes, m.BASawStart, m.BASawEnd = b.packets, b.bytes, int64(b2i(b.sawStart)), int64(b2i(b.sawEnd))
}
