// Package row shows flows to Gremlin: fields as graph values, and of a filter what a table of flows can look for
// before it makes a flow of what it has.
//
// Everything here is a pure function of its arguments, for any goroutine; rows are as immutable as the flows that
// they show.
package row

import (
	"bytes"
	"encoding/json"
	"math"
	"net/netip"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
)

// Row is one flow as the steps of Gremlin see it. It implements gremlin.Flow.
type Row struct{ Flow *flow.Flow }

// UUID implements gremlin.Flow.
func (r Row) UUID() string { return r.Flow.UUID }

// Keys implements gremlin.Flow.
func (r Row) Keys() []string { return r.Flow.Keys() }

// AppendJSON implements gremlin.Flow.
func (r Row) AppendJSON(dst []byte) []byte { return r.Flow.AppendJSON(dst) }

// LiveMetrics implements gremlin.MeasuredFlow: what the flow counted lately.
func (r Row) LiveMetrics() []gremlin.FlowMetric {
	if m := LastMetric(r.Flow); m != nil {
		return []gremlin.FlowMetric{Metric(m)}
	}
	return nil
}

// Field implements gremlin.Flow.
func (r Row) Field(path string) (graph.Value, bool) {
	v, ok := r.Flow.Field(path)
	if !ok {
		return graph.Value{}, false
	}
	switch v.Kind {
	case flow.KindInt:
		return graph.Int(v.Num), true
	case flow.KindBool:
		return graph.Bool(v.Num != 0), true
	case flow.KindString:
		return graph.String(v.Str), true
	case flow.KindJSON:
		return fromJSON(v.Str)
	}
	return graph.Value{}, false
}

func fromJSON(text string) (graph.Value, bool) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return graph.Value{}, false
	}
	value, err := graph.ValueOf(numbers(v))
	return value, err == nil
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // out of range is infinite
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// Metric is a metric as the object that Gremlin's Metrics shows.
func Metric(m *flow.Metric) gremlin.FlowMetric {
	fields := []graph.Field{
		graph.F("ABPackets", graph.Int(m.ABPackets)), graph.F("ABBytes", graph.Int(m.ABBytes)),
		graph.F("BAPackets", graph.Int(m.BAPackets)), graph.F("BABytes", graph.Int(m.BABytes)),
		graph.F("Start", graph.Int(m.Start)), graph.F("Last", graph.Int(m.Last)),
	}
	if m.RTT != 0 {
		fields = append(fields, graph.F("RTT", graph.Int(m.RTT)))
	}
	return graph.NewMetadata(fields...)
}

// LastMetric is what a live flow counted lately: since its last report, or since its start when that was nothing.
func LastMetric(f *flow.Flow) *flow.Metric {
	if m := f.LastUpdateMetric; m != nil && m.ABPackets+m.BAPackets > 0 {
		return m
	}
	return f.Metric
}

// Prefilter says what every flow that the filter takes must have; nil when that is nothing that a table can look for.
func Prefilter(f *gremlin.FlowFilter) *flow.Prefilter {
	if f == nil {
		return nil
	}
	var p flow.Prefilter
	found := false
	parts := f.And
	if len(parts) == 0 {
		parts = []*gremlin.FlowFilter{f}
	}
	for _, part := range parts {
		if both(&p, part) || single(&p, part) {
			found = true
		}
	}
	if !found {
		return nil
	}
	return &p
}

// both reads a condition on either end, which is an Or over A and B with the same arguments.
func both(p *flow.Prefilter, f *gremlin.FlowFilter) bool {
	if len(f.Or) != 2 {
		return false
	}
	a, b := f.Or[0], f.Or[1]
	if !equality(a) || !equality(b) || len(a.Args) != len(b.Args) {
		return false
	}
	for i := range a.Args {
		if !a.Args[i].Equal(b.Args[i]) {
			return false
		}
	}
	switch {
	case a.Key == "Network.A" && b.Key == "Network.B":
		return set(&p.Network, a.Args, address)
	case a.Key == "Transport.A" && b.Key == "Transport.B":
		return set(&p.Transport, a.Args, port)
	}
	return false
}

func equality(f *gremlin.FlowFilter) bool {
	return len(f.Args) > 0 && (f.Predicate == "EQ" || f.Predicate == "WITHIN")
}

func single(p *flow.Prefilter, f *gremlin.FlowFilter) bool {
	if !equality(f) {
		return false
	}
	switch f.Key {
	case "Network.A":
		return set(&p.NetworkA, f.Args, address)
	case "Network.B":
		return set(&p.NetworkB, f.Args, address)
	case "Transport.A":
		return set(&p.TransportA, f.Args, port)
	case "Transport.B":
		return set(&p.TransportB, f.Args, port)
	case "UUID":
		return set(&p.UUID, f.Args, text)
	case "TrackingID":
		return set(&p.TrackingID, f.Args, text)
	case "Application":
		return set(&p.Application, f.Args, text)
	}
	return false
}

// set fills a list of the prefilter. A second condition on the same field, or a value that the field cannot have,
// is left to the filter itself.
func set[T any](list *[]T, args []graph.Value, read func(graph.Value) (T, bool)) bool {
	if *list != nil {
		return false
	}
	var values []T
	for _, v := range args {
		value, ok := read(v)
		if !ok {
			return false
		}
		values = append(values, value)
	}
	*list = values
	return true
}

func address(v graph.Value) (netip.Addr, bool) {
	a, err := netip.ParseAddr(v.Str())
	return a, err == nil && v.Kind() == graph.KindString
}

func port(v graph.Value) (uint16, bool) {
	return uint16(v.Int()), v.Kind() == graph.KindInt && v.Int() >= 0 && v.Int() <= math.MaxUint16
}

func text(v graph.Value) (string, bool) { return v.Str(), v.Kind() == graph.KindString }
