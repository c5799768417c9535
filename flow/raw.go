package flow

import "slices"

// rawPacket copies the part of a packet that belongs to a flow: all of it, or from the tunnel's payload on.
func (t *Table) rawPacket(e *extra, s *segment, link LinkType, p *Packet) RawPacket {
	data := p.Data[min(int(s.start), len(p.Data)):]
	if s.start > 0 {
		switch {
		case s.flags&segLink != 0:
			link = LinkEthernet
		case s.key[keyKind]&kindIPv6 != 0:
			link = LinkIPv6
		default:
			link = LinkIPv4
		}
	}
	if t.options.HeaderSize > 0 && len(data) > t.options.HeaderSize {
		data = data[:t.options.HeaderSize]
	}
	ms := milliseconds(p.Time)
	return RawPacket{Timestamp: ms, Nanos: p.Time - ms*1e6, Index: int64(len(e.raw)), Data: slices.Clone(data), LinkType: link}
}

// keepRaw keeps a packet of a flow if its limit and the room for all allow it.
func (t *Table) keepRaw(slot uint32, s *segment, link LinkType, p *Packet) {
	const overhead = 64
	limit := t.options.RawPacketLimit
	e := t.extras[slot]
	if e != nil && limit > 0 && len(e.raw) >= limit {
		return
	}
	if t.held+overhead >= extraRoom { // not even for an extra
		t.decoder.faults[FaultNotKept]++
		return
	}
	e = t.extraOf(slot)
	raw := t.rawPacket(e, s, link, p)
	if cost := len(raw.Data) + overhead; t.hold(e, cost) {
		e.raw = append(e.raw, raw)
	}
}

// UUIDSet is a set of flows, by their UUIDs, as a table looks for them. Any number of goroutines may read it.
type UUIDSet map[uint64]string

// NewUUIDSet returns the set of flows with these UUIDs. What is no UUID is left out.
func NewUUIDSet(uuids []string) UUIDSet {
	set := make(UUIDSet, len(uuids))
	for _, uuid := range uuids {
		for _, id := range parseIDs([]string{uuid}) {
			set[id] = uuid
		}
	}
	return set
}

// RawPackets yields the packets kept of each live flow of a set that has any, those that reports brought already too. They may be kept,
// and are not to be changed. Cursor, budget and what it returns are those of Scan.
func (t *Table) RawPackets(cursor uint64, budget int, of UUIDSet, yield func(uuid string, packets []RawPacket)) (next uint64, done bool) {
	slot, end := t.scanned(cursor, budget)
	if len(t.extras) == 0 || len(of) == 0 {
		return uint64(end), true
	}
	for ; slot < end; slot++ {
		if t.hotAt(slot).key[keyKind] == 0 {
			continue
		}
		uuid, wanted := of[t.coldAt(slot).ids.flow]
		if !wanted {
			continue
		}
		if e := t.extras[slot]; e != nil && len(e.raw) > 0 {
			yield(uuid, e.raw[:len(e.raw):len(e.raw)])
		}
	}
	return uint64(slot), slot >= t.used
}
