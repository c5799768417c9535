package filter

import (
	"errors"
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
	return fmt.Sprintf("filter %q: byte %d: %s", e.Expression, e.Position, e.Text)
}

// Program is a compiled expression.
type Program struct {
	kernel []bpf.RawInstruction
	vm     *bpf.VM
}

// Compile compiles an expression for packets of a link type, of which snap bytes are kept (0: all).
func Compile(expression string, link flow.LinkType, snap int) (*Program, error) {
	return nil, errors.New("filter compiler: not there yet")
}

// Raw is the program for the kernel, which keeps the tags of VLANs beside the packet.
func (p *Program) Raw() []bpf.RawInstruction { return p.kernel }

// Match reports whether a packet that holds its VLAN tags passes, as in a file.
func (p *Program) Match(data []byte, length int) bool { return false }
