package flowtest

// flowShape is what never changes about a flow; it is worked out again for each packet, which is cheaper than keeping it.
type flowShape struct {
	client, server         uint32 // numbers of the hosts
	clientPort, serverPort uint16
	udp, six, vlan         bool
	vxlan, gre, fragments  bool
	hash                   uint64
}

func (s *stream) shape(flow uint32) flowShape {
	h := mix64(uint64(flow)<<1 ^ s.Seed<<33)
	//nolint:gosec // every conversion here takes the bits it wants
	f := flowShape{
		// A client has another port for each of its flows, so that no two flows are the same.
		client:     flow % uint32(s.clients),
		clientPort: uint16(1024 + flow/uint32(s.clients)%64000),
		server:     uint32(h) & 0xfff,
		hash:       h,
	}
	ports := [...]uint16{443, 80, 8080, 22, 5432, 6443, 9092, 3306}
	f.serverPort = ports[h>>12&7]
	percent := func(shift, share int) bool { return int(h>>shift&0xff)*100>>8 < share }
	f.udp = percent(16, s.Mix.UDP)
	f.six = percent(24, s.Mix.IPv6)
	f.vlan = percent(32, s.Mix.VLAN)
	f.vxlan = percent(40, s.Mix.VXLAN)
	f.gre = !f.vxlan && percent(48, s.Mix.GRE)
	f.fragments = !f.six && percent(56, s.Mix.Fragments)
	return f
}

// step says what the next packet of a flow is.
type step struct {
	back  bool
	flags uint8
	data  int // bytes of payload
	frame int // bytes of the frame at least
}

func (s *stream) step(f flowShape, l *life) step {
	r := s.rng.next()
	st := step{back: r&1 == 1, flags: ACK, frame: 64}
	if f.udp && l.sent == 0 {
		st.back = false
	}
	if !f.udp && l.sent+l.left >= 6 {
		switch {
		case l.sent == 0:
			return step{flags: SYN, frame: 64}
		case l.sent == 1:
			return step{back: true, flags: SYN | ACK, frame: 64}
		case l.sent == 2, l.left == 1:
			return step{flags: ACK, frame: 64}
		case l.left == 3:
			return step{flags: FIN | ACK, frame: 64}
		case l.left == 2:
			return step{back: true, flags: FIN | ACK, frame: 64}
		}
	} else if !f.udp && l.sent == 0 {
		return step{flags: SYN, frame: 64}
	}
	switch size := r >> 32 % 12; {
	case size < 7:
	case size < 11:
		st.frame = 570
	default:
		st.frame = 1518
	}
	headers := 14 + 20 + 20
	if f.udp {
		headers -= 12
	}
	if f.six {
		headers += 20
	}
	st.data = max(st.frame-headers, 0)
	if st.data > 0 && !f.udp {
		st.flags |= PSH
	}
	return st
}

// packet writes the next packet of a flow.
func (s *stream) packet(flow uint32) (data []byte, wire int) {
	l := &s.lives[flow]
	f := s.shape(flow)
	clear(s.frame[:160]) // no header goes further; the rest stays zero
	if l.tail != 0 {
		wire = s.second(f, l)
	} else {
		wire = s.whole(f, l)
	}
	l.sent++
	l.left--
	return s.frame[:min(wire, s.SnapLen)], wire
}

// The addresses of hosts: clients in 10.0.0.0/8 and fd00:a::/32, servers in 172.16.0.0/16 and fd00:b::/32.
func putHost(b []byte, n uint32, server, six bool) {
	if six {
		b[0], b[3] = 0xfd, 0xa
		if server {
			b[3] = 0xb
		}
		be.PutUint32(b[12:], n+1)
		return
	}
	be.PutUint32(b, 10<<24+n+1)
	if server {
		be.PutUint32(b, 172<<24|16<<16+n+1)
	}
}

func putMAC(b []byte, n uint32, server bool) {
	b[0], b[1] = 2, 0xa
	if server {
		b[1] = 0xb
	}
	be.PutUint32(b[2:], n+1)
}

// link writes the link header of a flow's packet, perhaps with a tag, and gives its length.
func (f flowShape) link(b []byte, back, tagged bool) int {
	src, dst := f.client, f.server
	if back {
		src, dst = dst, src
	}
	putMAC(b, dst, !back)
	putMAC(b[6:], src, back)
	at := 12
	if tagged {
		be.PutUint16(b[12:], 0x8100)
		be.PutUint16(b[14:], uint16(f.hash>>20&0xff)+1) //nolint:gosec // 8 bits
		at = 16
	}
	be.PutUint16(b[at:], 0x0800)
	if f.six {
		be.PutUint16(b[at:], 0x86dd)
	}
	return at + 2
}

