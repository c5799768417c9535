package linux

import (
	"encoding/binary"
	"hash/maphash"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
)

// A reading is all that was read of one namespace at once.
type reading struct {
	links      []linkState
	addresses  []address
	neighbours []neighbour
	routes     map[int]graph.Value
	devices    map[int]device
	whole      bool // false: the namespace could not be entered, and only links and addresses were read
	took       time.Duration
}

// readInside reads the namespace that the calling thread is in.
func (v *visitor) readInside(routeLimit int, seed maphash.Seed) (*reading, error) {
	start := time.Now()
	c, err := dial(v.buf)
	if err != nil {
		return nil, err
	}
	defer c.close()
	r := &reading{whole: true}
	if err := r.readLinks(c, -1, seed); err != nil {
		return nil, err
	}
	err = c.dump(unix.RTM_GETNEIGH, make([]byte, unix.SizeofNdMsg), func() {}, r.takeNeighbour)
	if err != nil {
		return nil, err
	}
	bridge := make([]byte, unix.SizeofNdMsg)
	bridge[0] = unix.AF_BRIDGE
	if err := c.dump(unix.RTM_GETNEIGH, bridge, func() {}, r.takeNeighbour); err != nil {
		return nil, err
	}
	if r.routes, err = readRoutes(c, routeLimit); err != nil {
		return nil, err
	}
	r.devices, err = v.readDevices(r.links)
	r.took = time.Since(start)
	return r, err
}

// readOutside reads what can be read of a namespace without entering it.
func readOutside(c *conn, nsid int, seed maphash.Seed) (*reading, error) {
	start := time.Now()
	r := &reading{}
	err := r.readLinks(c, nsid, seed)
	c.localize(nsid, pointers(r.links)...)
	r.took = time.Since(start)
	return r, err
}

// readLinks reads links and addresses, of the conn's namespace when nsid is negative.
func (r *reading) readLinks(c *conn, nsid int, seed maphash.Seed) error {
	info := make([]byte, unix.SizeofIfInfomsg)
	start := func() { r.links = r.links[:0] }
	err := c.dumpIn(nsid, unix.IFLA_TARGET_NETNSID, unix.RTM_GETLINK, info, start, func(m message) {
		if l, ok := decodeLink(m.data); ok && m.kind == unix.RTM_NEWLINK {
			_, measured, _ := decodeStats(m.data, seed)
			l.hash = measured.hash
			r.links = append(r.links, l)
		}
	})
	if err != nil {
		return err
	}
	body := make([]byte, unix.SizeofIfAddrmsg)
	start = func() { r.addresses = r.addresses[:0] }
	return c.dumpIn(nsid, unix.IFA_TARGET_NETNSID, unix.RTM_GETADDR, body, start, func(m message) {
		if a, ok := decodeAddress(m.data); ok && m.kind == unix.RTM_NEWADDR {
			r.addresses = append(r.addresses, a)
		}
	})
}

// link reads one link, of the conn's namespace when nsid is negative.
func (c *conn) link(nsid, index int) (linkState, error) {
	info := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(info[4:], uint32(index))
	r := newRequest(unix.RTM_GETLINK, 0, info)
	if nsid >= 0 {
		r.attribute(unix.IFLA_TARGET_NETNSID, nsid)
	}
	var state linkState
	var ok bool
	err := c.do(r, func(m message) { state, ok = decodeLink(m.data) })
	if err == nil && !ok {
		err = unix.ENODEV
	}
	if err == nil && nsid >= 0 {
		c.localize(nsid, &state)
	}
	return state, err
}

// localize corrects what was read of a link from outside its namespace: there the kernel
// says what the peer's namespace is called here, not what the link's own calls it.
func (c *conn) localize(nsid int, states ...*linkState) {
	var ids map[int]int
	for _, s := range states {
		if s.peerNS < 0 {
			continue
		}
		if ids == nil {
			ids, _ = c.idsIn(nsid)
		}
		s.peerHere, s.peerNS = s.peerNS, -1
		for there, here := range ids {
			if here == s.peerHere {
				s.peerNS = there
			}
		}
	}
}

func pointers(states []linkState) []*linkState {
	all := make([]*linkState, len(states))
	for i := range states {
		all[i] = &states[i]
	}
	return all
}

// takeNeighbour takes what a dump of neighbours says. A dump that was interrupted and done
// again may say an entry twice, which does no harm.
func (r *reading) takeNeighbour(m message) {
	if n, ok := decodeNeighbour(m.data); ok && m.kind == unix.RTM_NEWNEIGH {
		r.neighbours = append(r.neighbours, n)
	}
}

