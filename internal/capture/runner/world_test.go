package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/capture/order"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/testenv"
	"github.com/weft-net/weft/skydive"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func eventually(t *testing.T, what string, check func() string) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() string {
		if text := check(); text != "" {
			return what + ": " + text
		}
		return ""
	})
}

// wire is a veth pair between two namespaces, and a graph that knows the near end.
type wire struct {
	t         *testing.T
	near, far *testenv.Namespace
	graph     *graph.Graph
	index     int
	socket    int
}

func newWire(t *testing.T) *wire {
	t.Helper()
	both := testenv.NewNamespaces(t, 2)
	w := &wire{t: t, near: both[0], far: both[1], graph: graph.New(graph.Options{}), socket: -1}
	w.apply("linux@h1",
		graph.Event{Op: graph.PutNode, ID: hostID(), Metadata: graph.NewMetadata(graph.F("Type", graph.String("host")))},
		graph.Event{Op: graph.PutNode, ID: "ns", Metadata: graph.NewMetadata(graph.F("Type", graph.String("netns")), graph.F("Path", graph.String(w.near.Path)))},
		owns(hostID(), "ns"))
	w.plug()
	t.Cleanup(func() { _ = unix.Close(w.socket) })
	return w
}

// hostID is the id of the node of host h1.
func hostID() string { return probe.GenID("h1", "host") }

func owns(parent, child string) graph.Event {
	return graph.Event{Op: graph.PutEdge, ID: parent + "-" + child, Parent: parent, Child: child, Metadata: graph.NewMetadata(graph.F("RelationType", graph.String("ownership")))}
}

func (w *wire) apply(origin string, events ...graph.Event) {
	w.t.Helper()
	if _, err := w.graph.Apply(&graph.Batch{Origin: origin, Events: events}); err != nil {
		w.t.Fatal(err)
	}
}

// plug makes the veth pair; the graph has its near end as node v0.
func (w *wire) plug() {
	w.t.Helper()
	w.link()
	w.show()
}

// link makes the pair, show tells the graph, and what the interface had counted when it was first heard of.
func (w *wire) link() {
	w.t.Helper()
	w.near.IP("link", "add", "v0", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "v1", "address", "02:00:00:00:00:02", "netns", w.far.Name)
	w.near.IP("addr", "add", "10.9.0.1/24", "dev", "v0")
	w.far.IP("addr", "add", "10.9.0.2/24", "dev", "v1")
	w.far.IP("link", "set", "v1", "addrgenmode", "none", "up")
	w.near.IP("link", "set", "v0", "addrgenmode", "none", "up")
	// What is sent passes at once, and not when ARP has had an answer.
	w.near.IP("neigh", "add", "10.9.0.2", "lladdr", "02:00:00:00:00:02", "dev", "v0")
	w.far.IP("neigh", "add", "10.9.0.1", "lladdr", "02:00:00:00:00:01", "dev", "v1")
	first, _, _ := strings.Cut(w.near.IP("-o", "link", "show", "v0"), ":")
	if _, err := fmt.Sscan(first, &w.index); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) show(counted ...int64) {
	w.t.Helper()
	events := []graph.Event{{Op: graph.PutNode, ID: "v0", Metadata: graph.NewMetadata(
		graph.F("Type", graph.String("veth")), graph.F("Name", graph.String("v0")), graph.F("IfIndex", graph.Int(int64(w.index))),
	)}, owns("ns", "v0")}
	for _, n := range counted {
		events = append(events, graph.Event{Op: graph.PutSample, ID: "v0", Counters: &graph.Counters{
			Prefix: "Metric", Names: []string{"RxPackets", "TxPackets"}, Values: []int64{n / 2, n - n/2}, Start: 1, Last: 1,
		}})
	}
	w.apply("linux@h1", events...)
}

// unplug takes the veth pair away, and then its node.
func (w *wire) unplug() {
	w.t.Helper()
	w.near.IP("link", "del", "v0")
	w.apply("linux@h1", graph.Event{Op: graph.DeleteNode, ID: "v0"})
}

// send sends n small datagrams through v0.
func (w *wire) send(n int) {
	w.t.Helper()
	w.near.Do(func() (err error) {
		if w.socket < 0 {
			if w.socket, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
				return err
			}
		}
		for range n {
			to := &unix.SockaddrInet4{Port: 7777, Addr: netip.MustParseAddr("10.9.0.2").As4()}
			// The far end answers that nobody listens, which the next sending is told.
			if err := unix.Sendto(w.socket, []byte("hello"), 0, to); err != nil && err != unix.ECONNREFUSED {
				return err
			}
		}
		return nil
	})
}

