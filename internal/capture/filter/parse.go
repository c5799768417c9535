package filter

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/weft-net/weft/internal/spelling"
)

// node is a node of a parsed expression.
type node struct {
	at    int
	kind  kind
	nodes []*node // of and, or, not

	// Of a primitive.
	protocol  string // ether, ip, tcp ...; "" is any
	direction string // src, dst, "src or dst", "src and dst"
	host      netip.Addr
	network   netip.Prefix
	mac       net.HardwareAddr
	low, high uint32 // ports; a number of a protocol or VLAN; both ends of a length
	some      bool   // vlan: one number
	access    access
}

type kind uint8

const (
	kindAll kind = iota
	kindAnd
	kindOr
	kindNot
	kindProtocol // protocol alone
	kindHost
	kindNet
	kindEther // a hardware address
	kindPort
	kindPortRange
	kindNumber    // protocol by number: of ether, ip, ip6, or any
	kindLength    // low <= length <= high
	kindBroadcast // of Ethernet
	kindMulticast
	kindVLAN
	kindAccess
)

// access is a comparison: protocol[offset:size] & mask relation value. The protocol "len" is the length.
type access struct {
	offset, size uint32
	mask         uint32
	relation     string
	value        uint32
}

// maxDepth bounds nesting.
const maxDepth = 100

type parser struct {
	expression string
	tokens     []token
	next       int
	depth      int
	last       *node // whose qualifiers a bare value takes over: port 53 or 80
}

func parse(expression string) (*node, error) {
	tokens, err := scan(expression)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 1 {
		return &node{kind: kindAll}, nil
	}
	p := &parser{expression: expression, tokens: tokens}
	tree, err := p.sequence()
	if err != nil {
		return nil, err
	}
	if left := p.peek(); left.text != "" {
		return nil, p.fail(left, "%q: and, or, or the end was expected"+seeManual, left.text)
	}
	return tree, nil
}

func (p *parser) peek() token { return p.tokens[p.next] }

func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.text != "" {
		p.next++
	}
	return t
}

// accept takes the next token if it is one of these.
func (p *parser) accept(texts ...string) bool {
	for _, text := range texts {
		if p.peek().text == text {
			p.next++
			return true
		}
	}
	return false
}

func (p *parser) fail(t token, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	near := spelling.Nearest(t.text, words[:])
	switch {
	case t.text == "":
		text = "the expression ends too early: see pcap-filter(7)"
	case near == "" || near == t.text:
	case strings.HasSuffix(text, seeManual):
		text = strings.TrimSuffix(text, seeManual) + ": did you mean " + near + "?"
	default:
		text += "; did you mean " + near + "?"
	}
	return &SyntaxError{p.expression, t.at, text}
}

// seeManual ends the texts about words that are wrong where they are, when no word is near.
const seeManual = ": see pcap-filter(7)"

// words are those that say what comes behind them, or are conditions on their own.
var words = [...]string{
	"and", "or", "not", "src", "dst", "host", "net", "mask", "port", "portrange", "proto", "broadcast", "multicast", "less", "greater",
	"len", "vlan", "ether", "ip", "ip6", "arp", "rarp", "tcp", "udp", "sctp", "icmp", "icmp6", "igmp", "vrrp", "esp", "pim",
}

// sequence reads terms joined by and and or, which bind alike and from left to right.
func (p *parser) sequence() (*node, error) {
	left, err := p.term()
	if err != nil {
		return nil, err
	}
	for {
		kind := kindAnd
		switch {
		case p.accept("and", "&&"):
		case p.accept("or", "||"):
			kind = kindOr
		default:
			return left, nil
		}
		right, err := p.term()
		if err != nil {
			return nil, err
		}
		if left.kind == kind {
			left.nodes = append(left.nodes, right)
		} else {
			left = &node{at: left.at, kind: kind, nodes: []*node{left, right}}
		}
	}
}

func (p *parser) term() (*node, error) {
	t := p.peek()
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail(t, "nested deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	switch {
	case p.accept("not", "!"):
		inner, err := p.term()
		if err != nil {
			return nil, err
		}
		return &node{at: t.at, kind: kindNot, nodes: []*node{inner}}, nil
	case p.accept("("):
		inner, err := p.sequence()
		if err != nil {
			return nil, err
		}
		if closing := p.peek(); !p.accept(")") {
			return nil, p.fail(closing, "%q: a closing parenthesis was expected", closing.text)
		}
		// A node of its own, so that (a and b) stays one operand.
		return &node{at: t.at, kind: kindAnd, nodes: []*node{inner}}, nil
	}
	return p.primitive()
}

func (p *parser) primitive() (*node, error) {
	t := p.peek()
	n := &node{at: t.at}
	switch {
	case p.accept("less"):
		return n, p.length(n, func(value uint32) { n.high = value })
	case p.accept("greater"):
		n.high = ^uint32(0)
		return n, p.length(n, func(value uint32) { n.low = value })
	case p.accept("vlan"):
		n.kind = kindVLAN
		if value, ok := number(p.peek().text); ok {
			if value > 4095 {
				return nil, p.fail(p.peek(), "VLAN %d: choose 0 to 4095", value)
			}
			p.take()
			n.low, n.some = value, true
		}
		return n, nil
	}
	if isProtocol(t.text) || t.text == "len" {
		p.take()
		n.protocol = t.text
		if next := p.peek(); next.text == "[" || t.text == "len" {
			return n, p.comparison(n)
		}
	}
	p.directionOf(n)
	return n, p.object(n)
}