// readRoutes reads the routing tables of the conn's namespace.
func readRoutes(c *conn, limit int) (map[int]graph.Value, error) {
	all := make(tables)
	start := func() { clear(all) }
	err := c.dump(unix.RTM_GETROUTE, make([]byte, unix.SizeofRtMsg), start, func(m message) {
		if route, ok := decodeRoute(m.data); ok && m.kind == unix.RTM_NEWROUTE {
			all.add(route)
		}
	})
	if err != nil {
		return nil, err
	}
	return all.values(limit), nil
}

// readDevices asks the drivers of links in the namespace that the calling thread is in.
func (v *visitor) readDevices(links []linkState) (map[int]device, error) {
	tool, err := openEthtool(v.features)
	if err != nil {
		return nil, err
	}
	defer tool.close()
	devices := make(map[int]device, len(links))
	for _, l := range links {
		devices[l.index] = tool.device(l.name)
	}
	v.features = tool.features
	return devices, nil
}

// stats are the counters of a namespace's links, by index, and those links that are not as
// they were.
type stats struct {
	all     map[int]measurement
	changed []linkState
}

// readStats reads the counters of a namespace without entering it; known are the hashes of
// the last time.
func readStats(c *conn, nsid int, known map[int]uint64, seed maphash.Seed) (stats, error) {
	s := stats{all: make(map[int]measurement, len(known))}
	info := make([]byte, unix.SizeofIfInfomsg)
	start := func() {
		clear(s.all)
		s.changed = nil
	}
	err := c.dumpIn(nsid, unix.IFLA_TARGET_NETNSID, unix.RTM_GETLINK, info, start, func(m message) {
		index, measured, ok := decodeStats(m.data, seed)
		if !ok || m.kind != unix.RTM_NEWLINK {
			return
		}
		s.all[index] = measured
		if hash, ok := known[index]; !ok || hash != measured.hash {
			if state, ok := decodeLink(m.data); ok {
				s.changed = append(s.changed, state)
			}
		}
	})
	if nsid >= 0 {
		c.localize(nsid, pointers(s.changed)...)
	}
	return s, err
}

// nsidOf returns the id that a namespace, given by a descriptor, has in the conn's.
func (c *conn) nsidOf(fd int) (int, error) {
	id := -1
	r := newRequest(unix.RTM_GETNSID, 0, make([]byte, align(unix.SizeofRtGenmsg))).attribute(unix.NETNSA_FD, fd)
	err := c.do(r, func(m message) {
		for kind, value := range attributes(m.data[min(align(unix.SizeofRtGenmsg), len(m.data)):]) {
			if kind == unix.NETNSA_NSID {
				id = int(int32(u32(value)))
			}
		}
	})
	return id, err
}

// giveID gives a namespace the id want in the conn's, or another one if that is taken. It
// returns the id that the namespace has afterwards: the kernel does not change an id once
// it is given.
func (c *conn) giveID(fd, want int) (int, error) {
	if id, err := c.nsidOf(fd); err != nil || id >= 0 {
		return id, err
	}
	give := func(want int) error {
		r := newRequest(unix.RTM_NEWNSID, unix.NLM_F_ACK, make([]byte, align(unix.SizeofRtGenmsg))).
			attribute(unix.NETNSA_NSID, want).attribute(unix.NETNSA_FD, fd)
		return c.do(r, func(message) {})
	}
	const anyID = -1
	if give(want) == nil {
		return want, nil
	}
	err := give(anyID)
	if id, asked := c.nsidOf(fd); asked != nil || id >= 0 {
		return id, asked // perhaps somebody else was faster
	}
	return -1, err
}

// idsIn returns, of the namespace with the given id, the ids that it has for others, with
// what those are called in the conn's namespace. Those that have no id here are left out.
func (c *conn) idsIn(nsid int) (map[int]int, error) {
	ids := make(map[int]int)
	r := newRequest(unix.RTM_GETNSID, unix.NLM_F_DUMP, make([]byte, align(unix.SizeofRtGenmsg))).
		attribute(unix.NETNSA_TARGET_NSID, nsid)
	err := c.do(r, func(m message) {
		there, here := -1, -1
		for kind, value := range attributes(m.data[min(align(unix.SizeofRtGenmsg), len(m.data)):]) {
			switch kind {
			case unix.NETNSA_NSID:
				there = int(int32(u32(value)))
			case unix.NETNSA_CURRENT_NSID:
				here = int(int32(u32(value)))
			}
		}
		if there >= 0 && here >= 0 {
			ids[there] = here
		}
	})
	return ids, err
}

// freedID takes a namespace's id out of RTM_DELNSID.
func freedID(b []byte) (int, bool) {
	if len(b) < align(unix.SizeofRtGenmsg) {
		return 0, false
	}
	for kind, value := range attributes(b[align(unix.SizeofRtGenmsg):]) {
		if kind == unix.NETNSA_NSID {
			return int(int32(u32(value))), true
		}
	}
	return 0, false
}
