package gremlin

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/weft-net/weft/graph"
)

// Reduction is what a query makes of flows of which it wants no more than that.
type Reduction string

// The reductions. What is said of keys is said of FlowReduction.Keys.
const (
	ReduceCount    Reduction = "count"    // how many there are
	ReduceDistinct Reduction = "distinct" // how many differ in the values of keys, or of the UUID; those without any of the keys all count
	ReduceSum      Reduction = "sum"      // of the numbers under the key
	ReduceValues   Reduction = "values"   // the values that the key has
	ReduceKeys     Reduction = "keys"     // the names of fields
	ReduceMetrics  Reduction = "metrics"  // of the metrics of now: the sum, or that of the numbers under the key
)

// FlowReduction is a Reduction with what it is of.
type FlowReduction struct {
	Kind Reduction
	Keys []string `json:",omitempty"`
	Most int64    `json:",omitempty"` // rows that are wanted at most; 0 = all
	Hold int      `json:",omitempty"` // different values that are wanted at most; 0 = all
}

// FlowReducer is a FlowSource that can reduce the flows of now where they are, so that they need not come here.
type FlowReducer interface {
	FlowSource
	// Reduce gives what the reduction makes of the flows that Flows would give. What is missing is told to q.Warn.
	Reduce(ctx context.Context, q FlowQuery, r FlowReduction) (*FlowTotal, error)
}

// MeasuredFlow is a flow that knows its metrics of now, for ReduceMetrics.
type MeasuredFlow interface {
	Flow
	// LiveMetrics gives what FlowSource.Metrics does of a flow of now.
	LiveMetrics() []FlowMetric
}

// FlowTotal is what a reduction made of the flows so far. One goroutine at a time uses it.
type FlowTotal struct {
	reduction FlowReduction
	rows      int64 // flows; of ReduceDistinct: those that have none of the keys
	sum       sum
	seen      map[string]struct{}
	list      []string // what was seen, in order
	metrics   metricSums
	fault     string
	room      []byte
}

// New begins a total, of no flows.
func (r FlowReduction) New() *FlowTotal {
	return &FlowTotal{reduction: r, seen: map[string]struct{}{}, metrics: metricSums{sums: map[string]*sum{}}}
}

// AddCount counts flows that ReduceCount need not see.
func (t *FlowTotal) AddCount(n int64) { t.rows += n }

// Rows is how many flows were counted, or different things found.
func (t *FlowTotal) Rows() int64 { return t.rows + int64(len(t.list)) }

// More reports whether more flows can make another total.
func (t *FlowTotal) More() bool {
	r := &t.reduction
	return t.fault == "" && (r.Most == 0 || t.Rows() < r.Most) && (r.Hold == 0 || len(t.list) < r.Hold)
}

// Add takes a flow, which is not kept. It reports whether more are wanted.
func (t *FlowTotal) Add(f Flow) bool {
	if !t.More() {
		return false
	}
	switch t.reduction.Kind {
	case ReduceCount:
		t.rows++
	case ReduceDistinct:
		b, ok := flowKey(t.reduction.Keys, f, t.room[:0])
		if t.room = b; ok {
			t.see(b)
		} else {
			t.rows++
		}
	case ReduceSum:
		v, ok := f.Field(t.reduction.Keys[0])
		t.addNumber("flow ", f, v, ok)
	case ReduceValues:
		v, ok := f.Field(t.reduction.Keys[0])
		if !ok {
			t.fault = noField(f, t.reduction.Keys[0]).Error()
			return false
		}
		t.room = v.AppendJSON(t.room[:0])
		t.see(t.room)
	case ReduceKeys:
		for _, key := range f.Keys() {
			t.room = append(t.room[:0], key...)
			t.see(t.room)
		}
	case ReduceMetrics:
		measured, ok := f.(MeasuredFlow)
		if !ok {
			t.fault = "the source has flows without metrics"
			return false
		}
		for _, row := range measured.LiveMetrics() {
			if len(t.reduction.Keys) == 0 {
				t.metrics.add(row)
				continue
			}
			v, ok := row.Lookup(t.reduction.Keys[0])
			t.addNumber("metrics of ", f, v, ok)
		}
	default:
		t.fault = fmt.Sprintf("reduction %q is not known: are the versions of agent and analyzer the same?", t.reduction.Kind)
	}
	return t.More()
}

func (t *FlowTotal) addNumber(what string, f Flow, v graph.Value, ok bool) {
	if ok && !t.sum.add(v) {
		t.fault = noNumber(what+f.UUID(), v).Error()
	}
}

func (t *FlowTotal) see(b []byte) {
	if _, again := t.seen[string(b)]; !again {
		text := string(b)
		t.seen[text] = struct{}{}
		t.list = append(t.list, text)
	}
}

// Merge adds the total of other flows.
func (t *FlowTotal) Merge(o *FlowTotal) {
	t.rows += o.rows
	t.sum.merge(o.sum)
	t.metrics.merge(o.metrics)
	for _, text := range o.list {
		if !t.More() {
			break
		}
		t.room = append(t.room[:0], text...)
		t.see(t.room)
	}
	if t.fault == "" {
		t.fault = o.fault
	}
}

// wireTotal is a part of a total in JSON.
type wireTotal struct {
	Rows        int64              `json:",omitempty"`
	Sum         *wireSum           `json:",omitempty"`
	Seen        []string           `json:",omitempty"`
	Metrics     map[string]wireSum `json:",omitempty"`
	Measured    int                `json:",omitempty"`
	Start, Last int64              `json:",omitempty"`
	Fault       string             `json:",omitempty"`
}