// outer writes what is around the flow's own network header, and gives its length. inner is the length of what follows it,
// the flow's own link header not counted.
func (s *stream) outer(f flowShape, back bool, inner int) int {
	b := s.frame[:]
	if !f.vxlan && !f.gre {
		return f.link(b, back, f.vlan)
	}
	ends := flowShape{client: uint32(f.hash>>4) & 7, hash: f.hash} //nolint:gosec // 3 bits
	ends.client += 1 << 17
	ends.server = ends.client
	at := ends.link(b, back, f.vlan)
	if f.gre {
		at += ipv4(b[at:], ends, back, 47, 4+inner, fragment{})
		be.PutUint16(b[at+2:], 0x0800)
		if f.six {
			be.PutUint16(b[at+2:], 0x86dd)
		}
		return at + 4
	}
	at += ipv4(b[at:], ends, back, 17, 8+8+14+inner, fragment{})
	be.PutUint16(b[at:], 49152|uint16(f.hash>>50)) //nolint:gosec // 14 bits
	be.PutUint16(b[at+2:], 4789)
	be.PutUint16(b[at+4:], uint16(8+8+14+inner)) //nolint:gosec // at most a frame
	at += 8
	b[at] = 8
	be.PutUint32(b[at+4:], (uint32(f.hash>>8&3)+100)<<8) //nolint:gosec // 2 bits
	at += 8
	return at + f.link(b[at:], back, false)
}

// fragment is a place in a packet that was cut in two.
type fragment struct {
	id     uint16
	offset int
	more   bool
}

func ipv4(b []byte, f flowShape, back bool, proto uint8, payload int, part fragment) int {
	b[0], b[8], b[9] = 0x45, 64, proto
	be.PutUint16(b[2:], uint16(20+payload)) //nolint:gosec // at most a frame
	be.PutUint16(b[4:], part.id)
	word := uint16(part.offset / 8) //nolint:gosec // at most a frame
	if part.more {
		word |= 0x2000
	}
	be.PutUint16(b[6:], word)
	src, dst := f.client, f.server
	if back {
		src, dst = dst, src
	}
	putHost(b[12:], src, back, false)
	putHost(b[16:], dst, !back, false)
	be.PutUint16(b[10:], fold(sum(b[:20], 0)))
	return 20
}

func ipv6(b []byte, f flowShape, back bool, proto uint8, payload int) int {
	b[0], b[6], b[7] = 0x60, proto, 64
	be.PutUint16(b[4:], uint16(payload)) //nolint:gosec // at most a frame
	src, dst := f.client, f.server
	if back {
		src, dst = dst, src
	}
	putHost(b[8:], src, back, true)
	putHost(b[24:], dst, !back, true)
	return 40
}

// firstPart is how much of a cut packet's IP payload is in its first fragment.
const firstPart = 1000

// whole writes a packet, or the first fragment of one, and gives its length on the wire.
func (s *stream) whole(f flowShape, l *life) int {
	st := s.step(f, l)
	transport, proto := 20, uint8(6)
	if f.udp {
		transport, proto = 8, 17
	}
	segment := transport + st.data
	part := fragment{id: uint16(l.sent)} //nolint:gosec // 16 bits of it
	sent := segment
	// The second fragment takes a packet of the flow; the closing ones of TCP must stay.
	if f.fragments && segment > firstPart && l.left > 4 {
		part.more, sent = true, firstPart
		l.tail = uint32(segment-firstPart)<<1 | bit(st.back) //nolint:gosec // at most a frame
	}
	network := 20
	if f.six {
		network = 40
	}
	b := s.frame[:]
	at := s.outer(f, st.back, network+sent)
	host := b[at:]
	addresses := host[12:20]
	if f.six {
		at += ipv6(host, f, st.back, proto, sent)
		addresses = host[8:40]
	} else {
		at += ipv4(host, f, st.back, proto, sent, part)
	}
	f.transport(b[at:], st, l)
	// The payload is zeros, which do not count in a checksum.
	check := fold(sum(b[at:at+transport], sum(addresses, uint32(proto)+uint32(segment)))) //nolint:gosec // at most a frame
	if f.udp {
		be.PutUint16(b[at+6:], or(check, 0xffff))
	} else {
		be.PutUint16(b[at+16:], check)
	}
	return max(at+sent, st.frame*int(1-bit(part.more)))
}

// transport writes a TCP or UDP header without its checksum.
func (f flowShape) transport(b []byte, st step, l *life) {
	src, dst, side := f.clientPort, f.serverPort, 0
	if st.back {
		src, dst, side = dst, src, 1
	}
	be.PutUint16(b, src)
	be.PutUint16(b[2:], dst)
	if f.udp {
		be.PutUint16(b[4:], uint16(8+st.data)) //nolint:gosec // at most a frame
		return
	}
	be.PutUint32(b[4:], l.seq[side])
	if st.flags&ACK != 0 {
		be.PutUint32(b[8:], l.seq[1-side])
	}
	b[12], b[13] = 5<<4, st.flags
	be.PutUint16(b[14:], 0xffff)
	l.seq[side] += uint32(st.data) //nolint:gosec // at most a frame
	if st.flags&(SYN|FIN) != 0 {
		l.seq[side]++
	}
}

// second writes the second fragment of the packet before, and gives its length on the wire.
func (s *stream) second(f flowShape, l *life) int {
	back, rest := l.tail&1 == 1, int(l.tail>>1)
	l.tail = 0
	proto := uint8(6)
	if f.udp {
		proto = 17
	}
	at := s.outer(f, back, 20+rest)
	at += ipv4(s.frame[at:], f, back, proto, rest, fragment{id: uint16(l.sent - 1), offset: firstPart}) //nolint:gosec // 16 bits
	return max(at+rest, 64)
}

func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
