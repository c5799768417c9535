package gremlin

import (
	"fmt"
	"strings"
)

// SyntaxError says what is wrong with the text of a query: a character, a name, a step in a place where it makes no
// sense, or an argument of the wrong type. Line and Column count from 1, Column in characters.
type SyntaxError struct {
	Line, Column int
	Got          string // what was found, as it is written in the text
	Expected     string // what would have been right
	Nearest      string // the nearest known name, or empty
}

// Error implements error.
func (e *SyntaxError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "line %d, column %d: ", e.Line, e.Column)
	if e.Got != "" {
		fmt.Fprintf(&b, "found %s, ", e.Got)
	}
	fmt.Fprintf(&b, "expected %s", e.Expected)
	if e.Nearest != "" {
		fmt.Fprintf(&b, "; did you mean %s?", e.Nearest)
	}
	return b.String()
}

// EvalError says why a query that is well formed has no answer. Line and Column are those of the step that failed.
type EvalError struct {
	Line, Column int
	Step         string // the step, in canonical form
	Err          error
}

// Error implements error.
func (e *EvalError) Error() string {
	return fmt.Sprintf("line %d, column %d: %v", e.Line, e.Column, e.Err)
}

// Unwrap gives the cause, such as a [*graph.WindowError] or [context.DeadlineExceeded].
func (e *EvalError) Unwrap() error { return e.Err }

// NotFoundError says that a query names an element that does not exist. It is the cause of an [EvalError].
type NotFoundError struct {
	What string // "Node" or "Edge"
	ID   string
}

// Error implements error, with Skydive's text.
func (e *NotFoundError) Error() string { return e.What + " '" + e.ID + "' does not exist" }

// LimitError says that a query asked for more than Options allow. It is the cause of an [EvalError].
type LimitError struct {
	What  string // what there was too much of
	Limit string
	Hint  string // what to do about it
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s over the limit of %s: %s", e.What, e.Limit, e.Hint)
}

// nearest finds the name that a person probably meant, or "".
func nearest(got string, names []string) string {
	low := strings.ToLower(got)
	best, bestCost := "", 1000
	for _, name := range names {
		n := strings.ToLower(name)
		if n == low {
			continue
		}
		cost := editDistance(low, n)
		if len(n) >= 4 && strings.Contains(low, n) { // PropertyValues means Values
			cost = min(cost, 2)
		}
		if cost < bestCost {
			best, bestCost = name, cost
		}
	}
	if bestCost > max(1, (len(low)+1)/3) {
		return ""
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours between two short words.
func editDistance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 1000
	}
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
