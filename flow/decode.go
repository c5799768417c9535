package flow

import "encoding/binary"

// A segment is what one flow sees of one packet: the headers from the link or from a tunnel's payload up to the next tunnel or
// the end. Decoding fills it without allocating; a packet in tunnels gives one segment a level.
type segment struct {
	key  key
	hash uint64
	path uint64
	time int64

	length  uint32 // on the wire, from the segment's first byte on
	payload uint32 // bytes of the transport's payload on the wire
	seq     uint32 // TCP sequence number; ICMP sequence number
	ack     uint32
	linkID  uint64 // VLANs, 12 bits each, the outermost in the low bits
	netID   uint32 // VNI or GRE key
	flags   uint16
	tcp     uint8 // the flags of the TCP header
	ttl     uint8
	icmp    uint8 // type as on the wire
	packet  uint16
	macs    [12]byte // as they stood in the frame, for flows whose key leaves them out
	start   uint16   // offset of the segment in the packet
	body    uint16   // offset of the transport's payload

	// The tunnel's payload, if there is one.
	inner     content
	end       uint32 // of what the headers say belongs to the packet, on the wire
	innerAt   uint16
	candidate uint32

	// IP fragment.
	fragmentID uint32
	fragmentAt uint16 // its offset in bytes
	ipAt       uint16 // offset of the IP header
}

// Flags of a segment. The low three say in which direction it went.
const (
	segMACSwapped  uint16 = 1 << iota // the source's MAC is the higher one
	segNetSwapped                     // the source's network address is the higher one
	segPortSwapped                    // the source's port is the higher one
	segFromHigh                       // the packet comes from the higher end, judged by the first layer that differs
	segLink                           // has MAC addresses
	segTCP
	segEchoRequest
	segEchoReply
	segShort     // expires early
	segFragment  // an IP fragment, the first one or a later one
	segLater     // an IP fragment without a transport header
	segLast      // the last fragment
	segBad       // not even a link header: not counted in a flow
	segBroken    // an IP fragment that ended its datagram badly, or came too late for it
	segDirection = segMACSwapped | segNetSwapped | segPortSwapped | segFromHigh
)

// content says what the bytes are that come next.
type content uint16

const (
	contentNone     content = 0
	contentEthernet content = 0x6558 // as in GRE
	contentIPv4     content = 0x0800
	contentIPv6     content = 0x86dd
	contentMPLS     content = 0x8847
	contentIP       content = 1 // told apart by the version
	contentSLL      content = 2
	contentSLL2     content = 3
	contentNull     content = 4
	contentBad      content = 5
)

// contentOf returns how frames of a link type begin.
func contentOf(link LinkType) content {
	switch link {
	case LinkEthernet:
		return contentEthernet
	case LinkRaw, LinkRawBSD, LinkRawOpenBSD:
		return contentIP
	case LinkIPv4:
		return contentIPv4
	case LinkIPv6:
		return contentIPv6
	case LinkLinuxSLL:
		return contentSLL
	case LinkLinuxSLL2:
		return contentSLL2
	case LinkNull, LinkLoop:
		return contentNull
	}
	return contentBad
}

// maxTags bounds the VLAN tags and MPLS labels read in a row.
const maxTags = 8

// decoder holds what is counted while decoding.
type decoder struct {
	faults [NumFaults]uint64
}

// reader is the state of decoding one segment.
type reader struct {
	data  []byte
	at    int // the next byte
	wire  int // length on the wire of data
	count int // layers in the path so far
}

func (r *reader) push(s *segment, l layer) {
	if r.count < maxPathLayers {
		s.path |= uint64(l) << (r.count * layerBits)
		r.count++
	}
}

// decode fills s from p, beginning at offset at with the given content, of a packet that ends at wire. What is wrong is counted; the segment keeps what was
// readable before it.
func (d *decoder) decode(s *segment, p *Packet, at, wire int, what content, l3 bool) {
	if what != contentEthernet || !s.fast(p, at, wire, l3) {
		d.general(s, p, at, wire, what, l3)
	}
}

// general is decode for packets of any kind.
func (d *decoder) general(s *segment, p *Packet, at, wire int, what content, l3 bool) {
	r := reader{data: p.Data, at: at, wire: wire}
	*s = segment{} // a literal with values would be built elsewhere and copied
	s.time, s.start, s.length = p.Time, uint16(at), uint32(max(wire-at, 0))

	if what == contentEthernet {
		if len(r.data) < at+14 {
			if at == 0 {
				s.flags = segBad
				return
			}
			d.faults[FaultTruncated]++
			return
		}
		b := r.data[at : at+14 : at+14]
		copy(s.macs[:], b)
		s.flags = segLink
		s.path = uint64(layerEthernet)
		r.count = 1
		r.at = at + 14
		what = content(binary.BigEndian.Uint16(b[12:]))
		if !l3 {
			s.addMACs()
		}
		if at == 0 && p.HasVLAN {
			s.linkID = uint64(p.VLAN & 0xfff)
			r.push(s, layerDot1Q)
		}
		if what != contentIPv4 && what != contentIPv6 {
			what = d.ethertype(s, &r, what)
		}
	} else if what < 0x600 {
		what = d.link(s, &r, what)
		if s.flags&segBad != 0 {
			return
		}
	} else if what != contentIPv4 && what != contentIPv6 {
		what = d.ethertype(s, &r, what)
	}
	switch what {
	case contentIPv4:
		d.ipv4(s, &r)
	case contentIPv6:
		d.ipv6(s, &r)
	}
	if r.at == 0 && s.path == 0 {
		s.flags = segBad // the network header is the link header, and it could not be read
		return
	}
	if l3 && s.key[keyKind]&kindNetwork == 0 && s.flags&segLink != 0 {
		s.addMACs() // without a network layer the link is all there is
	}
	s.end = uint32(r.wire)
	s.finish()
}

