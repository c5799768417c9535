package gremlin_test

import (
	"context"
	"encoding/json"
	"iter"
	"testing"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
)

// recorder is a source of flows that keeps the questions.
type recorder struct {
	asked    []gremlin.FlowQuery
	warnings []string
}

func (r *recorder) Flows(_ context.Context, q gremlin.FlowQuery) iter.Seq2[gremlin.Flow, error] {
	r.asked = append(r.asked, q)
	for _, text := range r.warnings {
		q.Warn(text)
	}
	return func(func(gremlin.Flow, error) bool) {}
}

func (r *recorder) Metrics(context.Context, gremlin.FlowQuery, gremlin.Flow) ([]gremlin.FlowMetric, error) {
	return nil, nil
}

func (r *recorder) RawPackets(context.Context, gremlin.FlowQuery, []gremlin.Flow, string) (map[gremlin.FlowID][]gremlin.RawPacket, error) {
	return nil, nil
}

// object is a flow made of metadata.
type object struct{ graph.Metadata }

func (o object) UUID() string                          { return "" }
func (o object) Field(path string) (graph.Value, bool) { return o.Lookup(path) }
func (o object) Keys() []string                        { return nil }

func ask(t testing.TB, r *recorder, text string) (gremlin.FlowQuery, *gremlin.Result) {
	t.Helper()
	q, err := gremlin.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	engine := gremlin.New(graph.New(graph.Options{}), gremlin.Options{Flows: r})
	result, err := engine.Exec(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return r.asked[len(r.asked)-1], result
}

var filterTable = []struct {
	query    string
	yes, not graph.Metadata
}{
	{"G.Flows().Has('Application','TCP')", app("TCP"), app("UDP")},
	{"G.Flows().Has('Application',NE('TCP'))", app("UDP"), app("TCP")},
	{"G.Flows().Has('Network','10.0.0.1')", network("10.0.0.2", "10.0.0.1"), network("10.0.0.2", "10.0.0.3")},
	{"G.Flows().Has('Network',NE('10.0.0.1'))", network("10.0.0.2", "10.0.0.3"), network("10.0.0.2", "10.0.0.1")},
	{"G.Flows().Has('Network',IPV4RANGE('10.0.0.0/24'))", network("1.1.1.1", "10.0.0.9"), network("10.0.1.1", "2.2.2.2")},
	{"G.Flows().Has('Last',GT(5))", number("Last", 6), number("Last", 5)},
	{"G.Flows().Has('Last',INSIDE(5, 8))", number("Last", 6), number("Last", 8)},
	{"G.Flows().Has('Application',REGEX('T.P'))", app("TCP"), app("UDP")},
	{"G.Flows().Has('Application',WITHIN('TCP','DNS'))", app("DNS"), app("UDP")},
	{"G.Flows().Has('Application',WITHOUT('TCP','DNS'))", app("UDP"), app("DNS")},
	{"G.Flows().Has('Application')", app("x"), number("Last", 1)},
	{"G.Flows().HasNot('Application')", number("Last", 1), app("x")},
	{"G.Flows().HasEither('Application','TCP','Last',1)", number("Last", 1), number("Last", 2)},
}

func app(name string) graph.Metadata {
	return graph.NewMetadata(graph.F("Application", graph.String(name)))
}

func number(key string, n int64) graph.Metadata {
	return graph.NewMetadata(graph.F(key, graph.Int(n)))
}

func network(a, b string) graph.Metadata {
	return graph.NewMetadata(graph.F("Network", graph.Object(graph.NewMetadata(graph.F("A", graph.String(a)), graph.F("B", graph.String(b))))))
}

func TestFlowFilterSaysTheSameInAnotherProcess(t *testing.T) {
	for _, one := range filterTable {
		q, _ := ask(t, &recorder{}, one.query)
		data, err := json.Marshal(&q)
		if err != nil {
			t.Fatal(err)
		}
		there, err := gremlin.ParseFlowQuery(data)
		if err != nil {
			t.Errorf("%s: %v", one.query, err)
			continue
		}
		for _, f := range []*gremlin.FlowFilter{q.Filter, there.Filter} {
			if !f.Match(object{one.yes}) || f.Match(object{one.not}) {
				t.Errorf("%s as %s: %v, %v", one.query, data, f.Match(object{one.yes}), f.Match(object{one.not}))
			}
		}
	}
}

func TestFlowQueryTravelsWhole(t *testing.T) {
	q, _ := ask(t, &recorder{}, "G.At(NOW, 10).Flows().Sort(DESC, 'Metric.ABBytes').Dedup('TrackingID').Range(3, 7)")
	data, err := json.Marshal(&q)
	if err != nil {
		t.Fatal(err)
	}
	got, err := gremlin.ParseFlowQuery(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(got)
	if err != nil || string(again) != string(data) {
		t.Errorf("%s became %s (%v)", data, again, err)
	}
	if got.Live || got.From == 0 || got.SortBy != "Metric.ABBytes" || !got.SortDesc || !got.HasDedup || got.Offset != 3 || got.Limit != 4 {
		t.Errorf("%+v", got)
	}
}

func TestBadFlowFilters(t *testing.T) {
	for _, text := range []string{
		``, `5`, `{}`, `{"Key":"a","Predicate":"NO"}`, `{"Predicate":"EQ","Args":[1]}`, `{"Key":"a","Predicate":"EQ"}`,
		`{"Key":"a","Predicate":"REGEX","Args":["("]}`, `{"And":[{}]}`, `{"And":[{"Key":"a","Predicate":"HASKEY"}],"Or":[{"Key":"a","Predicate":"HASKEY"}]}`,
	} {
		if f, err := gremlin.ParseFlowFilter([]byte(text)); err == nil {
			t.Errorf("%s: %+v", text, f)
		}
	}
}

func TestSourceOfFlowsMayWarn(t *testing.T) {
	_, result := ask(t, &recorder{warnings: []string{"host b did not answer"}}, "G.Flows()")
	if w := result.Warnings(); len(w) != 1 || w[0] != "host b did not answer" {
		t.Errorf("warnings %q", w)
	}
}

func FuzzParseFlowQuery(f *testing.F) {
	for _, one := range filterTable {
		q, _ := ask(f, &recorder{}, one.query)
		data, err := json.Marshal(&q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := gremlin.ParseFlowQuery(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := gremlin.ParseFlowQuery(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
