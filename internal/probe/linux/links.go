package linux

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
)

// A linkState is what one RTM_NEWLINK says.
type linkState struct {
	index      int
	name, kind string
	flags      uint32
	state      string
	master     int
	parent     int // the peer of a veth; the link below a VLAN, a macvlan, a VXLAN
	peerNS     int // id, in the link's namespace, of the one that parent is in; -1 the same
	peerHere   int // what that one is called in the probe's namespace; -1 not known, or the same
	vxlan      *tunnel
	fields     []graph.Field
	counters   counters
	hash       uint64 // of a dump, see measurement
}

// A tunnel is what decides who the peers of a VXLAN link are.
type tunnel struct {
	vni, port     int
	local, remote netip.Addr
}

// decodeLink reads RTM_NEWLINK. Messages of a bridge about its ports are not taken: they
// repeat, in part, what the link's own message says.
func decodeLink(b []byte) (linkState, bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return linkState{}, false
	}
	link := deserialize(b)
	attrs := link.Attrs()
	if attrs.Name == "" {
		return linkState{}, false
	}
	s := linkState{
		index: attrs.Index, name: attrs.Name, flags: attrs.RawFlags,
		state:  strings.ToUpper(attrs.OperState.String()),
		master: attrs.MasterIndex, parent: attrs.ParentIndex, peerNS: attrs.NetNsID, peerHere: -1,
	}
	s.kind, s.counters = kindAndCounters(b)
	s.fields = commonFields(attrs, &s)
	s.fields = append(s.fields, kindFields(link, &s)...)
	return s, true
}

// deserialize has the netlink library read a link. The library trusts the kernel with the
// length of each attribute: where it stumbles, the link is read without what is special to
// its type.
func deserialize(b []byte) (link netlink.Link) {
	defer func() {
		if recover() != nil {
			link = plain(b)
		}
	}()
	link, err := netlink.LinkDeserialize(nil, b)
	if err != nil {
		return plain(b)
	}
	return link
}

// plain reads what all links have.
func plain(b []byte) netlink.Link {
	attrs := netlink.NewLinkAttrs()
	attrs.Index = int(int32(u32(b[4:])))
	attrs.RawFlags = u32(b[8:])
	for kind, value := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			attrs.Name = unix.ByteSliceToString(value)
		case unix.IFLA_ADDRESS:
			attrs.HardwareAddr = slices.Clone(value)
		case unix.IFLA_MTU:
			attrs.MTU = int(u32(value))
		case unix.IFLA_MASTER:
			attrs.MasterIndex = int(u32(value))
		case unix.IFLA_LINK:
			attrs.ParentIndex = int(u32(value))
		case unix.IFLA_LINK_NETNSID:
			attrs.NetNsID = int(int32(u32(value)))
		case unix.IFLA_OPERSTATE:
			if len(value) > 0 {
				attrs.OperState = netlink.LinkOperState(value[0])
			}
		}
	}
	return &netlink.Device{LinkAttrs: attrs}
}

// same reports whether b says the same, counters aside.
func (s *linkState) same(b *linkState) bool {
	return s.flags == b.flags && s.master == b.master && s.parent == b.parent && s.peerNS == b.peerNS &&
		slices.EqualFunc(s.fields, b.fields, sameField)
}

func sameField(a, b graph.Field) bool { return a.Key == b.Key && a.Value.Equal(b.Value) }

// elsewhere reports whether the parent or peer is in another namespace.
func (s *linkState) elsewhere() bool { return s.peerNS >= 0 || s.peerHere >= 0 }

// decodeLinkIndex reads the index out of RTM_DELLINK.
func decodeLinkIndex(b []byte) (int, bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return 0, false
	}
	return int(int32(u32(b[4:]))), true
}

// kindAndCounters returns the kernel's word for the type of link, "device" when it has
// none, and the link's counters.
func kindAndCounters(b []byte) (kind string, c counters) {
	kind = "device"
	for attr, value := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch attr {
		case unix.IFLA_STATS64:
			c = decodeCounters(value)
		case unix.IFLA_LINKINFO:
			for attr, value := range attributes(value) {
				if attr == unix.IFLA_INFO_KIND {
					kind = unix.ByteSliceToString(value)
				}
			}
		}
	}
	return kind, c
}

