package gremlin

import (
	"net/netip"

	"github.com/weft-net/weft/graph"
)

// runNextHop looks an address up in the routing tables of each node: the longest prefix wins, then the lowest
// priority. The MAC is that of the next hop, or of the address itself when it is on the link, if the node knows it.
func runNextHop(x *exec, _ int, s *planStep, in stream) stream {
	out := stream{kind: kindHops, scope: in.scope, table: newTable()}
	out.table.one = true
	address := netip.MustParseAddr(s.text).Unmap()
	for n := range in.nodes {
		if !x.tick() {
			break
		}
		if _, again := out.table.rows[n.ID()]; again {
			continue
		}
		if hop, ok := nextHop(n, address); ok {
			if !x.mayHold(len(out.table.ids) + 1) {
				break
			}
			out.table.add(n.ID(), hop)
		}
	}
	return out
}

// route is the best entry found so far.
type route struct {
	bits     int
	priority int64
	ip       string
	ifIndex  int64
}

func nextHop(n graph.Node, address netip.Addr) (graph.Metadata, bool) {
	tables, ok := n.Field("RoutingTables")
	if !ok {
		return graph.Metadata{}, false
	}
	best := route{bits: -1}
	for t := range items(tables) {
		routes, _ := t.Get("Routes")
		for r := range items(routes) {
			bits, ok := prefixBits(text(r, "Prefix"), address)
			if !ok || bits < best.bits {
				continue
			}
			hops, _ := r.Get("NextHops")
			for hop := range items(hops) {
				found := route{bits, number(hop, "Priority"), text(hop, "IP"), number(hop, "IfIndex")}
				if best.bits < bits || found.priority < best.priority {
					best = found
				}
			}
		}
	}
	if best.bits < 0 {
		return graph.Metadata{}, false
	}
	via := address
	if hop, err := netip.ParseAddr(best.ip); err == nil {
		via = hop.Unmap()
	}
	return graph.NewMetadata(
		graph.F("Priority", graph.Int(best.priority)),
		graph.F("IP", graph.String(best.ip)),
		graph.F("MAC", graph.String(neighborMAC(n, via))),
		graph.F("IfIndex", graph.Int(best.ifIndex)),
	), true
}

// prefixBits tells whether a route covers an address, and how closely. A default route is written as an empty prefix,
// "default", or a network of length 0 of either family.
func prefixBits(prefix string, address netip.Addr) (int, bool) {
	if prefix == "" || prefix == "default" {
		return 0, true
	}
	network, ok := parseNetwork(prefix)
	if !ok {
		return 0, false
	}
	return network.Bits(), network.Contains(address.WithZone(""))
}

func neighborMAC(n graph.Node, address netip.Addr) string {
	neighbors, _ := n.Field("Neighbors")
	for neighbor := range items(neighbors) {
		if ip, err := netip.ParseAddr(text(neighbor, "IP")); err == nil && ip.Unmap() == address {
			return text(neighbor, "MAC")
		}
	}
	return ""
}

// items gives the objects of a list, or the value itself when it is one object.
func items(v graph.Value) func(yield func(graph.Metadata) bool) {
	return func(yield func(graph.Metadata) bool) {
		switch v.Kind() {
		case graph.KindObject:
			yield(v.Object())
		case graph.KindList:
			for e := range v.All() {
				if e.Kind() == graph.KindObject && !yield(e.Object()) {
					return
				}
			}
		}
	}
}

func text(m graph.Metadata, key string) string {
	if v, ok := m.Get(key); ok && v.Kind() == graph.KindString {
		return v.Str()
	}
	return ""
}

func number(m graph.Metadata, key string) int64 {
	if v, ok := m.Get(key); ok && v.Kind() == graph.KindInt {
		return v.Int()
	}
	return 0
}
