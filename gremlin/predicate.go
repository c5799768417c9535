package gremlin

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/weft-net/weft/graph"
)

// predicate is a test of one value. A list passes when any of its elements does; a negative predicate (NE, NEE,
// WITHOUT) passes when none of them does what it denies.
type predicate struct {
	name     string
	args     []graph.Value
	equal    []graph.Value          // the values that it equals, when that is all that it does: what an index can find
	test     func(graph.Value) bool // of a value that is not a list; nil = the key exists
	negative bool
	absent   bool // the verdict on an element that lacks the key
}

// match judges a field.
func (p *predicate) match(v graph.Value, ok bool) bool {
	if !ok {
		return p.absent
	}
	if p.test == nil {
		return !p.absent
	}
	return p.any(v) != p.negative
}

func (p *predicate) any(v graph.Value) bool {
	if v.Kind() != graph.KindList {
		return p.test(v)
	}
	for e := range v.All() {
		if p.any(e) {
			return true
		}
	}
	return false
}

// predicateSpec describes a predicate of the language.
type predicateSpec struct {
	name     string
	min, max int // arguments; max -1 = any number
	takes    string
	build    func(p *predicate, a arg) error
}

// predicateTable holds every predicate; it is never changed.
var predicateTable = [...]predicateSpec{
	{"NE", 1, 1, "one value", func(p *predicate, a arg) error { return p.denies(false) }},
	{"NEE", 1, 1, "one value", func(p *predicate, a arg) error { return p.denies(true) }},
	{"EQ", 1, 1, "one value", func(p *predicate, a arg) error { return p.equals() }},
	{"LT", 1, 1, "one number", ordering(func(c []int) bool { return c[0] < 0 })},
	{"GT", 1, 1, "one number", ordering(func(c []int) bool { return c[0] > 0 })},
	{"LTE", 1, 1, "one number", ordering(func(c []int) bool { return c[0] <= 0 })},
	{"GTE", 1, 1, "one number", ordering(func(c []int) bool { return c[0] >= 0 })},
	{"INSIDE", 2, 2, "two numbers", ordering(func(c []int) bool { return c[0] > 0 && c[1] < 0 })},
	{"OUTSIDE", 2, 2, "two numbers", ordering(func(c []int) bool { return c[0] < 0 || c[1] > 0 })},
	{"BETWEEN", 2, 2, "two numbers", ordering(func(c []int) bool { return c[0] >= 0 && c[1] < 0 })},
	{"WITHIN", 0, -1, "values", func(p *predicate, a arg) error { return p.equals() }},
	{"WITHOUT", 0, -1, "values", func(p *predicate, a arg) error { return p.denies(true) }},
	{"REGEX", 1, 1, "one string", buildRegex},
	{"IPV4RANGE", 1, 1, "one string", ipRange(netip.Addr.Is4, "an IPv4 network such as '10.0.0.0/8'")},
	{"IPV6RANGE", 1, 1, "one string", ipRange(netip.Addr.Is6, "an IPv6 network such as 'fe80::/10'")},
	{"IPRANGE", 1, 1, "one string", ipRange(netip.Addr.IsValid, "a network such as '10.0.0.0/8' or 'fe80::/10'")},
}

// PredicateNames lists the predicates, for completion.
func PredicateNames() []string {
	names := make([]string, len(predicateTable))
	for i, spec := range predicateTable {
		names[i] = spec.name
	}
	return names
}

func predicateByName(upper string) *predicateSpec {
	for i := range predicateTable {
		if predicateTable[i].name == upper {
			return &predicateTable[i]
		}
	}
	return nil
}

// compile checks the arguments of a predicate and makes it.
func (s *predicateSpec) compile(a arg) (*predicate, error) {
	if len(a.args) < s.min || s.max >= 0 && len(a.args) > s.max {
		return nil, countError(a.pos, s.name, len(a.args), s.takes)
	}
	p := &predicate{name: s.name}
	for _, value := range a.args {
		if value.kind != argValue {
			return nil, argumentError(value, s.takes+" in "+s.name)
		}
		p.args = append(p.args, value.value)
	}
	return p, s.build(p, a)
}

// literalPredicate is what a plain value stands for.
func literalPredicate(v graph.Value) *predicate {
	p := &predicate{name: "EQ", args: []graph.Value{v}}
	_ = p.equals()
	return p
}

// keyPredicate tests that a key exists, or that it does not.
func keyPredicate(exists bool) *predicate {
	if exists {
		return &predicate{name: "HASKEY"}
	}
	return &predicate{name: "HASNOT", absent: true}
}