func isProtocol(word string) bool {
	if _, ok := etherType(word); ok {
		return word[0] != '\\'
	}
	_, ok := protocolNumber(word)
	return ok && word[0] != '\\' || word == "ether"
}

// directionOf takes src, dst, src or dst, src and dst.
func (p *parser) directionOf(n *node) {
	first := p.peek().text
	if first != "src" && first != "dst" {
		return
	}
	p.take()
	n.direction = first
	if p.next+1 >= len(p.tokens) {
		return
	}
	second := p.tokens[p.next+1].text
	if join := p.peek().text; (join == "or" || join == "and" || join == "||" || join == "&&") && second != first && (second == "src" || second == "dst") {
		p.next += 2
		n.direction = "src or dst"
		if join == "and" || join == "&&" {
			n.direction = "src and dst"
		}
	}
}

// object takes what the qualifiers are about.
func (p *parser) object(n *node) error {
	t := p.peek()
	switch {
	case p.accept("host"):
		return p.addressee(n)
	case p.accept("net"):
		return p.net(n)
	case p.accept("port"):
		n.kind = kindPort
		return p.ports(n)
	case p.accept("portrange"):
		n.kind = kindPortRange
		return p.ports(n)
	case n.direction == "" && p.accept("proto"):
		return p.number(n)
	case n.direction == "" && p.accept("broadcast"):
		n.kind = kindBroadcast
		if n.protocol != "" && n.protocol != "ether" {
			return p.fail(t, "broadcast of %s: only that of Ethernet is known here", n.protocol)
		}
		return nil
	case n.direction == "" && p.accept("multicast"):
		n.kind = kindMulticast
		if n.protocol != "" && n.protocol != "ether" && n.protocol != "ip" && n.protocol != "ip6" {
			return p.fail(t, "multicast of %s: there is that of ether, ip and ip6", n.protocol)
		}
		return nil
	case n.direction != "":
		return p.addressee(n)
	case n.protocol == "ether":
		return p.fail(t, "%q: after ether comes host, src, dst, proto, broadcast or multicast", t.text)
	case n.protocol != "":
		if looksLikeValue(t.text) {
			return p.fail(t, "%q: %s is not followed by a value; and, or, host, net, port or proto was expected", t.text, n.protocol)
		}
		n.kind = kindProtocol
		p.last = nil
		return nil
	}
	return p.bare(n)
}

func looksLikeValue(text string) bool {
	return text != "" && (text[0] >= '0' && text[0] <= '9' || strings.Contains(text, ":") && text != ":")
}

// bare takes a value without qualifiers: those of the primitive before it, or those of a host.
func (p *parser) bare(n *node) error {
	t := p.peek()
	if p.last != nil && (looksLikeValue(t.text) || p.last.kind == kindPort) {
		before := p.last
		n.protocol, n.direction = before.protocol, before.direction
		switch before.kind {
		case kindNet:
			return p.net(n)
		case kindPort, kindPortRange:
			n.kind = before.kind
			return p.ports(n)
		}
		return p.addressee(n)
	}
	if looksLikeValue(t.text) {
		return p.fail(t, "%q: a word that says what it is was expected, such as host, net or port", t.text)
	}
	return p.fail(t, "%q is not understood; names of hosts are not looked up"+seeManual, t.text)
}

// addressee takes the address of a host, or of a card.
func (p *parser) addressee(n *node) error {
	t := p.take()
	p.last = n
	if n.protocol == "ether" {
		n.kind = kindEther
		mac, err := net.ParseMAC(t.text)
		if err != nil || len(mac) != 6 {
			return p.fail(t, "%q is not an Ethernet address", t.text)
		}
		n.mac = mac
		return nil
	}
	n.kind = kindHost
	address, err := netip.ParseAddr(t.text)
	if err != nil || address.Zone() != "" || address.Is4In6() {
		return p.fail(t, "%q is not an IP address; names of hosts are not looked up, networks are written net", t.text)
	}
	n.host = address
	return p.family(n, t, address)
}

// family checks that an address goes with a protocol.
func (p *parser) family(n *node, t token, address netip.Addr) error {
	switch n.protocol {
	case "":
		return nil
	case "ip", "arp", "rarp":
		if address.Is4() {
			return nil
		}
	case "ip6":
		if address.Is6() {
			return nil
		}
	default:
		return p.fail(t, "%s does not go with addresses; write %q", n.protocol, n.protocol+" and host "+address.String())
	}
	return p.fail(t, "%s does not go with %s", address, n.protocol)
}

