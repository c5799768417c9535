package gremlin

import (
	"strings"

	"github.com/weft-net/weft/graph"
)

// condition is a tree of tests on the fields of an element, a flow or an object: a test of one key, or the
// conjunction or disjunction of its kids. A nil condition holds.
type condition struct {
	any  bool // of the kids: any instead of all
	kids []*condition

	key  string
	pred *predicate // nil = look at the kids
}

// element judges a node or an edge.
func (c *condition) element(e graph.Element) bool {
	if c == nil {
		return true
	}
	if c.pred != nil {
		v, ok := e.Field(c.key)
		return c.pred.match(v, ok)
	}
	for _, kid := range c.kids {
		if kid.element(e) == c.any {
			return c.any
		}
	}
	return !c.any
}

// fields judges whatever has fields.
func (c *condition) fields(lookup func(string) (graph.Value, bool)) bool {
	if c == nil {
		return true
	}
	if c.pred != nil {
		v, ok := lookup(c.key)
		return c.pred.match(v, ok)
	}
	for _, kid := range c.kids {
		if kid.fields(lookup) == c.any {
			return c.any
		}
	}
	return !c.any
}

// and joins two conditions, flat.
func (c *condition) and(d *condition) *condition {
	switch {
	case c == nil:
		return d
	case d == nil:
		return c
	}
	all := &condition{}
	for _, part := range []*condition{c, d} {
		if part.pred == nil && !part.any {
			all.kids = append(all.kids, part.kids...)
		} else {
			all.kids = append(all.kids, part)
		}
	}
	return all
}

// pairs turns the arguments of Has and its like into a condition: key and value alternate, or one key stands alone
// and must exist.
func pairs(step string, args []arg, either bool) (*condition, error) {
	if len(args) == 1 {
		key, err := keyArg(step, args[0])
		if err != nil {
			return nil, err
		}
		return &condition{key: key, pred: keyPredicate(true)}, nil
	}
	all := &condition{any: either}
	for i := 0; i < len(args); i += 2 {
		key, err := keyArg(step, args[i])
		if err != nil {
			return nil, err
		}
		if i+1 == len(args) {
			return nil, argumentError(args[i], "a value for each key of "+step+"; the last key has none")
		}
		pred, err := valueArg(step, args[i+1])
		if err != nil {
			return nil, err
		}
		all.kids = append(all.kids, &condition{key: key, pred: pred})
	}
	switch len(all.kids) {
	case 0:
		return nil, nil
	case 1:
		return all.kids[0], nil
	}
	return all, nil
}

// keyArg reads a key: a string. The optional prefix "Metadata." goes, so that one name stands for one field.
func keyArg(step string, a arg) (string, error) {
	if a.kind != argValue || a.value.Kind() != graph.KindString {
		return "", argumentError(a, "a key of "+step+" as a string")
	}
	key := strings.TrimPrefix(a.value.Str(), "Metadata.")
	if key == "" {
		return "", argumentError(a, "a key of "+step+" that is not empty")
	}
	return key, nil
}

func valueArg(step string, a arg) (*predicate, error) {
	switch a.kind {
	case argPredicate:
		return a.pred, nil
	case argValue:
		return literalPredicate(a.value), nil
	}
	return nil, argumentError(a, "a value or a predicate in "+step)
}

// forFlows rewrites the shorthands of flow keys: Link, Network and Transport stand for both of their ends.
func (c *condition) forFlows() *condition {
	if c == nil {
		return nil
	}
	if c.pred == nil {
		out := &condition{any: c.any, kids: make([]*condition, len(c.kids))}
		for i, kid := range c.kids {
			out.kids[i] = kid.forFlows()
		}
		return out
	}
	switch c.key {
	case "Link", "Network", "Transport":
		ends := &condition{any: !c.pred.negative, kids: []*condition{{key: c.key + ".A", pred: c.pred}, {key: c.key + ".B", pred: c.pred}}}
		return ends
	}
	return c
}

// flowFilter is the public form of a condition on flows.
func (c *condition) flowFilter() *FlowFilter {
	if c == nil {
		return nil
	}
	f := &FlowFilter{cond: c}
	if c.pred != nil {
		f.Key, f.Predicate, f.Args = c.key, c.pred.name, c.pred.args
		return f
	}
	for _, kid := range c.kids {
		if c.any {
			f.Or = append(f.Or, kid.flowFilter())
		} else {
			f.And = append(f.And, kid.flowFilter())
		}
	}
	return f
}
