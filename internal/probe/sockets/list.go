package sockets

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
)

// A row is one socket as it is shown.
type row struct {
	socket
	process process
}

// rows gives the sockets to show, in a stable order, and how many there are in all. When there are
// more than limit, those that listen come first, then the newest.
func (o *owners) rows(all []socket, limit int) (shown []row, total int) {
	shown = make([]row, 0, len(all))
	for _, s := range all {
		known := o.inodes[s.inode]
		if known.process == nil && known.tries == 0 {
			continue // its process will be looked for: it is shown then
		}
		r := row{socket: s}
		if known.process != nil {
			r.process = *known.process
		}
		shown = append(shown, r)
	}
	total = len(shown)
	if total > limit {
		slices.SortFunc(shown, func(a, b row) int {
			return cmp.Or(first(b.state == stateListen)-first(a.state == stateListen), cmp.Compare(b.inode, a.inode))
		})
		shown = shown[:limit]
	}
	slices.SortFunc(shown, func(a, b row) int {
		return cmp.Or(
			cmp.Compare(a.protocol, b.protocol),
			cmp.Compare(a.netns, b.netns),
			a.local.Compare(b.local),
			a.remote.Compare(b.remote),
			cmp.Compare(a.inode, b.inode),
		)
	})
	return shown, total
}

func first(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// describe is the layer on the host's node.
func describe(shown []row, total int) graph.Metadata {
	if len(shown) == 0 {
		return graph.NewMetadata()
	}
	values := make([]graph.Value, len(shown))
	for i, r := range shown {
		values[i] = graph.Object(r.metadata())
	}
	fields := []graph.Field{graph.F("Sockets", graph.List(values...))}
	if total > len(shown) {
		fields = append(fields, graph.F("SocketsCount", graph.Int(int64(total))))
	}
	return graph.NewMetadata(fields...)
}

func (r row) metadata() graph.Metadata {
	fields := make([]graph.Field, 0, 10)
	text := func(key, value string) {
		if value != "" {
			fields = append(fields, graph.F(key, graph.String(value)))
		}
	}
	text("Process", r.process.path)
	text("Name", r.process.name)
	if r.process.pid != 0 {
		fields = append(fields, graph.F("Pid", graph.Int(int64(r.process.pid))))
	}
	state := ""
	if int(r.state) < len(stateNames) {
		state = stateNames[r.state]
	}
	protocol := "TCP"
	if r.protocol == unix.IPPROTO_UDP {
		protocol = "UDP"
	}
	text("State", state)
	if r.netns != 0 {
		fields = append(fields, graph.F("NetNS", graph.Int(int64(r.netns))))
	}
	return graph.NewMetadata(append(fields,
		graph.F("LocalAddress", graph.String(r.local.Addr().String())),
		graph.F("LocalPort", graph.Int(int64(r.local.Port()))),
		graph.F("RemoteAddress", graph.String(r.remote.Addr().String())),
		graph.F("RemotePort", graph.Int(int64(r.remote.Port()))),
		graph.F("Protocol", graph.String(protocol)),
	)...)
}
