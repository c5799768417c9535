package gremlin

import (
	"cmp"
	"slices"
	"strings"

	"github.com/weft-net/weft/graph"
)

// runMetrics gives what the counters of each node did: live the last interval between two samples; at a moment the
// last one before it; over an interval every one that overlaps it.
func runMetrics(x *exec, _ int, s *planStep, in stream) stream {
	out := stream{kind: kindMetrics, scope: in.scope, table: newTable()}
	for n := range in.nodes {
		if _, again := out.table.rows[n.ID()]; again || !x.tick() {
			continue
		}
		rows := nodeMetrics(in.scope, n, s.keys)
		if len(rows) == 0 {
			continue
		}
		x.tableRows += len(rows)
		if !x.mayHold(x.tableRows) {
			break
		}
		out.table.add(n.ID(), rows...)
	}
	return out
}

// metricKeys are where the metrics of a node can be; the first that is there counts.
var metricKeys = [...]string{"LastUpdateMetric", "SFlow.LastUpdateMetric"}

func nodeMetrics(g *scope, n graph.Node, keys []string) []graph.Metadata {
	if len(keys) == 0 {
		keys = metricKeys[:]
	}
	for _, key := range keys {
		if g.interval {
			if rows := sampleMetrics(g, n, key); len(rows) > 0 {
				return rows
			}
		}
		v, ok := n.Field(key)
		if !ok || v.Kind() != graph.KindObject || v.Len() == 0 {
			continue
		}
		row := v.Object()
		if g.interval && !overlaps(row, g.from.Millis(), g.to.Millis()) {
			continue
		}
		return []graph.Metadata{row}
	}
	return nil
}

// sampleMetrics reads the series of counters behind a key. "Ovs.LastUpdateMetric" is shown for the counters of
// "Ovs.Metric", and "Metric" itself for the totals.
func sampleMetrics(g *scope, n graph.Node, key string) []graph.Metadata {
	head, last := "", key
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		head, last = key[:i+1], key[i+1:]
	}
	name, delta := strings.CutPrefix(last, "LastUpdate")
	var rows []graph.Metadata
	for sample := range n.Samples(head+name, g.from, g.to) {
		counters := sample.Counters
		if delta {
			counters = sample.LastUpdate
		}
		if counters.Values == nil {
			continue
		}
		fields := make([]graph.Field, 0, len(counters.Names)+2)
		for i, name := range counters.Names {
			fields = append(fields, graph.F(name, graph.Int(counters.Values[i])))
		}
		fields = append(fields, graph.F("Start", graph.Int(counters.Start)), graph.F("Last", graph.Int(counters.Last)))
		rows = append(rows, graph.NewMetadata(fields...))
	}
	return rows
}

// span reads the time that a metric covers, in milliseconds.
func span(m graph.Metadata) (start, last int64) {
	if v, ok := m.Get("Start"); ok && v.Kind() == graph.KindInt {
		start = v.Int()
	}
	if v, ok := m.Get("Last"); ok && v.Kind() == graph.KindInt {
		last = v.Int()
	}
	return start, last
}

func overlaps(m graph.Metadata, from, to int64) bool {
	start, last := span(m)
	return start <= to && last >= from
}

// isCounter tells the counters of a metric from its times and from what cannot be added.
func isCounter(name string, v graph.Value) bool {
	return name != "Start" && name != "Last" && name != "RTT" && isNumber(v)
}

// sumMetrics adds all metrics up to one, from the first Start to the last Last; null when there is none.
func sumMetrics(t *table) graph.Value {
	total := metricSums{sums: map[string]*sum{}}
	for _, rows := range t.rows {
		for _, row := range rows {
			total.add(row)
		}
	}
	return total.value()
}

// metricSums is the sum of metrics so far.
type metricSums struct {
	sums        map[string]*sum
	start, last int64
	rows        int
}

