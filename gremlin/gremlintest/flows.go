package gremlintest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
)

// flowTable is a source of flows in memory. A flow with a Start lives from then to its Last; live questions see all.
type flowTable struct{ flows []*flow }

// flow is the flow of a script.
type flow struct {
	id     string
	fields graph.Metadata
}

// put adds a flow, or replaces it. Its Start and Last may be times of the clock.
func (t *flowTable) put(id string, fields []field) error {
	m := graph.NewMetadata(graph.F("UUID", graph.String(id)))
	for _, f := range fields {
		if (f.key == "Start" || f.key == "Last") && f.value.Kind() == graph.KindString {
			d, err := clockTime(f.value.Str())
			if err != nil {
				return err
			}
			f.value = graph.Int(Start.Add(d).UnixMilli())
		}
		m = m.Set(f.key, f.value)
	}
	t.flows = slices.DeleteFunc(t.flows, func(f *flow) bool { return f.id == id })
	t.flows = append(t.flows, &flow{id, m})
	return nil
}

// UUID implements gremlin.Flow.
func (f *flow) UUID() string { return f.id }

// Field implements gremlin.Flow.
func (f *flow) Field(path string) (graph.Value, bool) { return f.fields.Lookup(path) }

// AppendJSON implements gremlin.Flow.
func (f *flow) AppendJSON(dst []byte) []byte { return f.fields.AppendJSON(dst) }

// Keys implements gremlin.Flow.
func (f *flow) Keys() []string {
	var keys []string
	for key := range f.fields.All() {
		keys = append(keys, key)
	}
	return keys
}

func (f *flow) number(key string) int64 {
	v, _ := f.Field(key)
	if v.Kind() != graph.KindInt {
		return 0
	}
	return v.Int()
}

// Flows implements gremlin.FlowSource.
func (t *flowTable) Flows(ctx context.Context, q gremlin.FlowQuery) iter.Seq2[gremlin.Flow, error] {
	return func(yield func(gremlin.Flow, error) bool) {
		for _, f := range t.flows {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			tid, _ := f.Field("NodeTID")
			if !q.AllNodes && !slices.Contains(q.NodeTIDs, tid.String()) || !q.Filter.Match(f) || !alive(q, f) {
				continue
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

func alive(q gremlin.FlowQuery, f *flow) bool {
	return q.Live || f.number("Start") <= q.To.Millis() && f.number("Last") >= q.From.Millis()
}

// Metrics implements gremlin.FlowSource.
func (t *flowTable) Metrics(_ context.Context, _ gremlin.FlowQuery, f gremlin.Flow) ([]gremlin.FlowMetric, error) {
	for _, key := range []string{"LastUpdateMetric", "Metric"} {
		if v, ok := f.Field(key); ok {
			return []gremlin.FlowMetric{v.Object()}, nil
		}
	}
	return nil, nil
}

// RawPackets implements gremlin.FlowSource. An expression selects the packets whose data contain it.
func (t *flowTable) RawPackets(_ context.Context, _ gremlin.FlowQuery, flows []gremlin.Flow, bpf string) (map[gremlin.FlowID][]gremlin.RawPacket, error) {
	if bpf == "bad" {
		return nil, fmt.Errorf("filter %q: syntax error", bpf)
	}
	all := map[gremlin.FlowID][]gremlin.RawPacket{}
	for _, f := range flows {
		packets, _ := f.Field("Packets")
		if packets.Kind() != graph.KindList {
			continue
		}
		var out []gremlin.RawPacket
		for p := range packets.All() {
			if strings.Contains(p.Str(), bpf) {
				out = append(out, gremlin.RawPacket{Index: int64(len(out)), Data: []byte(p.Str()), LinkType: 1})
			}
		}
		all[gremlin.FlowIDOf(f)] = out
	}
	return all, nil
}
