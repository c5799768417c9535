package gremlin

import (
	"net/netip"
	"slices"

	"github.com/weft-net/weft/graph"
)

// runSockets gives the sockets of nodes, or those at both ends of flows.
func runSockets(x *exec, _ int, _ *planStep, in stream) stream {
	out := stream{kind: kindSockets, scope: in.scope, table: newTable()}
	if in.kind == kindFlows {
		flowSockets(x, in, out.table)
		return out
	}
	for n := range in.nodes {
		v, ok := n.Field("Sockets")
		if _, again := out.table.rows[n.ID()]; !ok || again || !x.tick() {
			continue
		}
		out.table.add(n.ID())
		for socket := range items(v) {
			if x.tableRows++; !x.mayHold(x.tableRows) {
				return out
			}
			out.table.add(n.ID(), socket)
		}
	}
	return out
}

func flowSockets(x *exec, in stream, t *table) {
	var index *socketIndex
	for f := range in.flows {
		if index == nil { // only when there is a flow
			index = indexSockets(x, in.scope)
		}
		if x.err != nil {
			return
		}
		read := func(key string) graph.Value { v, _ := f.Field(key); return v }
		a, b := addrPort(read("Network.A"), read("Transport.A")), addrPort(read("Network.B"), read("Transport.B"))
		if !a.IsValid() || !b.IsValid() {
			continue
		}
		end := flowEnd{f: f, protocol: read("Transport.Protocol").String(), local: a, remote: b}
		rows := index.at(nil, end)
		end.local, end.remote = b, a
		rows = index.at(rows, end)
		x.tableRows += len(rows)
		if !x.mayHold(x.tableRows) {
			return
		}
		if len(rows) > 0 {
			t.add(f.UUID(), rows...)
		}
	}
}

// socketPlace is a network namespace; 0 is the host's own.
type socketPlace struct {
	host  string
	netns int64
}

// placedSocket is a socket and where it is.
type placedSocket struct {
	graph.Metadata
	place socketPlace
}

// socketKey is what a flow and a socket have in common. A socket without another end has no remote.
type socketKey struct {
	protocol      string
	local, remote netip.AddrPort
}

// socketIndex finds the sockets at the ends of flows.
type socketIndex struct {
	scope     *scope
	sockets   map[socketKey][]placedSocket
	addresses map[netip.Addr][]socketPlace // of interfaces
}

// flowEnd is one end of a flow.
type flowEnd struct {
	f             Flow
	protocol      string
	local, remote netip.AddrPort
}

func indexSockets(x *exec, g *scope) *socketIndex {
	s := &socketIndex{scope: g, sockets: map[socketKey][]placedSocket{}, addresses: map[netip.Addr][]socketPlace{}}
	held := 0
	for n := range g.Nodes() {
		if !x.tick() {
			return s
		}
		for _, key := range []string{"IPV4", "IPV6"} {
			v, _ := n.Field(key)
			if v.Kind() != graph.KindList {
				continue
			}
			place := s.placeOf(n)
			for one := range v.All() {
				ip, ok := parseAddress(one)
				if held++; !x.mayHold(held) {
					return s
				}
				if ok && !slices.Contains(s.addresses[ip], place) {
					s.addresses[ip] = append(s.addresses[ip], place)
				}
			}
		}
		v, ok := n.Field("Sockets")
		if !ok {
			continue
		}
		for socket := range items(v) {
			if held++; !x.mayHold(held) {
				return s
			}
			s.add(n.Host(), socket)
		}
	}
	return s
}

