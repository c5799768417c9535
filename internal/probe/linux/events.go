package linux

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
)

// eventGroups are the multicast groups that the probe listens to.
func eventGroups() []int {
	return []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_NSID,
	}
}

// A datagram is what one read of the events socket returned.
type datagram struct {
	nsid int
	data []byte
}

// The reader hands over at most so much at once.
const (
	batchDatagrams = 256
	batchBytes     = 256 << 10
)

// readEvents hands events to the loop until the socket is closed.
//
// Once the kernel has dropped a message, it drops all until what it holds has been read:
// only then is it time to read everything again.
func (l *loop) readEvents(e *events) {
	buf := make([]byte, batchBytes)
	var lost bool
	for l.ctx.Err() == nil {
		var batch []datagram
		n, nsid, err := e.tryReceive(buf)
		if errors.Is(err, unix.EAGAIN) {
			if lost {
				l.post(l.overrun)
				lost = false
			}
			n, nsid, err = e.receive(buf)
		}
		for size := 0; err == nil; {
			batch = append(batch, datagram{nsid, slices.Clone(buf[:n])})
			if size += n; len(batch) == batchDatagrams || size >= batchBytes {
				break
			}
			n, nsid, err = e.tryReceive(buf)
		}
		if len(batch) > 0 {
			l.post(func() { l.take(batch) })
		}
		switch {
		case err == nil, errors.Is(err, unix.EAGAIN):
		case errors.Is(err, unix.ENOBUFS):
			lost = true
		default:
			return // closed
		}
	}
}

// overrun reads everything again: the kernel does not say whose events were lost.
func (l *loop) overrun() {
	l.count.overruns.Inc()
	for _, s := range l.spaces {
		l.count.resyncs.Inc()
		l.read(s)
	}
}

func (l *loop) take(batch []datagram) {
	for _, d := range batch {
		s := l.own
		if d.nsid >= 0 {
			s = l.byID[d.nsid]
		}
		for m := range messages(d.data) {
			l.count.events.Inc()
			switch {
			case m.kind == unix.RTM_NEWNSID:
			case m.kind == unix.RTM_DELNSID:
				if s == l.own {
					l.idFreed(m.data)
				}
			case s == nil || s.gone:
				l.count.strangers.Inc()
			default:
				l.event(s, m)
			}
		}
	}
}

// idFreed handles the end of a namespace. Ids are freed before that is said, so that one
// may be in use again: a namespace that can still be reached has not gone.
func (l *loop) idFreed(b []byte) {
	id, ok := freedID(b)
	s := l.byID[id]
	if !ok || s == nil || s.own {
		return
	}
	if path, ok := s.path(); ok {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil && st.Ino == s.inode {
			return
		}
	}
	l.removeSpace(s)
}

