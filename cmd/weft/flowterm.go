package main

import (
	"cmp"
	"errors"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/weft-net/weft/flow"
)

// flowTerm is one condition on flows, as people write it: KEY, an operator and a value.
type flowTerm struct {
	key, op, value string
	fields         []string // that the key stands for; one has to fulfil it
	number         int64
	numeric        bool // the value is a number
	pattern        *regexp.Regexp
}

// termOps are the operators, those that begin with another one first.
var termOps = [...]string{"!=", ">=", "<=", "=", ">", "<", "~"}

// fieldsOf gives the fields that a key stands for.
func fieldsOf(key string) []string {
	switch strings.ToLower(key) {
	case "ip", "host", "network":
		return []string{"Network.A", "Network.B"}
	case "mac", "link":
		return []string{"Link.A", "Link.B"}
	case "port", "transport":
		return []string{"Transport.A", "Transport.B"}
	case "app", "application":
		return []string{"Application"}
	case "capture":
		return []string{"CaptureID"}
	case "node":
		return []string{"NodeTID"}
	case "bytes":
		return []string{"Metric.ABBytes", "Metric.BABytes"}
	case "packets":
		return []string{"Metric.ABPackets", "Metric.BAPackets"}
	}
	return []string{key}
}

// isText says whether a field is text, even when it looks like a number: ids are
// hexadecimal, and some have no letter.
func isText(field string) bool {
	switch field {
	case "UUID", "TrackingID", "L3TrackingID", "ParentUUID", "CaptureID", "NodeTID", "Application", "LayersPath":
		return true
	}
	return false
}

// parseTerms reads the arguments of 'weft flows': terms, and Gremlin to append.
func parseTerms(args []string) (terms []flowTerm, tail string, err error) {
	for _, arg := range args {
		if strings.HasPrefix(arg, ".") {
			tail += arg
			continue
		}
		if tail != "" {
			return nil, "", usagef("%q behind %s: write the terms first", arg, tail)
		}
		t, err := parseTerm(arg)
		if err != nil {
			return nil, "", err
		}
		terms = append(terms, t)
	}
	return terms, tail, nil
}

func parseTerm(arg string) (t flowTerm, err error) {
	at := strings.IndexAny(arg, "!=<>~")
	if at <= 0 || strings.ContainsAny(arg[:at], " '\"()") {
		return t, usagef("%q is neither a file nor a term: write KEY=VALUE, such as ip=10.0.0.1 or port=443", arg)
	}
	t.key = arg[:at]
	for _, op := range termOps {
		if value, ok := strings.CutPrefix(arg[at:], op); ok {
			t.op, t.value = op, value
			break
		}
	}
	if t.op == "" || t.value == "" {
		return t, usagef("%q: write KEY=VALUE, or one of != > >= < <= ~ in place of =", arg)
	}
	t.fields = fieldsOf(t.key)
	if t.number, err = strconv.ParseInt(t.value, 10, 64); err == nil && !isText(t.fields[0]) {
		t.numeric = true
	}
	switch t.op {
	case "=", "!=":
	case "~":
		if t.pattern, err = regexp.Compile("^(?:" + t.value + ")$"); err != nil {
			why := err.Error()
			var bad *syntax.Error
			if errors.As(err, &bad) {
				why = bad.Code.String()
			}
			return t, usagef("%q: %s: write a regular expression behind ~, such as app~TCP|UDP", arg, why)
		}
	default:
		if !t.numeric {
			return t, usagef("%q: %s compares with a whole number", arg, t.op)
		}
	}
	return t, nil
}

// gremlin is the term as a step. Which of two fields is meant is left open by HasEither;
// what must not be, must not be in any.
func (t flowTerm) gremlin() string {
	value := gremlinString(t.value)
	if t.numeric {
		value = strconv.FormatInt(t.number, 10)
	}
	switch t.op {
	case "!=":
		value = "NEE(" + value + ")"
	case ">":
		value = "GT(" + value + ")"
	case ">=":
		value = "GTE(" + value + ")"
	case "<":
		value = "LT(" + value + ")"
	case "<=":
		value = "LTE(" + value + ")"
	case "~":
		value = "REGEX(" + gremlinString(t.value) + ")"
	}
	step, parts := "Has", make([]string, 0, 2*len(t.fields))
	if len(t.fields) > 1 && t.op != "!=" {
		step = "HasEither"
	}
	for _, field := range t.fields {
		parts = append(parts, gremlinString(field), value)
	}
	return "." + step + "(" + strings.Join(parts, ", ") + ")"
}

// match says whether a flow fulfils the term.
func (t flowTerm) match(f *flow.Flow) bool {
	if t.op == "!=" {
		for _, field := range t.fields {
			if v, ok := f.Field(field); ok && t.equal(v) {
				return false
			}
		}
		return true
	}
	for _, field := range t.fields {
		if v, ok := f.Field(field); ok && t.holds(v) {
			return true
		}
	}
	return false
}

func (t flowTerm) holds(v flow.Value) bool {
	switch t.op {
	case "=":
		return t.equal(v)
	case "~":
		return v.Kind == flow.KindString && t.pattern.MatchString(v.Str)
	}
	if v.Kind != flow.KindInt {
		return false
	}
	order := cmp.Compare(v.Num, t.number)
	switch t.op {
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "<":
		return order < 0
	}
	return order <= 0
}

func (t flowTerm) equal(v flow.Value) bool {
	if v.Kind == flow.KindInt {
		return t.numeric && v.Num == t.number
	}
	return v.Kind == flow.KindString && v.Str == t.value
}

func matchAll(terms []flowTerm, f *flow.Flow) bool {
	for _, t := range terms {
		if !t.match(f) {
			return false
		}
	}
	return true
}

// capturesOf are the captures that terms ask for: when it is one, the server sends no others.
func capturesOf(terms []flowTerm) (ids []string) {
	for _, t := range terms {
		if t.op == "=" && t.fields[0] == "CaptureID" && !strings.ContainsAny(t.value, ", \r\n") {
			ids = append(ids, t.value)
		}
	}
	if len(ids) != 1 {
		return nil
	}
	return ids
}
