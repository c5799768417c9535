package main

import (
	"github.com/spf13/cobra"

	"github.com/weft-net/weft/flow"
)

// flowsDecoding says what to read of the packets of files beyond their headers: what a capture can be asked for too.
type flowsDecoding struct {
	defragment, reassemble bool
	layers                 []string
	applications           []string
}

// flags gives the command its flags for them.
func (d *flowsDecoding) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&d.defragment, "defragment", false, "of files: put fragments of IP together")
	f.BoolVar(&d.reassemble, "reassemble", false, "of files: count segments of TCP out of order and missing")
	f.StringSliceVar(&d.layers, "extra-layers", nil, "of files: layers to decode: dns, dhcpv4, vrrp, with commas between")
	f.StringSliceVar(&d.applications, "application", nil, "of files: names of ports, such as TCP:443:HTTPS, with commas between")
	_ = cmd.RegisterFlagCompletionFunc("extra-layers", cobra.FixedCompletions([]string{"dns", "dhcpv4", "vrrp"}, cobra.ShellCompDirectiveNoFileComp))
}

// asked says whether any was given.
func (d *flowsDecoding) asked() bool {
	return d.defragment || d.reassemble || len(d.layers) > 0 || len(d.applications) > 0
}

// options adds them to those of a table.
func (d *flowsDecoding) options(o flow.Options) (flow.Options, error) {
	bits, err := extraLayers(d.layers)
	if err != nil {
		return o, err
	}
	if o.Applications, err = flow.NewApplications(d.applications); err != nil {
		return o, &usageError{err}
	}
	o.IPDefrag, o.ReassembleTCP, o.ExtraLayers = d.defragment, d.reassemble, flow.ExtraLayers(bits)
	return o, nil
}
