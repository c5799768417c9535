package flow_test

import (
	"slices"
	"testing"

	"github.com/weft-net/weft/flow"
	ft "github.com/weft-net/weft/flow/flowtest"
)

// Whoever reads a file asks for flows once, and then an acknowledgement that comes seconds after the last FIN is no flow of its own.
func TestEndsOnlyReportsEachFlowOnceAndWhole(t *testing.T) {
	for name, c := range map[string]struct {
		options flow.Options
		reports []flow.Reason
	}{
		"all":       {flow.Options{Update: -1}, []flow.Reason{flow.Started, flow.Ended, flow.Started, flow.Ended}},
		"ends only": {flow.Options{Update: -1, EndsOnly: true}, []flow.Reason{flow.Ended}},
	} {
		t.Run(name, func(t *testing.T) {
			table, reports := watch(c.options)
			client, server := ft.TCP{Src: 4000, Dst: 80}, ft.TCP{Src: 80, Dst: 4000}
			step := func(ns int64, link ft.Ethernet, ip ft.IPv4, tcp ft.TCP, flags uint8) {
				tcp.Flags = flags
				add(table, at(ns, link, ip, tcp))
				table.Advance(ns)
			}
			step(start, there, ip, client, ft.SYN)
			step(start+second/10, back, ipB, server, ft.SYN|ft.ACK)
			step(start+2*second, there, ip, client, ft.FIN|ft.ACK)
			step(start+2*second+second/10, back, ipB, server, ft.FIN|ft.ACK)
			table.Advance(start + 4*second)
			step(start+7*second, there, ip, client, ft.ACK)
			table.Advance(start + 8*second)
			table.Advance(start + 30*second)
			table.Close()
			var told []flow.Reason
			var packets int64
			for _, r := range *reports {
				told = append(told, r.why)
				packets += r.LastUpdateMetric.ABPackets + r.LastUpdateMetric.BAPackets
			}
			if !slices.Equal(told, c.reports) {
				t.Errorf("reports %v, want %v", told, c.reports)
			}
			if packets != 5 {
				t.Errorf("%d packets in the updates, want 5", packets)
			}
			if l := table.Ledger(); !l.Balanced() || l.Reported != 5 {
				t.Errorf("%+v", l)
			}
		})
	}
}
