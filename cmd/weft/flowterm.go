package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-net/weft/flow"
)

// flowTerm is one condition on flows, as people write it: KEY, an operator and a value.
type flowTerm struct {
	key, op, value string
	fields         []string // that the key stands for; one has to fulfil it
	kind           flow.Kind
	number         int64        // the value of a field that is a number, or 1 or 0 of one that is true or false
	network        netip.Prefix // that an address has to be in, where the value is no address
	pattern        *regexp.Regexp
}

// termOps are the operators, those that begin with another one first.
var termOps = [...]string{"!=", ">=", "<=", "=", ">", "<", "~"}

// shortKeys are words that stand for fields, those that people are told of first.
var shortKeys = [...]struct {
	keys   []string
	fields []string
}{
	{[]string{"ip", "host", "network"}, []string{"Network.A", "Network.B"}},
	{[]string{"port", "transport"}, []string{"Transport.A", "Transport.B"}},
	{[]string{"mac", "link"}, []string{"Link.A", "Link.B"}},
	{[]string{"app"}, []string{"Application"}},
	{[]string{"capture"}, []string{"CaptureID"}},
	{[]string{"node"}, []string{"NodeTID"}},
	{[]string{"uuid"}, []string{"UUID"}},
	{[]string{"bytes"}, []string{"Metric.ABBytes", "Metric.BABytes"}},
	{[]string{"packets"}, []string{"Metric.ABPackets", "Metric.BAPackets"}},
}

// shortNames are the first words of shortKeys.
func shortNames() []string {
	names := make([]string, len(shortKeys))
	for i, short := range shortKeys {
		names[i] = short.keys[0]
	}
	return names
}

// resolve sets the fields that the key stands for, and their kind.
func (t *flowTerm) resolve(known flowNames) error {
	t.fields = []string{t.key}
	for _, short := range shortKeys {
		if slices.Contains(short.keys, strings.ToLower(t.key)) {
			t.fields = short.fields
		}
	}
	kind, ok := known.kind(t.fields[0])
	switch {
	case !ok:
		return errors.New(known.unknown(t.key, shortNames()))
	case kind == flow.KindJSON:
		fields := known.fieldsIn(t.key)
		if len(fields) == 0 {
			return fmt.Errorf("%s is a list: choose by what is in it, such as DNS.questions.name", t.key)
		}
		return fmt.Errorf("%s is a part of a flow: write one of its fields, such as %s", t.key, fields[0])
	}
	t.kind = kind
	return nil
}

// parseTerms reads the arguments of 'weft flows': terms, and Gremlin to append.
func parseTerms(args []string) (terms []flowTerm, tail string, err error) {
	known := newFlowNames()
	for _, arg := range args {
		if strings.HasPrefix(arg, ".") {
			tail += arg
			continue
		}
		if tail != "" {
			return nil, "", usagef("%q behind %s: write the terms first", arg, tail)
		}
		t, err := parseTerm(known, arg)
		if err != nil {
			return nil, "", err
		}
		terms = append(terms, t)
	}
	return terms, tail, nil
}

func parseTerm(known flowNames, arg string) (t flowTerm, err error) {
	at := strings.IndexAny(arg, "!=<>~")
	if at <= 0 || strings.ContainsAny(arg[:at], " '\"()") {
		if info, err := os.Stat(arg); err == nil && info.IsDir() {
			return t, usagef("%s is a directory: name the capture files in it", arg)
		}
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
	if err := t.resolve(known); err != nil {
		return t, usagef("%q: %w", arg, err)
	}
	if err := t.read(); err != nil {
		return t, usagef("%q: %w", arg, err)
	}
	return t, nil
}

// maxPort is the greatest port there is.
const maxPort = 65535

// read reads the value as what the field is.
func (t *flowTerm) read() (err error) {
	switch t.op {
	case "=", "!=":
	case "~":
		if t.kind != flow.KindString {
			return fmt.Errorf("~ is for texts, and %s is a number: write = != > >= < or <=", t.key)
		}
		if t.pattern, err = regexp.Compile("^(?:" + t.value + ")$"); err != nil {
			why := err.Error()
			var bad *syntax.Error
			if errors.As(err, &bad) {
				why = bad.Code.String()
			}
			return fmt.Errorf("%s: write a regular expression behind ~, such as app~TCP|UDP", why)
		}
		return nil
	default:
		if t.kind != flow.KindInt {
			return fmt.Errorf("%s compares numbers, and %s is none: write = != or ~", t.op, t.key)
		}
	}
	switch t.kind {
	case flow.KindInt:
		t.number, err = strconv.ParseInt(t.value, 10, 64)
		isPort := strings.HasPrefix(t.fields[0], "Transport.") && t.fields[0] != "Transport.ID"
		switch {
		case err != nil && t.op != "=" && t.op != "!=":
			return fmt.Errorf("%s compares with a whole number", t.op)
		case err != nil:
			return fmt.Errorf("%s is a whole number: write it as such, as in port=443", t.key)
		case isPort && (t.number < 0 || t.number > maxPort):
			return fmt.Errorf("ports are numbers from 0 to %d", maxPort)
		}
	case flow.KindBool:
		is, err := strconv.ParseBool(t.value)
		if err != nil {
			return fmt.Errorf("%s is true or false: write one of them", t.key)
		}
		if is {
			t.number = 1
		}
	default:
		return t.readAddress()
	}
	return nil
}

// readAddress brings addresses into the form in which flows have them, and finds networks.
func (t *flowTerm) readAddress() (err error) {
	switch t.fields[0] {
	case "Link.A", "Link.B":
		address, err := net.ParseMAC(t.value)
		if err != nil {
			return fmt.Errorf("write a MAC address, such as 02:00:00:00:00:01")
		}
		t.value = address.String()
	case "Network.A", "Network.B":
		if !strings.Contains(t.value, "/") {
			address, err := netip.ParseAddr(t.value)
			if err != nil {
				return fmt.Errorf("write an address or a network, such as 10.0.0.1 or 10.0.0.0/8")
			}
			t.value = address.String()
			return nil
		}
		if t.network, err = netip.ParsePrefix(t.value); err != nil {
			return fmt.Errorf("write an address or a network, such as 10.0.0.0/8 or fe80::/10")
		}
		if t.op == "!=" {
			return fmt.Errorf("!= is for one address, not for a network: choose the networks that you want with =")
		}
		t.network = t.network.Masked()
	}
	return nil
}

// gremlin is the term as a step. Which of two fields is meant is left open by HasEither;
// what must not be, must not be in any.
func (t flowTerm) gremlin() string {
	value := gremlinString(t.value)
	switch {
	case t.kind == flow.KindInt:
		value = strconv.FormatInt(t.number, 10)
	case t.kind == flow.KindBool:
		value = strconv.FormatBool(t.number != 0)
	case t.network.Addr().Is4():
		value = "IPV4RANGE(" + gremlinString(t.network.String()) + ")"
	case t.network.IsValid():
		value = "IPV6RANGE(" + gremlinString(t.network.String()) + ")"
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
	switch {
	case v.Kind == flow.KindInt || v.Kind == flow.KindBool:
		return t.kind == v.Kind && v.Num == t.number
	case t.network.IsValid():
		address, err := netip.ParseAddr(v.Str)
		return err == nil && t.network.Contains(address)
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