func (p *parser) net(n *node) error {
	t := p.take()
	p.last = n
	n.kind = kindNet
	text, bits, slash := strings.Cut(t.text, "/")
	if dots := strings.Count(text, "."); dots < 3 && !strings.Contains(text, ":") {
		text += strings.Repeat(".0", 3-dots)
		if !slash {
			bits, slash = fmt.Sprint(8*(dots+1)), true
		}
	}
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" || address.Is4In6() {
		return p.fail(t, "%q is not a network", t.text)
	}
	if slash {
		n.network, err = netip.ParsePrefix(address.String() + "/" + bits)
	} else {
		n.network = netip.PrefixFrom(address, address.BitLen())
		if mask := p.peek(); address.Is4() && p.accept("mask") {
			value, parseErr := netip.ParseAddr(p.peek().text)
			if parseErr != nil || !value.Is4() {
				return p.fail(p.peek(), "%q is not a mask", p.peek().text)
			}
			p.take()
			four := value.As4()
			ones, size := net.IPMask(four[:]).Size()
			if size == 0 {
				return p.fail(mask, "mask %s has holes", value)
			}
			n.network = netip.PrefixFrom(address, ones)
		}
	}
	if err != nil {
		return p.fail(t, "%q is not a network", t.text)
	}
	if n.network != n.network.Masked() {
		return p.fail(t, "%s has bits beyond the mask; write %s", n.network, n.network.Masked())
	}
	return p.family(n, t, address)
}

func (p *parser) ports(n *node) error {
	t := p.take()
	p.last = n
	switch n.protocol {
	case "", "tcp", "udp", "sctp":
	case "ip", "ip6":
		return p.fail(t, "%s does not go with ports; write %q", n.protocol, n.protocol+" and port "+t.text)
	default:
		return p.fail(t, "%s has no ports", n.protocol)
	}
	low, high := t.text, t.text
	if n.kind == kindPortRange {
		var ok bool
		if low, high, ok = strings.Cut(t.text, "-"); !ok {
			return p.fail(t, "%q is not a range of ports, such as 20-25", t.text)
		}
	}
	var first, second bool
	n.low, first = service(low)
	n.high, second = service(high)
	if !first || !second {
		return p.fail(t, "%q is not a port: write a number", t.text)
	}
	n.low, n.high = min(n.low, n.high), max(n.low, n.high)
	return nil
}

// number takes the number of a protocol.
func (p *parser) number(n *node) error {
	t := p.take()
	n.kind = kindNumber
	p.last = nil
	lookup, limit, least := protocolNumber, uint32(255), uint32(0)
	switch n.protocol {
	case "", "ip", "ip6":
	case "ether":
		lookup, limit, least = etherType, 0xffff, 0x0600 // below are lengths
	default:
		return p.fail(t, "proto does not go with %s", n.protocol)
	}
	value, ok := lookup(t.text)
	if !ok {
		value, ok = number(t.text)
	}
	if !ok || value > limit || value < least {
		return p.fail(t, "%q is not a protocol: write a number from %d to %d", t.text, least, limit)
	}
	n.low = value
	return nil
}

func (p *parser) length(n *node, set func(uint32)) error {
	t := p.take()
	value, ok := number(t.text)
	if !ok {
		return p.fail(t, "%q is not a number", t.text)
	}
	n.kind = kindLength
	set(value)
	return nil
}

// comparison takes [offset:size] & mask relation value.
func (p *parser) comparison(n *node) error {
	n.kind = kindAccess
	n.access = access{size: 1, mask: ^uint32(0)}
	p.last = nil
	if n.protocol != "len" {
		p.take() // the bracket
		if err := p.place(n); err != nil {
			return err
		}
	}
	if p.accept("&") {
		mask, err := p.value()
		if err != nil {
			return err
		}
		n.access.mask = mask
	}
	t := p.take()
	switch t.text {
	case "=", "==", "!=", "<", ">", "<=", ">=":
		n.access.relation = t.text
	default:
		return p.fail(t, "%q: a comparison was expected, such as != 0; of arithmetic only & is known", t.text)
	}
	value, err := p.value()
	n.access.value = value
	return err
}

func (p *parser) place(n *node) error {
	t := p.take()
	offset, ok := constant(t.text)
	if !ok || offset > 0xffff {
		return p.fail(t, "%q is not an offset: write a number", t.text)
	}
	n.access.offset = offset
	if p.accept(":") {
		size := p.take()
		switch size.text {
		case "1", "2", "4":
			n.access.size = uint32(size.text[0] - '0')
		default:
			return p.fail(size, "%q is not a size: it is 1, 2 or 4", size.text)
		}
	}
	if t := p.peek(); !p.accept("]") {
		return p.fail(t, "%q: a closing bracket was expected", t.text)
	}
	return nil
}

// value takes a number or a name, or several in parentheses joined by |.
func (p *parser) value() (uint32, error) {
	several := p.accept("(")
	var value uint32
	for {
		t := p.take()
		one, ok := constant(t.text)
		if !ok {
			return 0, p.fail(t, "%q is not a number", t.text)
		}
		value |= one
		if !several {
			return value, nil
		}
		if p.accept("|") {
			continue
		}
		if t := p.peek(); !p.accept(")") {
			return 0, p.fail(t, "%q: | or a closing parenthesis was expected", t.text)
		}
		return value, nil
	}
}
