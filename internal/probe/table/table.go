// Package table is the one list of the probes that weft has. It is read by the program's
// wiring only; it holds no state and may be called from anywhere.
package table

import (
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/probe/linux"
	"github.com/weft-net/weft/internal/probe/sockets"
)

// All lists the probes, in the order in which an agent starts them.
func All() []probe.Spec {
	return []probe.Spec{
		{Name: linux.Name, Default: true, New: linux.New},
		{Name: sockets.Name, Default: true, New: sockets.New},
	}
}
