package flow

import (
	"encoding/binary"
	"math/bits"
)

// key is what tells flows apart: the same for both directions. Each pair of addresses stands in ascending order, as in the ids
// (see ids.go). The words are: the two network addresses (an IPv4 address in the second word of its two), each MAC address
// with a port in the low 16 bits, then ICMP or the VNI above the parent's serial number, and at last what kind it is.
type key [8]uint64

// The words of a key.
const (
	keyLow, keyHigh         = 0, 2 // network addresses, two words each
	keyLowLink, keyHighLink = 4, 5
	keyApp                  = 6
	keyKind                 = 7
)

// Bits of the last word: family and protocol in the low half, an unknown ethertype above.
const (
	kindLive     = 1 << 16 // so that no key is zero
	kindIPv4     = 1 << 17
	kindIPv6     = 1 << 18
	kindICMP     = 1 << 19
	kindTunnel   = 1 << 20 // VXLAN or Geneve: the destination port and the VNI instead of ports
	kindPorts    = 1 << 21
	kindMACs     = 1 << 22
	kindFragment = 1 << 23 // a later fragment whose first is unknown
	kindNetwork  = kindIPv4 | kindIPv6
	kindProtocol = 0xff // the IP protocol
)

// is reports whether two keys are the same, without a branch. Its halves, which are not 0 where keys differ, are small enough to be inlined.
func (k *key) is(o *key) bool { return k.network(o)|k.rest(o) == 0 }

func (k *key) network(o *key) uint64 {
	return (k[0] ^ o[0]) | (k[1] ^ o[1]) | (k[2] ^ o[2]) | (k[3] ^ o[3])
}

func (k *key) rest(o *key) uint64 {
	return (k[4] ^ o[4]) | (k[5] ^ o[5]) | (k[6] ^ o[6]) | (k[7] ^ o[7])
}

// addMACs puts the MAC addresses into the key.
func (s *segment) addMACs() {
	destination := uint64(binary.BigEndian.Uint32(s.macs[0:]))<<16 | uint64(binary.BigEndian.Uint16(s.macs[4:]))
	source := uint64(binary.BigEndian.Uint32(s.macs[6:]))<<16 | uint64(binary.BigEndian.Uint16(s.macs[10:]))
	if source > destination {
		source, destination = destination, source
		s.flags |= segMACSwapped
	}
	s.key[keyLowLink] |= source << 16
	s.key[keyHighLink] |= destination << 16
	s.key[keyKind] |= kindMACs
}

// addIPv4 puts IPv4 addresses into the key.
func (s *segment) addIPv4(source, destination uint32) {
	if source > destination {
		source, destination = destination, source
		s.flags |= segNetSwapped
	}
	s.key[keyLow+1] = uint64(source)
	s.key[keyHigh+1] = uint64(destination)
	s.key[keyKind] |= kindIPv4
}

// addIPv6 puts IPv6 addresses into the key.
func (s *segment) addIPv6(b []byte) {
	_ = b[31]
	s1, s2 := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	d1, d2 := binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])
	if s1 > d1 || s1 == d1 && s2 > d2 {
		s1, s2, d1, d2 = d1, d2, s1, s2
		s.flags |= segNetSwapped
	}
	s.key[keyLow], s.key[keyLow+1] = s1, s2
	s.key[keyHigh], s.key[keyHigh+1] = d1, d2
	s.key[keyKind] |= kindIPv6
}

// addPorts puts ports into the key.
func (s *segment) addPorts(source, destination uint16) {
	if source > destination {
		source, destination = destination, source
		s.flags |= segPortSwapped
	}
	s.key[keyLowLink] |= uint64(source)
	s.key[keyHighLink] |= uint64(destination)
	s.key[keyKind] |= kindPorts
}

// addVNI replaces the ports of a tunnel over UDP by its destination port and its network, the same both ways.
func (s *segment) addVNI(port uint16, vni uint32) {
	s.key[keyLowLink] = s.key[keyLowLink]&^0xffff | uint64(port)
	s.key[keyHighLink] &^= 0xffff
	s.key[keyApp] = uint64(vni) << 32
	s.key[keyKind] = s.key[keyKind]&^kindPorts | kindTunnel
	s.flags &^= segPortSwapped
}

// finish settles the direction.
func (s *segment) finish() {
	k := &s.key
	k[keyKind] |= kindLive
	high := s.flags & segNetSwapped
	if k[keyLow+1] == k[keyHigh+1] && k[keyLow] == k[keyHigh] {
		high = s.flags & segPortSwapped
		if k[keyLowLink]&0xffff == k[keyHighLink]&0xffff {
			high = s.flags & segMACSwapped
		}
	}
	if high != 0 {
		s.flags |= segFromHigh
	}
}

// seeds of the hash, chosen at random by each table, so that nobody outside can choose packets that collide.
type seeds [4]uint64

// mix multiplies and folds.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// hash returns the table's hash of a key. It has nothing to do with the ids that a flow shows.
func (k *key) hash(seed *seeds) uint64 { return k.hashRest(k.hashNetwork(seed), seed) }

// The halves of hash are small enough to be inlined where it matters.
func (k *key) hashNetwork(seed *seeds) uint64 {
	return mix(k[0]^seed[0], k[1]^seed[1]) ^ mix(k[2]^seed[2], k[3]^seed[3])
}

func (k *key) hashRest(h uint64, seed *seeds) uint64 {
	return mix(h^k[4]^seed[2], k[5]^seed[1]) ^ mix(k[6]^seed[3], k[7]^seed[0])
}
