package flow

import "encoding/binary"

// maxExtensions bounds the IPv6 extension headers read in a row.
const maxExtensions = 8

// ipv4 reads an IPv4 header (RFC 791) and goes on with the transport.
func (d *decoder) ipv4(s *segment, r *reader) {
	if len(r.data) < r.at+20 {
		d.faults[FaultTruncated]++
		return
	}
	b := r.data[r.at : r.at+20 : r.at+20]
	header := int(b[0]&15) * 4
	if b[0]>>4 != 4 || header < 20 {
		d.faults[FaultHeader]++
		return
	}
	r.push(s, layerIPv4)
	s.addIPv4(binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:]))
	s.ttl = b[8]
	s.ipAt = uint16(r.at)
	protocol := b[9]
	s.key[keyKind] |= uint64(protocol)
	total := int(binary.BigEndian.Uint16(b[2:]))
	left := r.wire - r.at
	switch {
	case total == 0: // left to the network card by segmentation offload
		total = max(left, header)
	case total < header || total > left:
		d.faults[FaultLength]++
		total = max(left, header)
	}
	r.wire = r.at + total
	if r.wire < len(r.data) {
		r.data = r.data[:r.wire] // what follows is padding of the link
	}
	fragment := binary.BigEndian.Uint16(b[6:])
	r.at += header
	if fragment&0x3fff != 0 {
		s.flags |= segFragment
		s.fragmentID = uint32(binary.BigEndian.Uint16(b[4:]))
		s.fragmentAt = fragment & 0x1fff << 3
		if fragment&0x2000 == 0 {
			s.flags |= segLast
		}
		if s.fragmentAt != 0 {
			s.later(r, layerFragment)
			return
		}
	}
	if r.at > len(r.data) {
		d.faults[FaultTruncated]++
		return
	}
	d.transport(s, r, protocol)
}

// later marks a fragment that carries no transport header.
func (s *segment) later(r *reader, l layer) {
	if l != noLayer {
		r.push(s, l)
	}
	s.flags |= segLater
	s.key[keyKind] |= kindFragment
	s.body = uint16(min(r.at, len(r.data)))
	s.payload = uint32(max(r.wire-r.at, 0))
}

// ipv6 reads an IPv6 header with its extensions (RFC 8200) and goes on with the transport.
func (d *decoder) ipv6(s *segment, r *reader) {
	if len(r.data) < r.at+40 {
		d.faults[FaultTruncated]++
		return
	}
	b := r.data[r.at : r.at+40 : r.at+40]
	if b[0]>>4 != 6 {
		d.faults[FaultHeader]++
		return
	}
	r.push(s, layerIPv6)
	s.addIPv6(b[8:])
	s.ttl = b[7]
	s.ipAt = uint16(r.at)
	total := int(binary.BigEndian.Uint16(b[4:])) + 40
	left := r.wire - r.at
	switch {
	case total == 40: // a jumbogram (RFC 2675), or left to the network card
		total = max(left, 40)
	case total > left: // in a tunnel, left may be less than the header that was read
		d.faults[FaultLength]++
		total = max(left, 40)
	}
	r.wire = r.at + total
	if r.wire < len(r.data) {
		r.data = r.data[:r.wire]
	}
	r.at += 40
	next := b[6]
	for range maxExtensions {
		var l layer
		switch next {
		case 0:
			l = layerHopByHop
		case 43:
			l = layerRouting
		case 44:
			l = layerFragment6
		case 60:
			l = layerDestination
		default:
			s.key[keyKind] |= uint64(next)
			d.transport(s, r, next)
			return
		}
		if len(r.data) < r.at+8 {
			d.faults[FaultTruncated]++
			return
		}
		b := r.data[r.at:]
		r.push(s, l)
		if next != 44 {
			next = b[0]
			r.at += int(b[1])*8 + 8
			if r.at > len(r.data) {
				d.faults[FaultTruncated]++
				s.key[keyKind] |= uint64(next)
				return
			}
			continue
		}
		next = b[0]
		r.at += 8
		offset := binary.BigEndian.Uint16(b[2:])
		if offset&0xfff9 == 0 {
			continue // an atomic fragment (RFC 6946) is whole
		}
		s.flags |= segFragment
		s.fragmentID = binary.BigEndian.Uint32(b[4:])
		s.fragmentAt = offset &^ 7
		if offset&1 == 0 {
			s.flags |= segLast
		}
		if s.fragmentAt != 0 {
			s.key[keyKind] |= uint64(next)
			s.later(r, noLayer)
			return
		}
	}
	d.faults[FaultDepth]++
}

