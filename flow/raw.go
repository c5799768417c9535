package flow

import "slices"

// extra is what few flows have: packets kept, and layers decoded on demand.
type extra struct {
	raw   []RawPacket
	index int64
}

// show puts what a flow has into its report. A nil extra has nothing.
func (e *extra) show(f *Flow) {
	if e == nil {
		return
	}
	f.LastRawPackets = e.raw
	f.RawPacketsCaptured = int64(len(e.raw))
}

// extraOf returns the extra of a flow, made if there is none.
func (t *Table) extraOf(slot uint32) *extra {
	e := t.extras[slot]
	if e == nil {
		e = new(extra)
		t.extras[slot] = e
	}
	return e
}

// keep keeps the packet where the options ask for that. It allocates.
func (t *Table) keep(slot uint32, s *segment, link LinkType, p *Packet) {
	if t.options.RawPacketLimit > 0 {
		if e := t.extraOf(slot); len(e.raw) < t.options.RawPacketLimit {
			e.raw = append(e.raw, t.rawPacket(e, s, link, p))
		}
	}
}

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
	e.index++
	return RawPacket{Timestamp: milliseconds(p.Time), Index: e.index - 1, Data: slices.Clone(data), LinkType: link}
}

// RawPackets returns the packets kept of a live flow. They may be kept.
func (t *Table) RawPackets(uuid string) []RawPacket {
	want := parseIDs([]string{uuid})
	if len(want) == 0 {
		return nil
	}
	for slot, e := range t.extras {
		if t.coldAt(slot).ids.flow == want[0] {
			return slices.Clone(e.raw)
		}
	}
	return nil
}
