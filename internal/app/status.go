package app

import (
	"maps"
	"slices"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/agent"
	"github.com/weft-net/weft/internal/analyzer"
	"github.com/weft-net/weft/internal/bus"
)

// GraphStatus is weft's addition to /api/status: what the graph holds, and what it had to
// let go.
type GraphStatus struct {
	Nodes, Edges   int
	Origins        int
	Earliest       time.Time // of the moments that queries may ask for
	PastVersions   int
	PastBytes      int64
	Parked         int    // edges that wait for their nodes
	Orphans        uint64 // edges whose nodes never came
	Rejected       uint64 // events refused
	DroppedSamples uint64
	Lagged         uint64 // times that a subscriber lost its place
}

func graphStatus(g *graph.Graph) GraphStatus {
	s := g.Stats()
	return GraphStatus{
		Nodes: s.Nodes, Edges: s.Edges, Origins: s.Origins, Earliest: s.Earliest.Time().UTC(),
		PastVersions: s.PastVersions, PastBytes: s.PastBytes, Parked: s.Parked, Orphans: s.Orphans,
		Rejected: s.Rejected, DroppedSamples: s.DroppedSamples, Lagged: s.Lagged,
	}
}

// analyzerStatus is what an analyzer shows in /api/status.
func analyzerStatus(an *analyzer.Analyzer, g *graph.Graph) any {
	status := map[string]any{"Graph": graphStatus(g)}
	if more, ok := an.Status().(map[string]any); ok {
		maps.Copy(status, more)
	}
	return status
}

// agentStatus is what an agent shows in /api/status, in Skydive's shape.
func agentStatus(ag *agent.Agent, conn *bus.Conn) any {
	probes := ag.Probes()
	return map[string]any{
		"Clients": map[string]any{}, "Analyzers": map[string]any{},
		"TopologyProbes": slices.Sorted(maps.Keys(probes)), "FlowProbes": []string{},
		"Probes": probes, "Graph": graphStatus(ag.Graph()),
		"Bus": map[string]any{"Address": conn.Addr(), "IsConnected": conn.Connected()},
	}
}
