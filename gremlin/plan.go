package gremlin

import (
	"strings"
)

// role says what the planner may do with a step.
type role uint8

const (
	roleOther  role = iota
	roleSource      // V, E: takes filters, and a count instead of its rows
	roleFilter      // Has and its like: cond
	roleRange       // Limit, Range
	roleSort
	roleDedup // of whole elements
	roleCount
)

// planStep is one step of a plan: what it does, and what the planner knows about it. It is immutable once Parse has
// returned.
type planStep struct {
	call    call
	merged  []call // steps that this one does the work of
	in, out kind
	role    role
	run     func(x *exec, i int, s *planStep, in stream) stream

	id       string     // V, E: of one element
	hasID    bool       //
	cond     *condition // of elements, of the edges of SubGraph and Descendants, of flows
	also     *condition // of the edges of ShortestPathTo
	keys     []string   // Values, Dedup, As, Select…
	desc     bool       // Sort
	from, to int64      // Range; to < 0 = no end
	top      int64      // Sort: rows that are wanted; -1 = all
	depth    int64      // Descendants…; 0 = no limit
	count    bool       // V, E: only the number is wanted
	unique   bool       // no row comes twice
	when     *timeSpec  // At
	args     []arg      // Workflow
	text     string     // BPF, Workflow, NextHop
	seconds  int64      // Aggregates
	number   int64      // MoreThan
}

// label is the text of the step and of those merged into it.
func (s *planStep) label() string {
	var b strings.Builder
	s.call.appendTo(&b)
	for _, c := range s.merged {
		b.WriteByte('.')
		c.appendTo(&b)
	}
	return b.String()
}

// makePlan checks the calls against the table of steps, and joins what is done better as one.
func makePlan(calls []call) ([]planStep, error) {
	steps := make([]planStep, 0, len(calls))
	k := kindGraph
	var names []string // known to Select
	for n, c := range calls {
		if n == 0 {
			steps = append(steps, planStep{call: c, in: kindGraph, out: kindGraph, run: runG})
			continue
		}
		out, ok := c.spec.accepts(k)
		if !ok {
			return nil, orderError(calls[n-1], c, k)
		}
		if len(c.args) < c.spec.min || c.spec.max >= 0 && len(c.args) > c.spec.max {
			return nil, countError(c.pos, c.spec.name, len(c.args), c.spec.takes)
		}
		s := planStep{call: c, in: k, out: out, top: -1}
		if err := c.spec.build(&s); err != nil {
			return nil, err
		}
		switch c.spec.name {
		case "As":
			names = append(names, s.keys...)
		case "Select":
			if err := checkSelect(&s, names); err != nil {
				return nil, err
			}
		}
		k = out
		steps = join(steps, s)
	}
	return steps, nil
}

// join appends a step to a plan, or merges it into the last one.
func join(steps []planStep, s planStep) []planStep {
	last := &steps[len(steps)-1]
	merge := func() []planStep {
		last.merged = append(last.merged, s.call)
		last.out = s.out
		return steps
	}
	elements := s.in == kindNodes || s.in == kindEdges
	switch {
	case s.role == roleFilter && elements && !last.hasID && (last.role == roleSource || last.role == roleFilter):
		// An index can serve the first Has steps; a chain of them is one test.
		last.cond = last.cond.and(s.cond)
		return merge()
	case s.role == roleDedup && elements && last.unique:
		return merge()
	case s.role == roleCount && elements && last.role == roleSource && !last.hasID && last.cond == nil:
		last.count = true
		return merge()
	case s.role == roleCount && elements && last.role == roleSort:
		// Counting needs no order.
		s.merged = append(s.merged, last.call)
		s.call, s.merged[0] = last.call, s.call
		s.in = last.in
		return append(steps[:len(steps)-1], s)
	case s.role == roleRange && last.role == roleSort && elements && last.top < 0 && s.to >= 0:
		last.top = s.to
	}
	s.unique = s.role == roleSource || last.unique && (s.role == roleFilter || s.role == roleRange || s.role == roleSort) || s.role == roleDedup
	return append(steps, s)
}

// orderError explains that a step does not work on what comes before it.
func orderError(before, c call, k kind) error {
	var works []string
	for _, rule := range c.spec.on {
		works = append(works, rule.in.String())
	}
	var fit []string
	for i := range stepTable {
		if _, ok := stepTable[i].accepts(k); ok {
			fit = append(fit, stepTable[i].name)
		}
	}
	return &SyntaxError{
		Line: c.pos.line, Column: c.pos.column,
		Got: "the step " + c.spec.name + " on " + k.String() + " (behind " + before.spec.name + ")",
		Expected: "it on " + joinOr(works) + ", or one of the steps that " + k.String() + " have: " +
			strings.Join(fit, ", "),
		Nearest: nearest(c.spec.name, fit),
	}
}

// joinOr lists words: "a, b or c".
func joinOr(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// runG goes back to the graph. What stands before it runs, for the sake of As.
func runG(x *exec, _ int, _ *planStep, in stream) stream {
	if in.kind != kindGraph {
		x.drain(in)
	}
	return stream{kind: kindGraph, scope: in.scope}
}
