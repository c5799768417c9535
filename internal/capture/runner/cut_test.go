package runner

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture/spool"
	"github.com/weft-net/weft/skydive"
)

// reporting is a flow report of so many packets, some of them kept.
func reporting(uuid string, packets int64, finish flow.FinishType, kept ...int) *flow.Flow {
	f := &flow.Flow{
		UUID: uuid, NodeTID: "tid-v0", CaptureID: "c1", Start: 1, Last: 2, FinishType: finish, RawPacketsCaptured: int64(len(kept)),
		Metric: &flow.Metric{ABPackets: packets, Start: 1, Last: 2}, LastUpdateMetric: &flow.Metric{ABPackets: packets, Start: 1, Last: 2},
	}
	for i, size := range kept {
		f.LastRawPackets = append(f.LastRawPackets, flow.RawPacket{Timestamp: 1700000000000, Index: int64(i), Data: make([]byte, size), LinkType: flow.LinkEthernet})
	}
	return f
}

// However a batch is cut, each part fits, and all parts together and what is named as lost are what the batch had.
func TestNothingOfACutBatchIsUnaccounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int{300, 2000, 70_000, 1 << 20}).Draw(t, "most")
		var m flow.Message
		var packets, kept, ended uint64
		for i := range rapid.IntRange(0, 6).Draw(t, "flows") {
			sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 60, 1500, 60_000, 260_000}), 0, 20).Draw(t, "kept")
			f := reporting(string(rune('a'+i)), rapid.Int64Range(0, 9).Draw(t, "packets"), flow.FinishFIN, sizes...)
			if rapid.Bool().Draw(t, "child") {
				f.ParentUUID = "p"
			} else {
				packets += uint64(f.Metric.ABPackets)
			}
			f.Application = strings.Repeat("x", rapid.SampledFrom([]int{0, 250, 3000}).Draw(t, "text"))
			if rapid.Bool().Draw(t, "DNS") {
				f.DNS = &flow.DNS{Questions: []flow.DNSQuestion{{Name: strings.Repeat("y", 400)}}}
				kept++
			}
			kept += uint64(len(sizes))
			ended++
			m.Flows = append(m.Flows, f)
		}
		c := cutBatch(batchName{1, 2}, m.AppendProto(nil), most)
		again := cutBatch(batchName{1, 2}, m.AppendProto(nil), most)
		if len(again.parts) != len(c.parts) || again.number != c.number {
			t.Fatal("another cut the second time")
		}
		lost := c.lost
		for i, part := range c.parts {
			var got flow.Message
			if err := got.DecodeProto(part); err != nil || len(part) > most || !bytes.Equal(part, again.parts[i]) {
				t.Fatalf("part of %d bytes, may have %d: %v", len(part), most, err)
			}
			for _, f := range got.Flows {
				if f.ParentUUID == "" {
					packets -= uint64(f.LastUpdateMetric.ABPackets)
				}
				kept -= uint64(len(f.LastRawPackets))
				if f.FinishType != flow.NotFinished {
					ended--
					if f.DNS != nil {
						kept--
					}
				}
			}
		}
		dns := uint64(0) // of flows that are lost themselves
		if len(lost.packets) > 0 || lost.flows > 0 {
			dns = lost.flows
		}
		if packets != lost.packets["c1/tid-v0"] || ended != lost.flows || kept-lost.kept["c1/tid-v0"] > dns {
			t.Fatalf("left over: %d packets, %d kept, %d ends; told as lost: %+v", packets, kept, ended, lost)
		}
	})
}

