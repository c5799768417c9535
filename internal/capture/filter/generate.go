package filter

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/net/bpf"

	"github.com/weft-net/weft/flow"
)

// frame says where things are in packets of a link type. Code is made for Ethernet and moved.
type frame struct {
	typeAt   uint32 // of the Ethernet type, 2 bytes
	netAt    uint32 // of the network header
	ethernet bool   // there are Ethernet addresses and VLAN tags
	raw      bool   // no type at all: the version of IP tells
}

func frameOf(link flow.LinkType) (frame, bool) {
	switch link {
	case flow.LinkEthernet:
		return frame{typeAt: 12, netAt: 14, ethernet: true}, true
	case flow.LinkRaw, flow.LinkIPv4, flow.LinkIPv6, flow.LinkRawBSD, flow.LinkRawOpenBSD:
		return frame{raw: true}, true
	case flow.LinkLinuxSLL:
		return frame{typeAt: 14, netAt: 16}, true
	case flow.LinkLinuxSLL2:
		return frame{typeAt: 0, netAt: 20}, true
	}
	return frame{}, false
}

// label is a place in the code that is known later. The label 0 is the next instruction.
type label int

const next label = 0

type instruction struct {
	op     uint16
	k      uint32
	jt, jf label // of jumps; opJump goes to jt
	long   bool  // a place is too far away for the byte of a conditional jump
}

// generator makes the code of one program.
type generator struct {
	expression string
	frame      frame
	kernel     bool
	shift      uint32 // bytes of VLAN tags before what is looked at
	code       []instruction
	places     []int // by label; places[0] is not used
}

func (g *generator) program(tree *node, keep uint32) ([]bpf.RawInstruction, error) {
	g.places = []int{0}
	pass, refuse := g.label(), g.label()
	if err := g.chain(flatten(tree, nil), g.kernel, pass, refuse); err != nil {
		return nil, err
	}
	g.bind(pass)
	g.emit(opReturn, keep)
	g.bind(refuse)
	g.emit(opReturn, 0)
	return g.assemble()
}

// flatten gives the operands of nested ands in order.
func flatten(n *node, operands []*node) []*node {
	if n.kind != kindAnd {
		return append(operands, n)
	}
	for _, inner := range n.nodes {
		operands = flatten(inner, operands)
	}
	return operands
}

// chain makes code for operands that must all hold. The word vlan stands in such a chain only: what follows
// it is behind the tag, which is beside the packet (aside: the kernel may hold one there) or in it.
func (g *generator) chain(operands []*node, aside bool, yes, no label) error {
	for i, n := range operands {
		rest := operands[i+1:]
		if n.kind == kindVLAN {
			return g.vlan(n, rest, aside, yes, no)
		}
		if inner := n; inner.kind == kindNot && len(rest) == 0 {
			yes, no := yes, no
			for inner.kind == kindNot || inner.kind == kindAnd && len(inner.nodes) == 1 {
				if inner.kind == kindNot {
					yes, no = no, yes
				}
				inner = inner.nodes[0]
			}
			if inner.kind == kindVLAN {
				return g.vlan(inner, nil, aside, yes, no)
			}
		}
		if len(rest) == 0 {
			return g.node(n, yes, no)
		}
		holds := g.label()
		if err := g.node(n, holds, no); err != nil {
			return err
		}
		g.bind(holds)
	}
	g.jump(yes)
	return nil
}

func (g *generator) vlan(n *node, rest []*node, aside bool, yes, no label) error {
	if !g.frame.ethernet {
		return g.fail(n, "packets of this interface have no VLAN tags")
	}
	if aside {
		inside, found := g.label(), g.label()
		g.emit(opLoadByte, extTagPresent)
		g.test(opEqual, 0, inside, next)
		if n.some {
			g.emit(opLoadHalf, extTag)
			g.emit(opAnd, 0xfff)
			g.test(opEqual, n.low, found, no)
		}
		g.bind(found)
		if err := g.chain(rest, false, yes, no); err != nil {
			return err
		}
		g.bind(inside)
	}
	tag := g.label()
	g.emit(opLoadHalf, 12+g.shift)
	for _, protocol := range []uint32{0x8100, 0x88a8} {
		g.test(opEqual, protocol, tag, next)
	}
	g.test(opEqual, 0x9100, next, no)
	g.bind(tag)
	if n.some {
		g.emit(opLoadHalf, 14+g.shift)
		g.emit(opAnd, 0xfff)
		g.test(opEqual, n.low, next, no)
	}
	g.shift += 4
	err := g.chain(rest, false, yes, no)
	g.shift -= 4
	return err
}

