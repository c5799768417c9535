package linux

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/testenv"
)

// within is what a change may take from the kernel to the Sink. The limit leaves room for
// a busy machine; TestLatency measures.
const within = 100 * time.Millisecond

func TestAddresses(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	w := watch(t)
	w.link(ns, "v0")
	ns.IP("address", "add", "10.1.0.2/24", "dev", "v0")
	w.value(ns, "v0", "IPV4", `["10.1.0.2/24"]`)
	ns.IP("address", "add", "10.1.0.1/24", "dev", "v0")
	w.value(ns, "v0", "IPV4", `["10.1.0.2/24","10.1.0.1/24"]`) // the primary one first
	ns.IP("address", "add", "fd00::1/64", "dev", "v0")
	w.value(ns, "v0", "IPV6", `["fd00::1/64"]`)
	w.agrees(ns)
	ns.IP("address", "del", "10.1.0.2/24", "dev", "v0") // takes its secondary one along
	w.value(ns, "v0", "IPV4", "")
	w.agrees(ns)
}

func TestAttributes(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	w := watch(t)
	before := w.link(ns, "v0")
	for _, step := range []struct{ command, key, want string }{
		{"mtu 1400", "MTU", "1400"},
		{"address 02:00:00:00:00:07", "MAC", "02:00:00:00:00:07"},
		{"promisc on", "LinkFlags", `["BROADCAST","MULTICAST","PROMISC"]`},
		{"name w0", "Name", "w0"},
	} {
		ns.IP(append([]string{"link", "set", "v0"}, strings.Fields(step.command)...)...)
		name := "v0"
		if step.key == "Name" {
			name = "w0"
		}
		if took := w.value(ns, name, step.key, step.want); took > 10*within {
			t.Errorf("%s took %v", step.command, took)
		}
	}
	after := w.link(ns, "w0")
	if after.ID() != before.ID() {
		t.Error("a rename made another node")
	}
	if text(after, "TID") == text(before, "TID") {
		t.Error("a rename kept the TID, which is made of the name")
	}
	ns.IP("link", "set", "w0", "up")
	w.value(ns, "w0", "State", "LOWER-LAYER-DOWN")
	ns.IP("link", "set", "v1", "up")
	w.value(ns, "w0", "State", "UP")
	w.agrees(ns)
}

// The kernel does not say that the alias of a link that is down has changed.
func TestSilentChangesAreFound(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	w := watch(t, func(e *probe.Env) { e.Settings.Linux.MetricInterval = 160 * time.Millisecond })
	w.link(ns, "v0")
	w.quiet(ns)
	ns.IP("link", "set", "v0", "alias", "uplink")
	w.value(ns, "v0", "Alias", "uplink")
}

