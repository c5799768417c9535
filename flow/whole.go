package flow

import (
	"encoding/binary"
	"net/netip"
)

// whole is an IP datagram put together from its fragments, with the flow that counted them.
type whole struct {
	key       key
	direction uint16
	depth     int // of tunnels around it
	what      content
	packet    Packet // from the IP header on
}

// fragment settles the flow of a fragment, and puts datagrams together where that is asked for. What a datagram carries is then read
// when it is whole, and not from its first fragment.
func (t *Table) fragment(s *segment, p *Packet, depth int) {
	if t.defrag == nil {
		t.place(s)
		return
	}
	serial := s.key[keyApp] & 0xffffffff
	domain := mix(s.key[keyLowLink]>>16^t.seeds[0], s.key[keyHighLink]>>16^t.seeds[1]) ^ serial
	f, ok := partOf(s, p)
	t.place(s)
	if !ok {
		t.decoder.faults[FaultTruncated]++ // cut by the capture: it stays what it is
		return
	}
	f.domain = domain
	payload, bad := t.defrag.Add(f)
	if bad {
		s.flags |= segBroken
	}
	s.flags &^= segTCP
	s.inner, s.payload = contentNone, 0
	if payload == nil || s.key[keyKind]&kindFragment != 0 {
		return
	}
	w := whole{key: s.key, direction: s.flags & segDirection, depth: depth}
	w.what, w.packet = datagramOf(f, s.ttl, payload)
	t.whole = append(t.whole, w)
}

// place settles the key of a fragment, and counts what is wrong with it.
func (t *Table) place(s *segment) {
	known, overlaps := t.fragments.place(s, &t.seeds)
	if !known {
		t.decoder.faults[FaultOrphan]++
	}
	if overlaps && t.defrag == nil { // a Defragmenter finds overlaps more exactly
		t.decoder.faults[FaultFragment]++
	}
}

// partOf reads what a Defragmenter needs of a fragment, and reports whether all of it was captured.
func partOf(s *segment, p *Packet) (f Fragment, ok bool) {
	ip := p.Data[s.ipAt:]
	f = Fragment{ID: s.fragmentID, Offset: int(s.fragmentAt), More: s.flags&segLast == 0, Time: s.time}
	at := 0
	if s.key[keyKind]&kindIPv4 != 0 {
		f.Src, f.Dst = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
		f.Protocol = ip[9]
		at = int(ip[0]&15) * 4
	} else {
		f.Src, f.Dst = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
		at = 40
		for next := ip[6]; ; {
			if len(ip) < at+8 {
				return f, false
			}
			header := ip[at:]
			if next == 44 && binary.BigEndian.Uint32(header[4:]) == s.fragmentID && binary.BigEndian.Uint16(header[2:])&0xfff9 != 0 {
				f.Protocol = header[0]
				at += 8
				break
			}
			if next == 44 {
				at += 8
			} else {
				at += int(header[1])*8 + 8
			}
			next = header[0]
		}
	}
	end := int(s.end) - int(s.ipAt)
	if at > end || end > len(ip) {
		return f, false
	}
	f.Data = ip[at:end]
	return f, true
}

// datagramOf puts an IP header before the payload of a datagram.
func datagramOf(f Fragment, ttl uint8, payload []byte) (content, Packet) {
	var b []byte
	what := contentIPv4
	if f.Src.Is4() {
		total := 20 + len(payload)
		b = make([]byte, 20, total)
		b[0], b[8], b[9] = 0x45, ttl, f.Protocol
		if total <= 0xffff { // a longer one has the length 0, which means the rest of the packet
			binary.BigEndian.PutUint16(b[2:], uint16(total))
		}
		copy(b[12:], f.Src.AsSlice())
		copy(b[16:], f.Dst.AsSlice())
	} else {
		what = contentIPv6
		b = make([]byte, 40, 40+len(payload))
		b[0], b[6], b[7] = 0x60, f.Protocol, ttl
		binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
		copy(b[8:], f.Src.AsSlice())
		copy(b[24:], f.Dst.AsSlice())
	}
	b = append(b, payload...)
	return what, Packet{Data: b, Length: len(b), Time: f.Time}
}

// addWhole reads what the datagrams carry that became whole. Their fragments are counted already.
func (t *Table) addWhole() {
	for len(t.whole) > 0 {
		list := t.whole
		t.whole = nil
		for i := range list {
			t.readWhole(&list[i])
		}
	}
}

func (t *Table) readWhole(w *whole) {
	slot := t.find(w.key.hash(&t.seeds), &w.key)
	if slot == noSlot {
		return // evicted within the batch
	}
	h := t.hotAt(slot)
	if h.flags&hotOver != 0 {
		return
	}
	s := &t.segments[w.depth&1][0]
	t.decoder.general(s, &w.packet, 0, w.packet.Length, w.what, t.l3)
	s.flags = s.flags&^segDirection | w.direction
	s.packet = 0
	if s.flags&segTCP != 0 {
		t.tcp(slot, h, s, (h.flags^uint32(s.flags))>>3&1)
	}
	t.look(slot, s, w.packet.Data)
	if s.inner != contentNone {
		t.owners[w.depth&1][0] = owner{slot, h.serial}
		t.addTunnels(LinkIPv4, []Packet{w.packet}, t.segments[w.depth&1][:1], w.depth+1)
	}
}