func (g *generator) node(n *node, yes, no label) error {
	switch n.kind {
	case kindAll:
		g.jump(yes)
		return nil
	case kindNot:
		return g.node(n.nodes[0], no, yes)
	case kindAnd:
		for _, inner := range n.nodes[:len(n.nodes)-1] {
			holds := g.label()
			if err := g.node(inner, holds, no); err != nil {
				return err
			}
			g.bind(holds)
		}
		return g.node(n.nodes[len(n.nodes)-1], yes, no)
	case kindOr:
		for _, inner := range n.nodes[:len(n.nodes)-1] {
			fails := g.label()
			if err := g.node(inner, yes, fails); err != nil {
				return err
			}
			g.bind(fails)
		}
		return g.node(n.nodes[len(n.nodes)-1], yes, no)
	case kindVLAN:
		return g.fail(n, "vlan goes with and: write \"vlan 5 and (tcp or udp)\"; not vlan comes last")
	}
	return g.primitive(n, yes, no)
}

func (g *generator) primitive(n *node, yes, no label) error {
	switch n.kind {
	case kindHost, kindNet:
		if (n.kind == kindHost && n.host.Is6()) || (n.kind == kindNet && n.network.Addr().Is6()) {
			g.network6(n, yes, no)
			return nil
		}
		return g.borrowed(n, yes, no)
	case kindPort, kindEther:
		if n.protocol == "sctp" { // for which go-pcap takes any
			g.portRange(n, yes, no)
			return nil
		}
		return g.borrowed(n, yes, no)
	case kindPortRange:
		g.portRange(n, yes, no)
	case kindProtocol:
		if value, ok := etherType(n.protocol); ok {
			g.etherType(value, yes, no)
			return nil
		}
		value, _ := protocolNumber(n.protocol)
		family := ""
		switch n.protocol {
		case "icmp", "igmp", "igrp", "vrrp", "carp":
			family = "ip"
		case "icmp6":
			family = "ip6"
		}
		g.above(family, value, yes, no)
	case kindNumber:
		if n.protocol == "ether" {
			g.etherType(n.low, yes, no)
			return nil
		}
		g.above(n.protocol, n.low, yes, no)
	case kindLength:
		g.emit(opLength, 0)
		g.test(opAtLeast, n.low, next, no)
		g.test(opGreater, n.high, no, yes)
	case kindBroadcast:
		if !g.frame.ethernet {
			return g.noEthernet(n)
		}
		g.emit(opLoadWord, 2)
		g.test(opEqual, 0xffffffff, next, no)
		g.emit(opLoadHalf, 0)
		g.test(opEqual, 0xffff, yes, no)
	case kindMulticast:
		return g.multicast(n, yes, no)
	case kindAccess:
		return g.access(n, yes, no)
	}
	return nil
}

func (g *generator) etherType(value uint32, yes, no label) {
	g.emit(opLoadHalf, 12+g.shift)
	g.test(opEqual, value, yes, no)
}

// above tests for a protocol above IP; in IPv6 also behind one fragment header, as tcpdump does.
func (g *generator) above(family string, value uint32, yes, no label) {
	six := g.label()
	g.emit(opLoadHalf, 12+g.shift)
	if family != "ip6" {
		other := no
		if family == "" {
			other = six
		}
		g.test(opEqual, etherIPv4, next, other)
		g.emit(opLoadByte, 23+g.shift)
		g.test(opEqual, value, yes, no)
	}
	g.bind(six)
	if family != "ip" {
		g.test(opEqual, etherIPv6, next, no)
		g.emit(opLoadByte, 20+g.shift)
		g.test(opEqual, value, yes, next)
		g.test(opEqual, 44, next, no)
		g.emit(opLoadByte, 54+g.shift)
		g.test(opEqual, value, yes, no)
	}
}

// network6 tests IPv6 addresses against a host or a network.
func (g *generator) network6(n *node, yes, no label) {
	network := n.network
	if n.kind == kindHost {
		network, _ = n.host.Prefix(128)
	}
	g.emit(opLoadHalf, 12+g.shift)
	g.test(opEqual, etherIPv6, next, no)
	match := func(at uint32, yes, no label) {
		address := network.Addr().As16()
		for bits := network.Bits(); bits > 0; bits -= 32 {
			word := uint32(network.Bits()-bits) / 8
			g.emit(opLoadWord, at+g.shift+word)
			if bits < 32 {
				g.emit(opAnd, ^uint32(0)<<(32-bits))
			}
			g.test(opEqual, binary.BigEndian.Uint32(address[word:]), next, no)
		}
		g.jump(yes)
	}
	g.either(n.direction, func(yes, no label) { match(22, yes, no) }, func(yes, no label) { match(38, yes, no) }, yes, no)
}

// either joins the tests of the source and of the destination.
func (g *generator) either(direction string, source, destination func(yes, no label), yes, no label) {
	middle := g.label()
	switch direction {
	case "src":
		source(yes, no)
	case "dst":
		destination(yes, no)
	case "src and dst":
		source(middle, no)
	default:
		source(yes, middle)
	}
	g.bind(middle)
	if direction != "src" && direction != "dst" {
		destination(yes, no)
	}
}

