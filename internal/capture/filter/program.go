package filter

import (
	"fmt"

	"golang.org/x/net/bpf"

	"github.com/weft-net/weft/flow"
)

// SyntaxError says where an expression stops being one that can be compiled.
type SyntaxError struct {
	Expression string
	Position   int    // byte, from 0
	Text       string // what is wrong, and what to do
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("filter: at byte %d of %q: %s", e.Position, e.Expression, e.Text)
}

// Program is a compiled expression.
type Program struct {
	kernel []bpf.RawInstruction
	file   []bpf.RawInstruction
}

// keepAll is what a filter returns for a packet that is to be kept whole.
const keepAll = 256 << 10

// maxLength bounds an expression, and with it the work to compile it.
const maxLength = 16 << 10

// Compile compiles an expression for packets of a link type, of which snap bytes are kept (0: all). The
// empty expression passes everything. The error is a [*SyntaxError].
func Compile(expression string, link flow.LinkType, snap int) (*Program, error) {
	if len(expression) > maxLength {
		return nil, &SyntaxError{expression[:40] + "...", maxLength, fmt.Sprintf("longer than %d bytes", maxLength)}
	}
	frame, ok := frameOf(link)
	if !ok {
		return nil, &SyntaxError{expression, 0, fmt.Sprintf("link type %d: filters are for Ethernet, raw IP and Linux cooked captures", link)}
	}
	tree, err := parse(expression)
	if err != nil {
		return nil, err
	}
	keep := uint32(keepAll)
	if snap > 0 {
		keep = uint32(min(snap, keepAll))
	}
	program := new(Program)
	for _, way := range []struct {
		kernel bool
		to     *[]bpf.RawInstruction
	}{{true, &program.kernel}, {false, &program.file}} {
		g := &generator{expression: expression, frame: frame, kernel: way.kernel}
		if *way.to, err = g.program(tree, keep); err != nil {
			return nil, err
		}
	}
	return program, nil
}

// Raw is the program for the kernel, where the outer VLAN tag may lie beside the packet.
func (p *Program) Raw() []bpf.RawInstruction { return append([]bpf.RawInstruction(nil), p.kernel...) }

// Match reports whether a packet that holds its VLAN tags passes, as in a file; length is that on the wire.
func (p *Program) Match(data []byte, length int) bool { return run(p.file, data, uint32(length)) != 0 }
