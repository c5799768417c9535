package linux

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
)

// The relation types of edges, and what distinguishes a layer2 edge from another.
const (
	ownership  = "ownership"
	layer2     = "layer2"
	vxlanPeers = "vxlan-peer"
)

// An edge is one that a link declares: each edge has one link that does.
type edge struct {
	parent, child string
	relation      string
	kind          string // Type of a layer2 edge; "" of a bridge's member
}

func (e edge) id() string { return probe.GenID(e.parent, e.child, e.relation, e.kind) }

func (e edge) event(host string) graph.Event {
	fields := []graph.Field{graph.F("RelationType", graph.String(e.relation))}
	if e.kind != "" {
		fields = append(fields, graph.F("Type", graph.String(e.kind)))
	}
	return graph.Event{
		Op: graph.PutEdge, ID: e.id(), Host: host, Parent: e.parent, Child: e.child,
		Metadata: graph.NewMetadata(fields...),
	}
}

// wantedEdges returns the edges that a link declares as things are, and the places that
// they depend on.
func (l *loop) wantedEdges(k *link) (edges []edge, refs []ref) {
	owner := l.host.id
	if !k.space.own {
		owner = k.space.id
	}
	edges = append(edges, edge{owner, k.id, ownership, ""})
	if k.master != 0 {
		r := ref{k.space, k.master}
		refs = append(refs, r)
		if m := l.at(r); m != nil {
			edges = append(edges, edge{m.id, k.id, layer2, ""})
		}
	}
	delete(l.lost, k)
	if k.parent != 0 || k.elsewhere() {
		where := l.peerSpace(k)
		if where == nil {
			l.lost[k] = struct{}{}
		} else {
			r := ref{where, k.parent}
			refs = append(refs, r)
			if where != k.space {
				refs = append(refs, ref{space: where})
			}
			if p := l.at(r); p != nil {
				edges = l.parentEdge(edges, k, p)
			}
		}
	}
	if k.vxlan != nil {
		edges = l.tunnelEdges(edges, k)
	}
	return edges, refs
}

// parentEdge adds the edge between a link and the one that it stands on, or its peer. The
// edge between the ends of a veth is declared by the one with the higher index, as its
// parent.
func (l *loop) parentEdge(edges []edge, k, p *link) []edge {
	if k.kind != "veth" && k.kind != "netkit" {
		return append(edges, edge{p.id, k.id, layer2, k.kind})
	}
	mutual := p.kind == k.kind && p.parent == k.index && l.peerSpace(p) == k.space
	if !mutual && p.kind == k.kind {
		l.refresh(p, k)
	}
	first := k.index > p.index || (k.index == p.index && k.id > p.id)
	if !mutual || !first {
		return edges
	}
	return append(edges, edge{k.id, p.id, layer2, k.kind})
}

// refresh asks the kernel again of p, whose peer k is said to be: it does not announce
// that the peer of a link has been made or has moved. It is asked once for each event
// about either of them.
func (l *loop) refresh(p, k *link) {
	if p.checked >= max(p.seen, k.seen) {
		return
	}
	p.checked = l.serial
	seen, index, nsid := p.seen, p.index, p.space.nsid
	if p.space.own {
		nsid = -1
	}
	l.visitors.do(func(v *visitor) {
		state, err := v.conn.link(nsid, index)
		l.post(func() {
			if err == nil && !p.gone && !p.space.reading && p.seen == seen {
				l.putLink(p.space, state)
			}
		})
	})
}

// at returns the link at a place, if it is shown.
func (l *loop) at(r ref) *link {
	if r.space == nil || r.space.gone {
		return nil
	}
	if k := r.space.links[r.index]; k != nil && k.shown {
		return k
	}
	return nil
}

// peerSpace returns the namespace that a link's parent or peer is in, nil when it is not
// known (yet).
func (l *loop) peerSpace(k *link) *space {
	s := k.space
	switch {
	case k.peerHere >= 0:
		return l.byID[k.peerHere]
	case k.peerNS < 0:
		return s
	case s.own:
		return l.byID[k.peerNS]
	}
	if id, ok := s.ids[k.peerNS]; ok {
		return l.byID[id]
	}
	l.askIDs(s)
	return nil
}

