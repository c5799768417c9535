package gremlin

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/weft-net/weft/graph"
)

// Parse reads a query; the error is a *SyntaxError.
func Parse(text string) (*Query, error) { return &Query{}, nil }

type Query struct{}

func (q *Query) String() string          { return "" }
func (q *Query) Steps() []string         { return nil }
func (q *Query) Filter() (*Filter, bool) { return nil, false }

type Options struct {
	Now        func() time.Time
	Deadline   time.Duration
	MaxResults int
	Flows      FlowSource
	Workflows  WorkflowSource
	Logger     *slog.Logger
}
type Engine struct{}

func New(g *graph.Graph, o Options) *Engine                             { return &Engine{} }
func (e *Engine) Exec(ctx context.Context, q *Query) (*Result, error)   { return &Result{}, nil }
func (e *Engine) ExecOn(ctx context.Context, q *Query, v *graph.View) (*Result, error) { return &Result{}, nil }

type Result struct{}

func (r *Result) WriteJSON(w io.Writer) error           { return nil }
func (r *Result) AppendJSON(dst []byte) ([]byte, error) { return dst, nil }
func (r *Result) IsGraph() bool                         { return false }
func (r *Result) Graph() ([]graph.Node, []graph.Edge)   { return nil, nil }
func (r *Result) Values() []any                         { return nil }
func (r *Result) Explain() Explanation                  { return Explanation{} }
func (r *Result) Warnings() []string                    { return nil }

type Filter struct{}

func (f *Filter) Node(n graph.Node) bool                { return false }
func (f *Filter) Edge(v *graph.View, e graph.Edge) bool { return false }

// StepNames and PredicateNames are for completion.
func StepNames() []string      { return nil }
func PredicateNames() []string { return nil }

type condition interface{ match(f fielder) bool }
type fielder interface {
	Field(string) (graph.Value, bool)
}
