// Package gremlin asks questions of a graph in Skydive's dialect of Gremlin, about now or about any moment that the
// graph still holds.
//
//	query, err := gremlin.Parse("G.V().Has('Type', 'netns').Out().Has('MTU', LT(1500))")
//	if err != nil { … }                       // *SyntaxError: line, column, what was expected, the nearest name
//	engine := gremlin.New(g, gremlin.Options{Deadline: 30 * time.Second, MaxResults: 1_000_000})
//	result, err := engine.Exec(ctx, query)
//	if err != nil { … }                       // *EvalError: the position of the step that failed
//	err = result.WriteJSON(w)                 // in the shape that Skydive's clients expect
//
// # How it works
//
// Text becomes tokens (lexer.go), a syntax tree (parser.go, ast.go), and a plan (plan.go): a chain of steps, each
// checked against the kind of stream before it (nodes, edges, values, paths, flows…) by the one table of steps
// (table.go). The plan runs as push iterators over a [graph.View]: a step pulls nothing that a later Limit or Count
// does not want, and the first Has steps behind V and E become the choice of an index (source.go). What must be held
// (the seen set of Dedup, the buffer of Sort, the result itself) is bounded by Options.MaxResults, and every loop
// looks at the deadline and at its context (exec.go).
//
// # Who calls what
//
// A [Query] is immutable: parse once, execute from any goroutine, at once. An [Engine] is safe for concurrent use and
// starts no goroutine; [Engine.Exec] ends when the query does, when its context does, or at the deadline, whichever
// is first. A [Result] belongs to its caller; the elements in it are snapshots and stay valid for ever. A [Filter] is
// immutable.
//
// Flows and workflows live elsewhere: [FlowSource] and [WorkflowSource] are the seams to them. Without a source, flow
// steps parse, check and plan, and give the empty result of their kind.
//
// The language is described in docs/gremlin.md, and tested by the scripts in testdata (package gremlintest).
package gremlin
