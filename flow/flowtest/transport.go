package flowtest

// The flags of TCP.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// TCP is a TCP header, RFC 9293.
type TCP struct {
	Src, Dst   uint16
	Seq, Ack   uint32
	Flags      uint8
	Window     uint16 // 0 = 65535
	Options    []byte // filled up to 4 bytes with zeros
	DataOffset int    // in bytes; 0 = the right one
}

func (l TCP) wrap(payload []byte, at place) []byte {
	options := append([]byte(nil), l.Options...)
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	h := be.AppendUint16(be.AppendUint16(nil, l.Src), l.Dst)
	h = be.AppendUint32(be.AppendUint32(h, l.Seq), l.Ack)
	h = append(h, byte(or(l.DataOffset, 20+len(options))/4)<<4, l.Flags)
	h = be.AppendUint16(h, or(l.Window, 0xffff))
	h = append(h, 0, 0, 0, 0)
	b := join(append(h, options...), payload)
	be.PutUint16(b[16:], at.checksum(b, 6))
	return b
}

// UDP is a UDP header, RFC 768.
type UDP struct {
	Src, Dst uint16
	Length   int // in the header; 0 = the right one
}

func (l UDP) wrap(payload []byte, at place) []byte {
	h := be.AppendUint16(be.AppendUint16(nil, l.Src), l.Dst)
	h = be.AppendUint16(h, uint16(or(l.Length, 8+len(payload)))) //nolint:gosec // tests build small packets
	b := join(append(h, 0, 0), payload)
	be.PutUint16(b[6:], or(at.checksum(b, 17), 0xffff))
	return b
}

// SCTP is the common header of SCTP, RFC 9260, without the CRC.
type SCTP struct {
	Src, Dst uint16
	Tag      uint32
}

func (l SCTP) wrap(payload []byte, _ place) []byte {
	h := be.AppendUint32(be.AppendUint16(be.AppendUint16(nil, l.Src), l.Dst), l.Tag)
	return join(append(h, 0, 0, 0, 0), payload)
}

// ICMPv4 is an ICMP header, RFC 792, with the identifier and sequence number of an echo.
type ICMPv4 struct {
	Type, Code uint8
	ID, Seq    uint16
}

func (l ICMPv4) wrap(payload []byte, _ place) []byte {
	h := be.AppendUint16(be.AppendUint16([]byte{l.Type, l.Code, 0, 0}, l.ID), l.Seq)
	b := join(h, payload)
	be.PutUint16(b[2:], fold(sum(b, 0)))
	return b
}

// ICMPv6 is an ICMPv6 header, RFC 4443, with the identifier and sequence number of an echo.
type ICMPv6 struct {
	Type, Code uint8
	ID, Seq    uint16
}

func (l ICMPv6) wrap(payload []byte, at place) []byte {
	h := be.AppendUint16(be.AppendUint16([]byte{l.Type, l.Code, 0, 0}, l.ID), l.Seq)
	b := join(h, payload)
	be.PutUint16(b[2:], at.checksum(b, 58))
	return b
}

// VRRP is an advertisement of VRRP version 2, RFC 3768.
type VRRP struct {
	Router, Priority, Interval uint8
	Addrs                      []string
}

func (l VRRP) wrap(payload []byte, _ place) []byte {
	h := []byte{0x21, l.Router, l.Priority, byte(len(l.Addrs)), 0, or(l.Interval, 1), 0, 0}
	for _, a := range l.Addrs {
		h = append(h, ip(a, 4)...)
	}
	h = append(h, make([]byte, 8)...) // authentication data
	be.PutUint16(h[6:], fold(sum(h, 0)))
	return join(h, payload)
}
