package gremlin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/weft-net/weft/graph"
)

const (
	maxFilterDepth = 64
	maxFilterParts = 100_000
)

// wireQuery is a FlowQuery in JSON.
type wireQuery struct {
	Filter   json.RawMessage `json:",omitempty"`
	NodeTIDs []string        `json:",omitempty"`
	AllNodes bool            `json:",omitempty"`
	Live     bool            `json:",omitempty"`
	From, To graph.Moment
	SortBy   string   `json:",omitempty"`
	SortDesc bool     `json:",omitempty"`
	Dedup    []string `json:",omitempty"`
	HasDedup bool     `json:",omitempty"`
	Offset   int64    `json:",omitempty"`
	Limit    int64
}

// wireFilter is a FlowFilter in JSON: And, Or, or a single condition.
type wireFilter struct {
	And       []wireFilter      `json:",omitempty"`
	Or        []wireFilter      `json:",omitempty"`
	Key       string            `json:",omitempty"`
	Predicate string            `json:",omitempty"`
	Args      []json.RawMessage `json:",omitempty"`
}

// MarshalJSON writes the query for ParseFlowQuery to read in another process; Warn stays behind.
func (q *FlowQuery) MarshalJSON() ([]byte, error) {
	w := wireQuery{
		NodeTIDs: q.NodeTIDs, AllNodes: q.AllNodes, Live: q.Live, From: q.From, To: q.To,
		SortBy: q.SortBy, SortDesc: q.SortDesc, Dedup: q.Dedup, HasDedup: q.HasDedup, Offset: q.Offset, Limit: q.Limit,
	}
	if q.Filter != nil {
		var err error
		if w.Filter, err = q.Filter.MarshalJSON(); err != nil {
			return nil, err
		}
	}
	return json.Marshal(w)
}

// ParseFlowQuery reads what MarshalJSON wrote. Its filter can Match.
func ParseFlowQuery(data []byte) (*FlowQuery, error) {
	var w wireQuery
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("flow query: %w", err)
	}
	q := &FlowQuery{
		NodeTIDs: w.NodeTIDs, AllNodes: w.AllNodes, Live: w.Live, From: w.From, To: w.To,
		SortBy: w.SortBy, SortDesc: w.SortDesc, Dedup: w.Dedup, HasDedup: w.HasDedup, Offset: w.Offset, Limit: w.Limit,
	}
	if len(w.Filter) > 0 {
		var err error
		if q.Filter, err = ParseFlowFilter(w.Filter); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// MarshalJSON writes the filter for ParseFlowFilter to read.
func (f *FlowFilter) MarshalJSON() ([]byte, error) { return json.Marshal(f.wire()) }

func (f *FlowFilter) wire() wireFilter {
	w := wireFilter{Key: f.Key, Predicate: f.Predicate}
	for _, part := range f.And {
		w.And = append(w.And, part.wire())
	}
	for _, part := range f.Or {
		w.Or = append(w.Or, part.wire())
	}
	for _, v := range f.Args {
		w.Args = append(w.Args, v.AppendJSON(nil))
	}
	return w
}

// ParseFlowFilter reads what MarshalJSON wrote and makes its Match work.
func ParseFlowFilter(data []byte) (*FlowFilter, error) {
	var w wireFilter
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("flow filter: %w", err)
	}
	parts := 0
	cond, err := w.condition(0, &parts)
	if err != nil {
		return nil, fmt.Errorf("flow filter: %w", err)
	}
	return cond.flowFilter(), nil
}

func (w *wireFilter) condition(depth int, parts *int) (*condition, error) {
	*parts += 1 + len(w.Args)
	if depth > maxFilterDepth || *parts > maxFilterParts {
		return nil, errors.New("too large")
	}
	if w.Predicate != "" {
		pred, err := w.predicate()
		if err != nil {
			return nil, err
		}
		return &condition{key: w.Key, pred: pred}, nil
	}
	c, kids := &condition{}, w.And
	if len(w.Or) > 0 {
		c.any, kids = true, w.Or
	}
	if len(kids) == 0 || len(w.And) > 0 && len(w.Or) > 0 {
		return nil, errors.New("neither a condition, nor an And, nor an Or")
	}
	for i := range kids {
		kid, err := kids[i].condition(depth+1, parts)
		if err != nil {
			return nil, err
		}
		c.kids = append(c.kids, kid)
	}
	return c, nil
}

func (w *wireFilter) predicate() (*predicate, error) {
	if w.Key == "" {
		return nil, fmt.Errorf("predicate %s without a key", w.Predicate)
	}
	switch w.Predicate {
	case "HASKEY":
		return keyPredicate(true), nil
	case "HASNOT":
		return keyPredicate(false), nil
	}
	spec := predicateByName(strings.ToUpper(w.Predicate))
	if spec == nil {
		return nil, fmt.Errorf("predicate %q is not known: are the versions of agent and analyzer the same?", w.Predicate)
	}
	a := arg{kind: argPredicate, name: spec.name}
	for _, raw := range w.Args {
		v, err := parseValue(raw)
		if err != nil {
			return nil, fmt.Errorf("argument of %s: %w", spec.name, err)
		}
		a.args = append(a.args, arg{kind: argValue, value: v})
	}
	return spec.compile(a)
}

// parseValue reads a value as graph.Value writes it: a number without fraction and exponent is an integer.
func parseValue(raw json.RawMessage) (graph.Value, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return graph.Value{}, err
	}
	return graph.ValueOf(numbers(v))
}

// numbers replaces the numbers of a decoded value.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // out of range: infinite, which compares as it should
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
