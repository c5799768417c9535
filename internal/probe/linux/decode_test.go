package linux

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
)

// attr makes one netlink attribute.
func attr(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func native(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func TestDecodeAddress(t *testing.T) {
	b := append([]byte{unix.AF_INET, 24, unix.IFA_F_SECONDARY, 0}, native(7)...)
	b = append(b, attr(unix.IFA_ADDRESS, 10, 0, 0, 9)...) // the peer
	b = append(b, attr(unix.IFA_LOCAL, 10, 0, 0, 1)...)
	a, ok := decodeAddress(b)
	want := address{index: 7, prefix: netip.MustParsePrefix("10.0.0.1/24"), secondary: true}
	if !ok || a != want {
		t.Errorf("%+v %v, want %+v", a, ok, want)
	}
	b[1] = 33
	if a, ok := decodeAddress(b); ok {
		t.Errorf("33 bits of an IPv4 address: %+v", a)
	}
}

func TestDecodeNeighbour(t *testing.T) {
	b := append([]byte{unix.AF_INET, 0, 0, 0}, native(7)...)
	b = append(b, unix.NUD_REACHABLE, 0, unix.NTF_ROUTER, 0)
	b = append(b, attr(unix.NDA_DST, 10, 0, 0, 1)...)
	b = append(b, attr(unix.NDA_LLADDR, 2, 0, 0, 0, 0, 1)...)
	n, ok := decodeNeighbour(b)
	if !ok || n.index != 7 || n.key.ip != netip.MustParseAddr("10.0.0.1") || macString(n.mac) != "02:00:00:00:00:01" || !n.kept() {
		t.Errorf("%+v %v", n, ok)
	}
	got := n.value().String()
	want := `{"Flags":["NTF_ROUTER"],"IP":"10.0.0.1","IfIndex":7,"MAC":"02:00:00:00:00:01","State":["NUD_REACHABLE"]}`
	if got != want {
		t.Errorf("shown as %s", got)
	}
}

func TestNeighbourStatesHaveClasses(t *testing.T) {
	n := neighbour{index: 1, mac: "123456", state: unix.NUD_REACHABLE}
	for _, c := range []struct {
		state uint16
		same  bool
	}{
		{unix.NUD_STALE, true},
		{unix.NUD_DELAY, true},
		{unix.NUD_PROBE, true},
		{unix.NUD_FAILED, false},
		{unix.NUD_INCOMPLETE, false},
		{unix.NUD_PERMANENT, false},
	} {
		other := n
		other.state = c.state
		if n.same(other) != c.same {
			t.Errorf("REACHABLE and %#x are the same: %v", c.state, !c.same)
		}
	}
	moved := n
	moved.mac = "654321"
	if n.same(moved) {
		t.Error("another MAC is no change")
	}
}

func TestDecodeRoute(t *testing.T) {
	b := []byte{unix.AF_INET, 16, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, 0, unix.RTN_UNICAST, 0, 0, 0, 0}
	b = append(b, attr(unix.RTA_DST, 10, 9, 0, 0)...)
	b = append(b, attr(unix.RTA_TABLE, native(1000)...)...)
	b = append(b, attr(unix.RTA_PRIORITY, native(5)...)...)
	first := append([]byte{16, 0, 0, 0}, native(2)...)
	first = append(first, attr(unix.RTA_GATEWAY, 10, 0, 0, 1)...)
	second := append([]byte{16, 0, 0, 0}, native(3)...)
	second = append(second, attr(unix.RTA_GATEWAY, 10, 0, 0, 2)...)
	b = append(b, attr(unix.RTA_MULTIPATH, append(first, second...)...)...)
	r, ok := decodeRoute(b)
	want := []hop{{netip.MustParseAddr("10.0.0.1"), 2}, {netip.MustParseAddr("10.0.0.2"), 3}}
	if !ok || r.table != 1000 || r.priority != 5 || !slices.Equal(r.hops, want) {
		t.Errorf("%+v %v", r, ok)
	}
	all := make(tables)
	all.add(r)
	values := all.values(10)
	const shown = `[{"ID":1000,"Routes":[{"NextHops":[` +
		`{"IP":"10.0.0.1","IfIndex":2,"Priority":5},{"IP":"10.0.0.2","IfIndex":3,"Priority":5}],` +
		`"Prefix":"10.9.0.0/16","Protocol":3}]}]`
	for _, index := range []int{2, 3} {
		if got := values[index].String(); got != shown {
			t.Errorf("link %d shows %s", index, got)
		}
	}
	binary.NativeEndian.PutUint32(b[8:], unix.RTM_F_CLONED)
	if _, ok := decodeRoute(b); ok {
		t.Error("a cached route is taken")
	}
}

func TestRoutesToNowhereAreTheLoopbacks(t *testing.T) {
	all := make(tables)
	all.add(route{table: 254, prefix: netip.MustParsePrefix("0.0.0.0/0"), kind: unix.RTN_BLACKHOLE, hops: []hop{{}}})
	got := all.values(10)[loopback].String()
	want := `[{"ID":254,"Routes":[{"NextHops":[{"IfIndex":0,"Priority":0}],"Prefix":"0.0.0.0/0","Protocol":0,"Type":"blackhole"}]}]`
	if got != want {
		t.Errorf("%s", got)
	}
}

func TestRoutesDoNotDependOnTheirOrder(t *testing.T) {
	routes := []route{
		{table: 254, prefix: netip.MustParsePrefix("10.0.0.0/8"), hops: []hop{{index: 2}}},
		{table: 254, prefix: netip.MustParsePrefix("10.0.0.0/8"), priority: 9, hops: []hop{{index: 2}}},
		{table: 10, prefix: netip.MustParsePrefix("fd00::/8"), hops: []hop{{index: 2}}},
	}
	show := func() string {
		all := make(tables)
		for _, r := range routes {
			all.add(r)
		}
		return all.values(10)[2].String()
	}
	before := show()
	slices.Reverse(routes)
	if after := show(); after != before {
		t.Errorf("%s\n%s", before, after)
	}
}

func TestDecodeProcess(t *testing.T) {
	event := func(what uint32, ids ...uint32) []byte {
		head := make([]byte, connectorHeader)
		binary.NativeEndian.PutUint32(head, connectorProcesses)
		binary.NativeEndian.PutUint32(head[4:], connectorProcesses)
		b := slices.Concat(head, native(what), make([]byte, 12))
		for _, id := range ids {
			b = append(b, native(id)...)
		}
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		pid  int
		ok   bool
	}{
		{"fork", event(processFork, 1, 1, 7, 7), 7, true},
		{"thread", event(processFork, 1, 1, 8, 7), 0, false},
		{"exec", event(processExec, 7, 7), 7, true},
		{"exit", event(processExit, 7, 7, 0, 0), 7, true},
		{"answer", event(0, 0), 0, false},
		{"cut", event(processFork, 1, 1), 0, false},
	} {
		e, ok := decodeProcess(c.b)
		if ok != c.ok || ok && e.pid != c.pid {
			t.Errorf("%s: %+v %v", c.name, e, ok)
		}
	}
}

func TestSamplesShareTheirNames(t *testing.T) {
	s := newSamplers()
	var c counters
	c[0], c[2], c[12] = 1, 100, 7 // RxPackets, RxBytes, RxCrcErrors
	a, b := s.sample(c, 1, 2), s.sample(c, 2, 3)
	if &a.Names[0] != &b.Names[0] {
		t.Error("two samples of the same counters have two lists of names")
	}
	if !slices.IsSorted(a.Names) || !slices.Contains(a.Names, "RxCrcErrors") || slices.Contains(a.Names, "TxFifoErrors") {
		t.Errorf("names are %v", a.Names)
	}
	for i, name := range a.Names {
		want := map[string]int64{"RxPackets": 1, "RxBytes": 100, "RxCrcErrors": 7}[name]
		if a.Values[i] != want {
			t.Errorf("%s is %d, want %d", name, a.Values[i], want)
		}
	}
}

// FuzzDecode feeds every decoder of messages.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(append([]byte{unix.AF_INET, 24, 0, 0}, native(7)...), attr(unix.IFA_LOCAL, 10, 0, 0, 1)...))
	f.Add(append([]byte{unix.AF_INET, 16, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0}, attr(unix.RTA_MULTIPATH, 8, 0, 0, 0, 1, 0, 0, 0)...))
	f.Add(append(make([]byte, unix.SizeofIfInfomsg), attr(unix.IFLA_STATS64, make([]byte, 200)...)...))
	f.Add(append(make([]byte, 4), attr(unix.NETNSA_NSID, native(7)...)...))
	seed := maphash.MakeSeed()
	f.Fuzz(func(t *testing.T, b []byte) {
		for m := range messages(b) {
			_ = m.data
		}
		if a, ok := decodeAddress(b); ok && !a.prefix.IsValid() {
			t.Errorf("address %+v", a)
		}
		if n, ok := decodeNeighbour(b); ok {
			_ = n.value()
		}
		if r, ok := decodeRoute(b); ok {
			if !r.prefix.IsValid() || len(r.hops) == 0 {
				t.Errorf("route %+v", r)
			}
			all := make(tables)
			all.add(r)
			_ = all.values(1)
		}
		_, _, _ = decodeStats(b, seed)
		_, _ = decodeLinkIndex(b)
		_, _ = decodeProcess(b)
		_, _ = freedID(b)
		_ = senderID(b)
	})
}

func FuzzDecodeLink(f *testing.F) {
	info := attr(unix.IFLA_INFO_KIND, []byte("veth\x00")...)
	named := attr(unix.IFLA_IFNAME, []byte("v0\x00")...)
	f.Add(slices.Concat(make([]byte, unix.SizeofIfInfomsg), named, attr(unix.IFLA_LINKINFO, info...)))
	f.Add(slices.Concat(make([]byte, unix.SizeofIfInfomsg), named, attr(unix.IFLA_MTU, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := decodeLink(b); ok && s.name == "" {
			t.Errorf("%+v", s)
		}
	})
}

// A link that the netlink library cannot read is shown without what is special to it.
func TestLinkWithAShortAttribute(t *testing.T) {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], 7)
	b = slices.Concat(b, attr(unix.IFLA_IFNAME, []byte("v0\x00")...), attr(unix.IFLA_MTU, 1), attr(unix.IFLA_MASTER, native(3)...))
	s, ok := decodeLink(b)
	if !ok || s.name != "v0" || s.index != 7 || s.master != 3 || s.kind != "device" {
		t.Errorf("%+v %v", s, ok)
	}
}

