package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNamespaceLivesAsLongAsItsTest(t *testing.T) {
	var path string
	t.Run("inner", func(t *testing.T) {
		ns := NewNamespace(t)
		path = ns.Path
		if out := ns.IP("link", "show", "lo"); !strings.Contains(out, "LOOPBACK,UP") {
			t.Fatalf("loopback is not up: %s", out)
		}
	})
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("%s is still there: %v", path, err)
	}
}

func TestManyNamespacesAreDistinct(t *testing.T) {
	seen := map[uint64]string{}
	for _, ns := range NewNamespaces(t, 10) {
		if other, ok := seen[ns.Inode()]; ok {
			t.Fatalf("%s and %s are one namespace", ns.Name, other)
		}
		seen[ns.Inode()] = ns.Name
	}
}

func TestDoRunsInTheNamespaceAndLeavesTheTestWhereItIs(t *testing.T) {
	ns := NewNamespace(t)
	inode := func(path string) uint64 {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}
	before := inode("/proc/thread-self/ns/net")
	var inside uint64
	ns.Do(func() error {
		inside = inode("/proc/thread-self/ns/net")
		return nil
	})
	if inside != ns.Inode() {
		t.Errorf("in namespace %d, want %d", inside, ns.Inode())
	}
	if after := inode("/proc/thread-self/ns/net"); after != before {
		t.Errorf("the test moved from namespace %d to %d", before, after)
	}
}

func TestSweepRemovesWhatAKilledRunLeft(t *testing.T) {
	Root(t)
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	stale := &Namespace{t: t}
	stale.Name = fmt.Sprintf("%s-%d-stale", namePrefix, dead.Process.Pid)
	stale.Path = filepath.Join(NamespaceDir, stale.Name)
	NewNamespace(t) // makes the directory
	if err := stale.create(); err != nil {
		t.Fatal(err)
	}
	mine := NewNamespace(t)
	if _, err := os.Stat(stale.Path); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", stale.Name, err)
	}
	if _, err := os.Stat(mine.Path); err != nil {
		t.Errorf("a living namespace was swept: %v", err)
	}
}

func TestLinksAreParsedAndCompared(t *testing.T) {
	ns := NewNamespace(t)
	ns.IP("link", "add", "br0", "type", "bridge")
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ns.IP("link", "set", "v0", "master", "br0", "mtu", "1400")
	ns.IP("address", "add", "10.1.2.3/24", "dev", "br0")
	links := Links(t, ns.Name)
	find := func(name string) Link {
		for _, l := range links {
			if l.Name == name {
				return l
			}
		}
		t.Fatalf("no link %s in %+v", name, links)
		return Link{}
	}
	if l := find("v0"); l.Type != "veth" || l.MTU != 1400 || l.Master != "br0" {
		t.Errorf("v0 is %+v", l)
	}
	if l := find("br0"); len(l.Addresses) != 1 || l.Addresses[0] != "10.1.2.3/24" {
		t.Errorf("br0 is %+v", l)
	}
	if l := find("lo"); l.Type != "device" || l.MAC != "" {
		t.Errorf("lo is %+v", l)
	}
	if diff := DiffLinks(links, links); diff != "" {
		t.Errorf("equal links differ: %s", diff)
	}
	other := append([]Link(nil), links[1:]...)
	other[0].MTU++
	if diff := DiffLinks(links, other); !strings.Contains(diff, "not seen") || !strings.Contains(diff, "seen as") {
		t.Errorf("diff is %q", diff)
	}
}

func TestBinaryRunsWithoutBeingInstalled(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := Command(ctx, t, "nats-server", "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "nats-server") {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestEventuallyMeasures(t *testing.T) {
	calls := 0
	took := Eventually(t, 5*time.Second, func() string {
		if calls++; calls < 3 {
			return "too few calls"
		}
		return ""
	})
	if calls != 3 || took <= 0 {
		t.Fatalf("%d calls in %v", calls, took)
	}
}
