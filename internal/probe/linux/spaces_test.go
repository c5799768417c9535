package linux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/testenv"
)

func TestNamespaceComesAndGoes(t *testing.T) {
	w := watch(t)
	ns := testenv.NewNamespace(t)
	n := w.node("Type", "netns", "Name", ns.Name)
	if text(n, "Path") != ns.Path || text(n, "Inode") != strconv.FormatUint(ns.Inode(), 10) {
		t.Errorf("the node is %v", n.Metadata().Map())
	}
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	w.link(ns, "v1")
	ids := []string{n.ID()}
	for _, link := range w.links(ns.Name) {
		ids = append(ids, link.ID())
	}
	ns.Delete()
	w.until("the namespace or a link of it stays", func() bool {
		for _, id := range ids {
			if _, ok := w.graph.View().Node(id); ok {
				return false
			}
		}
		return true
	})
}

// The probe does not keep a namespace alive: what is in it goes when its name goes.
func TestNamespaceIsNotPinned(t *testing.T) {
	w := watch(t)
	a, b := testenv.NewNamespace(t), testenv.NewNamespace(t)
	a.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", b.Name)
	w.link(b, "v1")
	a.Delete()
	took := w.until("the kernel keeps v1", func() bool { return len(testenv.Links(t, b.Name)) == 1 })
	w.until("v1 is still shown", func() bool { return len(w.links(b.Name)) == 1 })
	t.Logf("gone after %v", took)
}

func TestNamespaceOfAProcess(t *testing.T) {
	w := watch(t)
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill := func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	n := w.node("Type", "netns", "Pid", strconv.Itoa(cmd.Process.Pid))
	w.until("not named after its program", func() bool {
		n, _ = w.graph.View().Node(n.ID())
		return text(n, "Name") == fmt.Sprintf("sleep-%d", cmd.Process.Pid)
	})
	if text(n, "Path") != fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid) {
		t.Errorf("the node is %v", n.Metadata().Map())
	}
	kill()
	w.until("the namespace stays", func() bool {
		_, ok := w.graph.View().Node(n.ID())
		return !ok
	})
}

// With NamedOnly the namespaces of processes are left out.
func TestNamedNamespacesOnly(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	ns := testenv.NewNamespace(t)
	w := watch(t, func(e *probe.Env) { e.Settings.Linux.NamedOnly = true })
	w.node("Type", "netns", "Name", ns.Name)
	if n, ok := w.find("Type", "netns", "Pid", strconv.Itoa(cmd.Process.Pid)); ok {
		t.Errorf("it shows %v", n.Metadata().Map())
	}
}

// A namespace whose name is gone while a process is in it is named after the process.
func TestNamespaceOutlivesItsName(t *testing.T) {
	w := watch(t)
	ns := testenv.NewNamespace(t)
	n := w.node("Type", "netns", "Name", ns.Name)
	cmd := ns.Exec("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	w.until("sleep does not run", func() bool { return processName(cmd.Process.Pid) == "sleep" })
	ns.Delete()
	w.until("the process does not give the name", func() bool {
		n, ok := w.graph.View().Node(n.ID())
		return ok && text(n, "Name") == fmt.Sprintf("sleep-%d", cmd.Process.Pid)
	})
}

func TestLinkMovesBetweenNamespaces(t *testing.T) {
	a, b := testenv.NewNamespace(t), testenv.NewNamespace(t)
	w := watch(t)
	a.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	v0 := w.link(a, "v0")
	old := w.link(a, "v1")
	w.until("no edge", func() bool { return w.edge(v0, old, "veth") || w.edge(old, v0, "veth") })
	a.IP("link", "set", "v1", "netns", b.Name)
	v1 := w.link(b, "v1")
	w.until("no edge across", func() bool { return w.edge(v0, v1, "veth") || w.edge(v1, v0, "veth") })
	if _, ok := w.graph.View().Node(old.ID()); ok {
		t.Error("the link is still where it was")
	}
	w.agrees(a)
	w.agrees(b)
	b.IP("link", "set", "v1", "netns", a.Name)
	w.agrees(a)
	w.agrees(b)
	w.value(a, "v0", "LinkNetNsName", "")
}

// The same machine gives the same ids after a restart of the probe.
func TestIDsSurviveARestart(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ids := func(w *world) map[string]bool {
		w.agrees(ns)
		all := map[string]bool{w.node("Type", "host").ID(): true, w.node("Name", ns.Name).ID(): true}
		v0, v1 := w.link(ns, "v0"), w.link(ns, "v1")
		all[v0.ID()], all[v1.ID()] = true, true
		w.until("no edge", func() bool { return w.edge(v0, v1, "veth") || w.edge(v1, v0, "veth") })
		v := w.graph.View()
		for e := range v.Edges() {
			if all[e.Parent()] && all[e.Child()] {
				all[e.ID()] = true
			}
		}
		return all
	}
	first := watch(t)
	before := ids(first)
	first.stop()
	after := ids(watch(t))
	if len(before) != 8 || fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("before %v\nafter  %v", before, after)
	}
}

