package flow_test

import (
	"encoding/binary"
	"testing"

	"github.com/weft-net/weft/flow"
	ft "github.com/weft-net/weft/flow/flowtest"
)

const chunk = 4096 // flows that a table takes at once

// flood adds packets of so many flows that no table has yet.
func flood(table *flow.Table, net byte, n int) {
	p := at(start, there, ft.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2"}, ft.UDP{Src: 1, Dst: 2}, ft.Zeros(10))
	for i := range n {
		binary.BigEndian.PutUint32(p.Data[26:], uint32(net)<<24|uint32(i+1))
		add(table, p)
	}
}

func TestTablesShareABudget(t *testing.T) {
	for name, c := range map[string]struct {
		budget, flows int // chunks; flows that each table meets
		options       flow.Options
		live          [2]int // flows in the end, when the first table is flooded first
		used          int    // chunks
	}{
		"room for all":            {8, 2 * chunk, flow.Options{}, [2]int{2 * chunk, 2 * chunk}, 4},
		"the second has the rest": {6, 4 * chunk, flow.Options{}, [2]int{4 * chunk, 2 * chunk}, 6},
		"nothing is left":         {3, 9 * chunk, flow.Options{}, [2]int{3 * chunk, chunk}, 4},
		"less than a chunk":       {0, 3 * chunk, flow.Options{}, [2]int{1, 1}, 2},
		"a bound of its own":      {6, 9 * chunk, flow.Options{MaxFlows: chunk + 1}, [2]int{chunk + 1, chunk + 1}, 4},
		"large steps":             {20, 15 * chunk, flow.Options{}, [2]int{15 * chunk, 4 * chunk}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			budget := flow.NewBudget(max(c.budget*chunk, 1))
			var tables [2]*flow.Table
			var reported [2]uint64
			for i := range tables {
				o := c.options
				o.Budget = budget
				o.Report = func(f *flow.Flow, _ flow.Reason) {
					reported[i] += uint64(f.LastUpdateMetric.ABPackets + f.LastUpdateMetric.BAPackets)
				}
				tables[i] = flow.NewTable(o)
			}
			for i, table := range tables {
				flood(table, byte(10+i), c.flows)
				if l := table.Ledger(); int(l.FlowsLive) != c.live[i] || l.Flows != l.FlowsLive+l.FlowsEvicted {
					t.Errorf("table %d has %d flows, not %d: %+v", i, l.FlowsLive, c.live[i], l)
				}
			}
			if used := budget.Used(); used != c.used*chunk {
				t.Errorf("%d flows of the budget are used, not %d", used, c.used*chunk)
			}
			for i, table := range tables {
				table.Close()
				if l := table.Ledger(); !l.Balanced() || l.Counted != uint64(c.flows) || reported[i] != l.Counted || l.FlowsLive != 0 {
					t.Errorf("table %d reported %d packets: %+v", i, reported[i], l)
				}
			}
			if used := budget.Used(); used != 0 {
				t.Errorf("%d flows of the budget are used after all tables were closed", used)
			}
			// A table may begin again, and there is room.
			flood(tables[1], 12, 10)
			if l := tables[1].Ledger(); l.FlowsLive == 0 || budget.Used() != chunk {
				t.Errorf("a table that begins again has %d flows, and %d of the budget", l.FlowsLive, budget.Used())
			}
		})
	}
}

func TestReassemblyTakesMoreOfABudget(t *testing.T) {
	budget := flow.NewBudget(100 * chunk)
	table := flow.NewTable(flow.Options{Budget: budget, ReassembleTCP: true, Report: func(*flow.Flow, flow.Reason) {}})
	flood(table, 10, 1)
	if used := budget.Used(); used <= chunk {
		t.Errorf("%d flows", used)
	}
	table.Close()
	if used := budget.Used(); used != 0 {
		t.Errorf("%d flows after the end", used)
	}
}

func TestBudgetOfTheMachine(t *testing.T) {
	if most := flow.NewBudget(0).Most(); most < 1<<16 || most > 1<<22 {
		t.Errorf("%d flows", most)
	}
}
