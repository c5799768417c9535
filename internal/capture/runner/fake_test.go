package runner

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/capture"
	"github.com/weft-net/weft/skydive"
)

// script is a source that does what a test says: it gives batches, one a Read, and then blocks, or ends with an error.
type script struct {
	batches [][]flow.Packet
	end     error // nil: it blocks, until it is woken
	dropped uint64

	hold chan struct{} // not nil: Close waits for it

	mu     sync.Mutex
	given  uint64
	woken  chan struct{}
	closed bool
}

func newScript(end error, batches ...[]flow.Packet) *script {
	return &script{batches: batches, end: end, woken: make(chan struct{}, 1)}
}

func (s *script) LinkType() flow.LinkType { return flow.LinkEthernet }

func (s *script) Read(wait time.Duration) ([]flow.Packet, error) {
	s.mu.Lock()
	if len(s.batches) > 0 {
		batch := s.batches[0]
		s.batches = s.batches[1:]
		s.given += uint64(len(batch))
		s.mu.Unlock()
		return batch, nil
	}
	s.mu.Unlock()
	if s.end != nil {
		return nil, s.end
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-s.woken:
	case <-timer.C:
	}
	return nil, nil
}

func (s *script) Wake() { notify(s.woken) }

func (s *script) Stats() (capture.SourceStats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return capture.SourceStats{Received: s.given + s.dropped, Dropped: s.dropped}, nil
}

func (s *script) Close() error {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("closed twice")
	}
	s.closed = true
	return nil
}

// scripted gives the first script at the first opening, and so on; the last ones again and again are quiet.
type scripted struct {
	mu      sync.Mutex
	scripts []*script
	all     []*script
	failure error // of opening
}

func (o *scripted) open(Target) ([]capture.Source, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failure != nil {
		return nil, o.failure
	}
	next := newScript(nil)
	if len(o.scripts) > 0 {
		next, o.scripts = o.scripts[0], o.scripts[1:]
	}
	o.all = append(o.all, next)
	return []capture.Source{next}, nil
}

func (o *scripted) leftOpen() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.all {
		s.mu.Lock()
		if !s.closed {
			n++
		}
		s.mu.Unlock()
	}
	return n
}

// still is a graph with one interface whose counters stand.
func still(t *testing.T) *wire {
	t.Helper()
	w := &wire{t: t, graph: graph.New(graph.Options{}), socket: -1}
	w.apply("linux@h1",
		graph.Event{Op: graph.PutNode, ID: hostID(), Metadata: graph.NewMetadata(graph.F("Type", graph.String("host")))},
		graph.Event{Op: graph.PutNode, ID: "v0", Metadata: graph.NewMetadata(graph.F("Type", graph.String("veth")), graph.F("IfIndex", graph.Int(7)))},
		owns(hostID(), "v0"))
	return w
}

func noCounters(string, int) (Counters, error) { return Counters{}, errors.New("no such interface") }

// said is what the node shows of its one capture.
func (w *wire) said() (state, reason string, received, counted, dropped int64) {
	node, _ := w.graph.View().Node("v0")
	list, _ := node.Field("Captures")
	for item := range list.All() {
		m := item.Object()
		text := func(key string) string { v, _ := m.Get(key); return v.Str() }
		number := func(key string) int64 { v, _ := m.Lookup(key); return v.Int() }
		return text("State"), text("Error"), number("PacketsReceived"), number("Ledger.Counted"), number("PacketsDropped")
	}
	return "", "", 0, 0, 0
}

func packetsOf(data ...[]byte) (list []flow.Packet) {
	for i, d := range data {
		list = append(list, flow.Packet{Data: d, Length: max(len(d), 60), Time: time.Now().UnixNano() + int64(i)})
	}
	return list
}

