package flowtest

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Layer is one layer of a packet: Ethernet, IPv4, TCP … or Payload.
type Layer interface {
	// wrap puts the layer's header before what it carries. The place says what stands around it.
	wrap(payload []byte, at place) []byte
}

// place is where a layer stands in its packet.
type place struct {
	layers []Layer
	index  int
}

// next is the layer that this one carries, or nil.
func (p place) next() Layer {
	if p.index+1 < len(p.layers) {
		return p.layers[p.index+1]
	}
	return nil
}

// Packet builds a packet from its layers, outermost first. Types, protocols, lengths and checksums that a layer leaves
// at zero come out right for what it carries; a layer that sets one gets what it asks for, however wrong. It panics on an
// address that cannot be parsed.
//
//	flowtest.Packet(
//		flowtest.Ethernet{Src: "02:00:00:00:00:01", Dst: "02:00:00:00:00:02"},
//		flowtest.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2"},
//		flowtest.TCP{Src: 40000, Dst: 80, Flags: flowtest.SYN},
//	)
func Packet(layers ...Layer) []byte {
	var b []byte
	for i := len(layers) - 1; i >= 0; i-- {
		b = layers[i].wrap(b, place{layers, i})
	}
	return b
}

// Payload is bytes that are carried as they are.
type Payload []byte

func (p Payload) wrap(payload []byte, _ place) []byte { return join(p, payload) }

// Zeros is a payload of that many zero bytes.
type Zeros int

func (n Zeros) wrap(payload []byte, _ place) []byte { return join(make([]byte, n), payload) }

// Pad fills a frame with zero bytes up to a length, as Ethernet does to short frames.
func Pad(frame []byte, length int) []byte {
	if len(frame) >= length {
		return frame
	}
	return join(frame, make([]byte, length-len(frame)))
}

// join gives a fresh slice of header and payload.
func join(header, payload []byte) []byte {
	return append(append(make([]byte, 0, len(header)+len(payload)), header...), payload...)
}

var be = binary.BigEndian

// mac parses a MAC address; "" is zeros.
func mac(s string) []byte {
	if s == "" {
		return make([]byte, 6)
	}
	m, err := net.ParseMAC(s)
	if err != nil {
		panic("flowtest: " + err.Error())
	}
	return m
}

// ip parses an address of the family wanted; "" is zeros.
func ip(s string, bytes int) []byte {
	if s == "" {
		return make([]byte, bytes)
	}
	a := netip.MustParseAddr(s).AsSlice()
	if len(a) != bytes {
		panic("flowtest: " + s + " is of the other family")
	}
	return a
}

// etherType is the number that announces a layer after a link header.
func etherType(l Layer) uint16 {
	switch l := l.(type) {
	case IPv4:
		return 0x0800
	case IPv6:
		return 0x86dd
	case ARP:
		return 0x0806
	case MPLS:
		return 0x8847
	case VLAN:
		if l.QinQ {
			return 0x88a8
		}
		return 0x8100
	case Ethernet:
		return 0x6558 // transparent Ethernet bridging, RFC 1701
	case ERSPAN:
		return 0x88be
	}
	return 0
}

// protocol is the IP protocol number that announces a layer.
func protocol(l Layer) uint8 {
	switch l := l.(type) {
	case TCP:
		return 6
	case UDP:
		return 17
	case SCTP:
		return 132
	case ICMPv4:
		return 1
	case ICMPv6:
		return 58
	case GRE:
		return 47
	case IPv4:
		return 4
	case IPv6:
		return 41
	case MPLS:
		return 137
	case VRRP:
		return 112
	case IPv6Fragment:
		return 44
	case IPv6Extension:
		return l.Kind
	}
	return 59 // IPv6: no next header
}

// sum adds 16 bit words for an Internet checksum, RFC 1071.
func sum(b []byte, start uint32) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		start += uint32(be.Uint16(b))
	}
	if len(b) == 1 {
		start += uint32(b[0]) << 8
	}
	return start
}

// fold ends an Internet checksum.
func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s) //nolint:gosec // folded to 16 bits
}

// checksum is that of a transport segment under the nearest IP header around it.
func (p place) checksum(segment []byte, proto uint8) uint16 {
	for i := p.index - 1; i >= 0; i-- {
		switch l := p.layers[i].(type) {
		case IPv4:
			return fold(sum(segment, sum(ip(l.Src, 4), sum(ip(l.Dst, 4), uint32(proto)+uint32(len(segment)))))) //nolint:gosec // packets are small
		case IPv6:
			return fold(sum(segment, sum(ip(l.Src, 16), sum(ip(l.Dst, 16), uint32(proto)+uint32(len(segment)))))) //nolint:gosec // packets are small
		}
	}
	return 0
}
