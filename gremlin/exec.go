package gremlin

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"time"

	"github.com/weft-net/weft/graph"
)

// exec is one execution of a plan, on one goroutine. It carries the budget (deadline, context, rows that may be held)
// and the account (rows and time of each step).
//
// Time is measured without a clock in the hot path: every change of the running step is a tick, and a tick reads the
// clock while there were few of them, and then one time in 64, charging what passed to the step that ran. The same
// tick looks at the deadline and the context, so that no step can run on unobserved.
type exec struct {
	ctx      context.Context
	done     <-chan struct{}
	engine   *Engine
	steps    []planStep
	stats    []stepStat
	now      time.Time // of the question, by Options.Now
	start    time.Time
	deadline time.Duration // after start; 0 = none
	max      int           // rows that may be held; 0 = any number

	current   int // the step that runs
	ticks     uint
	charged   time.Duration // of the time since start
	err       error
	tableRows int // held in tables of metrics, sockets and packets
	warnings  []string
	marks     map[string][]graph.Node // of As
	views     []*graph.View
}

// stepStat is the account of one step.
type stepStat struct {
	in, out  int
	ns       time.Duration
	index    string
	estimate int
}

const clockEvery = 64

// tick notes that work was done. It returns false when the query must stop.
func (x *exec) tick() bool {
	x.ticks++
	if x.ticks < clockEvery || x.ticks%clockEvery == 0 {
		x.readClock()
	}
	return x.err == nil
}

func (x *exec) readClock() {
	elapsed := time.Since(x.start)
	x.stats[x.current].ns += elapsed - x.charged
	x.charged = elapsed
	if x.err != nil {
		return
	}
	if x.deadline > 0 && elapsed > x.deadline {
		x.fail(x.current, &LimitError{
			What: "query time", Limit: x.deadline.String(),
			Hint: "narrow it with Has, Dedup or Limit, or raise the deadline",
		})
		return
	}
	select {
	case <-x.done:
		x.fail(x.current, context.Cause(x.ctx))
	default:
	}
}

// run makes step i the running one. It returns false when the query must stop.
func (x *exec) run(i int) bool {
	ok := x.tick()
	x.current = i
	return ok
}

// fail stops the query, with an error at step i. The first error counts.
func (x *exec) fail(i int, err error) {
	if x.err != nil || err == nil {
		return
	}
	var already *EvalError
	if errors.As(err, &already) {
		x.err = err
		return
	}
	s := &x.steps[i]
	x.err = &EvalError{Line: s.call.pos.line, Column: s.call.pos.column, Step: s.call.String(), Err: err}
}

// mayHold reports whether a step may hold n rows, and fails when it may not.
func (x *exec) mayHold(n int) bool {
	if x.max > 0 && n > x.max {
		x.fail(x.current, &LimitError{
			What: "rows", Limit: strconv.Itoa(x.max),
			Hint: "narrow the query with Has or Limit, or ask for a Count",
		})
		return false
	}
	return true
}

// meter counts and times what comes out of step i.
func meter[T any](x *exec, i int, seq iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		caller := x.current
		x.run(i)
		stat := &x.stats[i]
		seq(func(v T) bool {
			stat.out++
			if !x.run(caller) {
				return false
			}
			more := yield(v)
			return x.run(i) && more
		})
		x.run(caller)
	}
}

// metered wraps the rows of a stream.
func (x *exec) metered(i int, s stream) stream {
	switch s.kind {
	case kindNodes:
		s.nodes = meter(x, i, s.nodes)
	case kindEdges:
		s.edges = meter(x, i, s.edges)
	case kindValues:
		s.values = meter(x, i, s.values)
	case kindPaths:
		s.paths = meter(x, i, s.paths)
	case kindFlows:
		s.flows = meter(x, i, s.flows)
	case kindGraph:
		x.stats[i].out = 1
	case kindScalar:
		x.stats[i].out = 1
	default:
		x.stats[i].out = len(s.table.ids)
	}
	return s
}

// collect gathers a whole sequence, within the limit.
func collect[T any](x *exec, seq iter.Seq[T]) []T {
	var out []T
	for v := range seq {
		if !x.mayHold(len(out) + 1) {
			return nil
		}
		out = append(out, v)
	}
	return out
}

// drain runs a stream for what it does on the way, and drops its rows.
func (x *exec) drain(s stream) {
	switch s.kind {
	case kindNodes:
		count(s.nodes)
	case kindEdges:
		count(s.edges)
	}
}
