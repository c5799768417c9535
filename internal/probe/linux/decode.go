package linux

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// An address is one address of a link.
type address struct {
	index     int
	prefix    netip.Prefix // not masked
	secondary bool
}

// decodeAddress reads RTM_NEWADDR and RTM_DELADDR: struct ifaddrmsg and its attributes
// (rtnetlink(7)).
func decodeAddress(b []byte) (address, bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return address{}, false
	}
	a := address{
		index:     int(u32(b[4:])),
		secondary: b[2]&unix.IFA_F_SECONDARY != 0 && b[0] == unix.AF_INET,
	}
	bits := int(b[1])
	var local, other netip.Addr
	for kind, value := range attributes(b[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case unix.IFA_ADDRESS:
			other, _ = netip.AddrFromSlice(value)
		}
	}
	if !local.IsValid() {
		local = other
	}
	if !local.IsValid() || bits > local.BitLen() {
		return address{}, false
	}
	a.prefix = netip.PrefixFrom(local, bits)
	return a, true
}

// A neighbourKey is what makes an entry of a neighbour table or of a forwarding database
// unique within its link. In a neighbour table only ip is set.
type neighbourKey struct {
	ip   netip.Addr
	mac  string // raw bytes
	vlan uint16
	vni  uint32
}

// A neighbour is such an entry.
type neighbour struct {
	index  int
	master int // FDB: the bridge
	key    neighbourKey
	mac    string // raw bytes
	state  uint16
	flags  uint8
	bridge bool // an entry of a forwarding database
}

// decodeNeighbour reads RTM_NEWNEIGH and RTM_DELNEIGH: struct ndmsg and its attributes
// (rtnetlink(7)).
func decodeNeighbour(b []byte) (neighbour, bool) {
	if len(b) < unix.SizeofNdMsg {
		return neighbour{}, false
	}
	n := neighbour{
		index: int(int32(u32(b[4:]))), state: binary.NativeEndian.Uint16(b[8:]), flags: b[10],
		bridge: b[0] == unix.AF_BRIDGE,
	}
	for kind, value := range attributes(b[unix.SizeofNdMsg:]) {
		switch kind {
		case unix.NDA_DST:
			n.key.ip, _ = netip.AddrFromSlice(value)
		case unix.NDA_LLADDR:
			n.mac = string(value)
		case unix.NDA_VLAN:
			if len(value) >= 2 {
				n.key.vlan = binary.NativeEndian.Uint16(value)
			}
		case unix.NDA_VNI, unix.NDA_SRC_VNI:
			n.key.vni = u32(value)
		case unix.NDA_MASTER:
			n.master = int(u32(value))
		}
	}
	switch {
	case n.bridge:
		n.key.mac = n.mac
		return n, n.mac != ""
	case b[0] == unix.AF_INET || b[0] == unix.AF_INET6:
		return n, n.key.ip.IsValid()
	}
	return neighbour{}, false
}

// kept reports whether the entry is shown.
func (n neighbour) kept() bool {
	return n.bridge || n.state&^unix.NUD_NOARP != 0
}

// class is the part of the state whose change is a change: resolved, being resolved or
// not resolvable, and the kinds that stay.
func (n neighbour) class() uint16 {
	const resolved = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE
	const unresolved = unix.NUD_INCOMPLETE | unix.NUD_FAILED
	state := n.state
	if state&resolved != 0 {
		state = state&^resolved | unix.NUD_REACHABLE
	}
	if state&unresolved != 0 {
		state = state&^unresolved | unix.NUD_INCOMPLETE
	}
	return state
}

// same reports whether a differs from b by nothing but a state of the same class.
func (n neighbour) same(b neighbour) bool {
	n.state, b.state = n.class(), b.class()
	return n == b
}

// A hop is one next hop of a route.
type hop struct {
	ip    netip.Addr
	index int
}

// A route is one entry of a routing table.
type route struct {
	table    uint32
	prefix   netip.Prefix
	priority uint32
	protocol uint8
	kind     uint8
	source   netip.Addr
	hops     []hop
}

// decodeRoute reads RTM_NEWROUTE: struct rtmsg and its attributes (rtnetlink(7)). Cached
// routes and families other than IPv4 and IPv6 are not taken.
func decodeRoute(b []byte) (route, bool) {
	if len(b) < unix.SizeofRtMsg || u32(b[8:])&unix.RTM_F_CLONED != 0 {
		return route{}, false
	}
	r := route{table: uint32(b[4]), protocol: b[5], kind: b[7]}
	bits := int(b[1])
	var any netip.Addr
	switch b[0] {
	case unix.AF_INET:
		any = netip.IPv4Unspecified()
	case unix.AF_INET6:
		any = netip.IPv6Unspecified()
	default:
		return route{}, false
	}
	target := any
	var gateway netip.Addr
	var index int
	for kind, value := range attributes(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_DST:
			if a, ok := netip.AddrFromSlice(value); ok {
				target = a
			}
		case unix.RTA_GATEWAY:
			gateway, _ = netip.AddrFromSlice(value)
		case unix.RTA_VIA:
			gateway = via(value)
		case unix.RTA_OIF:
			index = int(u32(value))
		case unix.RTA_PRIORITY:
			r.priority = u32(value)
		case unix.RTA_PREFSRC:
			r.source, _ = netip.AddrFromSlice(value)
		case unix.RTA_TABLE:
			r.table = u32(value)
		case unix.RTA_MULTIPATH:
			r.hops = nextHops(value)
		}
	}
	if bits > target.BitLen() {
		return route{}, false
	}
	r.prefix = netip.PrefixFrom(target, bits)
	if len(r.hops) == 0 {
		r.hops = []hop{{ip: gateway, index: index}}
	}
	return r, true
}

// nextHops reads a list of struct rtnexthop with attributes.
func nextHops(b []byte) []hop {
	var hops []hop
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			return hops
		}
		h := hop{index: int(u32(b[4:]))}
		for kind, value := range attributes(b[unix.SizeofRtNexthop:size]) {
			switch kind {
			case unix.RTA_GATEWAY:
				h.ip, _ = netip.AddrFromSlice(value)
			case unix.RTA_VIA:
				h.ip = via(value)
			}
		}
		hops = append(hops, h)
		b = b[min(align(size), len(b)):]
	}
	return hops
}

// via reads struct rtvia: a next hop of another family than the route's.
func via(b []byte) netip.Addr {
	if len(b) < 2 {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(b[2:])
	return a
}

func macString(raw string) string {
	if raw == "" {
		return ""
	}
	return net.HardwareAddr(raw).String()
}