// What comes and goes fast is, in the end, what ip(8) shows.
func TestManyFastChanges(t *testing.T) {
	spaces := testenv.NewNamespaces(t, 3)
	w := watch(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	rounds := 300
	if testenv.Soak() {
		rounds = 5000
	}
	pick := func() *testenv.Namespace { return spaces[random.IntN(len(spaces))] }
	do := func(ns *testenv.Namespace, format string, args ...any) {
		_ = exec.Command("ip", strings.Fields("-n "+ns.Name+" "+fmt.Sprintf(format, args...))...).Run() // may not fit the state
	}
	for range rounds {
		ns, other, i := pick(), pick(), random.IntN(6)
		switch random.IntN(12) {
		case 0, 1:
			do(ns, "link add v%d type veth peer name p%d netns %s", i, i, other.Name)
		case 2:
			do(ns, "link add b%d type bridge", i)
		case 3:
			do(ns, "link set v%d master b%d", i, random.IntN(6))
		case 4:
			do(ns, "link set p%d netns %s", i, other.Name)
		case 5:
			do(ns, "link set v%d netns %s", i, other.Name)
		case 6:
			do(ns, "link del v%d", i)
		case 7:
			do(ns, "link del b%d", i)
		case 8:
			do(ns, "address add 10.%d.0.%d/24 dev v%d", i, 1+random.IntN(9), i)
		case 9:
			do(ns, "link set v%d up", i)
		case 10:
			do(ns, "link set p%d up mtu %d", i, 1300+random.IntN(100))
		case 11:
			do(ns, "link set v%d name w%d", i, random.IntN(6))
		}
	}
	for _, ns := range spaces {
		w.agrees(ns)
	}
	w.peersAgree(spaces)
}

func TestNamespacesInALoop(t *testing.T) {
	w := watch(t)
	for range 5 {
		var ids []string
		for range 4 {
			ns := testenv.NewNamespace(t)
			ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
			ids = append(ids, ns.Name)
			if len(ids)%2 == 0 {
				w.agrees(ns)
			}
			ns.Delete()
		}
		w.until("a namespace stays", func() bool {
			for _, name := range ids {
				if _, ok := w.find("Name", name); ok {
					return false
				}
			}
			return true
		})
	}
}

// Messages that the kernel dropped are made up for.
func TestOverrun(t *testing.T) {
	ns := testenv.NewNamespace(t)
	registry := newRegistry()
	w := watch(t, func(e *probe.Env) {
		e.Settings.Linux.ReceiveBuffer = 1 // the kernel makes it its smallest: 2 messages or so
		e.Registry = registry
	})
	w.node("Name", ns.Name)
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("link add o%d type veth peer name q%d", i, i), fmt.Sprintf("link set o%d up mtu 1400", i))
	}
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("link del o%d", i))
	}
	ns.IPBatch(lines...)
	w.agrees(ns)
	if registry.value(t, "weft_probe_linux_overruns_total") == 0 {
		t.Error("nothing was dropped: the test shows nothing")
	}
}

// A probe that ends leaves nothing behind, however much it was doing.
func TestStopInTheMiddle(t *testing.T) {
	before := descriptors(t)
	ns := testenv.NewNamespace(t)
	w := watch(t)
	for i := range 20 {
		ns.IP("link", "add", fmt.Sprintf("v%d", i), "type", "bridge")
	}
	start := time.Now()
	w.stop()
	if took := time.Since(start); took > time.Second {
		t.Errorf("Run took %v to end", took)
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// A probe that is to end before it has begun does so without a word.
func TestStopBeforeTheStart(t *testing.T) {
	p, err := New(probe.Env{Host: "h"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sink := &firstReplace{done: cancel}
	if err := p.Run(ctx, sink); err != nil || sink.events != nil {
		t.Errorf("Run: %v, said %v", err, sink.events)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Without root the probe shows its own namespace, and says so once.
func TestWithoutRoot(t *testing.T) {
	if os.Getenv("WEFT_TEST_WITHOUT_ROOT") != "" {
		runWithoutRoot()
		return
	}
	testenv.Root(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Another user may not be let to where the test was built.
	dir, err := os.MkdirTemp("/tmp", "weft-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "test")
	data, err := os.ReadFile(self)
	if err := errors.Join(err, os.WriteFile(binary, data, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.run=^TestWithoutRoot$")
	cmd.Env = append(os.Environ(), "WEFT_TEST_WITHOUT_ROOT=1")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text := string(out)
	if !strings.Contains(text, "sees own") || !strings.Contains(text, "link lo") || strings.Contains(text, "netns") {
		t.Errorf("it showed\n%s", text)
	}
	if strings.Count(text, "only the own network namespace is shown") != 1 {
		t.Errorf("it said\n%s", text)
	}
}

func runWithoutRoot() {
	var log bytes.Buffer
	p, err := New(probe.Env{Host: "h", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	sink := &firstReplace{done: cancel}
	if err := p.Run(ctx, sink); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, e := range sink.events {
		if e.Op != graph.PutNode {
			continue
		}
		kind, _ := e.Metadata.Get("Type")
		if kind.Str() == "host" {
			sees, _ := e.Metadata.Get("NamespacesSeen")
			fmt.Println("sees", sees)
			continue
		}
		name, _ := e.Metadata.Get("Name")
		if kind.Str() == "netns" {
			fmt.Println("netns", name)
		} else {
			fmt.Println("link", name)
		}
	}
	fmt.Print(log.String())
}

// firstReplace is a Sink that takes the first state and ends the probe.
type firstReplace struct {
	events []graph.Event
	done   func()
}

func (s *firstReplace) Commit(...graph.Event) {}
func (s *firstReplace) Replace(events []graph.Event) {
	s.events = events
	s.done()
}
