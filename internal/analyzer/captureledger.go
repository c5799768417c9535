package analyzer

import (
	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
)

func textOf(m graph.Metadata, key string) string {
	v, _ := m.Get(key)
	return v.Str()
}

func countOf(m graph.Metadata, key string) uint64 {
	v, _ := m.Get(key)
	return uint64(max(v.Int(), 0))
}

// downUpper is how an agent names agent_down where it is an upper bound.
const downUpper = "agent_down_upper"

// ledgerOf reads the ledger in what an agent says of a capture on a node, by the names of causes and faults.
func ledgerOf(said graph.Metadata) flow.Ledger {
	v, _ := said.Get("Ledger")
	if v.Kind() != graph.KindObject {
		return flow.Ledger{Received: countOf(said, "PacketsReceived")}
	}
	m := v.Object()
	l := flow.Ledger{
		Received: countOf(m, "Received"), Counted: countOf(m, "Counted"), CountedBytes: countOf(m, "CountedBytes"),
		Reported: countOf(m, "Reported"), Flows: countOf(m, "Flows"), FlowsEvicted: countOf(m, "FlowsEvicted"),
		FlowsLive: countOf(m, "FlowsLive"),
	}
	if drops, _ := m.Get("Drops"); drops.Kind() == graph.KindObject {
		for i := range l.Drops {
			l.Drops[i] = countOf(drops.Object(), flow.Cause(i).String())
		}
		// Of packets that passed while no agent ran the agent may know the most only; they are missing all the same.
		l.Drops[flow.CauseDown] += countOf(drops.Object(), downUpper)
	}
	if faults, _ := m.Get("Faults"); faults.Kind() == graph.KindObject {
		for i := range l.Faults {
			l.Faults[i] = countOf(faults.Object(), flow.Fault(i).String())
		}
	}
	return l
}
