package flow

// fragments remembers the flows of IP datagrams whose first fragment was seen, so that the other fragments, which carry no ports, are
// counted in the same flow. The memory is fixed: a datagram that meets another in its place replaces it, and the fragments
// of the replaced one are then counted in a flow of the addresses alone.
type fragments struct {
	places []datagram
}

// datagram is what is known of one datagram.
type datagram struct {
	low, high [2]uint64 // addresses
	id        uint32
	protocol  uint8
	direction uint16
	covered   uint16 // bytes, in order from the beginning
	time      int64
	key       key
	path      uint64
	netID     uint32
}

const (
	datagramPlaces   = 4096
	datagramLifetime = 30e9 // ns: identifiers are used again
)

// place settles the key of a fragment: a first fragment is remembered, a later one gets the key of its first.
func (f *fragments) place(s *segment, seed *seeds, d *decoder) {
	if f.places == nil {
		f.places = make([]datagram, datagramPlaces)
	}
	k := &s.key
	h := mix(k[0]^k[1]^seed[0], k[2]^k[3]^seed[1])
	h = mix(h^uint64(s.fragmentID)<<8^k[keyKind]&kindProtocol, seed[2]^k[keyApp]&0xffffffff)
	g := &f.places[h%datagramPlaces]
	low, high, protocol := [2]uint64{k[0], k[1]}, [2]uint64{k[2], k[3]}, uint8(k[keyKind]&kindProtocol)
	// The direction by network address tells two datagrams of the same number apart that cross.
	direction := s.flags & segNetSwapped
	known := g.low == low && g.high == high && g.id == s.fragmentID && g.protocol == protocol && g.direction&segNetSwapped == direction &&
		g.key[keyLowLink]>>16 == k[keyLowLink]>>16 && g.key[keyHighLink]>>16 == k[keyHighLink]>>16 &&
		uint32(g.key[keyApp]) == uint32(k[keyApp]) &&
		s.time-g.time < datagramLifetime && g.time-s.time < datagramLifetime
	if s.flags&segLater == 0 {
		*g = datagram{
			low: low, high: high, id: s.fragmentID, protocol: protocol, direction: s.flags & segDirection,
			time: s.time, key: *k, path: s.path, netID: s.netID, covered: uint16(min(int(s.payloadOfIP()), 0xffff)),
		}
		return
	}
	if !known {
		return
	}
	if s.fragmentAt < g.covered {
		d.faults[FaultFragment]++ // it overlaps what came before it
	} else if s.fragmentAt == g.covered {
		g.covered = uint16(min(uint32(g.covered)+s.payload, 0xffff))
	}
	*k = g.key
	s.path, s.netID = g.path, g.netID
	s.flags = s.flags&^segDirection | g.direction
}

// payloadOfIP returns the bytes that a first fragment carries, as far as its transport tells.
func (s *segment) payloadOfIP() uint32 {
	switch {
	case s.key[keyKind]&kindProtocol == 17:
		return s.payload + 8
	case s.flags&segTCP != 0:
		return s.payload + 20
	}
	return 8
}
