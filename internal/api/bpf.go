package api

import (
	"errors"
	"fmt"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture/filter"
	"github.com/weft-net/weft/skydive"
)

// checkBPF compiles the filter of a capture as an agent will: for Ethernet, which the
// interfaces of a query have in their majority. An agent compiles it again for others.
func checkBPF(c *skydive.Capture) error {
	_, err := filter.Compile(c.BPFFilter, flow.LinkEthernet, c.HeaderSize)
	var syntax *filter.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("BPFFilter: at byte %d of %q: %s", syntax.Position, clip(c.BPFFilter), syntax.Text)
	}
	if err != nil {
		return fmt.Errorf("BPFFilter %q: %w", clip(c.BPFFilter), err)
	}
	return nil
}
