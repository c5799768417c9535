package flow

import "encoding/binary"

// Lengths of headers without options.
const (
	ethernetLength = 14
	ipv4Length     = 20
	ipv6Length     = 40
	udpLength      = 8
	tcpLength      = 20
)

// Paths above the link, as fast has them.
const (
	pathIPv4 = uint64(layerIPv4)
	pathIPv6 = uint64(layerIPv6)
)

// udpKnown has a bit for each port of UDP that names an application or a tunnel, by the port's low six bits: a port whose bit is
// not set is none of them, and need not be compared with each.
const udpKnown uint64 = 1<<(53&63) | 1<<(67&63) | 1<<(68&63) | 1<<(123&63) | 1<<(546&63) | 1<<(547&63) | 1<<(623&63) | 1<<(1812&63) |
	1<<(2152&63) | 1<<(3784&63) | 1<<(5060&63) | 1<<(6343&63) | 1<<(4789&63) | 1<<(8472&63) | 1<<(6081&63)

// fast decodes what most packets are: TCP, or UDP that is no tunnel, in IP without options or fragments, in Ethernet without tags
// but the one that the driver stripped, where nothing is missing and all lengths agree. It reports whether it did, and then it
// has written every field that decoding writes, so that s needs no clearing. Otherwise s may hold anything, nothing was counted, and the general
// decoder reads the packet.
func (s *segment) fast(p *Packet, at, wire int, l3 bool) bool {
	if at > len(p.Data) {
		return false
	}
	data := p.Data[at:]
	if len(data) < ethernetLength+ipv4Length+udpLength {
		return false
	}
	wire -= at
	head := (*[ethernetLength + ipv4Length + udpLength]byte)(data)
	destination, source := binary.BigEndian.Uint64(head[0:]), binary.BigEndian.Uint64(head[6:])

	var path, kind uint64
	var protocol, ttl uint8
	var header, total int
	switch content(source) {
	case contentIPv4:
		if head[14] != 0x45 || binary.BigEndian.Uint16(head[20:])&0x3fff != 0 {
			return false
		}
		total = ethernetLength + int(binary.BigEndian.Uint16(head[16:]))
		header = ethernetLength + ipv4Length
		protocol, ttl = head[23], head[22]
		path, kind = pathIPv4, kindIPv4
	case contentIPv6:
		if head[14]>>4 != 6 || len(data) < ethernetLength+ipv6Length+udpLength {
			return false
		}
		total = int(binary.BigEndian.Uint16(head[18:]))
		if total == 0 {
			return false
		}
		header = ethernetLength + ipv6Length
		total += header
		protocol, ttl = head[20], head[21]
		path, kind = pathIPv6, kindIPv6
	default:
		return false
	}
	// What is there of the packet: padding of the link does not belong to it.
	there := min(len(data), total)
	if total > wire || there < header+udpLength {
		return false
	}

	// The transport.
	b := data[header:there:there]
	ports := binary.BigEndian.Uint32(b)
	from, to := uint64(ports>>16), uint64(ports&0xffff)
	flags := segLink
	switch {
	case protocol == 6 && len(b) >= tcpLength:
		offset := int(b[12]>>4) * 4
		if offset < tcpLength || header+offset > total {
			return false
		}
		s.payload = uint32(total - header - offset)
		s.seq = binary.BigEndian.Uint32(b[4:])
		s.ack = binary.BigEndian.Uint32(b[8:])
		s.tcp = b[13]
		s.body = uint16(at + min(header+offset, there))
		flags |= segTCP
		path |= uint64(layerTCP) << layerBits
	case protocol == 17 && len(b) >= udpLength:
		length := int(binary.BigEndian.Uint16(b[4:]))
		if length < udpLength || header+length > total {
			return false
		}
		path |= uint64(layerUDP) << layerBits
		if (udpKnown>>(from&63)|udpKnown>>(to&63))&1 != 0 && length > udpLength {
			if to == 4789 || to == 8472 || to == 6081 {
				return false
			}
			l := udpApplication(uint16(to))
			if l == noLayer {
				l = udpApplication(uint16(from))
			}
			path |= uint64(l) << (2 * layerBits)
			if l == layerDNS {
				flags |= segShort
			}
		}
		s.payload = uint32(length - udpLength)
		s.seq, s.ack, s.tcp = 0, 0, 0
		s.body = uint16(at + header + udpLength)
	default:
		return false
	}

	// The addresses, in ascending order; the order is as good as random, so none of this branches.
	portLow, portHigh := min(from, to), max(from, to)
	flags |= segPortSwapped * less(to, from)
	kind |= kindLive | kindPorts | uint64(protocol)
	if !l3 {
		source, destination := source&^0xffff, destination&^0xffff
		portLow |= min(source, destination)
		portHigh |= max(source, destination)
		flags |= segMACSwapped * less(destination, source)
		kind |= kindMACs
	}
	k := &s.key
	if path&(1<<layerBits-1) == pathIPv4 {
		x, y := uint64(binary.BigEndian.Uint32(head[26:])), uint64(binary.BigEndian.Uint32(head[30:]))
		k[keyLow], k[keyLow+1] = 0, min(x, y)
		k[keyHigh], k[keyHigh+1] = 0, max(x, y)
		flags |= segNetSwapped * less(y, x)
	} else {
		s.flags = 0
		s.addIPv6(data[22:54])
		flags |= s.flags
	}
	k[keyLowLink], k[keyHighLink] = portLow, portHigh
	k[keyApp], k[keyKind] = 0, kind

	s.linkID = 0
	link, bits := uint64(layerEthernet), layerBits
	if p.HasVLAN && at == 0 {
		link |= uint64(layerDot1Q) << layerBits
		bits += layerBits
		s.linkID = uint64(p.VLAN & 0xfff)
	}
	s.path = link | path<<bits
	s.time = p.Time
	s.length = uint32(max(wire, 0))
	s.ttl = ttl
	s.macs = [12]byte(head[:12])
	s.start, s.ipAt = uint16(at), uint16(at+ethernetLength)
	s.end = uint32(at + total)
	s.netID, s.icmp, s.inner, s.innerAt, s.fragmentID, s.fragmentAt = 0, 0, contentNone, 0, 0, 0
	s.flags = flags | flags&segNetSwapped*(segFromHigh/segNetSwapped)
	if k[keyLow+1] == k[keyHigh+1] && k[keyLow] == k[keyHigh] {
		s.flags = flags
		s.finish()
	}
	return true
}

// less returns 1 if a is less than b, and else 0.
func less(a, b uint64) uint16 {
	if a < b {
		return 1
	}
	return 0
}
