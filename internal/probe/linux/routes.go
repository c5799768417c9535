package linux

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
)

// loopback is the index of a namespace's loopback link, which bears the routes that lead
// nowhere.
const loopback = 1

// tables collects the routes of one dump by link.
type tables map[int][]route

func (t tables) add(r route) {
	for i, h := range r.hops {
		index := h.index
		if index == 0 {
			index = loopback
		}
		if slices.ContainsFunc(r.hops[:i], func(other hop) bool { return other.index == h.index }) {
			continue // a second path over the same link
		}
		t[index] = append(t[index], r)
	}
}

// values makes the RoutingTables of each link, at most limit routes of each table.
func (t tables) values(limit int) map[int]graph.Value {
	values := make(map[int]graph.Value, len(t))
	for index, routes := range t {
		slices.SortStableFunc(routes, compareRoutes)
		var list []graph.Value
		for len(routes) > 0 {
			n := slices.IndexFunc(routes, func(r route) bool { return r.table != routes[0].table })
			if n < 0 {
				n = len(routes)
			}
			list = append(list, tableValue(routes[:n], limit))
			routes = routes[n:]
		}
		values[index] = graph.List(list...)
	}
	return values
}

func compareRoutes(a, b route) int {
	return cmp.Or(
		cmp.Compare(a.table, b.table),
		a.prefix.Addr().Compare(b.prefix.Addr()),
		cmp.Compare(a.prefix.Bits(), b.prefix.Bits()),
		cmp.Compare(a.protocol, b.protocol),
		cmp.Compare(a.kind, b.kind),
		cmp.Compare(a.priority, b.priority),
		slices.CompareFunc(a.hops, b.hops, compareHops),
	)
}

func compareHops(a, b hop) int {
	return cmp.Or(a.ip.Compare(b.ip), cmp.Compare(a.index, b.index))
}

// tableValue shows the sorted routes of one table. Routes that differ in their next hops
// only are one, as in Skydive.
func tableValue(routes []route, limit int) graph.Value {
	fields := []graph.Field{graph.F("ID", graph.Int(int64(routes[0].table)))}
	if source := slices.IndexFunc(routes, func(r route) bool { return r.source.IsValid() }); source >= 0 {
		fields = append(fields, graph.F("Src", graph.String(routes[source].source.String())))
	}
	var shown []graph.Value
	count := 0
	for len(routes) > 0 {
		first := routes[0]
		n := slices.IndexFunc(routes, func(r route) bool {
			return r.prefix != first.prefix || r.protocol != first.protocol || r.kind != first.kind
		})
		if n < 0 {
			n = len(routes)
		}
		if count++; count <= limit {
			shown = append(shown, routeValue(routes[:n]))
		}
		routes = routes[n:]
	}
	fields = append(fields, graph.F("Routes", graph.List(shown...)))
	if count > limit {
		fields = append(fields, graph.F("Count", graph.Int(int64(count))))
	}
	return graph.Object(graph.NewMetadata(fields...))
}

func routeValue(routes []route) graph.Value {
	first := routes[0]
	var hops []graph.Value
	for _, r := range routes {
		for _, h := range r.hops {
			fields := make([]graph.Field, 0, 3)
			fields = append(fields, graph.F("Priority", graph.Int(int64(r.priority))), graph.F("IfIndex", graph.Int(int64(h.index))))
			if h.ip.IsValid() {
				fields = append(fields, graph.F("IP", graph.String(h.ip.String())))
			}
			hops = append(hops, graph.Object(graph.NewMetadata(fields...)))
		}
	}
	fields := make([]graph.Field, 0, 4)
	fields = append(fields,
		graph.F("Protocol", graph.Int(int64(first.protocol))),
		graph.F("Prefix", graph.String(first.prefix.String())),
		graph.F("NextHops", graph.List(hops...)),
	)
	if name := routeKind(first.kind); name != "" {
		fields = append(fields, graph.F("Type", graph.String(name)))
	}
	return graph.Object(graph.NewMetadata(fields...))
}

// routeKind is ip(8)'s word for what a route does; unicast is not said.
func routeKind(kind uint8) string {
	switch kind {
	case unix.RTN_LOCAL:
		return "local"
	case unix.RTN_BROADCAST:
		return "broadcast"
	case unix.RTN_ANYCAST:
		return "anycast"
	case unix.RTN_MULTICAST:
		return "multicast"
	case unix.RTN_BLACKHOLE:
		return "blackhole"
	case unix.RTN_UNREACHABLE:
		return "unreachable"
	case unix.RTN_PROHIBIT:
		return "prohibit"
	case unix.RTN_THROW:
		return "throw"
	}
	return ""
}
