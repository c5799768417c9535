package flow

import (
	"encoding/binary"
	"net/netip"
)

// Record is a flow as an exporter of NetFlow or IPFIX tells it: one direction, or both when the reverse counts are given.
type Record struct {
	Source, Destination         netip.Addr
	SourcePort, DestinationPort uint16
	Protocol                    uint8 // the IP protocol number
	ICMPType, ICMPCode          uint8
	TCPFlags                    uint8 // all flags seen, as in the TCP header

	// SourceMAC and DestinationMAC are zero when the exporter does not tell them.
	SourceMAC, DestinationMAC [6]byte
	VLAN                      uint16 // 0: none

	Packets, Bytes               uint64 // from the source to the destination
	ReversePackets, ReverseBytes uint64 // and back
	Start, End                   int64  // ns since the epoch
}

// Record counts a flow record of an exporter like packets. Records of the two directions meet in one flow. What is counted is what the
// record says; the times are the record's.
func (t *Table) Record(r Record) {
	s := segment{time: r.Start, start: 0}
	add := func(l layer) {
		for shift := 0; ; shift += layerBits {
			if s.path>>shift == 0 {
				s.path |= uint64(l) << shift
				return
			}
		}
	}
	if r.SourceMAC != [6]byte{} || r.DestinationMAC != [6]byte{} {
		copy(s.macs[:6], r.DestinationMAC[:])
		copy(s.macs[6:], r.SourceMAC[:])
		s.flags |= segLink
		add(layerEthernet)
		if !t.l3 {
			s.addMACs()
		}
		if r.VLAN != 0 {
			add(layerDot1Q)
			s.linkID = uint64(r.VLAN & 0xfff)
		}
	}
	source, destination := r.Source.Unmap(), r.Destination.Unmap()
	if source.IsValid() && destination.IsValid() && source.Is4() == destination.Is4() {
		if source.Is4() {
			a, b := source.As4(), destination.As4()
			add(layerIPv4)
			s.addIPv4(binary.BigEndian.Uint32(a[:]), binary.BigEndian.Uint32(b[:]))
		} else {
			var b [32]byte
			x, y := source.As16(), destination.As16()
			copy(b[:], x[:])
			copy(b[16:], y[:])
			add(layerIPv6)
			s.addIPv6(b[:])
		}
		s.key[keyKind] |= uint64(r.Protocol)
		switch r.Protocol {
		case 6, 17, 132, 136:
			add(map[uint8]layer{6: layerTCP, 17: layerUDP, 132: layerSCTP, 136: layerUDPLite}[r.Protocol])
			s.addPorts(r.SourcePort, r.DestinationPort)
		case 1:
			add(layerICMPv4)
			s.addICMP(icmpv4Type(r.ICMPType), r.ICMPCode, 0)
		case 58:
			add(layerICMPv6)
			s.addICMP(icmpv6Type(r.ICMPType), r.ICMPCode, 0)
		case 47:
			add(layerGRE)
		}
	} else if t.l3 && s.flags&segLink != 0 {
		s.addMACs()
	}
	s.finish()
	total := r.Packets + r.ReversePackets
	t.ledger.Received += total
	if s.path == 0 {
		t.ledger.Drops[CauseDecoder] += total
		return
	}
	t.ledger.Counted += total
	t.ledger.CountedBytes += r.Bytes + r.ReverseBytes
	t.recordSegment(&s, &r)
}

// recordSegment counts a record in its flow.
func (t *Table) recordSegment(s *segment, r *Record) {
	s.hash = s.key.hash(&t.seeds)
	slot := t.find(s.hash, &s.key)
	if slot != noSlot && t.hotAt(slot).flags&hotOver != 0 {
		t.end(slot, Ended, NotFinished)
		slot = noSlot
	}
	if slot == noSlot {
		slot = t.begin(s, 0)
	}
	h, c := t.hotAt(slot), t.coldAt(slot)
	d := (h.flags ^ uint32(s.flags)) >> 3 & 1
	c.packets[d] += r.Packets
	c.bytes[d] += r.Bytes
	c.packets[d^1] += r.ReversePackets
	c.bytes[d^1] += r.ReverseBytes
	if r.Start < c.start { // but its id is made of the start before
		t.named = max(t.named, milliseconds(c.start)+1)
		c.start = r.Start
	}
	h.last = max(h.last, r.End)
	h.flags |= hotTouched
	switch {
	case r.TCPFlags&tcpRST != 0:
		h.flags |= hotClosed | hotRST
	case r.TCPFlags&tcpFIN != 0:
		h.flags |= hotFIN << d
		if h.flags&(hotFIN|hotFINBack) == hotFIN|hotFINBack {
			h.flags |= hotClosed
		}
	}
	if h.flags&hotClosed != 0 {
		*t.dueAt(slot) = min(*t.dueAt(slot), h.last+t.closeDelay)
	}
}
