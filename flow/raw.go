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
	return RawPacket{Timestamp: milliseconds(p.Time), Index: int64(len(e.raw)), Data: slices.Clone(data), LinkType: link}
}

// keepRaw keeps a packet of a flow if its limit and the room for all allow it.
func (t *Table) keepRaw(slot uint32, s *segment, link LinkType, p *Packet) {
	const overhead = 64
	limit := t.options.RawPacketLimit
	e := t.extras[slot]
	if e != nil && limit > 0 && len(e.raw) >= limit || t.held+overhead >= extraRoom {
		return
	}
	e = t.extraOf(slot)
	raw := t.rawPacket(e, s, link, p)
	if cost := len(raw.Data) + overhead; t.hold(e, cost) {
		e.raw = append(e.raw, raw)
	}
}

// RawPackets returns the packets kept of a live flow, those that reports brought already too. They may be kept.
func (t *Table) RawPackets(uuid string) []RawPacket {
	want := parseIDs([]string{uuid})
	if len(want) == 0 || t.options.RawPacketLimit == 0 {
		return nil
	}
	for slot, e := range t.extras {
		if t.coldAt(slot).ids.flow == want[0] {
			return slices.Clone(e.raw)
		}
	}
	return nil
}
