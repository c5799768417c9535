package linux

import (
	"cmp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
)

// neighbourValues shows entries of a neighbour table or of a forwarding database, at most
// limit of them, in the order of addresses.
func neighbourValues(entries map[neighbourKey]neighbour, limit int) graph.Value {
	if len(entries) == 0 {
		return graph.Value{}
	}
	sorted := make([]neighbour, 0, len(entries))
	for _, n := range entries {
		sorted = append(sorted, n)
	}
	slices.SortFunc(sorted, func(a, b neighbour) int {
		return cmp.Or(
			strings.Compare(a.key.mac, b.key.mac),
			a.key.ip.Compare(b.key.ip),
			cmp.Compare(a.key.vlan, b.key.vlan),
			cmp.Compare(a.key.vni, b.key.vni),
		)
	})
	if len(sorted) > limit {
		sorted = sorted[:limit]
	}
	values := make([]graph.Value, len(sorted))
	for i, n := range sorted {
		values[i] = n.value()
	}
	return graph.List(values...)
}

func (n neighbour) value() graph.Value {
	fields := make([]graph.Field, 0, 7)
	fields = append(fields, graph.F("IfIndex", graph.Int(int64(n.index))))
	if n.mac != "" {
		fields = append(fields, graph.F("MAC", graph.String(macString(n.mac))))
	}
	if n.key.ip.IsValid() {
		fields = append(fields, graph.F("IP", graph.String(n.key.ip.String())))
	}
	if flags := bitNames(uint16(n.flags), neighbourFlags()); len(flags) > 0 {
		fields = append(fields, graph.F("Flags", graph.Strings(flags...)))
	}
	if states := bitNames(n.state, neighbourStates()); len(states) > 0 {
		fields = append(fields, graph.F("State", graph.Strings(states...)))
	}
	if n.key.vlan != 0 {
		fields = append(fields, graph.F("Vlan", graph.Int(int64(n.key.vlan))))
	}
	if n.key.vni != 0 {
		fields = append(fields, graph.F("VNI", graph.Int(int64(n.key.vni))))
	}
	return graph.Object(graph.NewMetadata(fields...))
}

type bitName struct {
	bit  uint16
	name string
}

func neighbourStates() []bitName {
	return []bitName{
		{unix.NUD_INCOMPLETE, "NUD_INCOMPLETE"},
		{unix.NUD_REACHABLE, "NUD_REACHABLE"},
		{unix.NUD_STALE, "NUD_STALE"},
		{unix.NUD_DELAY, "NUD_DELAY"},
		{unix.NUD_PROBE, "NUD_PROBE"},
		{unix.NUD_FAILED, "NUD_FAILED"},
		{unix.NUD_NOARP, "NUD_NOARP"},
		{unix.NUD_PERMANENT, "NUD_PERMANENT"},
	}
}

func neighbourFlags() []bitName {
	return []bitName{
		{unix.NTF_USE, "NTF_USE"},
		{unix.NTF_SELF, "NTF_SELF"},
		{unix.NTF_MASTER, "NTF_MASTER"},
		{unix.NTF_PROXY, "NTF_PROXY"},
		{unix.NTF_EXT_LEARNED, "NTF_EXT_LEARNED"},
		{unix.NTF_OFFLOADED, "NTF_OFFLOADED"},
		{unix.NTF_ROUTER, "NTF_ROUTER"},
	}
}

func bitNames(bits uint16, names []bitName) []string {
	var set []string
	for _, n := range names {
		if bits&n.bit != 0 {
			set = append(set, n.name)
		}
	}
	return set
}
