package flow

// fragments remembers the flows of the IP datagrams whose first fragment was seen last, so that the other fragments, which carry no
// ports, are counted in the same flow. The memory is fixed: the datagram that began first makes room for the next, and what still
// comes of it is then counted in a flow of the addresses alone. Which ones are remembered depends on the packets alone, and
// not on the seeds of the hash.
type fragments struct {
	most   int        // a power of two
	places []datagram // a ring when it is full
	hand   uint32     // the next place to be used again
	heads  []uint32   // of the chains of places that share a hash, counted from 1
}

// datagram is what is known of one datagram.
type datagram struct {
	key       key // of its flow
	path      uint64
	time      int64
	id        uint32
	netID     uint32
	next      uint32 // in the chain, counted from 1
	direction uint16
	covered   uint16 // bytes, in order from the beginning
}

const (
	fewestDatagrams  = 1 << 12 // remembered
	mostDatagrams    = 1 << 16
	datagramLifetime = 30e9 // ns: identifiers are used again
)

// init sizes the memory for a table of so many flows: of every sixteenth, a datagram may be on its way.
func (f *fragments) init(flows int) {
	for f.most = fewestDatagrams; f.most < min(flows/16, mostDatagrams); f.most *= 2 { //nolint:revive // all is in the header
	}
}

// place settles the key of a fragment: a first fragment is remembered, a later one gets the key of its first. known is false
// for one whose first is not remembered; overlaps says that it has bytes that came before.
func (f *fragments) place(s *segment, seed *seeds) (known, overlaps bool) {
	if f.heads == nil {
		f.heads = make([]uint32, f.most)
	}
	link := f.chain(&s.key, s.fragmentID, seed)
	for *link != 0 && !f.places[*link-1].has(s) {
		link = &f.places[*link-1].next
	}
	if s.flags&segLater == 0 {
		if *link != 0 { // the number is used again
			*link = f.places[*link-1].next
		}
		f.add(s, seed)
		return true, false
	}
	if *link == 0 {
		return false, false
	}
	g := &f.places[*link-1]
	if overlaps = s.fragmentAt < g.covered; s.fragmentAt == g.covered {
		g.covered = uint16(min(uint32(g.covered)+s.payload, 0xffff))
	}
	s.key = g.key
	s.path, s.netID = g.path, g.netID
	s.flags = s.flags&^segDirection | g.direction
	return true, overlaps
}

// chain returns where the chain of a datagram's hash begins.
func (f *fragments) chain(k *key, id uint32, seed *seeds) *uint32 {
	h := mix(k[0]^k[1]^seed[0], k[2]^k[3]^seed[1])
	h = mix(h^uint64(id)<<8^k[keyKind]&kindProtocol, seed[2]^k[keyApp]&0xffffffff)
	return &f.heads[h&uint64(f.most-1)] //nolint:gosec // not negative
}

// has reports whether a fragment is of the datagram. The direction by network address tells two of the same number apart that cross.
func (g *datagram) has(s *segment) bool {
	k, o := &g.key, &s.key
	return g.id == s.fragmentID && k[0] == o[0] && k[1] == o[1] && k[2] == o[2] && k[3] == o[3] &&
		(k[keyKind]^o[keyKind])&kindProtocol == 0 && (g.direction^s.flags)&segNetSwapped == 0 &&
		k[keyLowLink]>>16 == o[keyLowLink]>>16 && k[keyHighLink]>>16 == o[keyHighLink]>>16 && uint32(k[keyApp]) == uint32(o[keyApp]) &&
		s.time-g.time < datagramLifetime && g.time-s.time < datagramLifetime
}

// add remembers a first fragment.
func (f *fragments) add(s *segment, seed *seeds) {
	at := f.hand
	if len(f.places) < f.most {
		at = uint32(len(f.places)) //nolint:gosec // there are few
		f.places = append(f.places, datagram{})
	} else {
		f.hand = (at + 1) & uint32(f.most-1) //nolint:gosec // likewise
		old := &f.places[at]
		link := f.chain(&old.key, old.id, seed)
		for *link != 0 && *link != at+1 {
			link = &f.places[*link-1].next
		}
		if *link != 0 { // its number was not used again
			*link = old.next
		}
	}
	head := f.chain(&s.key, s.fragmentID, seed)
	f.places[at] = datagram{
		key: s.key, path: s.path, time: s.time, id: s.fragmentID, netID: s.netID, next: *head,
		direction: s.flags & segDirection, covered: uint16(min(s.payloadOfIP(), 0xffff)),
	}
	*head = at + 1
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