// event takes one message about a space.
func (l *loop) event(s *space, m message) {
	if s.reading {
		if len(s.waiting) >= maxWaiting {
			s.waiting, s.again = nil, true
		}
		s.waiting = append(s.waiting, m)
		return
	}
	switch m.kind {
	case unix.RTM_NEWLINK:
		if state, ok := decodeLink(m.data); ok {
			l.serial++
			l.putLink(s, state).seen = l.serial
		}
	case unix.RTM_DELLINK:
		if index, ok := decodeLinkIndex(m.data); ok {
			if k := s.links[index]; k != nil {
				l.removeLink(k)
			}
			l.wantRoutes(s)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if a, ok := decodeAddress(m.data); ok {
			l.addressEvent(s, a, m.kind == unix.RTM_NEWADDR)
		}
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if n, ok := decodeNeighbour(m.data); ok {
			l.neighbourEvent(s, n, m.kind == unix.RTM_NEWNEIGH)
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE, unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		l.wantRoutes(s)
	}
}

// putLink takes what the kernel says of a link.
func (l *loop) putLink(s *space, state linkState) *link {
	if _, known := s.ids[state.peerNS]; !known {
		s.asked = false // it may have got that id since it was asked
	}
	k := s.links[state.index]
	if k == nil {
		k = l.newLink(s, state)
		s.links[state.index] = k
		l.count.links.Inc()
		l.wantDevice(k, 0)
		l.joinTunnels(k)
		l.touchLink(k)
		l.touchEdges(k)
		return k
	}
	before := k.linkState
	l.leaveTunnels(k)
	k.linkState = state
	l.joinTunnels(k)
	if before.name != state.name {
		l.touchRefs(k.ref()) // they may show the name
		l.wantDevice(k, 0)
	}
	if before.flags != state.flags || before.state != state.state {
		l.wantRoutes(s) // routes come and go with the link, not all of them are said
		l.wantDevice(k, 0)
	} else if before.same(&state) {
		l.wantDevice(k, devicePause) // something else changed: what the driver knows
	}
	if before.master != state.master || before.parent != state.parent || before.peerNS != state.peerNS || before.peerHere != state.peerHere {
		l.touchEdges(k)
		l.touchRefs(k.ref())
	}
	l.touchLink(k)
	return k
}

func (l *loop) removeLink(k *link) {
	if k.gone {
		return
	}
	k.gone = true
	delete(k.space.links, k.index)
	delete(l.dirty, k)
	delete(l.dirtyEdges, k)
	delete(l.later, k)
	delete(l.lost, k)
	l.leaveTunnels(k)
	l.setRefs(k, nil)
	if k.shown {
		l.removed = append(l.removed, k.id)
	}
	l.touchRefs(k.ref())
	l.count.links.Dec()
	l.touch()
}

func (l *loop) addressEvent(s *space, a address, added bool) {
	k := s.links[a.index]
	if k == nil {
		return
	}
	if added {
		l.putAddress(k, a)
	} else {
		k.addresses = slices.DeleteFunc(k.addresses, func(b address) bool { return b.prefix == a.prefix })
	}
	l.wantRoutes(s)
	l.touchLink(k)
	l.touchTunnelsOver(s)
}

// putAddress adds an address where it belongs: primary ones first, each in order, so that
// the list does not depend on the order of events.
func (l *loop) putAddress(k *link, a address) {
	k.addresses = slices.DeleteFunc(k.addresses, func(b address) bool { return b.prefix == a.prefix })
	at, _ := slices.BinarySearchFunc(k.addresses, a, compareAddresses)
	k.addresses = slices.Insert(k.addresses, at, a)
}

func compareAddresses(a, b address) int {
	if a.secondary != b.secondary {
		if b.secondary {
			return -1
		}
		return 1
	}
	if c := a.prefix.Addr().Compare(b.prefix.Addr()); c != 0 {
		return c
	}
	return a.prefix.Bits() - b.prefix.Bits()
}

func (l *loop) neighbourEvent(s *space, n neighbour, added bool) {
	k := s.links[n.index]
	if k == nil {
		return
	}
	if added {
		switch k.putNeighbour(n) {
		case nothing:
			return
		case stateOnly:
			k.stateOld = true
			return
		}
	} else if !k.dropNeighbour(n) {
		return
	}
	k.listsOld = true
	l.touchLink(k)
	if k.vxlan != nil && n.bridge {
		l.touchTunnel(k.vxlan.vni)
	}
}

// What putNeighbour found changed.
const (
	nothing = iota
	stateOnly
	more
)

func (k *link) putNeighbour(n neighbour) int {
	if !n.kept() {
		if k.dropNeighbour(n) {
			return more
		}
		return nothing
	}
	entries := &k.neighbours
	if n.bridge {
		entries = &k.fdb
	}
	before, known := (*entries)[n.key]
	if known && before == n {
		return nothing
	}
	if *entries == nil {
		*entries = make(map[neighbourKey]neighbour)
	}
	(*entries)[n.key] = n
	if known && before.same(n) {
		return stateOnly
	}
	return more
}

func (k *link) dropNeighbour(n neighbour) bool {
	entries := k.neighbours
	if n.bridge {
		entries = k.fdb
	}
	_, known := entries[n.key]
	delete(entries, n.key)
	return known
}

// wantRoutes has the routing tables of a space read soon.
func (l *loop) wantRoutes(s *space) {
	if s.reading {
		return // they are read with the rest
	}
	if s.routesDue {
		s.routesAgain = true
		return
	}
	s.routesDue = true
	l.after(max(settle, time.Until(s.routesRest)), func() { l.readRoutes(s) })
}

func (l *loop) readRoutes(s *space) {
	path, enterable := s.path()
	if s.gone || !enterable {
		s.routesDue = false
		return
	}
	s.routesAgain = false
	limit, inode := l.limits.RouteLimit, s.inode
	l.visitors.do(func(v *visitor) {
		start := time.Now()
		var routes map[int]graph.Value
		err := v.enter(path, inode, func() error {
			c, err := dial(v.buf)
			if err != nil {
				return err
			}
			defer c.close()
			routes, err = readRoutes(c, limit)
			return err
		})
		took := time.Since(start)
		l.post(func() { l.finishRoutes(s, routes, err, took) })
	})
}

func (l *loop) finishRoutes(s *space, routes map[int]graph.Value, err error, took time.Duration) {
	s.routesDue = false
	s.routesRest = time.Now().Add(9 * took) // a tenth of the time at most
	if s.gone {
		return
	}
	if err != nil {
		l.count.failures.Inc()
		return // the namespace is going, or the next reading says it
	}
	for index, k := range s.links {
		if value := routes[index]; !value.Equal(k.routes) {
			k.routes, k.listsOld = value, true
			l.touchLink(k)
		}
	}
	if s.routesAgain {
		l.wantRoutes(s)
	}
}

// wantDevice has the driver of a link asked after a pause.
func (l *loop) wantDevice(k *link, pause time.Duration) {
	s := k.space
	if s.reading {
		return // it is asked with the rest
	}
	s.wanted[k.index] = k.name
	at := time.Now().Add(pause)
	if s.asking || (!s.askAt.IsZero() && !at.Before(s.askAt)) {
		return
	}
	s.askAt = at
	l.after(pause, func() { l.askDevices(s) })
}

func (l *loop) askDevices(s *space) {
	wanted := s.wanted
	path, enterable := s.path()
	if s.gone || s.asking || len(wanted) == 0 {
		return
	}
	s.asking, s.askAt = true, time.Time{}
	s.wanted = make(map[int]string)
	inode := s.inode
	l.visitors.do(func(v *visitor) {
		links := make([]linkState, 0, len(wanted))
		for index, name := range wanted {
			links = append(links, linkState{index: index, name: name})
		}
		var devices map[int]device
		if enterable {
			_ = v.enter(path, inode, func() (err error) {
				devices, err = v.readDevices(links)
				return err
			}) // a link that is gone has no driver
		}
		l.post(func() { l.finishDevices(s, wanted, devices) })
	})
}

func (l *loop) finishDevices(s *space, wanted map[int]string, devices map[int]device) {
	s.asking = false
	if s.gone {
		return
	}
	for index := range wanted {
		k := s.links[index]
		if k == nil {
			continue
		}
		if d, ok := devices[index]; ok {
			k.device = d
		}
		k.asked = true
		l.touchLink(k)
	}
	for index := range s.wanted {
		if k := s.links[index]; k != nil {
			l.wantDevice(k, pauseFor(k))
		}
	}
}

// pauseFor lets a link that is not shown yet go first.
func pauseFor(k *link) time.Duration {
	if k.asked {
		return devicePause
	}
	return 0
}