// portRange tests ports of TCP, UDP and SCTP.
func (g *generator) portRange(n *node, yes, no label) {
	carriers := []uint32{132, 6, 17}
	if value, ok := protocolNumber(n.protocol); ok {
		carriers = []uint32{value}
	}
	carried := func(no label) {
		found := g.label()
		for _, carrier := range carriers[:len(carriers)-1] {
			g.test(opEqual, carrier, found, next)
		}
		g.test(opEqual, carriers[len(carriers)-1], next, no)
		g.bind(found)
	}
	within := func(op uint16, at uint32) func(yes, no label) {
		return func(yes, no label) {
			g.emit(op, at+g.shift)
			g.test(opAtLeast, n.low, next, no)
			g.test(opGreater, n.high, no, yes)
		}
	}
	six := g.label()
	g.emit(opLoadHalf, 12+g.shift)
	g.test(opEqual, etherIPv4, next, six)
	g.emit(opLoadByte, 23+g.shift)
	carried(no)
	g.emit(opLoadHalf, 20+g.shift)
	g.test(opAnySet, 0x1fff, no, next)
	g.emit(opHeader, 14+g.shift)
	g.either(n.direction, within(opIndexHalf, 14), within(opIndexHalf, 16), yes, no)
	g.bind(six)
	g.test(opEqual, etherIPv6, next, no)
	g.emit(opLoadByte, 20+g.shift)
	carried(no)
	g.either(n.direction, within(opLoadHalf, 54), within(opLoadHalf, 56), yes, no)
}

func (g *generator) multicast(n *node, yes, no label) error {
	switch n.protocol {
	case "ip":
		g.emit(opLoadHalf, 12+g.shift)
		g.test(opEqual, etherIPv4, next, no)
		g.emit(opLoadByte, 30+g.shift)
		g.test(opAtLeast, 224, yes, no)
	case "ip6":
		g.emit(opLoadHalf, 12+g.shift)
		g.test(opEqual, etherIPv6, next, no)
		g.emit(opLoadByte, 38+g.shift)
		g.test(opEqual, 255, yes, no)
	default:
		if !g.frame.ethernet {
			return g.noEthernet(n)
		}
		g.emit(opLoadByte, 0)
		g.test(opAnySet, 1, yes, no)
	}
	return nil
}

// access compares bytes. Those of protocols above IP are looked for in IPv4, in the first fragment only.
func (g *generator) access(n *node, yes, no label) error {
	load := map[uint32]uint16{1: opLoadByte, 2: opLoadHalf, 4: opLoadWord}[n.access.size]
	index := map[uint32]uint16{1: opIndexByte, 2: opIndexHalf, 4: opIndexWord}[n.access.size]
	switch n.protocol {
	case "len":
		g.emit(opLength, 0)
	case "ether":
		if !g.frame.ethernet {
			return g.noEthernet(n)
		}
		if g.shift != 0 {
			return g.fail(n, "bytes of ether behind vlan: put them before it")
		}
		if n.access.offset+n.access.size > 14 {
			return g.fail(n, "byte %d of ether: the header has 14; use ip, ip6 or arp for what follows", n.access.offset)
		}
		g.emit(load, n.access.offset)
	case "ip", "ip6", "arp", "rarp":
		value, _ := etherType(n.protocol)
		g.emit(opLoadHalf, 12+g.shift)
		g.test(opEqual, value, next, no)
		g.emit(load, 14+g.shift+n.access.offset)
	case "icmp6":
		g.emit(opLoadHalf, 12+g.shift)
		g.test(opEqual, etherIPv6, next, no)
		g.emit(opLoadByte, 20+g.shift)
		g.test(opEqual, 58, next, no)
		g.emit(load, 54+g.shift+n.access.offset)
	default:
		value, _ := protocolNumber(n.protocol)
		g.emit(opLoadHalf, 12+g.shift)
		g.test(opEqual, etherIPv4, next, no)
		g.emit(opLoadByte, 23+g.shift)
		g.test(opEqual, value, next, no)
		g.emit(opLoadHalf, 20+g.shift)
		g.test(opAnySet, 0x1fff, no, next)
		g.emit(opHeader, 14+g.shift)
		g.emit(index, 14+g.shift+n.access.offset)
	}
	if n.access.mask != ^uint32(0) {
		g.emit(opAnd, n.access.mask)
	}
	switch value := n.access.value; n.access.relation {
	case "=", "==":
		g.test(opEqual, value, yes, no)
	case "!=":
		g.test(opEqual, value, no, yes)
	case ">":
		g.test(opGreater, value, yes, no)
	case ">=":
		g.test(opAtLeast, value, yes, no)
	case "<":
		g.test(opAtLeast, value, no, yes)
	case "<=":
		g.test(opGreater, value, no, yes)
	}
	return nil
}

func (g *generator) noEthernet(n *node) error {
	return g.fail(n, "packets of this interface have no Ethernet header")
}

func (g *generator) fail(n *node, format string, args ...any) error {
	return &SyntaxError{g.expression, n.at, fmt.Sprintf(format, args...)}
}