func (m *metricSums) add(row graph.Metadata) {
	start, last := span(row)
	m.extend(start, last, 1)
	for name, v := range row.All() {
		if isCounter(name, v) {
			m.of(name).add(v)
		}
	}
}

func (m *metricSums) merge(o metricSums) {
	if o.rows > 0 {
		m.extend(o.start, o.last, o.rows)
	}
	for name, s := range o.sums {
		m.of(name).merge(*s)
	}
}

func (m *metricSums) extend(start, last int64, rows int) {
	if m.rows == 0 || start < m.start {
		m.start = start
	}
	if m.rows == 0 || last > m.last {
		m.last = last
	}
	m.rows += rows
}

func (m *metricSums) of(name string) *sum {
	s := m.sums[name]
	if s == nil {
		s = &sum{}
		m.sums[name] = s
	}
	return s
}

func (m *metricSums) value() graph.Value {
	if m.rows == 0 {
		return graph.Null()
	}
	return graph.Object(metric(m.sums, m.start, m.last))
}

func metric(sums map[string]*sum, start, last int64) graph.Metadata {
	fields := []graph.Field{graph.F("Start", graph.Int(start)), graph.F("Last", graph.Int(last))}
	for name, s := range sums {
		fields = append(fields, graph.F(name, s.value()))
	}
	return graph.NewMetadata(fields...)
}

// runAggregates merges all metrics into one series of slices of equal length, under the name "Aggregated". A metric
// that crosses the border of slices is split in proportion of the time, without losing a count. The slices start with
// the interval of the query, or with the first metric when it has none; slices without any metric are left out.
func runAggregates(x *exec, i int, s *planStep, in stream) stream {
	out := stream{kind: kindMetrics, scope: in.scope, table: newTable()}
	var all []graph.Metadata
	for _, id := range in.table.sortedIDs() {
		all = append(all, in.table.rows[id]...)
	}
	out.table.add("Aggregated")
	if len(all) == 0 {
		return out
	}
	from, to := in.scope.from.Millis(), in.scope.to.Millis()
	if !in.scope.interval {
		for n, row := range all {
			start, last := span(row)
			if n == 0 || start < from {
				from = start
			}
			if n == 0 || last > to {
				to = last
			}
		}
	}
	length := s.seconds * 1000
	slots := map[int64]map[string]*sum{}
	for _, row := range all {
		start, last := span(row)
		first, end := max(start, from), min(max(last, start+1), max(to, from+1))
		for slot := (first - from) / length; from+slot*length < end; slot++ {
			if !x.tick() {
				return out
			}
			if slots[slot] == nil {
				if !x.mayHold(len(slots) + 1) {
					return out
				}
				slots[slot] = map[string]*sum{}
			}
			left, right := max(from+slot*length, first), min(from+(slot+1)*length, end)
			addShare(slots[slot], row, start, max(last, start+1), left, right)
		}
	}
	order := make([]int64, 0, len(slots))
	for slot := range slots {
		order = append(order, slot)
	}
	slices.SortFunc(order, cmp.Compare[int64])
	for _, slot := range order {
		out.table.add("Aggregated", metric(slots[slot], from+slot*length, min(from+(slot+1)*length, max(to, from+1))))
	}
	return out
}

// addShare adds the part of a metric that falls into [left, right). The parts of one metric add up to the whole.
func addShare(to map[string]*sum, row graph.Metadata, start, last, left, right int64) {
	for name, v := range row.All() {
		if !isCounter(name, v) {
			continue
		}
		if to[name] == nil {
			to[name] = &sum{}
		}
		if v.Kind() == graph.KindFloat {
			to[name].add(graph.Float(v.Float() * float64(right-left) / float64(last-start)))
			continue
		}
		until := func(t int64) int64 { return int64(float64(v.Int()) * (float64(t-start) / float64(last-start))) }
		share := until(right) - until(left)
		if right == last {
			share = v.Int() - until(left)
		}
		to[name].whole += share
	}
}