func (s *socketIndex) add(host string, socket graph.Metadata) {
	get := func(key string) graph.Value { v, _ := socket.Get(key); return v }
	key := socketKey{
		text(socket, "Protocol"),
		addrPort(get("LocalAddress"), get("LocalPort")), addrPort(get("RemoteAddress"), get("RemotePort")),
	}
	if !key.local.IsValid() {
		return
	}
	if key.remote.Port() == 0 {
		if state := text(socket, "State"); key.protocol == "TCP" && state != "LISTEN" {
			return // it was made, and speaks to nobody
		}
		key.remote = netip.AddrPort{}
	}
	placed := placedSocket{socket, socketPlace{host: host}}
	if v := get("NetNS"); v.Kind() == graph.KindInt {
		placed.place.netns = v.Int()
	}
	s.sockets[key] = append(s.sockets[key], placed)
}

// at appends the sockets at an end of a flow: those of this very connection, or else the ones that take what comes to
// the end from anywhere: bound to its address, or to every address of a namespace that has it.
func (s *socketIndex) at(rows []graph.Metadata, end flowEnd) []graph.Metadata {
	ip := end.local.Addr()
	ways := []socketKey{
		{end.protocol, end.local, end.remote},
		{end.protocol, end.local, netip.AddrPort{}},
		{end.protocol, netip.AddrPortFrom(netip.IPv4Unspecified(), end.local.Port()), netip.AddrPort{}},
		{end.protocol, netip.AddrPortFrom(netip.IPv6Unspecified(), end.local.Port()), netip.AddrPort{}},
	}
	if !ip.Is4() {
		ways = slices.Delete(ways, 2, 3)
	}
	for _, way := range ways {
		before := len(rows)
		for _, socket := range s.sockets[way] {
			if s.holds(socket, way.local.Addr(), end) {
				rows = append(rows, socket.Metadata)
			}
		}
		if len(rows) > before {
			return rows
		}
	}
	return rows
}

// holds tells whether a socket bound to an address can be the one at the end of the flow. Loopback is another network
// in each namespace: there the flow must have been captured.
func (s *socketIndex) holds(socket placedSocket, bound netip.Addr, end flowEnd) bool {
	ip := end.local.Addr()
	if ip.IsLoopback() {
		captured, known := s.capturedIn(end.f)
		return known && captured == socket.place || !known && !bound.IsUnspecified()
	}
	return !bound.IsUnspecified() || slices.Contains(s.addresses[ip], socket.place)
}

// capturedIn is the namespace in which a flow was captured.
func (s *socketIndex) capturedIn(f Flow) (socketPlace, bool) {
	tid, ok := f.Field("NodeTID")
	if !ok || tid.Kind() != graph.KindString || tid.Str() == "" {
		return socketPlace{}, false
	}
	nodes, _, indexed := s.scope.Lookup("TID", tid)
	if !indexed {
		nodes = s.scope.Nodes()
	}
	for n := range nodes {
		if v, _ := n.Field("TID"); v.Equal(tid) {
			return s.placeOf(n), true
		}
	}
	return socketPlace{}, false
}

// placeOf is the namespace of an interface: the one that owns it, or the host's own.
func (s *socketIndex) placeOf(n graph.Node) socketPlace {
	place := socketPlace{host: n.Host()}
	for e, parent := range s.scope.In(n) {
		relation, _ := e.Field("RelationType")
		typ, _ := parent.Field("Type")
		inode, _ := parent.Field("Inode")
		if relation.Equal(graph.String("ownership")) && typ.Equal(graph.String("netns")) && inode.Kind() == graph.KindInt {
			place.netns = inode.Int()
		}
	}
	return place
}

// parseAddress reads an address with or without the length of its prefix.
func parseAddress(v graph.Value) (netip.Addr, bool) {
	if v.Kind() != graph.KindString {
		return netip.Addr{}, false
	}
	if prefix, err := netip.ParsePrefix(v.Str()); err == nil {
		return prefix.Addr().Unmap(), true
	}
	ip, err := netip.ParseAddr(v.Str())
	return ip.Unmap(), err == nil
}

func addrPort(address, port graph.Value) netip.AddrPort {
	if address.Kind() != graph.KindString || port.Kind() != graph.KindInt {
		return netip.AddrPort{}
	}
	ip, err := netip.ParseAddr(address.Str())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port.Int()))
}
