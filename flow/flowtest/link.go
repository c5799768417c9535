package flowtest

// Ethernet is an Ethernet II header.
type Ethernet struct {
	Src, Dst string
	Type     uint16 // 0 = that of what follows
}

func (l Ethernet) wrap(payload []byte, at place) []byte {
	h := join(mac(l.Dst), mac(l.Src))
	h = be.AppendUint16(h, or(l.Type, etherType(at.next())))
	return join(h, payload)
}

// VLAN is an 802.1Q tag, or an 802.1ad service tag if QinQ.
type VLAN struct {
	ID       uint16
	Priority uint8
	QinQ     bool
	Type     uint16 // 0 = that of what follows
}

func (l VLAN) wrap(payload []byte, at place) []byte {
	h := be.AppendUint16(nil, uint16(l.Priority)<<13|l.ID&0xfff)
	h = be.AppendUint16(h, or(l.Type, etherType(at.next())))
	return join(h, payload)
}

// MPLS is one label of a stack, RFC 3032. The last one of several gets the bottom bit, unless NoBottom.
type MPLS struct {
	Label    uint32
	TTL      uint8
	NoBottom bool
}

func (l MPLS) wrap(payload []byte, at place) []byte {
	word := l.Label<<12 | uint32(or(l.TTL, 64))
	if _, more := at.next().(MPLS); !more && !l.NoBottom {
		word |= 1 << 8
	}
	return join(be.AppendUint32(nil, word), payload)
}

// ARP is an ARP message for IPv4 over Ethernet, RFC 826.
type ARP struct {
	Op             uint16 // 0 = 1, a request
	SrcMAC, DstMAC string
	SrcIP, DstIP   string
}

func (l ARP) wrap(payload []byte, _ place) []byte {
	h := []byte{0, 1, 8, 0, 6, 4}
	h = be.AppendUint16(h, or(l.Op, 1))
	h = append(h, mac(l.SrcMAC)...)
	h = append(h, ip(l.SrcIP, 4)...)
	h = append(h, mac(l.DstMAC)...)
	h = append(h, ip(l.DstIP, 4)...)
	return join(h, payload)
}

// SLL is a Linux cooked header, LINKTYPE_LINUX_SLL.
type SLL struct {
	PacketType uint16
	Addr       string // of the sender
	Protocol   uint16 // 0 = that of what follows
}

func (l SLL) wrap(payload []byte, at place) []byte {
	h := be.AppendUint16(nil, l.PacketType)
	h = append(h, 0, 1, 0, 6) // ARPHRD_ETHER, 6 bytes of address
	h = append(h, mac(l.Addr)...)
	h = append(h, 0, 0)
	h = be.AppendUint16(h, or(l.Protocol, etherType(at.next())))
	return join(h, payload)
}

// SLL2 is a Linux cooked header of the second version, LINKTYPE_LINUX_SLL2.
type SLL2 struct {
	PacketType uint8
	IfIndex    uint32
	Addr       string
	Protocol   uint16 // 0 = that of what follows
}

func (l SLL2) wrap(payload []byte, at place) []byte {
	h := be.AppendUint16(nil, or(l.Protocol, etherType(at.next())))
	h = append(h, 0, 0)
	h = be.AppendUint32(h, l.IfIndex)
	h = append(h, 0, 1, l.PacketType, 6)
	h = append(h, mac(l.Addr)...)
	h = append(h, 0, 0)
	return join(h, payload)
}

// Loopback is a BSD loopback header: LINKTYPE_NULL as a little or big endian machine writes it, and LINKTYPE_LOOP,
// which is always big endian.
type Loopback struct {
	BigEndian bool
	Family    uint32 // 0 = that of what follows: 2, or 30 as macOS has it
}

func (l Loopback) wrap(payload []byte, at place) []byte {
	family := l.Family
	if family == 0 {
		family = 2
		if _, six := at.next().(IPv6); six {
			family = 30
		}
	}
	h := make([]byte, 4)
	if l.BigEndian {
		be.PutUint32(h, family)
	} else {
		h[0], h[1], h[2], h[3] = byte(family), byte(family>>8), byte(family>>16), byte(family>>24)
	}
	return join(h, payload)
}

// or gives the first value that is not zero.
func or[T comparable](a, b T) T {
	var zero T
	if a != zero {
		return a
	}
	return b
}
