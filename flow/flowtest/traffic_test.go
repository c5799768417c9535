package flowtest_test

import (
	"fmt"
	"hash/fnv"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weft-net/weft/flow/flowtest"
)

func TestTrafficIsWhatItSays(t *testing.T) {
	const flows, packets = 50, 5000
	type seen struct {
		packets, syn, fin int
		firstFlags        string
	}
	conns := map[string]*seen{}
	sizes := map[int]int{}
	n, last := 0, int64(0)
	flowtest.Traffic{Flows: flows, Packets: packets, Seed: 7, SnapLen: 1600, Mix: flowtest.Mix{UDP: 20}}.Stream(func(ts int64, data []byte, wire int) {
		n++
		if ts <= last {
			t.Fatalf("packet %d: time %d after %d", n, ts, last)
		}
		last = ts
		if len(data) != wire {
			t.Fatalf("packet %d: %d bytes kept of %d", n, len(data), wire)
		}
		sizes[wire]++
		p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
		if p.ErrorLayer() != nil {
			t.Fatalf("packet %d: %v", n, p.ErrorLayer().Error())
		}
		checkChecksums(t, n, p)
		network, transport := p.NetworkLayer(), p.TransportLayer()
		key := network.NetworkFlow().String() + " " + transport.TransportFlow().String()
		c := conns[key]
		if c == nil {
			back := network.NetworkFlow().Reverse().String() + " " + transport.TransportFlow().Reverse().String()
			if c = conns[back]; c == nil {
				c = &seen{}
				conns[key] = c
			}
		}
		c.packets++
		if tcp, ok := transport.(*layers.TCP); ok {
			if c.packets == 1 {
				c.firstFlags = fmt.Sprint(tcp.SYN, tcp.ACK)
			}
			c.syn += count(tcp.SYN)
			c.fin += count(tcp.FIN)
		}
	})
	if n != packets || len(conns) != flows {
		t.Fatalf("%d packets of %d flows, want %d of %d", n, len(conns), packets, flows)
	}
	udp := 0
	for key, c := range conns {
		if c.firstFlags == "" {
			udp++
			continue
		}
		if c.firstFlags != "true false" || c.syn != 2 || c.fin != 2 {
			t.Errorf("%s: first packet SYN, ACK %s, %d SYN, %d FIN; want true false, 2, 2", key, c.firstFlags, c.syn, c.fin)
		}
	}
	if udp == 0 || udp > flows/2 {
		t.Errorf("%d of %d flows are UDP, want about a fifth", udp, flows)
	}
	if len(sizes) != 3 || sizes[64] < sizes[570] || sizes[570] < sizes[1518] || sizes[1518] < packets/20 {
		t.Errorf("sizes %v are not IMIX", sizes)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkChecksums lets gopacket compute the checksums of a packet again.
func checkChecksums(t *testing.T, n int, p gopacket.Packet) {
	t.Helper()
	switch l := p.TransportLayer().(type) {
	case *layers.TCP:
		_ = l.SetNetworkLayerForChecksum(p.NetworkLayer())
	case *layers.UDP:
		_ = l.SetNetworkLayerForChecksum(p.NetworkLayer())
	}
	if err, bad := p.VerifyChecksums(); err != nil || len(bad) > 0 {
		t.Fatalf("packet %d: checksums: %v %v\n%s", n, err, bad, p)
	}
}

func TestTrafficRepeatsForASeed(t *testing.T) {
	digest := func(seed uint64) uint64 {
		h := fnv.New64a()
		flowtest.Traffic{Flows: 300, Packets: 3000, Seed: seed, Mix: flowtest.Tunnels()}.Stream(func(ts int64, data []byte, wire int) {
			fmt.Fprint(h, ts, data, wire)
		})
		return h.Sum64()
	}
	first, again := digest(1), digest(1)
	if first != again {
		t.Error("one seed gave two traffics")
	}
	if first == digest(2) {
		t.Error("two seeds gave one traffic")
	}
}

func TestTrafficMixHasEverything(t *testing.T) {
	found := map[gopacket.LayerType]int{}
	firsts, seconds, n := 0, 0, 0
	flowtest.Traffic{Flows: 400, Packets: 20000, SnapLen: 2048, Mix: flowtest.Tunnels()}.Stream(func(_ int64, data []byte, _ int) {
		n++
		p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
		if p.ErrorLayer() != nil {
			t.Fatalf("packet %d: %v\n%s", n, p.ErrorLayer().Error(), p)
		}
		for _, l := range p.Layers() {
			found[l.LayerType()]++
			if ip, ok := l.(*layers.IPv4); ok {
				firsts += count(ip.Flags&layers.IPv4MoreFragments != 0)
				seconds += count(ip.FragOffset != 0)
			}
		}
	})
	for _, want := range []gopacket.LayerType{
		layers.LayerTypeDot1Q, layers.LayerTypeIPv4, layers.LayerTypeIPv6, layers.LayerTypeTCP, layers.LayerTypeUDP,
		layers.LayerTypeVXLAN, layers.LayerTypeGRE, gopacket.LayerTypeFragment,
	} {
		if found[want] < 50 {
			t.Errorf("%d packets with %v, want more", found[want], want)
		}
	}
	if n != 20000 || firsts == 0 || firsts != seconds {
		t.Errorf("%d packets, %d first fragments, %d second ones", n, firsts, seconds)
	}
}

func TestTrafficOfShortFlows(t *testing.T) {
	for _, packets := range []int{100, 150, 500, 999} {
		n := 0
		flowtest.Traffic{Flows: 100, Packets: packets}.Stream(func(int64, []byte, int) { n++ })
		if n != packets {
			t.Errorf("%d packets, want %d", n, packets)
		}
	}
}

func BenchmarkTraffic(b *testing.B) {
	for _, flows := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(flows), func(b *testing.B) {
			bytes := 0
			flowtest.Traffic{Flows: flows, Packets: max(b.N, flows), Mix: flowtest.Plain()}.Stream(func(_ int64, data []byte, _ int) { bytes += len(data) })
			b.ReportMetric(float64(max(b.N, flows))/b.Elapsed().Seconds()/1e6, "Mpackets/s")
		})
	}
}