// flagNames are the flags of a link that are shown, with ip(8)'s words.
func flagNames(flags uint32) []string {
	names := []struct {
		flag uint32
		name string
	}{
		{unix.IFF_UP, "UP"},
		{unix.IFF_BROADCAST, "BROADCAST"},
		{unix.IFF_LOOPBACK, "LOOPBACK"},
		{unix.IFF_POINTOPOINT, "POINTTOPOINT"},
		{unix.IFF_MULTICAST, "MULTICAST"},
		{unix.IFF_RUNNING, "RUNNING"},
		{unix.IFF_LOWER_UP, "LOWER_UP"},
		{unix.IFF_NOARP, "NOARP"},
		{unix.IFF_PROMISC, "PROMISC"},
		{unix.IFF_ALLMULTI, "ALLMULTI"},
		{unix.IFF_MASTER, "MASTER"},
		{unix.IFF_SLAVE, "SLAVE"},
		{unix.IFF_DORMANT, "DORMANT"},
	}
	var set []string
	for _, n := range names {
		if flags&n.flag != 0 {
			set = append(set, n.name)
		}
	}
	return set
}

func commonFields(attrs *netlink.LinkAttrs, s *linkState) []graph.Field {
	fields := make([]graph.Field, 0, 24)
	add := func(key string, v graph.Value) { fields = append(fields, graph.F(key, v)) }
	number := func(key string, n int) {
		if n != 0 {
			add(key, graph.Int(int64(n)))
		}
	}
	text := func(key, v string) {
		if v != "" {
			add(key, graph.String(v))
		}
	}
	add("Name", graph.String(s.name))
	add("Type", graph.String(s.kind))
	add("IfIndex", graph.Int(int64(s.index)))
	add("State", graph.String(s.state))
	add("LinkFlags", graph.Strings(flagNames(s.flags)...))
	text("EncapType", attrs.EncapType)
	text("MAC", attrs.HardwareAddr.String())
	if perm := attrs.PermHWAddr.String(); perm != "00:00:00:00:00:00" {
		text("PermMAC", perm)
	}
	text("Alias", attrs.Alias)
	text("BusInfo", attrs.ParentDev)
	number("MTU", attrs.MTU)
	number("MasterIndex", s.master)
	number("ParentIndex", s.parent)
	if s.kind == "veth" {
		number("PeerIfIndex", s.parent)
	}
	if len(attrs.AltNames) > 0 {
		add("AltNames", graph.Strings(slices.Sorted(slices.Values(attrs.AltNames))...))
	}
	if slave, ok := attrs.Slave.(*netlink.BondSlave); ok {
		add("BondSlave", bondSlave(slave))
	}
	if len(attrs.Vfs) > 0 {
		add("Vfs", functions(attrs.Vfs))
	}
	return fields
}

func bondSlave(slave *netlink.BondSlave) graph.Value {
	fields := []graph.Field{
		graph.F("Type", graph.String(slave.SlaveType())),
		graph.F("State", graph.String(slave.State.String())),
		graph.F("MiiStatus", graph.String(slave.MiiStatus.String())),
		graph.F("LinkFailureCount", graph.Int(int64(slave.LinkFailureCount))),
		graph.F("QueueId", graph.Int(int64(slave.QueueId))),
		graph.F("AggregatorId", graph.Int(int64(slave.AggregatorId))),
		graph.F("AdActorOperPortState", graph.Int(int64(slave.AdActorOperPortState))),
		graph.F("AdPartnerOperPortState", graph.Int(int64(slave.AdPartnerOperPortState))),
	}
	if mac := slave.PermHardwareAddr.String(); mac != "" {
		fields = append(fields, graph.F("PermMAC", graph.String(mac)))
	}
	return graph.Object(graph.NewMetadata(fields...))
}

// functions shows the virtual functions of a card.
func functions(vfs []netlink.VfInfo) graph.Value {
	list := make([]graph.Value, 0, len(vfs))
	for _, vf := range vfs {
		list = append(list, graph.Object(graph.NewMetadata(
			graph.F("ID", graph.Int(int64(vf.ID))),
			graph.F("MAC", graph.String(vf.Mac.String())),
			graph.F("Vlan", graph.Int(int64(vf.Vlan))),
			graph.F("Qos", graph.Int(int64(vf.Qos))),
			graph.F("TxRate", graph.Int(int64(vf.TxRate))),
			graph.F("Spoofchk", graph.Bool(vf.Spoofchk)),
			graph.F("LinkState", graph.Int(int64(vf.LinkState))),
		)))
	}
	return graph.List(list...)
}