// leave makes the directory of an agent that left batches in its spool, each with what it counts.
func leave(t *testing.T, batches ...*flow.Message) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := spool.Open(spool.Options{Dir: filepath.Join(dir, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	a := &account{key: "c1/tid-v0", capture: "c1"}
	for _, m := range batches {
		packets := uint64(0)
		payload := bytes.Repeat([]byte{0xff}, 60_000)
		if m != nil {
			payload = m.AppendProto(nil)
			for _, f := range m.Flows {
				packets += uint64(f.LastUpdateMetric.ABPackets)
			}
		} else {
			packets = 1000
		}
		a.base.Received, a.base.Counted, a.base.Reported = a.base.Received+packets, a.base.Counted+packets, a.base.Reported+packets
		if _, err := s.Append(payload, []spool.Entry{a.entry()}, []spool.Cost{{Key: a.key, Packets: packets}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func flowsOf(flows ...*flow.Flow) *flow.Message { return &flow.Message{Flows: flows} }

// lockedLog is a log that a test reads.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) warnings() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), "too large for the bus")
}

// Whatever an earlier process left in the spool, and whatever the bus takes: the spool becomes empty, and each packet is in a report that
// arrived, or named as lost.
func TestNoBatchBlocksTheSpool(t *testing.T) {
	gso := make([]int, 40)
	for i := range gso {
		gso[i] = 60_000
	}
	for _, test := range []struct {
		name                string
		most                int
		left                []*flow.Message
		packets             uint64 // that arrive
		raw, ended          int
		queue, missed       uint64 // the ledger's
		cut, without, flows uint64
	}{
		{"all fits", 1 << 20, []*flow.Message{flowsOf(reporting("a", 7, flow.FinishFIN, 1000))}, 7, 1, 1, 0, 0, 0, 0, 0},
		{
			"a report of old that is longer than the bus takes", 1 << 20,
			[]*flow.Message{flowsOf(reporting("a", 40, flow.FinishFIN, gso...)), flowsOf(reporting("b", 2, flow.FinishRST, 100))},
			42, 41, 2, 0, 0, 1, 0, 0,
		},
		{
			"a bus that takes less than a packet", 50_000,
			[]*flow.Message{flowsOf(reporting("a", 40, flow.FinishFIN, gso...), reporting("b", 2, flow.FinishRST, 100))},
			42, 1, 2, 0, 40, 1, 40, 0,
		},
		{
			"a flow longer than the bus takes", 50_000,
			[]*flow.Message{{Flows: []*flow.Flow{{
				UUID: "a", CaptureID: "c1", NodeTID: "tid-v0", LayersPath: strings.Repeat("x", 60_000), LastUpdateMetric: &flow.Metric{ABPackets: 5},
			}}}, flowsOf(reporting("b", 2, flow.FinishRST, 100))},
			2, 1, 1, 5, 0, 1, 0, 1,
		},
		{"what nobody can read", 50_000, []*flow.Message{nil}, 0, 0, 0, 1000, 0, 1, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := leave(t, test.left...)
			taker, logged := newTaker(), &lockedLog{}
			taker.most = test.most
			w := still(t)
			var registry *prometheus.Registry
			run := func() (*Runner, func()) {
				quiet := &scripted{}
				registry = prometheus.NewRegistry()
				r, stop := start(t, Options{
					Graph: w.graph, Sink: w, Publish: taker, Dir: dir, Open: quiet.open, Counters: noCounters,
					Logger: slog.New(slog.NewTextHandler(logged, nil)), Registry: registry,
				})
				if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
					t.Fatal(err)
				}
				return r, stop
			}
			r, stop := run()
			eventually(t, "the spool is empty", func() string {
				r.out.mu.Lock()
				defer r.out.mu.Unlock()
				if r.out.spool == nil || r.out.spool.Stats().Batches > 0 {
					return "batches wait"
				}
				return ""
			})
			l := awaitState(t, r, Active).Ledger
			taker.mu.Lock()
			packets, raw, ended := taker.packets, taker.raw, taker.ended
			taker.mu.Unlock()
			if packets != test.packets || raw != test.raw || ended != test.ended {
				t.Errorf("%d packets arrived, %d kept, %d ends; want %d, %d, %d", packets, raw, ended, test.packets, test.raw, test.ended)
			}
			if !l.Balanced() || l.Drops[flow.CauseQueue] != test.queue || l.Counted != test.packets || l.Faults[flow.FaultNotKept] != test.missed {
				t.Errorf("ledger %+v", l)
			}
			for _, want := range []string{
				fmt.Sprint("weft_flow_spool_cut_total ", test.cut),
				fmt.Sprintf("weft_flow_oversized_total{what=%q} %d", "packets", test.without),
				fmt.Sprintf("weft_flow_oversized_total{what=%q} %d", "flows", test.flows),
			} {
				if text := metricIs(registry, want); text != "" {
					t.Error(text)
				}
			}
			warned := 0
			if test.queue+test.missed > 0 {
				warned = 1
			}
			if n := logged.warnings(); n != warned {
				t.Errorf("%d warnings, want %d: %s", n, warned, logged.text.String())
			}
			stop()
			// Another process finds nothing to do, and the same ledger.
			r, stop = run()
			after := awaitState(t, r, Active).Ledger
			stop()
			if after.Drops != l.Drops || after.Faults != l.Faults || after.Counted != l.Counted || taker.packets != test.packets {
				t.Errorf("later: ledger %+v, before %+v", after, l)
			}
		})
	}
}

// A spool that nobody takes anything from says so once a minute.
func TestWaitingReportsAreWarnedOf(t *testing.T) {
	logged := &lockedLog{}
	now := time.Unix(1000, 0)
	r := &Runner{log: slog.New(slog.NewTextHandler(logged, nil)), opts: Options{Now: func() time.Time { return now }}}
	kept, err := spool.Open(spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.out.begin(kept, r.log)
	r.out.transit.heard = now
	for range 300 {
		r.refused(errLong)
		now = now.Add(time.Second)
	}
	if n := strings.Count(logged.text.String(), "flow reports wait"); n != 4 {
		t.Errorf("%d warnings in five minutes: %s", n, logged.text.String())
	}
}