func TestDriverAndFeatures(t *testing.T) {
	ns := testenv.NewNamespace(t)
	w := watch(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	n := w.link(ns, "v0")
	if text(n, "Driver") != "veth" || text(n, "Speed") != "10000" || text(n, "Duplex") != "full" {
		t.Errorf("v0 is %v", n.Metadata().Map())
	}
	features, _ := n.Field("Features")
	if v, ok := features.Object().Get("tx-checksum-ip-generic"); !ok || !v.Bool() {
		t.Errorf("features are %v", features)
	}
}

// Every type of link that this kernel can make is shown as ip(8) shows it.
func TestLinkTypes(t *testing.T) {
	kinds := []struct{ kind, args, key, want string }{
		{"bridge", "type bridge vlan_filtering 1", "Bridge.VlanFiltering", "true"},
		{"vxlan", "type vxlan id 42 remote 10.0.0.9 local 10.0.0.1 dstport 4789", "VXLAN", ""},
		{"vxlan", "type vxlan id 43 group 239.1.1.1 dev base dstport 4789", "VXLAN.Group", "239.1.1.1"},
		{"ifb", "type ifb", "Type", "ifb"},
		{"dummy", "type dummy", "Type", "dummy"},
		{"vlan", "link base type vlan id 7", "Vlan", "7"},
		{"macvlan", "link base type macvlan mode bridge", "Macvlan.Mode", "bridge"},
		{"macvtap", "link base type macvtap mode vepa", "Macvlan.Mode", "vepa"},
		{"ipvlan", "link base type ipvlan mode l3", "IPVlan.Mode", "l3"},
		{"bond", "type bond mode active-backup", "BondMode", "active-backup"},
		{"vrf", "type vrf table 10", "VRF.Table", "10"},
		{"gre", "type gre local 10.0.0.1 remote 10.0.0.2", "Tunnel.Remote", "10.0.0.2"},
		{"gretap", "type gretap local 10.0.0.1 remote 10.0.0.2", "Tunnel.Remote", "10.0.0.2"},
		{"ip6gre", "type ip6gre local fd00::1 remote fd00::2", "Tunnel.Remote", "fd00::2"},
		{"ipip", "type ipip local 10.0.0.1 remote 10.0.0.2", "Tunnel.Remote", "10.0.0.2"},
		{"sit", "type sit local 10.0.0.1 remote 10.0.0.2", "Tunnel.Remote", "10.0.0.2"},
		{"ip6tnl", "type ip6tnl local fd00::1 remote fd00::2", "Tunnel.Remote", "fd00::2"},
		{"geneve", "type geneve id 5 remote 10.0.0.1", "Geneve.VNI", "5"},
		{"wireguard", "type wireguard", "Type", "wireguard"},
		{"vcan", "type vcan", "Type", "vcan"},
		{"team", "type team", "Type", "team"},
		{"nlmon", "type nlmon", "Type", "nlmon"},
		{"veth", "type veth", "Type", "veth"},
	}
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "base", "type", "veth", "peer", "name", "base-peer")
	ns.IP("tuntap", "add", "tap0", "mode", "tap")
	ns.IP("tuntap", "add", "tun0", "mode", "tun")
	w := watch(t)
	w.value(ns, "tap0", "Tun.Mode", "tap")
	w.value(ns, "tun0", "Tun.Mode", "tun")
	made := 0
	for i, k := range kinds {
		name := fmt.Sprintf("k%d", i)
		if err := ns.Exec(strings.Fields("ip link add " + name + " " + k.args)...).Run(); err != nil {
			continue // this kernel was built without it
		}
		made++
		n := w.link(ns, name)
		if got := text(n, "Type"); got != k.kind {
			t.Errorf("%s has type %s", k.args, got)
		}
		if k.want != "" {
			w.value(ns, name, k.key, k.want)
		}
	}
	if made < 4 {
		t.Errorf("only %d types of link could be made", made)
	}
	w.agrees(ns)
}

func TestBridgeMembers(t *testing.T) {
	ns := testenv.NewNamespace(t)
	w := watch(t)
	ns.IP("link", "add", "br0", "type", "bridge")
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ns.IP("link", "set", "v0", "master", "br0")
	w.value(ns, "v0", "MasterName", "br0")
	br, v0 := w.link(ns, "br0"), w.link(ns, "v0")
	w.until("no edge to the member", func() bool { return w.edge(br, v0, "") })
	if text(v0, "MasterIndex") != text(br, "IfIndex") || text(br, "Driver") != "bridge" {
		t.Errorf("v0 is %v", v0.Metadata().Map())
	}
	ns.IP("link", "set", "br0", "name", "br1")
	w.value(ns, "v0", "MasterName", "br1")
	ns.IP("link", "set", "v0", "nomaster")
	w.until("the edge stays", func() bool { return !w.edge(br, v0, "") })
	w.value(ns, "v0", "MasterIndex", "")
	w.agrees(ns)
}

func TestRoutes(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ns.IP("link", "set", "v1", "up")
	w := watch(t)
	w.link(ns, "v0")
	ns.IP("address", "add", "10.1.0.1/24", "dev", "v0")
	ns.IP("link", "set", "v0", "up")
	ns.IP("route", "add", "10.9.0.0/16", "via", "10.1.0.254", "metric", "7")
	index := text(w.link(ns, "v0"), "IfIndex")
	route := fmt.Sprintf(`{"NextHops":[{"IP":"10.1.0.254","IfIndex":%s,"Priority":7}],"Prefix":"10.9.0.0/16","Protocol":3}`, index)
	has := func(what string) func() bool {
		return func() bool { return strings.Contains(text(w.link(ns, "v0"), "RoutingTables"), what) }
	}
	w.until("no route "+route, has(route))
	w.until("no main table", has(`"ID":254`))
	ns.IP("route", "add", "10.8.0.0/16", "via", "10.1.0.254", "table", "77")
	w.until("no table 77", has(`"ID":77`))
	ns.IP("route", "del", "10.9.0.0/16")
	w.until("the route stays", func() bool { return !has("10.9.0.0/16")() })
	// The kernel says nothing of the IPv4 routes that go with a link.
	ns.IP("link", "set", "v0", "down")
	w.until("routes outlive their link", func() bool { return !has("10.8.0.0/16")() })
}