type wireSum struct {
	Whole int64   `json:",omitempty"`
	Real  float64 `json:",omitempty"`
	Float bool    `json:",omitempty"`
}

// Parts encodes the total for MergePart, in parts of about as many bytes; there is always a first one.
func (t *FlowTotal) Parts(size int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		w := wireTotal{Rows: t.rows, Measured: t.metrics.rows, Start: t.metrics.start, Last: t.metrics.last, Fault: t.fault}
		if t.sum != (sum{}) {
			w.Sum = &wireSum{t.sum.whole, t.sum.real, t.sum.float}
		}
		if len(t.metrics.sums) > 0 {
			w.Metrics = map[string]wireSum{}
			for name, s := range t.metrics.sums {
				w.Metrics[name] = wireSum{s.whole, s.real, s.float}
			}
		}
		rest := t.list
		for first := true; first || len(rest) > 0; first = false {
			n := 0
			for used := 0; n < len(rest) && used < size; n++ {
				used += len(rest[n]) + len(`"",`)
			}
			w.Seen, rest = rest[:n], rest[n:]
			if part, err := json.Marshal(&w); !yield(part, err) || err != nil {
				return
			}
			w = wireTotal{}
		}
	}
}

// MergePart adds what another process encoded, of the same reduction.
func (t *FlowTotal) MergePart(part []byte) error {
	var w wireTotal
	if err := json.Unmarshal(part, &w); err != nil {
		return fmt.Errorf("total of flows: %w", err)
	}
	o := FlowTotal{
		rows: w.Rows, list: w.Seen, fault: w.Fault,
		metrics: metricSums{rows: w.Measured, start: w.Start, last: w.Last, sums: map[string]*sum{}},
	}
	if w.Sum != nil {
		o.sum = sum{w.Sum.Whole, w.Sum.Real, w.Sum.Float}
	}
	for name, s := range w.Metrics {
		o.metrics.sums[name] = &sum{s.Whole, s.Real, s.Float}
	}
	t.Merge(&o)
	return nil
}

// reduction is what the steps behind Flows make of the flows, all together.
type reduction struct {
	FlowReduction
	cond     *condition
	at       int // the step that gives what they make
	from, to int64
	ranged   bool

	run func(r FlowReduction, q *FlowQuery) (*FlowTotal, error)
	q   FlowQuery
}

// planReduction looks for the step that wants less than flows, at or behind the step n. It is nil when there is none,
// or when what stands before it has to see the flows.
func planReduction(steps []planStep, n int) *reduction {
	r := &reduction{}
	deduped := false
	for ; n < len(steps) && steps[n].in == kindFlows; n++ {
		s := &steps[n]
		name := s.call.spec.name
		switch {
		case s.role == roleCount:
			r.at, r.Kind = n, ReduceCount
			if deduped {
				r.Kind = ReduceDistinct
			}
			if r.ranged {
				r.Most = r.to
			}
			return r
		case s.role == roleSort: // changes no number
		case s.role == roleRange && !r.ranged:
			r.ranged, r.from, r.to = true, s.from, s.to
		case r.ranged || deduped:
			return nil
		case s.role == roleFilter:
			r.cond = r.cond.and(s.cond)
		case name == "Dedup":
			deduped, r.Keys = true, s.keys
		case name == "Sum":
			r.at, r.Kind, r.Keys = n, ReduceSum, s.keys
			return r
		case name == "Keys":
			r.at, r.Kind = n, ReduceKeys
			return r
		case name == "Values" && n+1 < len(steps) && steps[n+1].call.spec.name == "Dedup":
			r.at, r.Kind, r.Keys = n+1, ReduceValues, s.keys
			return r
		case name == "Metrics" && n+1 < len(steps) && steps[n+1].call.spec.name == "Sum":
			r.at, r.Kind, r.Keys = n+1, ReduceMetrics, steps[n+1].keys
			return r
		default:
			return nil
		}
	}
	return nil
}

// reduced gives the total that a step is to show; nil when it has to look at the flows, and after an error.
func (x *exec) reduced(i int, in stream) *FlowTotal {
	r := in.reduction
	if r == nil || r.at != i {
		return nil
	}
	if x.max > 0 {
		r.Hold = x.max + 1
	}
	total := r.New()
	if r.ranged && r.from >= r.to {
		return total
	}
	total, err := r.run(r.FlowReduction, &r.q)
	switch {
	case err != nil:
		x.fail(i, err)
	case total.fault != "":
		x.fail(i, faultError(total.fault))
	case !x.mayHold(len(total.list)):
	default:
		return total
	}
	return r.New()
}

type faultError string

// Error implements error.
func (e faultError) Error() string { return string(e) }

// count is the number of rows within the range.
func (r *reduction) count(t *FlowTotal) int64 {
	n := t.Rows()
	if r.ranged {
		n = max(min(n, r.to)-r.from, 0)
	}
	return n
}

// values are the values, or names, that were found.
func (t *FlowTotal) values(x *exec, i int) iter.Seq[graph.Value] {
	return func(yield func(graph.Value) bool) {
		for _, text := range t.list {
			v := graph.String(text)
			if t.reduction.Kind == ReduceValues {
				var err error
				if v, err = parseValue(json.RawMessage(text)); err != nil {
					x.fail(i, err)
					return
				}
			}
			if !x.tick() || !yield(v) {
				return
			}
		}
	}
}
