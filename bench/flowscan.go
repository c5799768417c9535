package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/weft-net/weft/flow"
)

// scanReport is what the child process that asks a table prints.
type scanReport struct {
	Live         uint64
	Median, Most time.Duration
	Found        int
	Address      string
}

// childScan asks a table of many live flows for ten of one address, as an agent does for a live query.
func childScan(flows, packets int) error {
	p := fill(flows, packets)
	var reports uint64
	t := flow.NewTable(options(&reports))
	p.count(t, 0, p.len()/2)
	r := scanReport{Live: t.Ledger().FlowsLive}
	var addresses []netip.Addr
	t.Scan(0, 1<<30, nil, func(f *flow.Flow) bool {
		if a, err := netip.ParseAddr(f.Network.A); err == nil && !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
		return len(addresses) < 100
	})
	if len(addresses) == 0 {
		return fmt.Errorf("no flow of %d has an address", r.Live)
	}
	// One that no flow has makes the scan see all of them.
	addresses = append(addresses, netip.MustParseAddr("192.0.2.1"))
	var took []time.Duration
	for _, address := range addresses {
		pre := &flow.Prefilter{Network: []netip.Addr{address}}
		started := time.Now()
		found := 0
		for cursor, done := uint64(0), false; !done; {
			cursor, done = t.Scan(cursor, 1<<14, pre, func(f *flow.Flow) bool {
				if f.Network.A == address.String() || f.Network.B == address.String() {
					found++
				}
				return found < 10
			})
			done = done || found == 10
		}
		took = append(took, time.Since(started))
		r.Found += found
	}
	slices.Sort(took)
	r.Median, r.Most = took[len(took)/2], took[len(took)-1]
	t.Close()
	return json.NewEncoder(os.Stdout).Encode(r)
}

func flowScan(ctx context.Context, b *bench) ([]figure, error) {
	var r scanReport
	if err := reportOf(ctx, &r, "flow-scan", b.scale(500_000), b.scale(b.packets)); err != nil {
		return nil, err
	}
	most := float64(r.Most.Microseconds()) / 1e3
	return []figure{
		judged(within(most, 10), "%.2f ms at most", most),
		info("median %.2f ms; %s live flows, the last address in none of them", float64(r.Median.Microseconds())/1e3, grouped(int(r.Live))), //nolint:gosec // a count
	}, nil
}
