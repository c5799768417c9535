package flow_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weft-net/weft/flow"
	ft "github.com/weft-net/weft/flow/flowtest"
)

// story is what the reports of one flow told until now.
type story struct {
	reports, started, ended int
	packets                 []flow.RawPacket
	sum                     flow.Metric
	captured                int64
}

// take adds a report, and says what is wrong with it.
func (s *story) take(f *flow.Flow, why flow.Reason) error {
	const room = 256 << 10
	size := 0
	for _, p := range f.LastRawPackets {
		if size += len(p.Data); p.Index != int64(len(s.packets)) {
			return fmt.Errorf("packet %d comes after %d", p.Index, len(s.packets))
		}
		s.packets = append(s.packets, p)
	}
	over := why == flow.Ended || why == flow.Evicted
	switch {
	case s.ended > 0:
		return fmt.Errorf("%s after its end", why)
	case why == flow.Started && s.reports > 0:
		return fmt.Errorf("started after %d reports", s.reports)
	case why == flow.Updated && s.reports == 0:
		return fmt.Errorf("updated before it started")
	case size > room && len(f.LastRawPackets) > 1:
		return fmt.Errorf("%d packets of %d bytes in one report", len(f.LastRawPackets), size)
	case !over && f.FinishType == flow.FinishTimeout:
		return fmt.Errorf("%s by a timeout", why)
	}
	s.reports++
	if why == flow.Started {
		s.started++
	}
	if over {
		s.ended++
	}
	s.captured = f.RawPacketsCaptured
	s.sum.Add(*f.LastUpdateMetric)
	m := *f.Metric
	if over && (s.sum.ABPackets != m.ABPackets || s.sum.BAPackets != m.BAPackets || s.sum.ABBytes != m.ABBytes || s.sum.BABytes != m.BABytes) {
		return fmt.Errorf("the updates add up to %+v, the flow has %+v", s.sum, m)
	}
	return nil
}

// However many and however long the packets kept of flows are: a report brings a bounded part of them, each packet is told once
// and in order, what the updates count adds up, and a flow starts and ends once.
func TestRawPacketsAreSplitOverReports(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		told := map[string]*story{}
		limit := rapid.SampledFrom([]int{-1, 3, 100}).Draw(t, "limit")
		table := flow.NewTable(flow.Options{
			NodeTID: "n", RawPacketLimit: limit, MaxFlows: rapid.IntRange(2, 4).Draw(t, "flows"), Update: 2 * time.Second, Expire: 20 * time.Second,
			Report: func(f *flow.Flow, why flow.Reason) {
				s := told[f.UUID]
				if s == nil {
					s = &story{}
					told[f.UUID] = s
				}
				if err := s.take(f, why); err != nil {
					t.Fatalf("flow %s: %v", f.UUID, err)
				}
			},
		})
		now := start
		added := int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now += rapid.SampledFrom([]int64{0, 1e6, 3e8, second, 7 * second}).Draw(t, "ns")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				table.Advance(now)
				table.Scan(0, 1000, nil, func(f *flow.Flow) bool {
					if f.LastRawPackets != nil {
						t.Fatalf("a scan shows %d packets", len(f.LastRawPackets))
					}
					return true
				})
			default:
				port := rapid.Uint16Range(1, 5).Draw(t, "port")
				size := rapid.SampledFrom([]int{1, 1400, 60_000, 200_000, 262_000}).Draw(t, "size")
				for range rapid.IntRange(1, 12).Draw(t, "packets") {
					data := append(ft.Packet(there, ip, ft.UDP{Src: 4000, Dst: port}, ft.Zeros(64)), make([]byte, size)...)
					add(table, flow.Packet{Data: data, Length: len(data), Time: now})
					added++
				}
			}
		}
		table.Close()
		sum := int64(0)
		for uuid, s := range told {
			if s.ended != 1 || s.started > 1 || int64(len(s.packets)) != s.captured || limit > 0 && len(s.packets) > limit {
				t.Fatalf("flow %s: started %d times, ended %d, %d of %d packets told", uuid, s.started, s.ended, len(s.packets), s.captured)
			}
			sum += s.sum.ABPackets + s.sum.BAPackets
		}
		if sum != added {
			t.Fatalf("%d packets added, %d told", added, sum)
		}
	})
}

// A table that reports ends only has one report a flow.
func TestEndsOnlyTellsAllPacketsAtOnce(t *testing.T) {
	table, reports := watch(flow.Options{RawPacketLimit: -1, EndsOnly: true})
	for n := range int64(20) {
		add(table, at(start+n*second, there, ip, ft.UDP{Src: 4000, Dst: 99}, ft.Zeros(60_000)))
		table.Advance(start + n*second)
	}
	table.Close()
	if len(*reports) != 1 || len((*reports)[0].LastRawPackets) != 20 {
		t.Fatalf("%d reports, the first has %d packets", len(*reports), len((*reports)[0].LastRawPackets))
	}
}
