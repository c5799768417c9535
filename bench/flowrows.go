package main

import (
	"context"
	"fmt"

	"github.com/weft-net/weft/flow/flowtest"
)

// A traffic is what one capture file holds, and what has to be reached with it.
type traffic struct {
	name  string
	flows int
	mix   flowtest.Mix

	table, file float64 // millions of packets a second: in memory on one core, and the whole process; 0 = no target
	skydive     string
}

// traffics are the capture files of the benchmark.
func traffics() []traffic {
	return []traffic{
		{name: "a", flows: 1_000, mix: flowtest.Plain(), table: 10, file: 8, skydive: "0.46 M/s"},
		{name: "b", flows: 100_000, mix: flowtest.Plain(), table: 5, file: 4, skydive: "0.32 M/s"},
		{name: "c", flows: 1_000_000, mix: flowtest.Plain(), table: 2.5, file: 2, skydive: "0.24 M/s"},
		{name: "mix", flows: 100_000, mix: flowtest.Tunnels(), skydive: "–"},
	}
}

// generator streams the packets of a traffic.
func (t traffic) generator(flows, packets int) flowtest.Traffic {
	return flowtest.Traffic{Flows: flows, Packets: packets, Seed: 1, Mix: t.mix}
}

func flowRows() []row {
	var all []row
	for _, t := range traffics() {
		if t.table == 0 {
			continue
		}
		all = append(all, row{
			name: "flow-table-" + t.name, what: fmt.Sprintf("flow.Table, one core, %s flows", grouped(t.flows)),
			target: fmt.Sprintf("> %g M packets/s, 0 allocs", t.table), skydive: t.skydive,
			run: func(ctx context.Context, b *bench) ([]figure, error) { return flowTable(ctx, b, t) },
		})
	}
	all = append(all, row{
		name: "flow-memory", what: "memory of a live flow, everything counted",
		target: "< 600 bytes", skydive: "–", run: flowMemory,
	})
	for _, t := range traffics() {
		target := "every packet counted"
		if t.file > 0 {
			target = fmt.Sprintf("> %g M packets/s, less CPU than the best", t.file)
		}
		all = append(all, row{
			name: "flow-file-" + t.name, what: fmt.Sprintf("weft flows FILE, whole process, %s flows%s", grouped(t.flows), kind(t)),
			target: target, skydive: "–",
			run: func(ctx context.Context, b *bench) ([]figure, error) { return flowFile(ctx, b, t) },
		})
	}
	return append(all, row{
		name: "flow-scan", what: "ten flows of an address among 500,000 live ones in the table",
		target: "< 10 ms", skydive: "answers nothing after 10 s", run: flowScan,
	}, row{
		name: "flow-query", what: "G.Flows().Has('Network','10.0.0.1').Limit(10), 500,000 live flows on one agent, median",
		target: "< 20 ms, Count() < 100 ms", skydive: "answers nothing after 10 s", run: flowQuery,
	}, row{
		name: "flow-subscriber", what: "/ws/subscriber/flow, JSON, one client that takes every flow of a capture",
		target: "> 100,000 flows/s, none lost", skydive: "–", run: flowSubscriber,
	}, onWire("flow-capture-a", 1_000), onWire("flow-capture-b", 100_000))
}

func onWire(name string, flows int) row {
	return row{
		name: name, what: fmt.Sprintf("ring and table on a veth, 64-byte packets of %s flows, before the first drop", grouped(flows)),
		target: "no less than any peer", skydive: "–",
		run: func(ctx context.Context, b *bench) ([]figure, error) { return flowCapture(ctx, b, flows) },
	}
}

func kind(t traffic) string {
	if t.mix == flowtest.Plain() {
		return ""
	}
	return ", tunnels and fragments"
}

// grouped writes a number with commas.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