func (w *wire) counter() int64 {
	w.t.Helper()
	c, err := InterfaceCounters(w.near.Path, w.index)
	if err != nil {
		w.t.Fatal(err)
	}
	return int64(c.Packets)
}

// Commit and Replace make the wire's graph the sink of the runner.
func (w *wire) Commit(events ...graph.Event) { w.say(events, false) }

// Replace implements probe.Sink.
func (w *wire) Replace(events []graph.Event) { w.say(events, true) }

func (w *wire) say(events []graph.Event, whole bool) {
	if _, err := w.graph.Apply(&graph.Batch{Origin: "captures@h1", Snapshot: whole, Events: events}); err != nil {
		w.t.Error(err)
	}
}

// taker is an analyzer: it takes every batch once, and acknowledges it.
type taker struct {
	mu      sync.Mutex
	ack     func(spool, seq uint64)
	seen    map[[2]uint64]bool
	packets uint64 // newly counted by the reports taken
	raw     int    // packets kept, in them
	ended   int    // reports that say that a flow finished
	stats   int
	most    int // bytes of a batch, 0 = any
}

var errLong = errors.New("batch too long")

func newTaker() *taker { return &taker{seen: map[[2]uint64]bool{}} }

// later is the analyzer as another process of the agent meets it: it knows what it has.
func (k *taker) later() *taker {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &taker{seen: maps.Clone(k.seen), packets: k.packets, raw: k.raw, ended: k.ended, most: k.most}
}

// OnAck implements order.FlowPublisher.
func (k *taker) OnAck(f func(spool, seq uint64)) { k.ack = f }

// MostBytes implements order.FlowPublisher.
func (k *taker) MostBytes() int { return k.most }

// PublishFlows implements order.FlowPublisher.
func (k *taker) PublishFlows(_ context.Context, spool, seq uint64, payload []byte) error {
	if k.most > 0 && len(payload) > k.most {
		return errLong
	}
	var m flow.Message
	if err := m.DecodeProto(payload); err != nil {
		return err
	}
	k.mu.Lock()
	if !k.seen[[2]uint64{spool, seq}] {
		k.seen[[2]uint64{spool, seq}] = true
		k.stats += len(m.Stats)
		for _, f := range m.Flows {
			k.packets += uint64(f.LastUpdateMetric.ABPackets + f.LastUpdateMetric.BAPackets)
			k.raw += len(f.LastRawPackets)
			if f.FinishType != flow.NotFinished {
				k.ended++
			}
		}
	}
	k.mu.Unlock()
	k.ack(spool, seq)
	return nil
}

func (k *taker) reported() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.packets
}

// orders capture on nodes whose TID is their id with "tid-" before it.
func orders(c skydive.Capture, nodes ...string) order.Orders {
	o := order.Order{Capture: c}
	for _, id := range nodes {
		o.Nodes = append(o.Nodes, order.Node{ID: id, TID: "tid-" + id})
	}
	all := order.Orders{From: "a1", Captures: []order.Order{o}}
	all.Seal()
	return all
}

// start runs a Runner that looks often.
func start(t *testing.T, opts Options) (r *Runner, stop func()) {
	t.Helper()
	opts.Host = "h1"
	opts.Settings.Checkpoint = 20 * time.Millisecond
	opts.Settings.Retry = 10 * time.Millisecond
	opts.Settings.Linger = 10 * time.Millisecond
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return r, stop
}

func only(r *Runner) Status {
	list := r.Captures()
	if len(list) != 1 {
		return Status{State: "none"}
	}
	return list[0]
}

func awaitState(t *testing.T, r *Runner, state State) Status {
	t.Helper()
	eventually(t, "the capture is "+string(state), func() string {
		if s := only(r); s.State != state {
			return fmt.Sprint(s.State, " ", s.Error)
		}
		return ""
	})
	return only(r)
}

// awaitExact waits until the ledger says what the interface's counter says, to the packet.
func (w *wire) awaitExact(r *Runner) flow.Ledger {
	w.t.Helper()
	eventually(w.t, "ledger and interface agree", func() string {
		s := only(r)
		if got, want := int64(s.Ledger.Received), w.counter()-s.Zero; got != want || !s.Ledger.Balanced() {
			return fmt.Sprintf("received %d, interface %d, %+v", got, want, s.Ledger)
		}
		return ""
	})
	return only(r).Ledger
}

// copyDir is what a process that is killed now leaves behind.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to+"/state", os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to + "/state"
}
