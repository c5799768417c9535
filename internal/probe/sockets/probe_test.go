package sockets

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/testenv"
)

// A world is a running probe and the graph with the host's node on which it writes.
type world struct {
	t     testing.TB
	graph *graph.Graph

	mu      sync.Mutex
	commits int
	changes int
}

func watch(t testing.TB, change ...func(*probe.Env)) *world {
	t.Helper()
	testenv.Root(t)
	w := &world{t: t, graph: graph.New(graph.Options{})}
	w.putHost()
	env := probe.Env{Host: "h", Registry: prometheus.NewRegistry()}
	env.Settings.Sockets.Interval = 20 * time.Millisecond
	env.Settings.Sockets.Limit = 100_000
	for _, f := range change {
		f(&env)
	}
	p, err := New(env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, w) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run does not end")
		}
	})
	return w
}

func (w *world) putHost() {
	host := graph.Event{Op: graph.PutNode, ID: probe.GenID("h", "host"), Host: "h", Metadata: graph.NewMetadata(graph.F("Type", graph.String("host")))}
	if _, err := w.graph.Apply(&graph.Batch{Origin: "linux@h", Events: []graph.Event{host}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) Commit(events ...graph.Event) { w.take(events, false) }

func (w *world) Replace(events []graph.Event) { w.take(events, true) }

func (w *world) take(events []graph.Event, whole bool) {
	result, err := w.graph.Apply(&graph.Batch{Origin: "sockets@h", Events: events, Snapshot: whole})
	if err != nil {
		w.t.Errorf("batch: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commits++
	w.changes += result.Changes
}

// shown gives the sockets of this process that are in the graph, a line each without the process.
func (w *world) shown() []string {
	var lines []string
	for _, s := range w.list() {
		if field(s, "Pid") == strconv.Itoa(os.Getpid()) {
			lines = append(lines, line(s))
		}
	}
	return lines
}

func (w *world) list() []graph.Metadata {
	n, ok := w.graph.View().Node(probe.GenID("h", "host"))
	if !ok {
		return nil
	}
	v, _ := n.Field("Sockets")
	var all []graph.Metadata
	for item := range v.All() {
		all = append(all, item.Object())
	}
	return all
}

func field(m graph.Metadata, key string) string {
	v, _ := m.Get(key)
	return v.String()
}

func line(m graph.Metadata) string {
	return fmt.Sprintf("%s %s:%s %s:%s %s", field(m, "Protocol"), field(m, "LocalAddress"), field(m, "LocalPort"),
		field(m, "RemoteAddress"), field(m, "RemotePort"), field(m, "State"))
}

// await waits until all lines are shown.
func (w *world) await(lines ...string) {
	w.t.Helper()
	testenv.Eventually(w.t, 10*time.Second, func() string {
		got := w.shown()
		for _, want := range lines {
			if !slices.Contains(got, want) {
				return "no " + want + " in\n" + strings.Join(got, "\n")
			}
		}
		return ""
	})
}

func listen(t testing.TB, ns *testenv.Namespace, network, address string) net.Listener {
	t.Helper()
	var l net.Listener
	ns.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), network, address)
		return err
	})
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t testing.TB, ns *testenv.Namespace, network, address string) net.Conn {
	t.Helper()
	var c net.Conn
	ns.Do(func() (err error) {
		c, err = (&net.Dialer{}).DialContext(t.Context(), network, address)
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c
}

func accept(t testing.TB, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func port(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

func TestSocketsOfANamespaceAreShownWithTheirProcess(t *testing.T) {
	ns := testenv.NewNamespace(t)
	four := listen(t, ns, "tcp4", "127.0.0.1:0")
	client := dial(t, ns, "tcp4", four.Addr().String())
	accept(t, four)
	six := listen(t, ns, "tcp6", "[::1]:0")
	both := listen(t, ns, "tcp", ":0") // [::] serves IPv4 as well
	mapped := dial(t, ns, "tcp4", "127.0.0.1:"+port(both.Addr()))
	accept(t, both)
	datagrams := dial(t, ns, "udp4", "127.0.0.1:5353")

	w := watch(t)
	w.await(
		"TCP 127.0.0.1:"+port(four.Addr())+" 0.0.0.0:0 LISTEN",
		"TCP "+client.LocalAddr().String()+" "+four.Addr().String()+" ESTABLISHED",
		"TCP "+four.Addr().String()+" "+client.LocalAddr().String()+" ESTABLISHED",
		"TCP ::1:"+port(six.Addr())+" :::0 LISTEN",
		"TCP :::"+port(both.Addr())+" :::0 LISTEN",
		"TCP 127.0.0.1:"+port(both.Addr())+" "+mapped.LocalAddr().String()+" ESTABLISHED",
		"UDP "+datagrams.LocalAddr().String()+" 127.0.0.1:5353 ESTABLISHED",
	)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range w.list() {
		if field(s, "LocalPort") != port(four.Addr()) {
			continue
		}
		if field(s, "Process") != program || field(s, "Name") != strings.TrimSpace(string(name)) {
			t.Errorf("the listener's process is %s, named %s", field(s, "Process"), field(s, "Name"))
		}
		if got := field(s, "NetNS"); got != strconv.FormatUint(ns.Inode(), 10) {
			t.Errorf("the listener is in the namespace %s, want %d", got, ns.Inode())
		}
	}
}

// The probe's own namespace is the host's, and has no number.
func TestASocketOfTheHostHasNoNamespace(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := watch(t)
	w.await("TCP " + l.Addr().String() + " 0.0.0.0:0 LISTEN")
	for _, s := range w.list() {
		if _, ok := s.Get("NetNS"); ok && field(s, "LocalPort") == port(l.Addr()) && field(s, "Pid") == strconv.Itoa(os.Getpid()) {
			t.Errorf("the listener is in the namespace %s", field(s, "NetNS"))
		}
	}
}

func TestSocketsComeAndGo(t *testing.T) {
	ns := testenv.NewNamespace(t)
	w := watch(t)
	l := listen(t, ns, "tcp4", "127.0.0.1:0")
	want := "TCP " + l.Addr().String() + " 0.0.0.0:0 LISTEN"
	w.await(want)
	client := dial(t, ns, "tcp4", l.Addr().String())
	w.await("TCP " + client.LocalAddr().String() + " " + l.Addr().String() + " ESTABLISHED")
	server := accept(t, l)
	server.Close()
	w.await("TCP " + client.LocalAddr().String() + " " + l.Addr().String() + " CLOSE_WAIT")
	l.Close()
	testenv.Eventually(t, 10*time.Second, func() string {
		if slices.Contains(w.shown(), want) {
			return "the closed listener is still shown"
		}
		return ""
	})
}

func TestWhatHasNotChangedMakesNoEvent(t *testing.T) {
	ns := testenv.NewNamespace(t)
	l := listen(t, ns, "tcp4", "127.0.0.1:0")
	r := newReader(probe.Env{Host: "h"}.WithDefaults())
	r.dirs = []string{testenv.NamespaceDir}
	var commits int
	testenv.Eventually(t, 10*time.Second, func() string { // others on this machine open sockets, too
		changed, err := r.read()
		commits++
		if err != nil || changed {
			return fmt.Sprintf("reading %d: changed %v, %v", commits, changed, err)
		}
		return ""
	})
	if len(r.shown) == 0 || !slices.ContainsFunc(r.shown, func(s row) bool { return s.local.String() == l.Addr().String() }) {
		t.Errorf("the listener is not among %d sockets", len(r.shown))
	}
}

func TestALateHostNodeGetsTheSockets(t *testing.T) {
	ns := testenv.NewNamespace(t)
	l := listen(t, ns, "tcp4", "127.0.0.1:0")
	w := watch(t)
	want := "TCP " + l.Addr().String() + " 0.0.0.0:0 LISTEN"
	w.await(want)
	if _, err := w.graph.Apply(&graph.Batch{Origin: "linux@h", Events: []graph.Event{{Op: graph.DeleteNode, ID: probe.GenID("h", "host")}}}); err != nil {
		t.Fatal(err)
	}
	w.putHost()
	w.await(want)
}

func TestALimitIsKeptAndTheRestCounted(t *testing.T) {
	ns := testenv.NewNamespace(t)
	l := listen(t, ns, "tcp4", "127.0.0.1:0")
	for range 5 {
		dial(t, ns, "tcp4", l.Addr().String())
		accept(t, l)
	}
	const limit = 3
	w := watch(t, func(e *probe.Env) { e.Settings.Sockets.Limit = limit })
	testenv.Eventually(t, 10*time.Second, func() string {
		n, _ := w.graph.View().Node(probe.GenID("h", "host"))
		count, _ := n.Field("SocketsCount")
		if got := len(w.list()); got != limit || count.Int() < 11 {
			return fmt.Sprintf("%d sockets are shown of %v", got, count)
		}
		return ""
	})
}

// A container's namespace has no name: its process leads to it.
func TestNamespacesOfProcessesAreFound(t *testing.T) {
	testenv.Root(t)
	child := exec.CommandContext(t.Context(), "sleep", "60")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	ns := testenv.NewNamespace(t)
	pids, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	all := places([]string{testenv.NamespaceDir}, pids)
	path := fmt.Sprintf("/proc/%d/ns/net", child.Process.Pid)
	if !slices.ContainsFunc(all, func(p place) bool { return p.path == path }) {
		t.Errorf("no %s among %v", path, all)
	}
	if !slices.ContainsFunc(all, func(p place) bool { return p.path == ns.Path && p.inode == ns.Inode() }) {
		t.Errorf("no %s among %v", ns.Path, all)
	}
	seen := map[uint64]bool{}
	for _, p := range all {
		if seen[p.inode] {
			t.Errorf("namespace %d is there twice", p.inode)
		}
		seen[p.inode] = true
	}
}

func TestAVisitComesBackAndSkipsWhatHasGone(t *testing.T) {
	ns := testenv.NewNamespace(t)
	l := listen(t, ns, "tcp4", "127.0.0.1:0")
	found, refused, err := visit([]place{
		{"/proc/1/ns/no-such", 1},
		{ns.Path, ns.Inode() + 1}, // another one is there now
		{ns.Path, ns.Inode()},
	})
	if refused != nil || err != nil {
		t.Errorf("refused: %v, error: %v", refused, err)
	}
	if len(found) != 1 || found[0].local.String() != l.Addr().String() || found[0].state != stateListen {
		t.Errorf("found %+v, want only %v", found, l.Addr())
	}
}

// BenchmarkReading is what one reading costs on this machine when nothing changes.
func BenchmarkReading(b *testing.B) {
	testenv.Root(b)
	r := newReader(probe.Env{Host: "h"}.WithDefaults())
	if _, err := r.read(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.read(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(r.total), "sockets")
	b.ReportMetric(float64(r.owners.walks), "walks")
}
