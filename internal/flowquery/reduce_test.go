package flowquery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/gremlin"
)

// fetched is a source that can only give flows.
type fetched struct{ gremlin.FlowSource }

// reducing counts what it reduces.
type reducing struct {
	gremlin.FlowReducer
	kinds map[gremlin.Reduction]int
}

func (r *reducing) Reduce(ctx context.Context, q gremlin.FlowQuery, what gremlin.FlowReduction) (*gremlin.FlowTotal, error) {
	r.kinds[what.Kind]++
	return r.FlowReducer.Reduce(ctx, q, what)
}

func drawFlow(t *rapid.T, host string, n int) *flow.Flow {
	few := rapid.Int64Range(0, 3)
	f := &flow.Flow{
		UUID: fmt.Sprint(host, "-", n), NodeTID: "tid-" + host, Last: few.Draw(t, "last"),
		Application: rapid.SampledFrom([]string{"TCP", "UDP", "a\"\xffb"}).Draw(t, "application"),
	}
	if rapid.Bool().Draw(t, "network") {
		f.Network = &flow.Layer{Protocol: flow.IPv4, A: fmt.Sprint("10.0.0.", few.Draw(t, "a")), B: fmt.Sprint("10.0.0.", few.Draw(t, "b"))}
	}
	if rapid.Bool().Draw(t, "transport") {
		f.Transport = &flow.TransportLayer{Protocol: flow.TCP, A: few.Draw(t, "from"), B: few.Draw(t, "to")}
	}
	if rapid.IntRange(0, 3).Draw(t, "metric") > 0 {
		f.Metric = &flow.Metric{ABPackets: 5, ABBytes: rapid.Int64().Draw(t, "bytes"), Start: few.Draw(t, "start") + 1, Last: 9}
	}
	if rapid.Bool().Draw(t, "update") {
		f.LastUpdateMetric = &flow.Metric{BAPackets: few.Draw(t, "packets"), BABytes: few.Draw(t, "bytes"), Start: 2, Last: 3 + few.Draw(t, "end")}
	}
	return f
}

// drawQuery draws a query about flows, of which the answer does not depend on which host is the first to answer.
func drawQuery(t *rapid.T) string {
	text := rapid.SampledFrom([]string{
		"G.Flows()", "G.Flows('Application','TCP')", "G.V().Has('Name',WITHIN('a','c')).Flows()", "G.V().Has('Name','nobody').Flows()",
	}).Draw(t, "source")
	sort := rapid.SampledFrom([]string{".Sort()", ".Sort(DESC,'Metric.ABBytes')", ".Sort(ASC,'Network.A')", ".Sort(DESC,'Transport.B')"})
	steps := rapid.SliceOfN(rapid.OneOf(sort, rapid.SampledFrom([]string{
		".Has('Network','10.0.0.1')", ".Has('Transport.A',GT(1))", ".HasKey('LastUpdateMetric')", ".HasEither('Last',1,'Application','UDP')", ".Has('Network',NE('10.0.0.2'))",
		".Dedup()", ".Dedup('Network.A')", ".Dedup('Transport.A','Network.B')", ".Limit(3)", ".Limit(0)", ".Range(2,5)", ".Range(1,1000)",
	})), 0, 3).Draw(t, "steps")
	last := rapid.SampledFrom([]string{
		".Count()", ".Count()", ".Sum('Metric.ABBytes')", ".Sum('LastUpdateMetric.BAPackets')", ".Sum('Metric.None')", ".Keys()", ".Keys().Count()",
		".Values('Application').Dedup()", ".Values('Last').Dedup().Count()", ".Values('Network.A').Dedup()", ".Values('Last').Count()", ".Values('UUID')",
		".Metrics().Sum()", ".Metrics().Sum('BAPackets')", ".Metrics().Count()", ".Metrics().Aggregates(1)", "",
	}).Draw(t, "last")
	chosen := slices.ContainsFunc(steps, func(s string) bool { return !strings.HasPrefix(s, ".Has") && !strings.HasPrefix(s, ".Sort") })
	if chosen && (len(steps) > 1 || last != ".Count()") {
		text += sort.Draw(t, "first")
	}
	return text + strings.Join(steps, "") + last
}