// Whatever a source does, the node says how the capture fares, the ledger balances, each packet that came is in it, every
// source is closed once, and nothing is left running.
func TestWhateverASourceDoes(t *testing.T) {
	good := udp(1)
	broken := []byte{1, 2, 3}                                                                   // no link header
	cut := good[:20]                                                                            // within the IP header
	odd := append(append([]byte{}, good[:14]...), make([]byte, 40)...)                          // IP version 0
	nested := append(append([]byte{}, good[:12]...), strings.Repeat("\x81\x00\x00\x01", 30)...) // 30 VLAN tags
	boom := errors.New("recvmsg: input/output error")
	for _, c := range []struct {
		name    string
		scripts []*script
		failure error
		state   State
		reason  string
		want    flow.Ledger // Received, Counted and Drops
	}{
		{"blocks", []*script{newScript(nil)}, nil, Active, "", flow.Ledger{}},
		{
			"gives packets and blocks",
			[]*script{newScript(nil, packetsOf(good, good), nil, packetsOf(good))},
			nil, Active, "",
			flow.Ledger{Received: 3, Counted: 3},
		},
		{
			"loses packets",
			[]*script{{batches: [][]flow.Packet{packetsOf(good)}, dropped: 9, woken: make(chan struct{}, 1)}},
			nil, Active, "",
			flow.Ledger{Received: 10, Counted: 1, Drops: [flow.NumCauses]uint64{flow.CauseRing: 9}},
		},
		{
			"sends damaged packets",
			[]*script{newScript(nil, packetsOf(broken, cut, odd, nested, good, nil))},
			nil, Active, "",
			flow.Ledger{Received: 6, Counted: 4, Drops: [flow.NumCauses]uint64{flow.CauseDecoder: 2}},
		},
		{
			"ends",
			[]*script{newScript(io.EOF, packetsOf(good, good)), newScript(io.EOF, packetsOf(good)), newScript(nil, packetsOf(good))},
			nil, Active, "",
			flow.Ledger{Received: 4, Counted: 4},
		},
		{
			"is gone, and comes back",
			[]*script{newScript(capture.ErrGone, packetsOf(good)), newScript(fmt.Errorf("ring: %w", capture.ErrGone)), newScript(nil, packetsOf(good))},
			nil, Active, "",
			flow.Ledger{Received: 2, Counted: 2},
		},
		{
			"fails, and is opened again",
			[]*script{newScript(boom, packetsOf(good, good)), newScript(nil, packetsOf(good))},
			nil, Active, "",
			flow.Ledger{Received: 3, Counted: 3},
		},
		{"cannot be opened", nil, boom, Failed, "recvmsg: input/output error", flow.Ledger{}},
		{"is not there", nil, fmt.Errorf("open: %w", capture.ErrGone), Waiting, "open: device gone", flow.Ledger{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			w, taker := still(t), newTaker()
			sources := &scripted{scripts: c.scripts, failure: c.failure}
			r, stop := start(t, Options{Graph: w.graph, Sink: w, Publish: taker, Open: sources.open, Counters: noCounters})
			if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
				t.Fatal(err)
			}
			want := c.want
			eventually(t, "the node says how the capture fares", func() string {
				state, reason, received, counted, dropped := w.said()
				if state != string(c.state) || !strings.HasSuffix(reason, c.reason) ||
					received != int64(want.Received) || counted != int64(want.Counted) || dropped != int64(want.Dropped()) {
					return fmt.Sprintf("%s %q, %d received, %d counted, %d dropped; ledger %+v", state, reason, received, counted, dropped, only(r).Ledger)
				}
				return ""
			})
			l := only(r).Ledger
			if !l.Balanced() || l.Drops != want.Drops {
				t.Errorf("ledger %+v, want %+v", l, want)
			}
			stop()
			if l = only2(r); !l.Balanced() || l.Received != want.Received || l.Counted != l.Reported {
				t.Errorf("at the end %+v", l)
			}
			if got := taker.reported(); got != l.Counted {
				t.Errorf("%d packets in reports, %d counted", got, l.Counted)
			}
			if n := sources.leftOpen(); n != 0 {
				t.Errorf("%d sources are still open", n)
			}
		})
	}
}
