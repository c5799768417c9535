package gremlin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
)

// clique is a graph of n nodes, each with an edge to each: a walk over it never ends.
func clique(t testing.TB, n int) *graph.Graph {
	t.Helper()
	g := graph.New(graph.Options{})
	b := &graph.Batch{Origin: "test"}
	for i := range n {
		b.Events = append(b.Events, graph.Event{Op: graph.PutNode, ID: fmt.Sprint("n", i), Metadata: graph.NewMetadata(graph.F("N", graph.Int(int64(i))))})
	}
	for i := range n {
		for j := range n {
			b.Events = append(b.Events, graph.Event{
				Op: graph.PutEdge, ID: fmt.Sprint("e", i, "-", j), Parent: fmt.Sprint("n", i), Child: fmt.Sprint("n", j),
				Metadata: graph.NewMetadata(graph.F("RelationType", graph.String("layer2"))),
			})
		}
	}
	if _, err := g.Apply(b); err != nil {
		t.Fatal(err)
	}
	return g
}

func mustParse(t testing.TB, text string) *gremlin.Query {
	t.Helper()
	q, err := gremlin.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// endless are queries that would not end in a lifetime.
func endless() []string {
	walk := strings.Repeat(".Out()", 40)
	return []string{
		"G.V()" + walk + ".Count()",
		"G.V()" + walk + ".Has('N', 77).Limit(1)",
		"G.V()" + walk + ".Dedup()",
		"G.V()" + walk + ".Sort('N').Limit(5)",
		"G.V()" + walk + ".Values('N').Dedup()",
		"G.V()" + walk + ".Sum('N')",
		"G.V()" + walk + ".Metrics()",
		"G.V()" + walk + ".Descendants('RelationType', 'layer2', 0)",
		"G.V()" + walk + ".ShortestPathTo(Metadata('N', 'none'))",
		"G.V()" + walk + ".SubGraph()",
		"G.V()" + walk + ".BothE().BothV().Keys()",
		"G.V()" + walk + ".NextHop('10.0.0.1')",
		"G.V()" + walk + ".Sockets()",
		"G.V()" + walk + ".Flows()",
		"G.V().As('a')" + walk + ".Select('a').Count()",
	}
}

// TestDeadline: every loop looks at the clock.
func TestDeadline(t *testing.T) {
	engine := gremlin.New(clique(t, 40), gremlin.Options{Deadline: 20 * time.Millisecond})
	for _, text := range endless() {
		start := time.Now()
		_, err := engine.Exec(context.Background(), mustParse(t, text))
		took := time.Since(start)
		var limit *gremlin.LimitError
		if !errors.As(err, &limit) || limit.What != "query time" {
			t.Errorf("%s: %v", text, err)
		}
		if took > 20*time.Millisecond+100*time.Millisecond { // the machine is shared; alone it is under 1 ms
			t.Errorf("%s: stopped after %v, %v late", text, took, took-20*time.Millisecond)
		}
	}
}

// TestCancel: a query ends when its client leaves.
func TestCancel(t *testing.T) {
	engine := gremlin.New(clique(t, 40), gremlin.Options{Deadline: -1})
	gone := errors.New("client left")
	for _, text := range endless()[:4] {
		ctx, cancel := context.WithCancelCause(context.Background())
		timer := time.AfterFunc(10*time.Millisecond, func() { cancel(gone) })
		_, err := engine.Exec(ctx, mustParse(t, text))
		timer.Stop()
		if !errors.Is(err, gone) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestLimitStopsEarly: nothing behind a Limit is walked.
func TestLimitStopsEarly(t *testing.T) {
	engine := gremlin.New(clique(t, 40), gremlin.Options{Deadline: time.Second})
	for _, text := range []string{
		"G.V()" + strings.Repeat(".Out()", 40) + ".Limit(3)",
		"G.V()" + strings.Repeat(".BothE().OutV()", 20) + ".Range(2, 5)",
		"G.V()" + strings.Repeat(".In()", 40) + ".Values('N').Limit(3)",
		"G.V()" + strings.Repeat(".In()", 40) + ".Dedup().Limit(3)",
		"G.V()" + strings.Repeat(".In()", 40) + ".ShortestPathTo(Metadata('N', 1)).Limit(3)",
	} {
		r, err := engine.Exec(context.Background(), mustParse(t, text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if r.Len() != 3 {
			t.Errorf("%s: %d rows", text, r.Len())
		}
		for _, step := range r.Explain().Steps {
			if step.RowsOut > 130 {
				t.Errorf("%s: %s gave %d rows", text, step.Text, step.RowsOut)
			}
		}
	}
}

// TestResultCap: what a query holds is bounded wherever it is held.
func TestResultCap(t *testing.T) {
	engine := gremlin.New(clique(t, 40), gremlin.Options{MaxResults: 30})
	for _, text := range []string{
		"G", "G.V()", "G.E()", "G.V().Sort('N')", "G.V().Dedup('N').Limit(31)", "G.V().SubGraph()", "G.E().Limit(31).SubGraph()",
		"G.V().As('x').Count()", "G.V('n0').Descendants('RelationType', 'layer2').Count()",
		"G.V('n0').ShortestPathTo(Metadata('N', 'none'))", "G.V().Values('N')", "G.V().Out().Limit(31)",
	} {
		_, err := engine.Exec(context.Background(), mustParse(t, text))
		var limit *gremlin.LimitError
		var eval *gremlin.EvalError
		if !errors.As(err, &limit) || limit.What != "rows" || !errors.As(err, &eval) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestWindowError: a question about what is forgotten names the earliest moment, and the cause can be found.
func TestWindowError(t *testing.T) {
	engine := gremlin.New(clique(t, 2), gremlin.Options{})
	_, err := engine.Exec(context.Background(), mustParse(t, "G.At('2001-02-03T04:05:06Z').V()"))
	var window *graph.WindowError
	if !errors.As(err, &window) {
		t.Fatal(err)
	}
	if want := window.Earliest.Time().UTC().Format(time.RFC3339Nano); !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not name %s", err, want)
	}
}

// TestNow: relative times count from the clock of the options.
func TestNow(t *testing.T) {
	clock := time.Date(2026, 5, 5, 12, 0, 0, 0, time.UTC)
	g := graph.New(graph.Options{Now: func() time.Time { return clock }})
	put := func(v int64) {
		t.Helper()
		if _, err := g.Apply(&graph.Batch{Origin: "test", Events: []graph.Event{
			{Op: graph.PutNode, ID: "a", Metadata: graph.NewMetadata(graph.F("V", graph.Int(v)))},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	put(1)
	clock = clock.Add(time.Minute)
	put(2)
	engine := gremlin.New(g, gremlin.Options{Now: func() time.Time { return clock }})
	for text, want := range map[string]string{
		"G.V().Values('V')":            "[2]",
		"G.At('-30s').V().Values('V')": "[1]",
		"G.At(NOW).V().Values('V')":    "[2]",
	} {
		r, err := engine.Exec(context.Background(), mustParse(t, text))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := r.AppendJSON(nil); string(got) != want {
			t.Errorf("%s = %s, expected %s", text, got, want)
		}
	}
}

// TestConcurrent: one Query and one Engine serve many goroutines.
func TestConcurrent(t *testing.T) {
	g := clique(t, 20)
	engine := gremlin.New(g, gremlin.Options{})
	q := mustParse(t, "G.V().Has('N', LT(10)).As('x').Out().Dedup().Sort('N').Limit(3).Values('N')")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				r, err := engine.Exec(context.Background(), q)
				if err != nil {
					t.Error(err)
					return
				}
				if got, _ := r.AppendJSON(nil); string(got) != "[0,1,2]" {
					t.Errorf("got %s", got)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestExplain: the account of a plan adds up.
func TestExplain(t *testing.T) {
	engine := gremlin.New(clique(t, 40), gremlin.Options{})
	r, err := engine.Exec(context.Background(), mustParse(t, "G.V().Has('N', LT(5)).Has('N', GT(1)).Out().Dedup().Count()"))
	if err != nil {
		t.Fatal(err)
	}
	e := r.Explain()
	want := []struct {
		text, kind, index string
		in, out           int
	}{
		{"G", "graph", "", 0, 1},
		{"V().Has('N', LT(5)).Has('N', GT(1))", "nodes", "scan", 40, 3},
		{"Out()", "nodes", "", 3, 120},
		{"Dedup()", "nodes", "", 120, 40},
		{"Count()", "number", "", 40, 1},
	}
	if len(e.Steps) != len(want) {
		t.Fatalf("%d steps: %+v", len(e.Steps), e.Steps)
	}
	var total int64
	for i, w := range want {
		s := e.Steps[i]
		if s.Text != w.text || s.Kind != w.kind || s.Index != w.index || s.RowsIn != w.in || s.RowsOut != w.out {
			t.Errorf("step %d is %+v, expected %+v", i, s, w)
		}
		total += s.Ns
	}
	if total != e.TotalNs || total <= 0 {
		t.Errorf("the steps took %d ns, the whole %d", total, e.TotalNs)
	}
}

// failingWriter takes so many bytes and no more.
type failingWriter struct{ left int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errors.New("broken pipe")
	}
	return len(p), nil
}

// TestWriteJSON: pieces are written as they fill, and a writer's error ends the writing.
func TestWriteJSON(t *testing.T) {
	engine := gremlin.New(clique(t, 60), gremlin.Options{})
	r, err := engine.Exec(context.Background(), mustParse(t, "G"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	whole, err := r.AppendJSON([]byte("x"))
	if err != nil || string(whole) != "x"+b.String() {
		t.Fatalf("AppendJSON differs from WriteJSON: %v", err)
	}
	if b.Len() < 300<<10 {
		t.Fatalf("%d bytes are not enough for this test", b.Len())
	}
	if err := r.WriteJSON(&failingWriter{left: 100 << 10}); err == nil {
		t.Error("no error from a broken pipe")
	}
}

// What is known of an interval is answered, and where that begins is said beside it.
func TestAnIntervalThatBeginsBeforeTheMemoryIsAnsweredWithAWarning(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	g := graph.New(graph.Options{Now: func() time.Time { return now }})
	if _, err := g.Apply(&graph.Batch{Origin: "o", Events: []graph.Event{{Op: graph.PutNode, ID: "a"}}}); err != nil {
		t.Fatal(err)
	}
	engine := gremlin.New(g, gremlin.Options{Now: func() time.Time { return now }})
	for text, want := range map[string]string{
		"G.At(NOW, '1h').V()":    "the interval begins at the earliest known moment, 2026-05-01T12:00:00Z",
		"G.At(NOW, FOREVER).V()": "the interval begins at the earliest known moment, 2026-05-01T12:00:00Z",
		"G.At(NOW, 0).V()":       "",
	} {
		q, err := gremlin.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		result, err := engine.Exec(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(result.Warnings(), "; "); got != want || result.Len() != 1 {
			t.Errorf("%s: %d nodes, warnings %q, want %q", text, result.Len(), got, want)
		}
	}
}
