// Package linux is the probe of the Linux kernel.
package linux

import (
	"context"

	"github.com/weft-net/weft/internal/probe"
)

// Name is the probe's name in the table of probes and in the settings.
const Name = "linux"

// Probe watches this host's kernel. See the package comment.
type Probe struct {
	env probe.Env
}

// New builds the probe. It looks at nothing before Run.
func New(env probe.Env) (probe.Probe, error) {
	return &Probe{env: env.WithDefaults()}, nil
}

// Name returns "linux".
func (p *Probe) Name() string { return Name }

// Run implements [probe.Probe].
func (p *Probe) Run(ctx context.Context, sink probe.Sink) error {
	<-ctx.Done()
	return nil
}
