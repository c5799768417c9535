package analyzer

import (
	"testing"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
)

// What passed while no agent ran is lost, whether the agent knows it exactly or knows the most only.
func TestLedgerOfAnUpperBoundBalances(t *testing.T) {
	for _, down := range []string{"agent_down", "agent_down_upper"} {
		said := graph.NewMetadata(graph.F("Ledger", graph.Object(graph.NewMetadata(
			graph.F("Received", graph.Int(10)), graph.F("Counted", graph.Int(7)),
			graph.F("Drops", graph.Object(graph.NewMetadata(graph.F(down, graph.Int(2)), graph.F("ring", graph.Int(1))))),
		))))
		if l := ledgerOf(said); !l.Balanced() || l.Drops[flow.CauseDown] != 2 {
			t.Errorf("%s: %+v", down, l)
		}
	}
}
