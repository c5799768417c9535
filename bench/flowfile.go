package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/weft-net/weft/flow/flowtest"
)

// enough is how long a program is run again and again for its best time.
const enough = 6 * time.Second

// best repeats a measurement that is short, and gives the fastest one.
func best(run func() (cost, error)) (cost, error) {
	var top cost
	var all time.Duration
	for i := 0; i == 0 || i < 3 && all+top.wall < enough; i++ {
		c, err := run()
		if err != nil {
			return c, err
		}
		if all += c.wall; i == 0 || c.wall < top.wall {
			top = c
		}
	}
	return top, nil
}

// flowFile has weft and its peers read the same file, one after the other.
func flowFile(ctx context.Context, b *bench, t traffic) ([]figure, error) {
	dir, err := os.MkdirTemp("", "weft-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	flows := b.scale(t.flows)
	path, packets, err := t.write(dir, flows, b.scale(b.packets))
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory() // the kernel gives a new process the peak of the one that started it
	ours, err := best(func() (cost, error) { return b.flowsOf(ctx, path) })
	if err != nil {
		return nil, err
	}
	notes := []figure{
		info("%s packets of %s flows, %.0f MB", grouped(packets), grouped(flows), megabytes(size(path))),
		info("%s", ours.line("weft", packets)),
	}
	leastCPU, name := time.Duration(1<<62), ""
	for _, p := range peers() {
		c, err := p.best(ctx, path, flows)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil { // that one cannot be compared; the others can
			notes = append(notes, info("%-10s %v", p.name, err))
			continue
		}
		notes = append(notes, info("%s", c.line(p.name, packets)))
		if c.cpu < leastCPU {
			leastCPU, name = c.cpu, p.name
		}
	}
	speed := millions(packets, ours.wall)
	figures := []figure{judged(atLeast(speed, t.file), "%.1f M/s", speed)}
	if t.file > 0 && name != "" {
		figures = append(figures, judged(within(ours.cpu.Seconds(), leastCPU.Seconds()), "%.2f CPU s (%s %.2f)", ours.cpu.Seconds(), name, leastCPU.Seconds()))
	}
	if ours.packets != packets {
		return nil, fmt.Errorf("weft counted %d of %d packets", ours.packets, packets)
	}
	// Tunnels are flows too, and of packets cut off inside one the ports are not known: only plain traffic can be compared.
	if t.mix == flowtest.Plain() && ours.flows != flows {
		return nil, fmt.Errorf("weft found %d flows of %d", ours.flows, flows)
	}
	return append(figures, notes...), nil
}

// flowsOf runs weft flows FILE. All flows are written, as CSV.
func (b *bench) flowsOf(ctx context.Context, path string) (cost, error) {
	c, err := measure(exec.CommandContext(ctx, b.weft, "flows", path, "--format", "csv"), false)
	if err != nil {
		return c, err
	}
	c.packets, c.flows, err = numbers(c.output, `(\d+) counted in`, `counted in (\d+) flows`)
	return c, err
}

// best is the peer's fastest run, less its rests.
func (p peer) best(ctx context.Context, path string, flows int) (cost, error) {
	d, err := fetch(ctx, p.packages...)
	if err != nil {
		return cost{}, err
	}
	c, err := best(func() (cost, error) { return p.read(ctx, d, path, flows) })
	if err != nil || !p.rests {
		return c, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "rest")
	if err != nil {
		return c, err
	}
	defer os.RemoveAll(dir)
	small, _, err := traffics()[0].write(dir, 1, 1)
	if err != nil {
		return c, err
	}
	rest, err := p.read(ctx, d, small, 1)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return c, err
	}
	c.wall = max(c.wall-rest.wall, time.Millisecond)
	return c, nil
}

// line is a row of the comparison.
func (c cost) line(name string, packets int) string {
	text := fmt.Sprintf("%-10s %6.2f M/s  %6.2f CPU s (%.3f a million)  peak %5.0f MB  %s flows",
		name, millions(packets, c.wall), c.cpu.Seconds(), c.cpu.Seconds()*1e6/float64(packets), megabytes(c.peak), grouped(c.flows))
	if lost := packets - c.packets; lost > 0 {
		text += fmt.Sprintf(", %s packets not in them", grouped(lost))
	}
	return text
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