// A route may name an object that holds its next hop, which changes on its own.
func TestNextHopObjects(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IPBatch("link add v0 type veth peer name v1", "address add 10.1.0.1/24 dev v0", "link set v1 up", "link set v0 up")
	ns.IP("nexthop", "add", "id", "7", "via", "10.1.0.254", "dev", "v0")
	ns.IP("route", "add", "10.9.0.0/16", "nhid", "7")
	w := watch(t)
	has := func(what string) func() bool {
		return func() bool { return strings.Contains(text(w.link(ns, "v0"), "RoutingTables"), what) }
	}
	w.until("no next hop", has(`"IP":"10.1.0.254"`))
	ns.IP("nexthop", "replace", "id", "7", "via", "10.1.0.253", "dev", "v0")
	w.until("the old next hop", has(`"IP":"10.1.0.253"`))
	ns.IP("nexthop", "del", "id", "7")
	w.until("the route stays", func() bool { return !has("10.9.0.0/16")() })
}

func TestManyRoutesAreCut(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ns.IP("address", "add", "10.1.0.1/24", "dev", "v0")
	ns.IP("link", "set", "v0", "up")
	ns.IP("link", "set", "v1", "up")
	w := watch(t, func(e *probe.Env) { e.Settings.Linux.RouteLimit = 100 })
	w.link(ns, "v0")
	commits, _ := w.counts()
	var lines []string
	for i := range 5000 {
		lines = append(lines, fmt.Sprintf("route add 10.%d.%d.0/24 via 10.1.0.254 table 100", 10+i/250, i%250))
	}
	start := time.Now()
	ns.IPBatch(lines...)
	w.until("not all are counted", func() bool {
		return strings.Contains(text(w.link(ns, "v0"), "RoutingTables"), `"Count":5000`)
	})
	took := time.Since(start)
	after, _ := w.counts()
	if most := 10 + int(took/listsPause)*2; after-commits > most {
		t.Errorf("%d commits for one burst in %v, want at most %d", after-commits, took, most)
	}
	v, _ := w.link(ns, "v0").Field("RoutingTables")
	for table := range v.All() {
		id, _ := table.Object().Get("ID")
		routes, _ := table.Object().Get("Routes")
		if id.Int() == 100 && routes.Len() != 100 {
			t.Errorf("%d routes are shown", routes.Len())
		}
	}
}

func TestNeighbours(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ns.IP("link", "set", "v0", "up")
	w := watch(t)
	w.link(ns, "v0")
	ns.IP("neighbour", "add", "10.1.0.7", "lladdr", "02:00:00:00:00:07", "dev", "v0", "nud", "permanent")
	index := text(w.link(ns, "v0"), "IfIndex")
	w.value(ns, "v0", "Neighbors",
		`[{"IP":"10.1.0.7","IfIndex":`+index+`,"MAC":"02:00:00:00:00:07","State":["NUD_PERMANENT"]}]`)
	ns.IP("neighbour", "del", "10.1.0.7", "dev", "v0")
	w.value(ns, "v0", "Neighbors", "")
}

// A neighbour that is asked for again and again stays what it is.
func TestNeighbourChurnIsNoChange(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ns.IP("link", "set", "v0", "up")
	w := watch(t)
	ns.IP("neighbour", "add", "10.1.0.7", "lladdr", "02:00:00:00:00:07", "dev", "v0", "nud", "stale")
	w.until("no neighbour", func() bool { return strings.Contains(text(w.link(ns, "v0"), "Neighbors"), "NUD_STALE") })
	w.quiet(ns)
	before := w.link(ns, "v0").Revision()
	for _, state := range []string{"reachable", "stale", "delay", "reachable", "probe", "reachable"} {
		ns.IP("neighbour", "change", "10.1.0.7", "lladdr", "02:00:00:00:00:07", "dev", "v0", "nud", state)
	}
	// What comes after the churn shows that the churn was taken.
	ns.IP("link", "set", "v0", "mtu", "1300")
	w.value(ns, "v0", "MTU", "1300")
	if after := w.link(ns, "v0").Revision(); after > before+1 {
		t.Errorf("revision went from %d to %d", before, after)
	}
}

