package flowstore

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
)

// reported makes a report of a flow that began at start: it counted packets between from and last, all in seconds.
func reported(uuid string, start, from, last, packets int64, finish flow.FinishType) *flow.Flow {
	return &flow.Flow{
		UUID: uuid, NodeTID: "tid-" + uuid[:1], Start: start * 1000, Last: last * 1000, FinishType: finish,
		Metric:           &flow.Metric{ABPackets: last - start, Start: start * 1000, Last: last * 1000},
		LastUpdateMetric: &flow.Metric{ABPackets: packets, Start: from * 1000, Last: last * 1000},
		LastRawPackets:   []flow.RawPacket{{Index: last, Timestamp: last * 1000, Data: []byte{1}}, {Index: start, Timestamp: start * 1000}},
	}
}

func id(uuid string) gremlin.FlowID { return gremlin.FlowID{UUID: uuid, NodeTID: "tid-" + uuid[:1]} }

func at(from, to int64) gremlin.FlowQuery {
	return gremlin.FlowQuery{
		AllNodes: true, From: graph.MomentOf(time.Unix(from, 0)), To: graph.EndOfMilli(to * 1000), Limit: -1,
	}
}

// show writes the answer as "uuid@last".
func show(t testing.TB, m *Memory, q gremlin.FlowQuery) []string {
	t.Helper()
	var list []string
	for f, err := range m.Flows(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s@%d", f.UUID, f.Last/1000))
	}
	slices.Sort(list)
	return list
}

