package linux

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/testenv"
)

// Namespaces that are there at the start are all in the first Replace, soon; those that
// come later are followed; and doing nothing costs next to nothing.
func TestManyNamespaces(t *testing.T) {
	n, limit := 200, 2*time.Second
	if testenv.Soak() {
		n, limit = 1000, 5*time.Second
	}
	host := testenv.NewNamespace(t)
	spaces := testenv.NewNamespaces(t, n)
	var lines []string
	for i, ns := range spaces {
		lines = append(lines, fmt.Sprintf("link add h%d type veth peer name eth0 netns %s", i, ns.Name))
	}
	host.IPBatch(lines...)

	start := time.Now()
	w := watch(t)
	w.until("not all are shown", func() bool {
		found := 0
		v := w.graph.View()
		for e := range v.Edges() {
			if kind, _ := e.Field("Type"); kind.Str() == "veth" {
				found++
			}
		}
		return found >= n && len(w.links(host.Name)) == n+1
	})
	took := time.Since(start)
	t.Logf("%d namespaces with a veth pair each shown after %v", n, took)
	if took > limit {
		t.Errorf("that is more than %v", limit)
	}

	// Doing nothing is what is measured, over more than a turn of reading counters. Other
	// tests on this machine make events of their own: the best of some rounds counts.
	idle := 1.0
	for range 3 {
		before, since := cpu(t), time.Now()
		<-time.After(2500 * time.Millisecond)
		idle = min(idle, float64(cpu(t)-before)/float64(time.Since(since)))
		if idle < 0.02 {
			break
		}
	}
	t.Logf("idle: %.2f%% of a core", 100*idle)
	if idle > 0.02 {
		t.Errorf("that is more than 2%%")
	}

	start = time.Now()
	for _, ns := range spaces {
		ns.Delete()
	}
	testenv.Eventually(t, time.Minute, func() string {
		if left := len(w.links(host.Name)); left > 1 {
			return fmt.Sprintf("%d links are left", left)
		}
		return ""
	})
	t.Logf("gone after %v", time.Since(start))
}

// cpu is the time that this process has used.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// A change is at the Sink soon after the kernel made it.
func TestLatency(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	sink := &mtuSink{seen: make(chan int64, 64)}
	p, err := New(probe.Env{Host: "h", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, sink) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	timeout := time.After(10 * time.Second)
	wait := func(mtu int64) {
		t.Helper()
		for {
			select {
			case got := <-sink.seen:
				if got == mtu {
					return
				}
			case <-timeout:
				t.Fatalf("MTU %d is not seen", mtu)
			}
		}
	}
	var all []time.Duration
	set := func(mtu int32) (start time.Time) {
		ns.Do(func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			request, err := unix.NewIfreq("v0")
			if err != nil {
				return err
			}
			request.SetUint32(uint32(mtu))
			start = time.Now()
			return unix.IoctlIfreq(fd, unix.SIOCSIFMTU, request)
		})
		return start
	}
	// The first one waits for the first Replace.
	set(1250)
	wait(1250)
	for mtu := int32(1300); mtu < 1350; mtu++ {
		start := set(mtu)
		wait(int64(mtu))
		all = append(all, time.Since(start))
	}
	slices.Sort(all)
	t.Logf("median %v, most %v", all[len(all)/2], all[len(all)-1])
	if median := all[len(all)/2]; median > 20*time.Millisecond {
		t.Errorf("the median of the delays is %v", median)
	}
}

// An mtuSink tells of every MTU that is said.
type mtuSink struct{ seen chan int64 }

func (s *mtuSink) Replace(events []graph.Event) { s.Commit(events...) }
func (s *mtuSink) Commit(events ...graph.Event) {
	for _, e := range events {
		say := func(v graph.Value) {
			select {
			case s.seen <- v.Int():
			default: // nobody waits for so many
			}
		}
		for _, op := range e.Patch {
			if op.Path == "MTU" {
				say(op.Value)
			}
		}
		if name, ok := e.Metadata.Get("Name"); ok && name.Str() == "v0" {
			mtu, _ := e.Metadata.Get("MTU")
			say(mtu)
		}
	}
}

// A link's tables of 100,000 routes are said once for a burst, and soon.
func TestManyRoutes(t *testing.T) {
	n := 10_000
	if testenv.Soak() {
		n = 100_000
	}
	ns := testenv.NewNamespace(t)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ns.IP("address", "add", "10.1.0.1/16", "dev", "v0")
	ns.IPBatch("link set v0 up", "link set v1 up")
	w := watch(t)
	w.link(ns, "v0")
	w.quiet(ns)
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf("route add 11.%d.%d.%d/32 via 10.1.0.254", i>>16, i>>8&255, i&255))
	}
	before, used := w.link(ns, "v0").Revision(), cpu(t)
	start := time.Now()
	ns.IPBatch(lines...)
	made := time.Since(start)
	testenv.Eventually(t, 20*time.Second, func() string {
		v, _ := w.link(ns, "v0").Field("RoutingTables")
		for table := range v.All() {
			if count, _ := table.Object().Get("Count"); count.Int() >= int64(n) {
				return ""
			}
		}
		return "not all routes are counted"
	})
	t.Logf("%d routes made in %v, counted %v after, %d revisions, %v of CPU", n, made, time.Since(start)-made,
		w.link(ns, "v0").Revision()-before, cpu(t)-used)
}
