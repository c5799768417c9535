package flowtest

// Mix says what traffic consists of, in percent of the flows. A flow may be several of these at once; what is left is
// TCP over IPv4 over Ethernet.
type Mix struct {
	UDP       int
	IPv6      int
	VLAN      int // in an 802.1Q tag
	VXLAN     int // inside IPv4, UDP and VXLAN between eight pairs of tunnel ends
	GRE       int // inside IPv4 and GRE between eight pairs of tunnel ends; not for flows in VXLAN
	Fragments int // full-size packets go in two fragments; of IPv4 flows only
}

// Plain is the mix of the large benchmark files: a fifth of the flows is UDP.
func Plain() Mix { return Mix{UDP: 20} }

// Tunnels is a mix with something of everything.
func Tunnels() Mix { return Mix{UDP: 20, IPv6: 15, VLAN: 10, VXLAN: 15, GRE: 10, Fragments: 10} }

// Traffic describes packets of many flows that take turns at random. Their sizes on the wire are IMIX: of the data packets 7 in 12
// have 64 bytes, 4 have 570 and 1 has 1518, before tunnels add theirs. TCP flows live whole lives, SYN to FIN, with
// sequence numbers and acknowledgements that fit, as long as there are six packets for each; the client speaks first.
// All flows are alive together, and each gets between half and one and a half times its share of the packets.
type Traffic struct {
	Flows   int
	Packets int // in all; at least Flows
	Seed    uint64
	SnapLen int // bytes kept of a packet; 0 = 96, which cuts the TCP header of flows in VXLAN short
	Mix     Mix

	Start    int64 // ns since the epoch, of the first packet; 0 = 1,700,000,000 s
	Interval int64 // ns from one packet to the next; 0 = 1000
}

const (
	snapDefault     = 96
	startDefault    = 1_700_000_000_000_000_000
	intervalDefault = 1000
	wireMax         = 2048
)

// life is where a flow stands.
type life struct {
	left, sent uint32 // packets
	seq        [2]uint32
	tail       uint32 // bytes of a second fragment that is due, 0 = none
}

// stream is a traffic on its way.
type stream struct {
	Traffic
	clients int
	rng     random
	lives   []life
	frame   [wireMax]byte
}

// Stream gives the packets, in order of time, to a function: time in ns since the epoch, what a capture would keep, and
// the bytes on the wire. The data is used again for the next packet.
func (t Traffic) Stream(packet func(ts int64, data []byte, wireLen int)) {
	t.SnapLen = or(t.SnapLen, snapDefault)
	t.Start = or(t.Start, startDefault)
	t.Interval = or(t.Interval, intervalDefault)
	t.Flows = max(t.Flows, 1)
	t.Packets = max(t.Packets, t.Flows)
	s := stream{Traffic: t, rng: random(mix64(t.Seed + 1)), clients: min(max(t.Flows/16, 1), 1<<16)}
	s.share()

	alive := make([]uint32, t.Flows)
	for i := range alive {
		alive[i] = uint32(i) //nolint:gosec // fewer than 2^32 flows
	}
	ts := t.Start
	for len(alive) > 0 {
		slot := s.rng.below(uint32(len(alive))) //nolint:gosec // fewer than 2^32 flows
		flow := alive[slot]
		data, wire := s.packet(flow)
		packet(ts, data, wire)
		ts += t.Interval
		if s.lives[flow].left == 0 {
			alive[slot] = alive[len(alive)-1]
			alive = alive[:len(alive)-1]
		}
	}
}

// share deals the packets out to the flows.
func (s *stream) share() {
	s.lives = make([]life, s.Flows)
	mean := s.Packets / s.Flows
	low := max(mean/2, min(mean, 6))
	dealt := 0
	for i := range s.lives {
		n := low + int(s.rng.below(uint32(2*(mean-low)+1))) //nolint:gosec // packets a flow fit
		s.lives[i].left = uint32(n)                         //nolint:gosec // likewise
		dealt += n
	}
	for i := 0; dealt != s.Packets; i = (i + 1) % s.Flows {
		if dealt < s.Packets {
			step := (s.Packets-dealt)/s.Flows + 1
			s.lives[i].left += uint32(step) //nolint:gosec // likewise
			dealt += step
		} else if s.lives[i].left > uint32(low) { //nolint:gosec // likewise
			step := min((dealt-s.Packets)/s.Flows+1, int(s.lives[i].left)-low)
			s.lives[i].left -= uint32(step) //nolint:gosec // likewise
			dealt -= step
		}
	}
	for i := range s.lives {
		h := mix64(s.Seed ^ uint64(i)) //nolint:gosec // not negative
		s.lives[i].seq = [2]uint32{uint32(h), uint32(h >> 32)}
	}
}

// random is a generator of pseudo-random numbers, xorshift64*.
type random uint64

func (r *random) next() uint64 {
	x := uint64(*r)
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	*r = random(x)
	return x * 0x2545f4914f6cdd1d
}

func (r *random) below(n uint32) uint32 { return uint32(r.next() >> 32 * uint64(n) >> 32) } //nolint:gosec // below n

// mix64 spreads a number over all bits, never to 0 for what is used here (the finalizer of splitmix64).
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
