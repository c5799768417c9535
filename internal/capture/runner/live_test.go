package runner

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/weft-net/weft/flow/flowtest"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/capture"
	"github.com/weft-net/weft/internal/flowquery/row"
	"github.com/weft-net/weft/skydive"
)

// all is a source of flows that leaves everything but the filter to the query.
type all struct {
	gremlin.FlowSource
	runner *Runner
}

func (a all) Flows(_ context.Context, q gremlin.FlowQuery) iter.Seq2[gremlin.Flow, error] {
	return a.rows(gremlin.FlowQuery{AllNodes: q.AllNodes, NodeTIDs: q.NodeTIDs, Limit: -1}, q.Filter.Match)
}

func (a all) rows(q gremlin.FlowQuery, match func(gremlin.Flow) bool) iter.Seq2[gremlin.Flow, error] {
	return func(yield func(gremlin.Flow, error) bool) {
		for f, err := range a.runner.Flows(context.Background(), &q) {
			if err != nil {
				yield(nil, err)
				return
			}
			if shown := (row.Row{Flow: f}); match(shown) && !yield(shown, nil) {
				return
			}
		}
	}
}

// own is a source of flows that leaves to the agent whatever the agent does.
type own struct{ all }

func (o own) Flows(_ context.Context, q gremlin.FlowQuery) iter.Seq2[gremlin.Flow, error] {
	return o.rows(q, func(gremlin.Flow) bool { return true })
}

func (o own) Reduce(ctx context.Context, q gremlin.FlowQuery, r gremlin.FlowReduction) (*gremlin.FlowTotal, error) {
	return o.runner.Reduce(ctx, &q, r)
}

// What an agent orders, cuts and reduces itself is what the query would have made of all of its flows: also where
// flows are alike in what they are sorted by, and where they lack it.
func TestAnswersOfTheAgentAreThoseOfAllFlows(t *testing.T) {
	w := still(t)
	var sources []capture.Source
	for ring := range 3 {
		var data [][]byte
		for n := range 1500 {
			ethernet := flowtest.Ethernet{Src: "02:00:00:00:00:01", Dst: fmt.Sprintf("02:00:00:00:%02x:%02x", ring, n%100)}
			layers := []flowtest.Layer{ethernet, flowtest.ARP{SrcMAC: "02:00:00:00:00:01", SrcIP: "10.2.0.1", DstIP: "10.2.0.2"}}
			if n%3 > 0 {
				layers = []flowtest.Layer{
					ethernet,
					flowtest.IPv4{Src: fmt.Sprintf("10.0.0.%d", n%7+1), Dst: fmt.Sprintf("10.1.%d.%d", ring, n%250)},
					flowtest.UDP{Src: uint16(1000 + n%600), Dst: 53},
					flowtest.Zeros(n % 4 * 100),
				}
			}
			data = append(data, flowtest.Packet(layers...))
		}
		sources = append(sources, newScript(nil, packetsOf(data...)))
	}
	open := func(Target) ([]capture.Source, error) { return sources, nil }
	r, _ := start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker(), Open: open, Counters: noCounters})
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is counted", func() string {
		if n := only(r).Ledger.Counted; n != 4500 {
			return fmt.Sprint(n)
		}
		return ""
	})
	agent := own{all{runner: r}}
	reduced, plain := gremlin.New(w.graph, gremlin.Options{Flows: agent}), gremlin.New(w.graph, gremlin.Options{Flows: agent.all})
	ask := func(engine *gremlin.Engine, text string) string {
		q, err := gremlin.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		result, err := engine.Exec(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, v := range result.Values() {
			rows = append(rows, v.String())
		}
		slices.Sort(rows)
		for _, f := range result.Flows() {
			rows = append(rows, f.UUID())
		}
		return strings.Join(rows, " ")
	}
	for _, text := range []string{
		"G.Flows().Sort('Metric.ABBytes').Limit(20)", "G.Flows().Sort(DESC,'Metric.ABBytes').Limit(20)",
		"G.Flows().Sort('Transport.A').Limit(2000)", "G.Flows().Sort(DESC,'Transport.A').Range(700,1300)", "G.Flows().Sort('Network.A').Limit(3000)",
		"G.Flows().Sort(DESC,'Network.A').Limit(3000)", "G.Flows().Has('Network','10.0.0.3').Sort(DESC,'Metric.ABBytes').Limit(5)",
		"G.Flows().Count()", "G.Flows().Has('Network','10.0.0.3').Count()", "G.Flows().Has('Application','UDP').Count()", "G.Flows().Limit(100).Count()",
		"G.Flows().Range(100,1000000).Count()", "G.Flows().HasKey('Transport').Dedup('Network.A').Count()", "G.Flows().Dedup().Count()",
		"G.Flows().Dedup('Network.A','Transport.B').Count()", "G.Flows().Sum('Metric.ABBytes')", "G.Flows().Has('Transport',53).Sum('Metric.ABPackets')",
		"G.Flows().Values('Application').Dedup()", "G.Flows().Keys()", "G.Flows().Values('Link.B').Dedup().Count()",
	} {
		got, want := ask(reduced, text), ask(plain, text)
		if got != want || want == "" || want == "0" {
			t.Errorf("%s gives\n%.300s, want\n%.300s", text, got, want)
		}
	}
	for _, nodes := range []gremlin.FlowQuery{{NodeTIDs: []string{"elsewhere"}, Live: true, Limit: -1}, {NodeTIDs: []string{only(r).NodeTID}, Live: true, Limit: -1}} {
		total, err := agent.Reduce(t.Context(), nodes, gremlin.FlowReduction{Kind: gremlin.ReduceCount})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range r.Flows(t.Context(), &nodes) {
			n++
		}
		if total.Rows() != int64(n) {
			t.Errorf("%d flows on %q, want %d", total.Rows(), nodes.NodeTIDs, n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Reduce(ctx, &gremlin.FlowQuery{AllNodes: true}, gremlin.FlowReduction{Kind: gremlin.ReduceKeys}); err == nil {
		t.Error("no error when nobody waits")
	}
}
