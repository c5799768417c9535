package gremlin

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/weft-net/weft/graph"
)

// What an Engine allows a query when Options do not say.
const (
	DefaultDeadline   = 30 * time.Second
	DefaultMaxResults = 1_000_000
)

// Options tune an Engine; the zero value is fit for use.
type Options struct {
	Now        func() time.Time // of At('-1m'); time.Now
	Deadline   time.Duration    // of one query; 0 = DefaultDeadline, negative = none
	MaxResults int              // rows that a query may give, or hold on the way; 0 = DefaultMaxResults, negative = any
	Flows      FlowSource       // nil = there are no flows
	Workflows  WorkflowSource   // nil = there are no workflows
	Logger     *slog.Logger     // slow queries, at level Debug; nil = none
}

// Engine executes queries on one graph. It is safe for concurrent use.
type Engine struct {
	graph *graph.Graph
	opts  Options
}

// New makes an Engine. It starts nothing.
func New(g *graph.Graph, opts Options) *Engine {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Deadline == 0 {
		opts.Deadline = DefaultDeadline
	}
	if opts.MaxResults == 0 {
		opts.MaxResults = DefaultMaxResults
	}
	return &Engine{graph: g, opts: opts}
}

// Exec executes a query on the graph as it is now, unless the query says At. It returns when the whole result is
// known; the error is an [*EvalError]. Writing the result out is the caller's affair and costs no deadline.
func (e *Engine) Exec(ctx context.Context, q *Query) (*Result, error) {
	return e.ExecOn(ctx, q, e.graph.View())
}

// ExecOn executes a query on a view, as if it were the graph of now: flows are the live ones. A query that says At
// leaves the view for the graph of the Engine at that time.
func (e *Engine) ExecOn(ctx context.Context, q *Query, v *graph.View) (*Result, error) {
	x := &exec{
		ctx: ctx, done: ctx.Done(), engine: e, steps: q.plan, stats: make([]stepStat, len(q.plan)),
		now: e.opts.Now(), start: time.Now(), deadline: max(e.opts.Deadline, 0), max: max(e.opts.MaxResults, 0),
		marks: map[string][]graph.Node{}, views: []*graph.View{v},
	}
	moment := v.Moment()
	s := stream{kind: kindGraph, scope: &scope{source: v, view: v, live: true, from: moment, to: moment}}
	for i := range q.plan {
		x.run(i)
		if x.err != nil {
			break
		}
		s = x.metered(i, q.plan[i].run(x, i, &q.plan[i], s))
	}
	r := &Result{kind: s.kind, query: q}
	if x.err == nil {
		x.current = len(q.plan) - 1
		r.collect(x, s)
	}
	if x.err == nil {
		for _, v := range x.views {
			x.fail(0, windowError(v.Err()))
		}
	}
	x.readClock()
	if x.err != nil {
		var eval *EvalError
		if e.opts.Logger != nil && !errors.As(x.err, &eval) {
			e.opts.Logger.Warn("query failed in an unexpected way", "query", q.String(), "error", x.err)
		}
		return nil, x.err
	}
	r.warnings = x.warnings
	r.explanation = explain(x, r)
	return r, nil
}

// explain turns the account of an execution into an Explanation.
func explain(x *exec, r *Result) func() Explanation {
	stats, steps, total := x.stats, x.steps, x.charged
	return func() Explanation {
		out := Explanation{Query: r.query.String(), TotalNs: int64(total), Rows: r.Len()}
		rows := 0
		for i := range steps {
			stat := &stats[i]
			line := ExplainStep{
				Text: steps[i].label(), Kind: steps[i].out.tag(), Index: stat.index, Estimate: stat.estimate,
				RowsIn: stat.in, RowsOut: stat.out, Ns: int64(stat.ns),
			}
			if line.RowsIn == 0 && steps[i].role != roleSource {
				line.RowsIn = rows
			}
			rows = stat.out
			out.Steps = append(out.Steps, line)
		}
		return out
	}
}