// answered gives an answer without the order that nothing says.
func answered(t *rapid.T, engine *gremlin.Engine, text string) string {
	q, err := gremlin.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	result, err := engine.Exec(t.Context(), q)
	if err != nil {
		if strings.Contains(err.Error(), "has no field") {
			return "a flow has no such field"
		}
		return err.Error()
	}
	if len(result.Warnings()) > 0 {
		t.Fatalf("warnings %q", result.Warnings())
	}
	var rows []string
	for _, v := range result.Values() {
		rows = append(rows, string(v.AppendJSON(nil)))
	}
	for _, f := range result.Flows() {
		rows = append(rows, string(f.AppendJSON(nil)))
	}
	slices.Sort(rows)
	return result.Kind() + " " + strings.Join(rows, "\n")
}

func TestReducedAnswersAreThoseOfAllFlows(t *testing.T) {
	w := newWorld(t, 10*time.Second)
	agents := map[string]*held{"a": {}, "b": {}, "c": {}}
	for host, live := range agents {
		w.agent(host, live)
	}
	source := &reducing{w.source, map[gremlin.Reduction]int{}}
	reduced := gremlin.New(w.graph, gremlin.Options{Flows: source})
	plain := gremlin.New(w.graph, gremlin.Options{Flows: fetched{w.source}})
	rapid.Check(t, func(t *rapid.T) {
		for host, live := range agents {
			var flows []*flow.Flow
			for n := range rapid.IntRange(0, 8).Draw(t, "flows") {
				flows = append(flows, drawFlow(t, host, n))
			}
			live.hold(flows)
		}
		for range 5 {
			text := drawQuery(t)
			if got, want := answered(t, reduced, text), answered(t, plain, text); got != want {
				t.Fatalf("%s gives\n%s, want\n%s", text, got, want)
			}
		}
	})
	for _, kind := range []gremlin.Reduction{
		gremlin.ReduceCount, gremlin.ReduceDistinct, gremlin.ReduceSum, gremlin.ReduceValues, gremlin.ReduceKeys, gremlin.ReduceMetrics,
	} {
		if source.kinds[kind] == 0 {
			t.Errorf("no query was reduced to %s", kind)
		}
	}
}

func TestSilentHostIsNamedAndTheOthersAreCounted(t *testing.T) {
	w := newWorld(t, 500*time.Millisecond)
	w.agent("a", flowsOf("a", 1, 2))
	w.agent("gone", nil)
	w.agent("stuck", &held{stuck: true})
	w.agent("z", flowsOf("z", 2, 3, 4))
	for text, want := range map[string]string{
		"G.Flows().Count()":                        "5",
		"G.Flows().Sum('Metric.ABBytes')":          "12",
		"G.Flows().Dedup('Last').Count()":          "4",
		"G.Flows().Has('Last',2).Limit(9).Count()": "2",
	} {
		result := w.exec(text)
		if got := result.Values()[0].String(); got != want {
			t.Errorf("%s gives %s, want %s", text, got, want)
		}
		warnings := slices.Sorted(slices.Values(result.Warnings()))
		if len(warnings) != 2 || !strings.HasPrefix(warnings[0], "host gone did not answer") || !strings.HasPrefix(warnings[1], "host stuck did not answer") {
			t.Errorf("%s: warnings %q", text, warnings)
		}
	}
}

// What would not fit the limit of rows does not when it is reduced either.
func TestReductionHoldsTheLimit(t *testing.T) {
	w := newWorld(t, 5*time.Second)
	live := &held{}
	for n := range int64(20_000) { // more than a part of an answer
		live.flows = append(live.flows, flowOf("a", n))
	}
	w.agent("a", live)
	if got := w.exec("G.Flows().Dedup('UUID').Count()").Values()[0].Int(); got != 20_000 {
		t.Errorf("%d flows", got)
	}
	w.engine = gremlin.New(w.graph, gremlin.Options{Flows: w.source, MaxResults: 1000})
	for text, fits := range map[string]bool{
		"G.Flows().Count()": true, "G.Flows().Dedup('Last').Count()": false, "G.Flows().Values('Last').Dedup()": false,
		"G.Flows().Dedup('Last').Limit(900).Count()": true, "G.Flows().Sum('Metric.ABBytes')": true,
	} {
		q, err := gremlin.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = w.engine.Exec(t.Context(), q); (err == nil) != fits || !fits && !strings.Contains(err.Error(), "rows") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