func TestReportsAreKeptAsTheyCame(t *testing.T) {
	now := time.Unix(1000, 0)
	m := NewMemory(MemoryOptions{Now: func() time.Time { return now }})
	b := Batch{At: now, Flows: []*flow.Flow{reported("a", 100, 100, 101, 1, 0), reported("b", 100, 100, 101, 1, 0)}}
	const application = 3 // its field
	for _, f := range b.Flows {
		b.Encoded = append(b.Encoded, append(f.AppendProto(nil), application<<3|2, 1, 'X'))
	}
	if err := m.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, encoded := range b.Encoded { // its owner uses it again
		clear(encoded)
	}
	n := 0
	for f, err := range m.Flows(t.Context(), at(0, 2000)) {
		if err != nil || f.Application != "X" || f.Metric.ABPackets != 1 || f.UUID != []string{"a", "b"}[n] {
			t.Errorf("%+v (%v)", f, err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d flows", n)
	}
}

func TestFlowsOfThePast(t *testing.T) {
	now := time.Unix(1000, 0)
	m := NewMemory(MemoryOptions{Now: func() time.Time { return now }})
	flows := []*flow.Flow{
		reported("a", 100, 100, 101, 1, 0),                   // began
		reported("a", 100, 101, 160, 59, 0),                  // goes on
		reported("a", 100, 400, 420, 20, flow.FinishType(1)), // after a long silence, ended
		reported("b", 150, 150, 151, 1, flow.FinishType(2)),  // short
		reported("c", 500, 500, 501, 1, 0),                   // goes on, no report since
	}
	if err := m.Append(t.Context(), Batch{At: now, Flows: flows}); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		from, to int64
		want     []string
	}{
		{50, 99, nil},
		{100, 100, []string{"a@101"}},
		{120, 120, []string{"a@160"}},
		{150, 150, []string{"a@160", "b@151"}},
		{155, 155, []string{"a@160"}},
		{300, 300, []string{"a@160"}}, // silent, but alive
		{410, 410, []string{"a@420"}},
		{421, 421, nil},
		{100, 600, []string{"a@420", "b@151", "c@501"}},
		{530, 530, []string{"c@501"}}, // the next report may still come
		{700, 700, nil},
	} {
		if got := show(t, m, at(one.from, one.to)); !slices.Equal(got, one.want) {
			t.Errorf("[%d, %d]: %q, want %q", one.from, one.to, got, one.want)
		}
	}

	metrics, err := m.Metrics(t.Context(), at(100, 200), id("a"))
	if err != nil || len(metrics) != 2 || metrics[0].ABPackets != 1 || metrics[1].ABPackets != 59 {
		t.Errorf("metrics %+v (%v)", metrics, err)
	}
	packets, err := m.RawPackets(t.Context(), at(100, 500), []gremlin.FlowID{id("a"), id("none")})
	of := packets[id("a")]
	if err != nil || len(packets) != 1 || len(of) != 4 || of[0].Index != 100 || of[3].Index != 420 {
		t.Errorf("packets %+v (%v)", packets, err)
	}
}

// Two captures on a node report flows of one UUID, and a file may be uploaded under the name of a node: none rewrites the others.
func TestFlowsOfOneUUIDAreTheirCaptures(t *testing.T) {
	now := time.Unix(1000, 0)
	m := NewMemory(MemoryOptions{Now: func() time.Time { return now }})
	var flows []*flow.Flow
	var ids []gremlin.FlowID
	for i, where := range [][2]string{{"c1", "n1"}, {"c2", "n1"}, {"c1", "n2"}, {"", ""}} {
		first, second := reported("a", 100, 100, 101, int64(i+1), 0), reported("a", 100, 101, 160, int64(10*(i+1)), 0)
		for _, f := range []*flow.Flow{first, second} {
			f.CaptureID, f.NodeTID = where[0], where[1]
			f.LastRawPackets = []flow.RawPacket{{Index: f.Last, Timestamp: int64(i), Nanos: f.Last}}
			flows = append(flows, f)
		}
		ids = append(ids, gremlin.FlowID{UUID: "a", CaptureID: where[0], NodeTID: where[1]})
	}
	if err := m.Append(t.Context(), Batch{At: now, Flows: flows}); err != nil {
		t.Fatal(err)
	}
	if n := m.Stats().Flows; n != len(ids) {
		t.Errorf("%d flows, want %d", n, len(ids))
	}
	if got := show(t, m, at(0, 2000)); len(got) != len(ids) {
		t.Errorf("past has %q, want %d flows", got, len(ids))
	}
	packets, err := m.RawPackets(t.Context(), at(0, 2000), append(ids, ids...))
	if err != nil || len(packets) != len(ids) {
		t.Fatalf("packets of %d flows (%v)", len(packets), err)
	}
	for i, id := range ids {
		metrics, err := m.Metrics(t.Context(), at(0, 2000), id)
		if err != nil || len(metrics) != 2 || metrics[0].ABPackets != int64(i+1) || metrics[1].ABPackets != int64(10*(i+1)) {
			t.Errorf("%v: metrics %+v (%v)", id, metrics, err)
		}
		if p := packets[id]; len(p) != 2 || p[0].Timestamp != int64(i) || p[1].Timestamp != int64(i) || p[1].Nanos != 160_000 {
			t.Errorf("%v: packets %+v", id, p)
		}
	}
	for q, want := range map[string]int{"n1": 2, "n2": 1} {
		on := at(0, 2000)
		on.AllNodes, on.NodeTIDs = false, []string{q}
		if got := show(t, m, on); len(got) != want {
			t.Errorf("%s: %q, want %d", q, got, want)
		}
	}
	now = now.Add(2 * time.Hour) // a window later nothing is left
	m.Trim()
	if s := m.Stats(); s.Flows != 0 || s.Bytes != 0 {
		t.Errorf("left %+v", s)
	}
}

func TestPastIsAskedByNodeFilterAndLimit(t *testing.T) {
	m := NewMemory(MemoryOptions{Now: func() time.Time { return time.Unix(200, 0) }})
	var flows []*flow.Flow
	for i := range int64(10) {
		flows = append(flows, reported(fmt.Sprintf("%c", 'a'+i), 100, 100, 110+i, 1, 0))
	}
	if err := m.Append(t.Context(), Batch{At: time.Unix(120, 0), Flows: flows}); err != nil {
		t.Fatal(err)
	}
	q := at(105, 105)
	q.AllNodes, q.NodeTIDs = false, []string{"tid-b", "tid-c"}
	if got := show(t, m, q); !slices.Equal(got, []string{"b@111", "c@112"}) {
		t.Errorf("by node: %q", got)
	}
	q = at(105, 105)
	q.Filter, _ = gremlin.ParseFlowFilter([]byte(`{"Key":"Last","Predicate":"GT","Args":[117000]}`))
	if got := show(t, m, q); !slices.Equal(got, []string{"i@118", "j@119"}) {
		t.Errorf("by filter: %q", got)
	}
	q = at(105, 105)
	q.Offset, q.Limit = 1, 2
	if got := show(t, m, q); len(got) != 3 {
		t.Errorf("limited: %q", got)
	}
	q.SortBy = "Last"
	if got := show(t, m, q); len(got) != 10 {
		t.Errorf("an order needs all: %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range m.Flows(ctx, at(105, 105)) {
		if err == nil {
			t.Error("a query that nobody waits for goes on")
		}
		break
	}
}

func TestWindowIsBoundedByBytesAndAge(t *testing.T) {
	now := time.Unix(1000, 0)
	m := NewMemory(MemoryOptions{MaxBytes: 4 << 20, Window: time.Minute, Now: func() time.Time { return now }})
	for i := range int64(100_000) {
		f := reported(fmt.Sprintf("%08d", i%50_000), 100, 100+i, 101+i, 1, 0)
		if err := m.Append(t.Context(), Batch{At: now, Flows: []*flow.Flow{f}}); err != nil {
			t.Fatal(err)
		}
	}
	stats := m.Stats()
	if stats.Bytes > 5<<20 || stats.Evicted == 0 || uint64(stats.Reports)+stats.Evicted != 100_000 {
		t.Errorf("%+v", stats)
	}
	if got := show(t, m, at(100, 300_000)); len(got) != stats.Flows || stats.Flows != stats.Reports {
		t.Errorf("%d flows of %+v", len(got), stats)
	}
	now = now.Add(2 * time.Minute)
	m.Trim()
	if after := m.Stats(); after.Reports != 0 || after.Flows != 0 || after.Bytes != 0 {
		t.Errorf("after the window %+v", after)
	}
}

func BenchmarkAppend(b *testing.B) {
	m := NewMemory(MemoryOptions{})
	f := reported("00000000", 100, 100, 101, 1, 0)
	now := time.Now()
	for i := 0; b.Loop(); i++ {
		f.UUID = fmt.Sprintf("%08d", i%100_000)
		if err := m.Append(b.Context(), Batch{At: now, Flows: []*flow.Flow{f}}); err != nil {
			b.Fatal(err)
		}
	}
}
