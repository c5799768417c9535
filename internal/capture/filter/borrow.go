package filter

import (
	"fmt"
	"strings"

	gopcap "github.com/packetcap/go-pcap/filter"
	"golang.org/x/net/bpf"
)

// borrowed has go-pcap compile one primitive, and takes its code in with the jumps and offsets adjusted.
func (g *generator) borrowed(n *node, yes, no label) error {
	var words []string
	for _, word := range []string{n.protocol, n.direction} {
		if word != "" {
			words = append(words, word)
		}
	}
	switch n.kind {
	case kindHost:
		words = append(words, "host", n.host.String())
	case kindNet:
		words = append(words, "net", n.network.String())
	case kindEther:
		if !g.frame.ethernet {
			return g.noEthernet(n)
		}
		words = append(words, "host", n.mac.String())
	case kindPort:
		words = append(words, "port", fmt.Sprint(n.low))
	}
	code, err := gopcapCompile(strings.Join(words, " "))
	if err != nil {
		return g.fail(n, "%v", err)
	}
	// Its code ends in two returns; every other instruction goes on or jumps forward.
	labels := make([]label, len(code))
	for i := range labels {
		labels[i] = g.label()
	}
	for i, in := range code {
		g.bind(labels[i])
		switch {
		case in.Op == opReturn && in.K != 0:
			g.jump(yes)
		case in.Op == opReturn:
			g.jump(no)
		case in.Op == opJump:
			g.jump(labels[i+1+int(in.K)])
		case conditional(in.Op):
			g.test(in.Op, in.K, labels[i+1+int(in.Jt)], labels[i+1+int(in.Jf)])
		default:
			k := in.K
			if in.Op != opAnd && k >= 12 {
				k += g.shift
			}
			if in.Op == opIndexHalf {
				k = in.K + g.shift
			}
			g.emit(in.Op, k)
		}
	}
	return nil
}

// gopcapCompile refuses code that is not of the form that borrowed takes.
func gopcapCompile(expression string) (code []bpf.RawInstruction, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%q cannot be compiled: %v", expression, cause)
		}
	}()
	program := gopcap.NewExpression(expression).Compile()
	instructions, err := program.Compile()
	if err != nil {
		return nil, fmt.Errorf("%q cannot be compiled: %w", expression, err)
	}
	code, err = bpf.Assemble(instructions)
	if err != nil {
		return nil, fmt.Errorf("%q cannot be compiled: %w", expression, err)
	}
	for i, in := range code {
		furthest := 0
		switch in.Op {
		case opReturn:
			continue
		case opJump:
			furthest = int(in.K)
		case opEqual, opGreater, opAtLeast, opAnySet:
			furthest = int(max(in.Jt, in.Jf))
		case opLoadWord, opLoadHalf, opLoadByte, opIndexHalf, opHeader, opAnd:
		default:
			return nil, fmt.Errorf("%q cannot be compiled: instruction %#x", expression, in.Op)
		}
		if i+1+furthest >= len(code) {
			return nil, fmt.Errorf("%q cannot be compiled: a jump out of it", expression)
		}
	}
	return code, nil
}