func TestForwardingDatabase(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "br0", "type", "bridge")
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ns.IP("link", "set", "v0", "master", "br0", "up")
	ns.IP("link", "add", "vx0", "type", "vxlan", "id", "9", "dstport", "4789", "local", "10.0.0.1")
	w := watch(t)
	w.link(ns, "v0")
	ns.Bridge("fdb", "add", "02:00:00:00:00:09", "dev", "v0", "master", "static")
	w.until("no entry", func() bool {
		return strings.Contains(text(w.link(ns, "v0"), "FDB"), `"MAC":"02:00:00:00:00:09"`)
	})
	ns.Bridge("fdb", "append", "00:00:00:00:00:00", "dev", "vx0", "dst", "10.0.0.2")
	w.until("no remote", func() bool {
		return strings.Contains(text(w.link(ns, "vx0"), "FDB"), `"IP":"10.0.0.2"`)
	})
	ns.Bridge("fdb", "del", "02:00:00:00:00:09", "dev", "v0", "master")
	w.until("the entry stays", func() bool {
		return !strings.Contains(text(w.link(ns, "v0"), "FDB"), "02:00:00:00:00:09")
	})
}

func TestVXLANPeers(t *testing.T) {
	a, b := testenv.NewNamespace(t), testenv.NewNamespace(t)
	w := watch(t)
	a.IP("link", "add", "vx", "type", "vxlan", "id", "77", "dstport", "4789", "local", "10.0.0.1", "remote", "10.0.0.2")
	b.IP("link", "add", "u", "type", "veth", "peer", "name", "u1")
	b.IP("link", "add", "vx", "type", "vxlan", "id", "77", "dstport", "4789", "dev", "u")
	va, vb := w.link(a, "vx"), w.link(b, "vx")
	peers := func() bool { return w.edge(va, vb, vxlanPeers) || w.edge(vb, va, vxlanPeers) }
	b.IP("address", "add", "10.0.0.2/24", "dev", "u")
	w.until("no edge between the ends", peers)
	w.until("no edge from below", func() bool { return w.edge(w.link(b, "u"), vb, "vxlan") })
	b.IP("address", "del", "10.0.0.2/24", "dev", "u")
	w.until("the edge stays", func() bool { return !peers() })
}

func TestCounters(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ns.IP("address", "add", "10.1.0.1/24", "dev", "v0")
	ns.IP("link", "set", "v0", "up")
	ns.IP("link", "set", "v1", "up")
	w := watch(t, func(e *probe.Env) { e.Settings.Linux.MetricInterval = 320 * time.Millisecond })
	number := func(key string) int64 {
		v, _ := w.link(ns, "v0").Field(key)
		return v.Int()
	}
	w.until("no Metric", func() bool { return number("Metric.Last") > 0 })
	before := number("Metric.TxBytes")
	ns.Do(sendBroadcast)
	w.until("counters do not move", func() bool { return number("Metric.TxBytes") > before })
	w.until("no LastUpdateMetric", func() bool { return number("LastUpdateMetric.TxPackets") > 0 })
	if start, last := number("LastUpdateMetric.Start"), number("LastUpdateMetric.Last"); start == 0 || last <= start {
		t.Errorf("LastUpdateMetric is from %d to %d", start, last)
	}
}

func sendBroadcast() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
		return err
	}
	return unix.Sendto(fd, []byte("hello"), 0, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{10, 1, 0, 255}})
}

func TestDifference(t *testing.T) {
	a := graph.NewMetadata(graph.F("A", graph.Int(1)), graph.F("B", graph.Int(2)), graph.F("C", graph.Int(3)))
	b := graph.NewMetadata(graph.F("B", graph.Int(2)), graph.F("C", graph.Int(4)), graph.F("D", graph.Int(5)))
	ops := difference(a, b)
	if len(ops) != 3 || ops[0].Path != "C" || ops[1].Path != "D" || ops[2].Path != "A" || ops[2].Value.Kind() != graph.KindRemoved {
		t.Errorf("%+v", ops)
	}
	if ops := difference(b, b); len(ops) != 0 {
		t.Errorf("nothing changed: %+v", ops)
	}
}