func TestFlagNames(t *testing.T) {
	got := flagNames(unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOOPBACK)
	if !slices.Equal(got, []string{"UP", "LOOPBACK", "RUNNING"}) {
		t.Errorf("%v", got)
	}
}

func TestAddressesAreOrdered(t *testing.T) {
	l := &loop{}
	a := address{prefix: netip.MustParsePrefix("10.0.0.9/24")}
	b := address{prefix: netip.MustParsePrefix("10.0.0.1/24"), secondary: true}
	c := address{prefix: netip.MustParsePrefix("fd00::1/64")}
	for _, order := range [][]address{{a, b, c}, {c, b, a}, {b, a, c, b}} {
		k := &link{}
		for _, x := range order {
			l.putAddress(k, x)
		}
		if !slices.Equal(k.addresses, []address{a, c, b}) {
			t.Errorf("%v", k.addresses)
		}
		if v4 := k.addressStrings(true); !slices.Equal(v4, []string{"10.0.0.9/24", "10.0.0.1/24"}) {
			t.Errorf("%v", v4)
		}
	}
}

func TestNeighbourListsAreCut(t *testing.T) {
	entries := make(map[neighbourKey]neighbour)
	for i := range 10 {
		key := neighbourKey{ip: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}
		entries[key] = neighbour{index: 1, key: key, state: unix.NUD_PERMANENT}
	}
	if v := neighbourValues(entries, 3); v.Len() != 3 {
		t.Errorf("%v", v)
	}
	if v := neighbourValues(nil, 3); v.Kind() != graph.KindAbsent {
		t.Errorf("no neighbours are %v", v)
	}
}