func (p *predicate) equals() error {
	p.equal = p.args
	switch {
	case len(p.args) == 1 && p.args[0].Kind() == graph.KindString:
		want := p.args[0].Str()
		p.test = func(v graph.Value) bool { return v.Kind() == graph.KindString && v.Str() == want }
	case len(p.args) > 8 && allStrings(p.args):
		set := make(map[string]struct{}, len(p.args))
		for _, v := range p.args {
			set[v.Str()] = struct{}{}
		}
		p.test = func(v graph.Value) bool {
			if v.Kind() != graph.KindString {
				return false
			}
			_, ok := set[v.Str()]
			return ok
		}
	default:
		p.test = func(v graph.Value) bool {
			for _, want := range p.args {
				if sameValue(v, want) {
					return true
				}
			}
			return false
		}
	}
	return nil
}

// denies makes a predicate that passes when the value is none of the arguments.
func (p *predicate) denies(absent bool) error {
	err := p.equals()
	p.equal, p.negative, p.absent = nil, true, absent
	return err
}

func allStrings(vs []graph.Value) bool {
	for _, v := range vs {
		if v.Kind() != graph.KindString {
			return false
		}
	}
	return true
}

// sameValue compares numbers by their value, whatever their type, and all else exactly.
func sameValue(a, b graph.Value) bool {
	if isNumber(a) && isNumber(b) {
		return a.Compare(b) == 0
	}
	return a.Equal(b)
}

func isNumber(v graph.Value) bool { return v.Kind() == graph.KindInt || v.Kind() == graph.KindFloat }

// ordering makes a predicate of the comparisons with each argument. Numbers compare with numbers and strings with
// strings; a string that holds a number also compares with numbers, as scripts for Skydive expect.
func ordering(verdict func(signs []int) bool) func(*predicate, arg) error {
	return func(p *predicate, a arg) error {
		for _, bound := range a.args {
			if k := bound.value.Kind(); !isNumber(bound.value) && k != graph.KindString {
				return argumentError(bound, "a number in "+p.name)
			}
		}
		numbers := make([]graph.Value, len(p.args))
		for i, bound := range p.args {
			numbers[i] = bound
			if bound.Kind() == graph.KindString {
				numbers[i] = graph.Value{}
				if n, err := strconv.ParseInt(bound.Str(), 10, 64); err == nil {
					numbers[i] = graph.Int(n)
				} else if f, err := strconv.ParseFloat(bound.Str(), 64); err == nil && plainNumber(bound.Str()) {
					numbers[i] = graph.Float(f)
				}
			}
		}
		p.test = func(v graph.Value) bool {
			var room [2]int
			signs := room[:len(p.args)]
			for i, bound := range p.args {
				switch {
				case isNumber(v) && !numbers[i].IsZero():
					signs[i] = v.Compare(numbers[i])
				case v.Kind() == graph.KindString && bound.Kind() == graph.KindString:
					signs[i] = strings.Compare(v.Str(), bound.Str())
				default:
					return false
				}
			}
			return verdict(signs)
		}
		return nil
	}
}

// buildRegex anchors the expression at both ends, as Skydive does.
func buildRegex(p *predicate, a arg) error {
	if a.args[0].value.Kind() != graph.KindString {
		return argumentError(a.args[0], "a string in REGEX")
	}
	re, err := regexp.Compile(`^(?:` + p.args[0].Str() + `)$`)
	if err != nil {
		reason := err.Error()
		if _, plain := regexp.Compile(p.args[0].Str()); plain != nil {
			reason = plain.Error()
		}
		reason = strings.TrimPrefix(reason, "error parsing regexp: ")
		return argumentError(a.args[0], "a regular expression in RE2 syntax ("+shorten(reason)+")")
	}
	p.test = func(v graph.Value) bool { return v.Kind() == graph.KindString && re.MatchString(v.Str()) }
	return nil
}

// ipRange makes a predicate that finds addresses, also those written with a prefix length, within a network.
func ipRange(family func(netip.Addr) bool, want string) func(*predicate, arg) error {
	return func(p *predicate, a arg) error {
		network, ok := parseNetwork(p.args[0].Str())
		if p.args[0].Kind() != graph.KindString || !ok || !family(network.Addr()) {
			return argumentError(a.args[0], want)
		}
		network = network.Masked()
		p.test = func(v graph.Value) bool {
			if v.Kind() != graph.KindString {
				return false
			}
			address, ok := parseNetwork(v.Str())
			return ok && network.Contains(address.Addr().WithZone(""))
		}
		return nil
	}
}

// parseNetwork reads an address with or without a prefix length.
func parseNetwork(s string) (netip.Prefix, bool) {
	if s == "" {
		return netip.Prefix{}, false
	}
	if strings.IndexByte(s, '/') >= 0 {
		prefix, err := netip.ParsePrefix(s)
		return prefix, err == nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	addr = addr.Unmap()
	return netip.PrefixFrom(addr.WithZone(""), addr.BitLen()), true
}
