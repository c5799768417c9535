package graph_test

import (
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
)

func metric(id string, last int64, rx, tx int64) graph.Event {
	return graph.Event{Op: graph.PutSample, ID: id, Counters: &graph.Counters{
		Prefix: "Metric", Names: []string{"RxBytes", "TxBytes"}, Values: []int64{rx, tx}, Start: 10, Last: last,
	}}
}

func TestSamplesShowAsMetadata(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now})
	sub := g.Subscribe()
	defer sub.Close()
	apply(t, g, "p", putNode("a", name("eth0")))
	c.advance(time.Second)
	r1 := apply(t, g, "p", metric("a", 20, 100, 7))
	want(t, "first", show(g.View(), "a"), `{"Metric":{"Last":20,"RxBytes":100,"Start":10,"TxBytes":7},"Name":"eth0"}`)
	c.advance(time.Second)
	apply(t, g, "p", metric("a", 30, 150, 3))
	second := `{"LastUpdateMetric":{"Last":30,"RxBytes":50,"Start":20,"TxBytes":3},` +
		`"Metric":{"Last":30,"RxBytes":150,"Start":10,"TxBytes":3},"Name":"eth0"}`
	want(t, "second, and a counter that began anew", show(g.View(), "a"), second)
	n, _ := g.View().Node("a")
	want(t, "revision", n.Revision(), 2)
	want(t, "updated", n.UpdatedAt(), c.t.UnixMilli())
	want(t, "no version of it", g.Stats().Versions, 1)
	for path, w := range map[string]string{
		"Metric.RxBytes": "150", "LastUpdateMetric.RxBytes": "50", "Metadata.Metric.Last": "30", "@Revision": "2",
		"Metric": `{"Last":30,"RxBytes":150,"Start":10,"TxBytes":3}`, "Name": "eth0", "Metric.No": "null",
	} {
		v, _ := n.Field(path)
		want(t, path, v.String(), w)
	}
	past, err := g.At(r1.Moment)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "the past", show(past, "a"), `{"Metric":{"Last":20,"RxBytes":100,"Start":10,"TxBytes":7},"Name":"eth0"}`)

	apply(t, g, "p", putNode("a", name("eth1")))
	n, _ = g.View().Node("a")
	want(t, "revision goes on", n.Revision(), 3)
	if _, ok := n.Field("Metric.RxBytes"); !ok {
		t.Error("samples are gone with the version")
	}
	want(t, "the same sample again", apply(t, g, "p", metric("a", 30, 150, 3)).Changes, 0)

	var kinds []bool
	for {
		commit, ok, err := sub.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		kinds = append(kinds, commit.Changes[0].Sample)
	}
	want(t, "sample commits", kinds, []bool{false, true, true, false})
	if _, _, ok := g.View().Lookup("Metric.RxBytes", graph.Int(150)); ok {
		t.Error("an index over counters")
	}
}

func TestSeriesIsBounded(t *testing.T) {
	c := newClock()
	g := graph.New(graph.Options{Now: c.now, SamplesKept: 40})
	apply(t, g, "p", putNode("a"))
	var moments []graph.Moment
	for i := range int64(300) {
		c.advance(time.Second)
		moments = append(moments, apply(t, g, "p", metric("a", i, i*i, i)).Moment)
	}
	n, _ := g.View().Node("a")
	count, next := 0, int64(-1)
	for s := range n.Samples("Metric", 0, g.Now()) {
		if next >= 0 {
			want(t, "in order", s.Counters.Last, next)
			want(t, "difference", s.LastUpdate.Values[0], next*next-(next-1)*(next-1))
		}
		want(t, "moment", s.Moment, moments[s.Counters.Last])
		next = s.Counters.Last + 1
		count++
	}
	want(t, "up to the last", next, 300)
	if count < 40 || count > 80 {
		t.Errorf("%d samples kept of 40", count)
	}
	want(t, "dropped", g.Stats().DroppedSamples > 200, true)
	some := 0
	for s := range n.Samples("Metric", moments[280], moments[289]) {
		want(t, "interval", s.Counters.Last, 280+some)
		some++
	}
	want(t, "interval", some, 10)
	past, _ := g.At(moments[270])
	old, _ := past.Node("a")
	v, _ := old.Field("Metric.RxBytes")
	want(t, "past value out of a frozen block", v.Int(), 270*270)
	want(t, "past revision", old.Revision(), 271)
}

func TestSeriesWithOtherNamesGoesOn(t *testing.T) {
	g := graph.New(graph.Options{})
	apply(t, g, "p", putNode("a"))
	r := apply(t, g, "p", metric("a", 1, 5, 5))
	ev := metric("a", 2, 6, 6)
	ev.Counters.Names = []string{"RxBytes", "TxPackets"}
	apply(t, g, "p", ev)
	want(t, "now", show(g.View(), "a"), `{"Metric":{"Last":2,"RxBytes":6,"Start":10,"TxPackets":6}}`)
	past, _ := g.At(r.Moment)
	want(t, "then", show(past, "a"), `{"Metric":{"Last":1,"RxBytes":5,"Start":10,"TxBytes":5}}`)
	n, _ := g.View().Node("a")
	count := 0
	for range n.Samples("Metric", 0, g.Now()) {
		count++
	}
	want(t, "samples of both", count, 2)
}

func TestBadSamplesAreRefused(t *testing.T) {
	g := graph.New(graph.Options{})
	apply(t, g, "p", putNode("a"))
	short := metric("a", 1, 1, 1)
	short.Counters.Values = short.Counters.Values[:1]
	nameless := metric("a", 1, 1, 1)
	nameless.Counters.Prefix = ""
	res, err := g.Apply(&graph.Batch{Origin: "p", Events: []graph.Event{
		short, nameless, {Op: graph.PutSample, ID: "a"}, metric("unknown", 1, 1, 1),
	}})
	if err != nil || len(res.Rejected) != 4 || res.Changes != 0 {
		t.Fatal(res, err)
	}
}
