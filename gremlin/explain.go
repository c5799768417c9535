package gremlin

import "time"

// Explanation tells how a query was answered.
type Explanation struct {
	Query   string        `json:"Query"`
	Steps   []ExplainStep `json:"Steps"`
	TotalNs int64         `json:"TotalNs"`
	Rows    int           `json:"Rows"` // in the result
}

// ExplainStep is one step of the plan. Steps that were merged into one, such as V().Has(…), share a line.
type ExplainStep struct {
	Text     string `json:"Text"`
	Kind     string `json:"Kind"`               // what comes out: nodes, edges, values…
	Index    string `json:"Index,omitempty"`    // how the rows were found: "index Name", "id", "scan", "counter"
	Estimate int    `json:"Estimate,omitempty"` // rows that the index promised
	RowsIn   int    `json:"RowsIn"`
	RowsOut  int    `json:"RowsOut"`
	Ns       int64  `json:"Ns"` // own time; exact for small results, sampled for large ones
}

// Total is the time that the whole query took.
func (e Explanation) Total() time.Duration { return time.Duration(e.TotalNs) }