// transport reads what IP carries.
func (d *decoder) transport(s *segment, r *reader, protocol uint8) {
	b := r.data[r.at:]
	switch protocol {
	case 6:
		d.tcp(s, r)
	case 17:
		d.udp(s, r)
	case 132, 136: // SCTP (RFC 9260), UDP-Lite (RFC 3828)
		l, header := layerSCTP, 12
		if protocol == 136 {
			l, header = layerUDPLite, 8
		}
		r.push(s, l)
		if len(b) < header {
			d.faults[FaultTruncated]++
		}
		if len(b) >= 4 {
			s.addPorts(binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]))
		}
	case 1:
		d.icmpv4(s, r)
	case 58:
		d.icmpv6(s, r)
	case 47:
		d.gre(s, r)
	case 4:
		s.tunnel(contentIPv4, r.at)
	case 41:
		s.tunnel(contentIPv6, r.at)
	case 97: // RFC 3378
		r.push(s, layerEtherIP)
		s.tunnel(contentEthernet, r.at+2)
	case 2:
		r.push(s, layerIGMP)
	case 50:
		r.push(s, layerESP)
	case 51:
		r.push(s, layerAH)
	case 89:
		r.push(s, layerOSPF)
	case 112:
		r.push(s, layerVRRP)
		s.body = uint16(r.at)
		s.payload = uint32(max(r.wire-r.at, 0))
	}
}

func (d *decoder) tcp(s *segment, r *reader) {
	r.push(s, layerTCP)
	b := r.data[r.at:]
	if len(b) < 20 {
		d.faults[FaultTruncated]++
		if len(b) >= 4 {
			s.addPorts(binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]))
		}
		return
	}
	b = b[:20:20]
	s.addPorts(binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]))
	header := int(b[12]>>4) * 4
	if header < 20 {
		d.faults[FaultHeader]++
		return
	}
	payload := r.wire - r.at - header
	if payload < 0 {
		d.faults[FaultLength]++
		return
	}
	s.flags |= segTCP
	s.seq = binary.BigEndian.Uint32(b[4:])
	s.ack = binary.BigEndian.Uint32(b[8:])
	s.tcp = b[13]
	s.payload = uint32(payload)
	s.body = uint16(min(r.at+header, len(r.data)))
}

func (d *decoder) udp(s *segment, r *reader) {
	r.push(s, layerUDP)
	b := r.data[r.at:]
	if len(b) < 8 {
		d.faults[FaultTruncated]++
		if len(b) >= 4 {
			s.addPorts(binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]))
		}
		return
	}
	source, destination := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	s.addPorts(source, destination)
	length, left := int(binary.BigEndian.Uint16(b[4:])), r.wire-r.at
	if s.flags&segFragment != 0 || length == 0 {
		length = left // a datagram is longer than its first fragment
	}
	if length < 8 || length > left {
		d.faults[FaultLength]++
		length = left
	}
	r.at += 8
	b = b[8:]
	s.body = uint16(r.at)
	s.payload = uint32(max(length-8, 0))
	switch {
	case s.payload == 0:
	case destination == 4789 || destination == 8472: // VXLAN (RFC 7348); 8472 is Linux's older choice
		if len(b) >= 8 && b[0]&0x08 != 0 {
			r.push(s, layerVXLAN)
			s.netID = binary.BigEndian.Uint32(b[4:]) >> 8
			s.addVNI(destination, s.netID)
			s.tunnel(contentEthernet, r.at+8)
		}
	case destination == 6081: // Geneve, RFC 8926
		if len(b) >= 8 && b[0]>>6 == 0 {
			r.push(s, layerGeneve)
			s.netID = binary.BigEndian.Uint32(b[4:]) >> 8
			s.addVNI(destination, s.netID)
			s.tunnel(content(binary.BigEndian.Uint16(b[2:])), r.at+8+int(b[0]&0x3f)*4)
		}
	default:
		l := udpApplication(destination)
		if l == noLayer {
			l = udpApplication(source)
		}
		if l != noLayer {
			r.push(s, l)
			if l == layerDNS {
				s.flags |= segShort
			}
		}
	}
}

func (d *decoder) icmpv4(s *segment, r *reader) {
	r.push(s, layerICMPv4)
	b := r.data[r.at:]
	if len(b) < 8 {
		d.faults[FaultTruncated]++
		return
	}
	s.icmp = b[0]
	switch b[0] {
	case 8:
		s.flags |= segEchoRequest
	case 0:
		s.flags |= segEchoReply
	}
	s.seq = uint32(binary.BigEndian.Uint16(b[6:]))
	s.addICMP(icmpv4Type(b[0]), b[1], binary.BigEndian.Uint16(b[4:]))
}

