package flow

import "strings"

// layer is the code of a layer in a path. A path packs up to ten of them, six bits each, the outermost in the low bits: more than
// one flow has, since a tunnel ends the path of the flow that carries it. Layers beyond the tenth are left out.
type layer uint8

const (
	noLayer layer = iota
	layerEthernet
	layerDot1Q
	layerMPLS
	layerARP
	layerIPv4
	layerIPv6
	layerHopByHop
	layerRouting
	layerFragment6
	layerDestination
	layerFragment
	layerTCP
	layerUDP
	layerSCTP
	layerUDPLite
	layerICMPv4
	layerICMPv6
	layerICMPv6Echo
	layerNeighborSolicitation
	layerNeighborAdvertisement
	layerRouterSolicitation
	layerRouterAdvertisement
	layerRedirect
	layerGRE
	layerVXLAN
	layerGeneve
	layerERSPANII
	layerLLC
	layerSNAP
	layerSTP
	layerLLDP
	layerEAPOL
	layerPPPoE
	layerPPP
	layerIGMP
	layerOSPF
	layerVRRP
	layerESP
	layerAH
	layerEtherIP
	layerDNS
	layerNTP
	layerDHCPv4
	layerDHCPv6
	layerSIP
	layerSFlow
	layerBFD
	layerGTPv1U
	layerRMCP
	layerRADIUS
	layerLoopback
)

// layerNames are those of gopacket, as Skydive shows them.
var layerNames = [64]string{
	layerEthernet: "Ethernet", layerDot1Q: "Dot1Q", layerMPLS: "MPLS", layerARP: "ARP", layerIPv4: "IPv4", layerIPv6: "IPv6",
	layerHopByHop: "IPv6HopByHop", layerRouting: "IPv6Routing", layerFragment6: "IPv6Fragment", layerDestination: "IPv6Destination",
	layerFragment: "Fragment", layerTCP: "TCP", layerUDP: "UDP", layerSCTP: "SCTP", layerUDPLite: "UDPLite",
	layerICMPv4: "ICMPv4", layerICMPv6: "ICMPv6", layerICMPv6Echo: "ICMPv6Echo",
	layerNeighborSolicitation: "ICMPv6NeighborSolicitation", layerNeighborAdvertisement: "ICMPv6NeighborAdvertisement",
	layerRouterSolicitation: "ICMPv6RouterSolicitation", layerRouterAdvertisement: "ICMPv6RouterAdvertisement",
	layerRedirect: "ICMPv6Redirect", layerGRE: "GRE", layerVXLAN: "VXLAN", layerGeneve: "Geneve", layerERSPANII: "ERSPAN Type II",
	layerLLC: "LLC", layerSNAP: "SNAP", layerSTP: "STP", layerLLDP: "LinkLayerDiscovery", layerEAPOL: "EAPOL",
	layerPPPoE: "PPPoE", layerPPP: "PPP", layerIGMP: "IGMP", layerOSPF: "OSPF", layerVRRP: "VRRP",
	layerESP: "IPSecESP", layerAH: "IPSecAH", layerEtherIP: "EtherIP", layerDNS: "DNS", layerNTP: "NTP", layerDHCPv4: "DHCPv4",
	layerDHCPv6: "DHCPv6", layerSIP: "SIP", layerSFlow: "SFlow", layerBFD: "BFD", layerGTPv1U: "GTPv1U", layerRMCP: "RMCP",
	layerRADIUS: "RADIUS", layerLoopback: "Loopback",
}

const (
	layerBits     = 6
	maxPathLayers = 10
)

// pathLast returns the last layer of a path.
func pathLast(path uint64) layer {
	last := noLayer
	for ; path != 0; path >>= layerBits {
		last = layer(path & (1<<layerBits - 1))
	}
	return last
}

// pathString returns a path as names joined by slashes.
func pathString(path uint64) string {
	var b strings.Builder
	for ; path != 0; path >>= layerBits {
		if b.Len() > 0 {
			b.WriteByte('/')
		}
		b.WriteString(layerNames[path&(1<<layerBits-1)])
	}
	return b.String()
}

// udpApplication returns the layer that a port of UDP stands for, as gopacket reads it.
func udpApplication(port uint16) layer {
	switch port {
	case 53:
		return layerDNS
	case 67, 68:
		return layerDHCPv4
	case 123:
		return layerNTP
	case 546, 547:
		return layerDHCPv6
	case 623:
		return layerRMCP
	case 1812:
		return layerRADIUS
	case 2152:
		return layerGTPv1U
	case 3784:
		return layerBFD
	case 5060:
		return layerSIP
	case 6343:
		return layerSFlow
	}
	return noLayer
}