// askIDs asks the kernel what a namespace calls the others.
func (l *loop) askIDs(s *space) {
	if s.asked || s.gone || s.nsid < 0 {
		return
	}
	s.asked = true
	nsid := s.nsid
	l.visitors.do(func(v *visitor) {
		ids, err := v.conn.idsIn(nsid)
		l.post(func() {
			if err != nil || s.gone {
				return
			}
			s.ids = ids
			for k := range l.lost {
				if k.space == s {
					l.touchLink(k)
					l.touchEdges(k)
				}
			}
		})
	})
}

// forgetIDs has the kernel asked again when an answer is needed.
func (l *loop) forgetIDs(s *space) { s.ids, s.asked = nil, false }

// setRefs makes refs the places that k depends on.
func (l *loop) setRefs(k *link, refs []ref) {
	for _, r := range k.refs {
		delete(l.refs[r], k)
		if len(l.refs[r]) == 0 {
			delete(l.refs, r)
		}
	}
	k.refs = refs
	for _, r := range refs {
		if l.refs[r] == nil {
			l.refs[r] = make(map[*link]struct{})
		}
		l.refs[r][k] = struct{}{}
	}
}

// The VXLAN links of one VNI are looked at together: each may be a peer of each.

func (l *loop) joinTunnels(k *link) {
	if k.vxlan == nil {
		return
	}
	if l.tunnels[k.vxlan.vni] == nil {
		l.tunnels[k.vxlan.vni] = make(map[*link]struct{})
	}
	l.tunnels[k.vxlan.vni][k] = struct{}{}
	l.touchTunnel(k.vxlan.vni)
}

func (l *loop) leaveTunnels(k *link) {
	if k.vxlan == nil {
		return
	}
	delete(l.tunnels[k.vxlan.vni], k)
	l.touchTunnel(k.vxlan.vni)
}

func (l *loop) touchTunnel(vni int) {
	for k := range l.tunnels[vni] {
		l.touchEdges(k)
	}
}

// touchTunnelsOver looks at tunnels again after a change of the addresses in a namespace.
func (l *loop) touchTunnelsOver(s *space) {
	for vni, links := range l.tunnels {
		for k := range links {
			if k.space == s || l.peerSpace(k) == s {
				l.touchTunnel(vni)
				break
			}
		}
	}
}

// tunnelEdges adds the edges to those ends of the same VXLAN on this host that k reaches or
// that reach k. The one with the lower id declares it.
func (l *loop) tunnelEdges(edges []edge, k *link) []edge {
	for other := range l.tunnels[k.vxlan.vni] {
		if other == k || !other.shown || k.id > other.id || k.vxlan.port != other.vxlan.port {
			continue
		}
		group := k.vxlan.remote.IsMulticast() && k.vxlan.remote == other.vxlan.remote
		if group || l.reaches(k, other) || l.reaches(other, k) {
			edges = append(edges, edge{k.id, other.id, layer2, vxlanPeers})
		}
	}
	return edges
}

// reaches reports whether a sends to an address of b.
func (l *loop) reaches(a, b *link) bool {
	if remote := a.vxlan.remote; remote.IsValid() && l.endsAt(b, remote) {
		return true
	}
	for _, n := range a.fdb {
		if n.key.ip.IsValid() && n.state&unix.NUD_FAILED == 0 && l.endsAt(b, n.key.ip.Unmap()) {
			return true
		}
	}
	return false
}

// endsAt reports whether a packet to ip would come to the tunnel k.
func (l *loop) endsAt(k *link, ip netip.Addr) bool {
	if ip.IsMulticast() {
		return false
	}
	if k.vxlan.local.IsValid() {
		return k.vxlan.local == ip
	}
	below := l.peerSpace(k)
	if below == nil {
		return false
	}
	for _, link := range below.links {
		for _, a := range link.addresses {
			if a.prefix.Addr() == ip && !ip.IsLoopback() {
				return true
			}
		}
	}
	return false
}

// addressStrings returns a link's addresses of one family in CIDR notation.
func (k *link) addressStrings(v4 bool) []string {
	var list []string
	for _, a := range k.addresses {
		if a.prefix.Addr().Is4() == v4 {
			list = append(list, a.prefix.String())
		}
	}
	return list
}
