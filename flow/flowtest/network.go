package flowtest

// IPv4 is an IPv4 header, RFC 791.
type IPv4 struct {
	Src, Dst string
	TTL      uint8 // 0 = 64
	TOS      uint8
	ID       uint16
	DF, MF   bool
	Offset   int    // of a fragment, in bytes
	Options  []byte // filled up to 4 bytes with zeros
	Protocol uint8  // 0 = that of what follows

	Length       int   // in the header; 0 = the right one
	Version      uint8 // 0 = 4
	HeaderLength int   // in bytes; 0 = the right one
	Checksum     uint16
}

func (l IPv4) wrap(payload []byte, at place) []byte {
	options := append([]byte(nil), l.Options...)
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	size := 20 + len(options)
	h := make([]byte, 20, size)
	h[0] = or(l.Version, 4)<<4 | byte(or(l.HeaderLength, size)/4)
	h[1] = l.TOS
	be.PutUint16(h[2:], uint16(or(l.Length, size+len(payload)))) //nolint:gosec // tests build small packets
	be.PutUint16(h[4:], l.ID)
	fragment := uint16(l.Offset / 8) //nolint:gosec // 13 bits
	if l.DF {
		fragment |= 0x4000
	}
	if l.MF {
		fragment |= 0x2000
	}
	be.PutUint16(h[6:], fragment)
	h[8] = or(l.TTL, 64)
	h[9] = or(l.Protocol, protocol(at.next()))
	copy(h[12:], ip(l.Src, 4))
	copy(h[16:], ip(l.Dst, 4))
	h = append(h, options...)
	be.PutUint16(h[10:], or(l.Checksum, fold(sum(h, 0))))
	return join(h, payload)
}

// IPv6 is an IPv6 header, RFC 8200.
type IPv6 struct {
	Src, Dst   string
	HopLimit   uint8 // 0 = 64
	FlowLabel  uint32
	NextHeader uint8 // 0 = that of what follows
	Length     int   // in the header; 0 = the right one
}

func (l IPv6) wrap(payload []byte, at place) []byte {
	h := be.AppendUint32(nil, 6<<28|l.FlowLabel&0xfffff)
	h = be.AppendUint16(h, uint16(or(l.Length, len(payload)))) //nolint:gosec // tests build small packets
	h = append(h, or(l.NextHeader, protocol(at.next())), or(l.HopLimit, 64))
	h = append(h, ip(l.Src, 16)...)
	h = append(h, ip(l.Dst, 16)...)
	return join(h, payload)
}

// The kinds of IPv6Extension.
const (
	HopByHop           = 0
	Routing            = 43
	DestinationOptions = 60
)

// IPv6Extension is an extension header of the common form: next header, length, data.
type IPv6Extension struct {
	Kind       uint8
	Data       []byte // filled up to 8 bytes with zeros
	NextHeader uint8  // 0 = that of what follows
}

func (l IPv6Extension) wrap(payload []byte, at place) []byte {
	h := append([]byte{or(l.NextHeader, protocol(at.next())), 0}, l.Data...)
	for len(h)%8 != 0 {
		h = append(h, 0)
	}
	h[1] = byte(len(h)/8 - 1)
	return join(h, payload)
}

// IPv6Fragment is a fragment header.
type IPv6Fragment struct {
	ID         uint32
	Offset     int // bytes
	More       bool
	NextHeader uint8 // 0 = that of what follows
}

func (l IPv6Fragment) wrap(payload []byte, at place) []byte {
	word := uint16(l.Offset) &^ 7 //nolint:gosec // 13 bits
	if l.More {
		word |= 1
	}
	h := []byte{or(l.NextHeader, protocol(at.next())), 0}
	h = be.AppendUint16(h, word)
	return join(be.AppendUint32(h, l.ID), payload)
}
