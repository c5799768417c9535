package flowtest_test

import (
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weft-net/weft/flow/flowtest"
)

// The layers as gopacket reads them are those that were asked for.
func TestPacketReadsBack(t *testing.T) {
	eth := flowtest.Ethernet{Src: "02:00:00:00:00:01", Dst: "02:00:00:00:00:02"}
	ip4 := flowtest.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2"}
	ip6 := flowtest.IPv6{Src: "fd00::1", Dst: "fd00::2"}
	tcp := flowtest.TCP{Src: 40000, Dst: 80, Flags: flowtest.SYN, Options: []byte{2, 4, 5, 0xb4}}
	hello := flowtest.Payload("hello")
	for _, test := range []struct {
		name   string
		first  gopacket.LayerType
		layers []flowtest.Layer
		want   string
	}{
		{"tcp", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip4, tcp, hello}, "Ethernet/IPv4/TCP/Payload"},
		{"ip options", layers.LayerTypeEthernet, []flowtest.Layer{eth, flowtest.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2", Options: []byte{7, 3, 4}}, tcp, hello}, "Ethernet/IPv4/TCP/Payload"},
		{"udp6", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip6, flowtest.UDP{Src: 4000, Dst: 4001}, hello}, "Ethernet/IPv6/UDP/Payload"},
		{"extensions", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip6, flowtest.IPv6Extension{Kind: flowtest.HopByHop, Data: []byte{5, 2, 0, 0}}, tcp}, "Ethernet/IPv6/IPv6HopByHop/TCP"},
		{"vlan", layers.LayerTypeEthernet, []flowtest.Layer{eth, flowtest.VLAN{ID: 7, QinQ: true}, flowtest.VLAN{ID: 8}, ip4, tcp}, "Ethernet/Dot1Q/Dot1Q/IPv4/TCP"},
		{"mpls", layers.LayerTypeEthernet, []flowtest.Layer{eth, flowtest.MPLS{Label: 16}, flowtest.MPLS{Label: 17}, ip4, tcp}, "Ethernet/MPLS/MPLS/IPv4/TCP"},
		{"arp", layers.LayerTypeEthernet, []flowtest.Layer{eth, flowtest.ARP{SrcMAC: "02:00:00:00:00:01", SrcIP: "10.0.0.1", DstIP: "10.0.0.2"}}, "Ethernet/ARP"},
		{"gre", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip4, flowtest.GRE{HasKey: true, Key: 9, HasChecksum: true}, ip6, tcp}, "Ethernet/IPv4/GRE/IPv6/TCP"},
		{"ip in ip", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip4, ip4, tcp}, "Ethernet/IPv4/IPv4/TCP"},
		{"vxlan", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip4, flowtest.UDP{Src: 50000, Dst: 4789}, flowtest.VXLAN{VNI: 5}, eth, ip4, tcp}, "Ethernet/IPv4/UDP/VXLAN/Ethernet/IPv4/TCP"},
		{"geneve", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip4, flowtest.UDP{Src: 50000, Dst: 6081}, flowtest.Geneve{VNI: 5}, eth, ip4, tcp}, "Ethernet/IPv4/UDP/Geneve/Ethernet/IPv4/TCP"},
		{"erspan", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip4, flowtest.GRE{HasSequence: true}, flowtest.ERSPAN{Session: 3}, eth, ip4, tcp}, "Ethernet/IPv4/GRE/ERSPAN Type II/Ethernet/IPv4/TCP"},
		{"sctp", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip4, flowtest.SCTP{Src: 1, Dst: 2}}, "Ethernet/IPv4/SCTP"},
		{"ping", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip4, flowtest.ICMPv4{Type: 8, ID: 3}, hello}, "Ethernet/IPv4/ICMPv4/Payload"},
		{"ping6", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip6, flowtest.ICMPv6{Type: 128, ID: 3}, hello}, "Ethernet/IPv6/ICMPv6/ICMPv6Echo/Payload"},
		{"vrrp", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip4, flowtest.VRRP{Router: 1, Priority: 100, Addrs: []string{"10.0.0.9"}}}, "Ethernet/IPv4/VRRP"},
		{"cooked", layers.LayerTypeLinuxSLL, []flowtest.Layer{flowtest.SLL{Addr: "02:00:00:00:00:01"}, ip4, tcp}, "Linux SLL/IPv4/TCP"},
		{"cooked 2", layers.LayerTypeLinuxSLL2, []flowtest.Layer{flowtest.SLL2{Addr: "02:00:00:00:00:01"}, ip4, tcp}, "Linux SLL2/IPv4/TCP"},
		{"loopback", layers.LayerTypeLoopback, []flowtest.Layer{flowtest.Loopback{}, ip4, tcp}, "Loopback/IPv4/TCP"},
		{"fragment", layers.LayerTypeEthernet, []flowtest.Layer{eth, flowtest.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2", MF: true, Protocol: 17}, flowtest.Zeros(16)}, "Ethernet/IPv4/Fragment"},
		{"fragment 6", layers.LayerTypeEthernet, []flowtest.Layer{eth, ip6, flowtest.IPv6Fragment{ID: 4, Offset: 16, NextHeader: 17}, flowtest.Zeros(16)}, "Ethernet/IPv6/IPv6Fragment/Fragment"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := gopacket.NewPacket(flowtest.Packet(test.layers...), test.first, gopacket.Default)
			if e := p.ErrorLayer(); e != nil {
				t.Fatal(e.Error(), p)
			}
			var names []string
			for _, l := range p.Layers() {
				names = append(names, l.LayerType().String())
				if s, ok := l.(interface {
					SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
				}); ok {
					if err := s.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := strings.Join(names, "/"); got != test.want {
				t.Errorf("layers %s, want %s\n%s", got, test.want, p)
			}
		})
	}
}

func TestPacketDamage(t *testing.T) {
	good := flowtest.Packet(flowtest.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2"}, flowtest.UDP{Src: 1, Dst: 2}, flowtest.Zeros(4))
	bad := flowtest.Packet(flowtest.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2", Length: 9999, HeaderLength: 60}, flowtest.UDP{Src: 1, Dst: 2, Length: 3}, flowtest.Zeros(4))
	if len(good) != 32 || len(bad) != 32 {
		t.Fatalf("lengths %d, %d, want 32", len(good), len(bad))
	}
	if bad[0] != 0x4f || bad[2] != 9999>>8 || bad[25] != 3 {
		t.Errorf("damage is not there: % x", bad)
	}
	if got := flowtest.Pad(good, 60); len(got) != 60 {
		t.Errorf("%d bytes after padding, want 60", len(got))
	}
}
