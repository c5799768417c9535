package filter

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// maxInstructions is what the kernel takes (BPF_MAXINSNS), less room for what a capture adds.
const maxInstructions = 4000

func (g *generator) label() label {
	g.places = append(g.places, -1)
	return label(len(g.places) - 1)
}

// bind puts a label at the next instruction.
func (g *generator) bind(l label) { g.places[l] = len(g.code) }

func (g *generator) jump(to label) { g.code = append(g.code, instruction{op: opJump, jt: to}) }

func (g *generator) test(op uint16, k uint32, yes, no label) {
	g.code = append(g.code, instruction{op: op, k: k, jt: yes, jf: no})
}

// emit adds an instruction that does not jump, and moves its offset from Ethernet to where the link type has it.
func (g *generator) emit(op uint16, k uint32) {
	switch op {
	case opLoadWord, opLoadHalf, opLoadByte, opIndexWord, opIndexHalf, opIndexByte, opHeader:
		switch indexed := op == opIndexWord || op == opIndexHalf || op == opIndexByte; {
		case k >= extensions || g.frame.ethernet:
		case indexed || k >= 14:
			k += g.frame.netAt - 14
		case g.frame.raw:
			g.typeOfRaw()
			return
		default:
			k = g.frame.typeAt
		}
	}
	g.code = append(g.code, instruction{op: op, k: k})
}

// typeOfRaw loads the Ethernet type that raw IP would have.
func (g *generator) typeOfRaw() {
	four, six, done := g.label(), g.label(), g.label()
	g.code = append(g.code, instruction{op: opLoadByte})
	g.code = append(g.code, instruction{op: opAnd, k: 0xf0})
	g.test(opEqual, 0x40, four, next)
	g.test(opEqual, 0x60, six, next)
	g.code = append(g.code, instruction{op: opLoad})
	g.jump(done)
	g.bind(four)
	g.code = append(g.code, instruction{op: opLoad, k: etherIPv4})
	g.jump(done)
	g.bind(six)
	g.code = append(g.code, instruction{op: opLoad, k: etherIPv6})
	g.bind(done)
}

// assemble resolves the labels. A conditional jump reaches 255 instructions; where that is too short it is
// put in front of two that reach everywhere.
func (g *generator) assemble() ([]bpf.RawInstruction, error) {
	starts := make([]int, len(g.code)+1)
	for changed := true; changed; {
		changed = false
		for i, in := range g.code {
			starts[i+1] = starts[i] + 1
			if in.long {
				starts[i+1] = starts[i] + 3
			}
		}
		for i := range g.code {
			in := &g.code[i]
			if conditional(in.op) && !in.long && (g.distance(starts, i, in.jt) > 255 || g.distance(starts, i, in.jf) > 255) {
				in.long, changed = true, true
			}
		}
	}
	size := starts[len(g.code)]
	if size > maxInstructions {
		return nil, &SyntaxError{g.expression, 0, fmt.Sprintf("%d instructions, and the kernel takes %d: shorten it", size, maxInstructions)}
	}
	out := make([]bpf.RawInstruction, 0, size)
	for i, in := range g.code {
		yes, no := g.distance(starts, i, in.jt), g.distance(starts, i, in.jf)
		switch {
		case in.op == opJump:
			out = append(out, bpf.RawInstruction{Op: opJump, K: uint32(yes)})
		case !conditional(in.op):
			out = append(out, bpf.RawInstruction{Op: in.op, K: in.k})
		case in.long:
			// distance counts from the end of the three.
			out = append(out, bpf.RawInstruction{Op: in.op, K: in.k, Jf: 1},
				bpf.RawInstruction{Op: opJump, K: uint32(yes + 1)}, bpf.RawInstruction{Op: opJump, K: uint32(no)})
		default:
			out = append(out, bpf.RawInstruction{Op: in.op, K: in.k, Jt: uint8(yes), Jf: uint8(no)})
		}
	}
	return out, nil
}

// distance is how many instructions are between the end of one and a label.
func (g *generator) distance(starts []int, from int, to label) int {
	if to == next {
		return 0
	}
	return starts[g.places[to]] - starts[from+1]
}

func conditional(op uint16) bool { return op&7 == opJump && op != opJump }