// link reads the link headers other than Ethernet's.
func (d *decoder) link(s *segment, r *reader, what content) content {
	rest := r.data[min(r.at, len(r.data)):]
	switch what {
	case contentSLL: // https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html
		if len(rest) < 16 {
			s.flags = segBad
			return contentNone
		}
		r.at += 16
		return d.ethertype(s, r, content(binary.BigEndian.Uint16(rest[14:])))
	case contentSLL2: // https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html
		if len(rest) < 20 {
			s.flags = segBad
			return contentNone
		}
		r.at += 20
		return d.ethertype(s, r, content(binary.BigEndian.Uint16(rest)))
	case contentNull:
		if len(rest) < 4 {
			s.flags = segBad
			return contentNone
		}
		r.at += 4
		r.push(s, layerLoopback)
		// The family is in the byte order of whoever captured, and IPv6 has a number of its own on every system.
		switch family := binary.LittleEndian.Uint32(rest); {
		case family == 2 || family == 2<<24:
			return contentIPv4
		default:
			if family > 0xffff {
				family = binary.BigEndian.Uint32(rest)
			}
			if family == 10 || family == 24 || family == 28 || family == 30 {
				return contentIPv6
			}
		}
		return contentNone
	case contentIP:
		if len(rest) == 0 {
			s.flags = segBad
			return contentNone
		}
		switch rest[0] >> 4 {
		case 4:
			return contentIPv4
		case 6:
			return contentIPv6
		}
		d.faults[FaultHeader]++
		if r.at == 0 {
			s.flags = segBad
		}
		return contentNone
	}
	if r.at == 0 {
		d.faults[FaultLink]++
		s.flags = segBad
	}
	return contentNone
}

// ethertype reads what stands between the link header and the network: tags, labels, LLC, PPPoE. It returns contentIPv4,
// contentIPv6 or contentNone.
func (d *decoder) ethertype(s *segment, r *reader, what content) content {
	for range maxTags {
		rest := r.data[min(r.at, len(r.data)):]
		switch {
		case what == contentIPv4 || what == contentIPv6:
			return what
		case what == 0x8100 || what == 0x88a8 || what == 0x9100:
			if len(rest) < 4 {
				d.faults[FaultTruncated]++
				return contentNone
			}
			tags := 0
			for shift := 0; shift < r.count; shift++ {
				if layer(s.path>>(shift*layerBits)&(1<<layerBits-1)) == layerDot1Q {
					tags++
				}
			}
			if tags < 5 {
				s.linkID |= uint64(binary.BigEndian.Uint16(rest)&0xfff) << (12 * tags)
			}
			r.push(s, layerDot1Q)
			r.at += 4
			what = content(binary.BigEndian.Uint16(rest[2:]))
		case what < 0x600: // IEEE 802.3: a length, then LLC
			if len(rest) < 3 {
				d.faults[FaultTruncated]++
				return contentNone
			}
			r.push(s, layerLLC)
			switch {
			case rest[0] == 0x42:
				r.push(s, layerSTP)
				return contentNone
			case rest[0] == 0xaa && rest[1] == 0xaa && rest[2] == 3 && len(rest) >= 8:
				r.push(s, layerSNAP)
				r.at += 8
				if what = content(binary.BigEndian.Uint16(rest[6:])); what < 0x600 {
					return contentNone
				}
			default:
				return contentNone
			}
		case what == contentMPLS || what == 0x8848:
			d.mpls(s, r)
			return contentNone
		case what == 0x0806:
			r.push(s, layerARP)
			s.flags |= segShort
			if len(rest) < 28 {
				d.faults[FaultTruncated]++
			}
			return contentNone
		case what == 0x8864: // PPPoE session, RFC 2516
			if len(rest) < 8 {
				d.faults[FaultTruncated]++
				return contentNone
			}
			r.push(s, layerPPPoE)
			r.push(s, layerPPP)
			r.at += 8
			switch binary.BigEndian.Uint16(rest[6:]) {
			case 0x0021:
				what = contentIPv4
			case 0x0057:
				what = contentIPv6
			default:
				return contentNone
			}
		case what == 0x88cc:
			r.push(s, layerLLDP)
			return contentNone
		case what == 0x888e:
			r.push(s, layerEAPOL)
			return contentNone
		default:
			s.key[keyKind] |= uint64(what) << 32
			return contentNone
		}
	}
	d.faults[FaultDepth]++
	return contentNone
}

// mpls reads a label stack (RFC 3032), which is a tunnel whatever its height.
func (d *decoder) mpls(s *segment, r *reader) {
	for range maxTags {
		if len(r.data) < r.at+4 {
			d.faults[FaultTruncated]++
			return
		}
		label := binary.BigEndian.Uint32(r.data[r.at:])
		r.push(s, layerMPLS)
		r.at += 4
		if label&0x100 == 0 {
			continue
		}
		if len(r.data) <= r.at {
			return
		}
		// What follows the bottom of the stack is told by its first four bits, as RFC 4928 has it.
		switch r.data[r.at] >> 4 {
		case 4:
			s.tunnel(contentIPv4, r.at)
		case 6:
			s.tunnel(contentIPv6, r.at)
		case 0: // the control word of a pseudowire, RFC 4385
			s.tunnel(contentEthernet, r.at+4)
		default:
			s.tunnel(contentEthernet, r.at)
		}
		return
	}
	d.faults[FaultDepth]++
}

// tunnel says that another packet begins at an offset.
func (s *segment) tunnel(what content, at int) {
	s.inner, s.innerAt = what, uint16(min(at, 0xffff))
}
