package linux

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/weft-net/weft/graph"
)

// kindFields returns what only links of one type have. It completes s where the parent is
// said in the type's own data.
func kindFields(link netlink.Link, s *linkState) []graph.Field {
	var o object
	switch l := link.(type) {
	case *netlink.Vlan:
		return []graph.Field{
			graph.F("Vlan", graph.Int(int64(l.VlanId))),
			graph.F("VlanProtocol", graph.String(l.VlanProtocol.String())),
		}
	case *netlink.Vxlan:
		return vxlanFields(l, s)
	case *netlink.Bond:
		o.text("Mode", l.Mode.String())
		o.text("XmitHashPolicy", l.XmitHashPolicy.String())
		o.text("LacpRate", l.LacpRate.String())
		o.number("Miimon", l.Miimon)
		o.number("ActiveSlave", max(l.ActiveSlave, 0))
		return append(o.as("Bond"), graph.F("BondMode", graph.String(l.Mode.String())))
	case *netlink.Bridge:
		if l.VlanFiltering != nil {
			o.flag("VlanFiltering", *l.VlanFiltering)
		}
		if l.MulticastSnooping != nil {
			o.flag("MulticastSnooping", *l.MulticastSnooping)
		}
		if l.AgeingTime != nil {
			o.number("AgeingTime", int(*l.AgeingTime))
		}
		if l.VlanDefaultPVID != nil {
			o.number("DefaultPVID", int(*l.VlanDefaultPVID))
		}
		return append(o.as("Bridge"), graph.F("Driver", graph.String("bridge")))
	case *netlink.Macvlan:
		o.text("Mode", macvlanMode(l.Mode))
		return o.as("Macvlan")
	case *netlink.Macvtap:
		o.text("Mode", macvlanMode(l.Mode))
		return o.as("Macvlan")
	case *netlink.IPVlan:
		o.text("Mode", ipvlanMode(l.Mode))
		return o.as("IPVlan")
	case *netlink.IPVtap:
		o.text("Mode", ipvlanMode(l.Mode))
		return o.as("IPVlan")
	case *netlink.Tuntap:
		o.text("Mode", l.Mode.String())
		o.flag("Persist", !l.NonPersist)
		o.number("Owner", int(l.Owner))
		o.number("Group", int(l.Group))
		o.number("Queues", l.Queues)
		return o.as("Tun")
	case *netlink.Vrf:
		o.number("Table", int(l.Table))
		return o.as("VRF")
	case *netlink.Geneve:
		o.number("VNI", int(l.ID))
		o.address("Remote", l.Remote)
		o.number("Port", int(l.Dport))
		o.flag("External", l.FlowBased)
		return o.as("Geneve")
	case *netlink.Gretap:
		o.endpoints(l.Local, l.Remote)
		o.number("Key", int(l.IKey))
		o.flag("External", l.FlowBased)
		return o.as("Tunnel")
	case *netlink.Gretun:
		o.endpoints(l.Local, l.Remote)
		o.number("Key", int(l.IKey))
		o.flag("External", l.FlowBased)
		return o.as("Tunnel")
	case *netlink.Iptun:
		o.endpoints(l.Local, l.Remote)
		return o.as("Tunnel")
	case *netlink.Ip6tnl:
		o.endpoints(l.Local, l.Remote)
		return o.as("Tunnel")
	case *netlink.Sittun:
		o.endpoints(l.Local, l.Remote)
		return o.as("Tunnel")
	case *netlink.Vti:
		o.endpoints(l.Local, l.Remote)
		o.number("Key", int(l.IKey))
		return o.as("Tunnel")
	case *netlink.Xfrmi:
		o.number("IfID", int(l.Ifid))
		return o.as("Xfrm")
	}
	return nil
}

func vxlanFields(l *netlink.Vxlan, s *linkState) []graph.Field {
	if l.VtepDevIndex != 0 {
		s.parent = l.VtepDevIndex
	}
	s.vxlan = &tunnel{vni: l.VxlanId, port: l.Port, local: addr(l.SrcAddr), remote: addr(l.Group)}
	var o object
	o.number("VNI", l.VxlanId)
	o.number("Port", l.Port)
	o.address("Local", l.SrcAddr)
	if s.vxlan.remote.IsMulticast() {
		o.address("Group", l.Group)
	} else {
		o.address("Remote", l.Group)
	}
	o.number("TTL", l.TTL)
	o.flag("Learning", l.Learning)
	o.flag("External", l.FlowBased)
	fields := append(o.as("VXLAN"), graph.F("VNI", graph.Int(int64(l.VxlanId))))
	if l.VtepDevIndex != 0 {
		fields = append(fields, graph.F("ParentIndex", graph.Int(int64(l.VtepDevIndex))))
	}
	return fields
}

func macvlanMode(m netlink.MacvlanMode) string {
	switch m {
	case netlink.MACVLAN_MODE_PRIVATE:
		return "private"
	case netlink.MACVLAN_MODE_VEPA:
		return "vepa"
	case netlink.MACVLAN_MODE_BRIDGE:
		return "bridge"
	case netlink.MACVLAN_MODE_PASSTHRU:
		return "passthru"
	case netlink.MACVLAN_MODE_SOURCE:
		return "source"
	}
	return ""
}

func ipvlanMode(m netlink.IPVlanMode) string {
	switch m {
	case netlink.IPVLAN_MODE_L2:
		return "l2"
	case netlink.IPVLAN_MODE_L3:
		return "l3"
	case netlink.IPVLAN_MODE_L3S:
		return "l3s"
	}
	return ""
}

// An object collects the fields of one nested object. Zero numbers, empty texts and unset
// addresses are left out.
type object struct{ fields []graph.Field }

func (o *object) text(key, v string) {
	if v != "" {
		o.fields = append(o.fields, graph.F(key, graph.String(v)))
	}
}

func (o *object) number(key string, n int) {
	if n != 0 {
		o.fields = append(o.fields, graph.F(key, graph.Int(int64(n))))
	}
}

func (o *object) flag(key string, on bool) {
	o.fields = append(o.fields, graph.F(key, graph.Bool(on)))
}

func (o *object) address(key string, ip net.IP) {
	if a := addr(ip); a.IsValid() {
		o.fields = append(o.fields, graph.F(key, graph.String(a.String())))
	}
}

func (o *object) endpoints(local, remote net.IP) {
	o.address("Local", local)
	o.address("Remote", remote)
}

// as makes the object the value of a field, if it has anything in it.
func (o *object) as(key string) []graph.Field {
	if len(o.fields) == 0 {
		return nil
	}
	return []graph.Field{graph.F(key, graph.Object(graph.NewMetadata(o.fields...)))}
}

// addr converts an address of the netlink library; unset and unspecified ones are invalid.
func addr(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip)
	if !ok || a.Unmap().IsUnspecified() {
		return netip.Addr{}
	}
	return a.Unmap()
}
