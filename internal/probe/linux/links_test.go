package linux

import (
	"testing"

	"github.com/weft-net/weft/internal/testenv"
)

func TestHostAndItsLinks(t *testing.T) {
	w := watch(t)
	host := w.node("Type", "host")
	for _, key := range []string{"Name", "Hostname", "OS", "KernelVersion", "KernelCmdLine", "Platform", "CPU", "TID"} {
		if text(host, key) == "" {
			t.Errorf("the host has no %s: %v", key, host.Metadata().Map())
		}
	}
	if got := text(host, "NamespacesSeen"); got != "all" {
		t.Errorf("NamespacesSeen is %q", got)
	}
	for e, n := range w.graph.View().Out(host) {
		if text(n, "Name") == "lo" && relation(e) == "ownership" {
			if text(n, "IPV4") == "" || text(n, "EncapType") != "loopback" {
				t.Errorf("lo is %v", n.Metadata().Map())
			}
			return
		}
	}
	t.Error("the host owns no lo")
}

func TestNamespaceWithAVethPair(t *testing.T) {
	a, b := testenv.NewNamespace(t), testenv.NewNamespace(t)
	a.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", b.Name)
	w := watch(t)
	v0, v1 := w.link(a, "v0"), w.link(b, "v1")
	if text(v0, "Type") != "veth" || text(v0, "PeerIfIndex") != text(v1, "IfIndex") {
		t.Errorf("v0 is %v", v0.Metadata().Map())
	}
	w.until("no edge between the ends", func() bool { return w.edge(v0, v1, "veth") || w.edge(v1, v0, "veth") })
	w.value(a, "v0", "LinkNetNsName", b.Name)
	w.value(b, "v1", "LinkNetNsName", a.Name)
	w.agrees(a)
	w.agrees(b)
}