func (d *decoder) icmpv6(s *segment, r *reader) {
	r.push(s, layerICMPv6)
	b := r.data[r.at:]
	if len(b) < 8 {
		d.faults[FaultTruncated]++
		return
	}
	s.icmp = b[0]
	var id uint16
	switch b[0] {
	case 128, 129:
		s.flags |= segEchoRequest
		if b[0] == 129 {
			s.flags ^= segEchoRequest | segEchoReply
		}
		r.push(s, layerICMPv6Echo)
		id = binary.BigEndian.Uint16(b[4:])
		s.seq = uint32(binary.BigEndian.Uint16(b[6:]))
	case 133:
		r.push(s, layerRouterSolicitation)
	case 134:
		r.push(s, layerRouterAdvertisement)
	case 135:
		r.push(s, layerNeighborSolicitation)
	case 136:
		r.push(s, layerNeighborAdvertisement)
	case 137:
		r.push(s, layerRedirect)
	}
	s.addICMP(icmpv6Type(b[0]), b[1], id)
}

// addICMP puts the type as the model names it, the code and the identifier into the key, as the ids have them.
func (s *segment) addICMP(t ICMPType, code uint8, id uint16) {
	s.key[keyApp] = (uint64(t)<<24 | uint64(code)<<16 | uint64(id)) << 32
	s.key[keyKind] |= kindICMP
}

// icmpv4Type returns the model's name of a type of ICMPv4, the same for a request and its answer.
func icmpv4Type(t uint8) ICMPType {
	switch t {
	case 0, 8:
		return ICMPEcho
	case 3:
		return ICMPDestinationUnreachable
	case 4:
		return ICMPSourceQuench
	case 5:
		return ICMPRedirect
	case 9, 10:
		return ICMPRouter
	case 11:
		return ICMPTimeExceeded
	case 12:
		return ICMPParameterProblem
	case 13, 14:
		return ICMPTimestamp
	case 15, 16:
		return ICMPInfo
	case 17, 18:
		return ICMPAddressMask
	}
	return ICMPUnknown
}

// icmpv6Type returns the model's name of a type of ICMPv6.
func icmpv6Type(t uint8) ICMPType {
	switch t {
	case 1:
		return ICMPDestinationUnreachable
	case 2:
		return ICMPPacketTooBig
	case 3:
		return ICMPTimeExceeded
	case 4:
		return ICMPParameterProblem
	case 128, 129:
		return ICMPEcho
	case 133, 134:
		return ICMPRouter
	case 135, 136:
		return ICMPNeighbor
	case 137:
		return ICMPRedirect
	}
	return ICMPUnknown
}

// gre reads a GRE header (RFC 2784, 2890) and what tunnels put behind it.
func (d *decoder) gre(s *segment, r *reader) {
	r.push(s, layerGRE)
	b := r.data[r.at:]
	if len(b) < 4 {
		d.faults[FaultTruncated]++
		return
	}
	flags, what := binary.BigEndian.Uint16(b), content(binary.BigEndian.Uint16(b[2:]))
	if flags&7 != 0 {
		return // version 1 is PPTP's, whose payload is compressed PPP
	}
	header := 4
	if flags&0xc000 != 0 { // a checksum, or routing, which brings one
		header += 4
	}
	if flags&0x2000 != 0 {
		if len(b) < header+4 {
			d.faults[FaultTruncated]++
			return
		}
		s.netID = binary.BigEndian.Uint32(b[header:])
		header += 4
	}
	if flags&0x1000 != 0 {
		header += 4
	}
	r.at += header
	if len(r.data) < r.at || flags&0x4000 != 0 {
		if flags&0x4000 == 0 {
			d.faults[FaultTruncated]++
		}
		return // source routes are obsolete; what follows them is not looked at
	}
	switch what {
	case 0x88be: // ERSPAN: type II has a header of eight bytes and a sequence number, type I neither
		if flags&0x1000 == 0 {
			s.tunnel(contentEthernet, r.at)
			return
		}
		if len(r.data) < r.at+8 {
			d.faults[FaultTruncated]++
			return
		}
		r.push(s, layerERSPANII)
		s.tunnel(contentEthernet, r.at+8)
	case contentMPLS, 0x8848:
		d.mpls(s, r)
	case contentIPv4, contentIPv6, contentEthernet:
		s.tunnel(what, r.at)
	}
}
