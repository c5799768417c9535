package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
)

// childReport is what the child process that holds a graph prints, as JSON.
type childReport struct {
	Nodes, Edges int
	Load         time.Duration // everything: the events are made and applied
	LoadCPU      time.Duration // what the process used for it
	RSS, Peak    int64         // at the end of the load; the most so far
	Held         int64         // after a collection
	Lookup       time.Duration // View.Lookup of one name, and its first node
	Has          time.Duration // G.V().Has('Name', …), parsed before
	Traversals   float64       // edges a second, one goroutine
	TraverseKeys float64       // the same, with a metadata key read of each node reached
	PastLookup   time.Duration // the lookup in a view of a past moment
}

// inChild runs a measurement in a process of its own.
func inChild(ctx context.Context, what string, size int) (*childReport, error) {
	report := new(childReport)
	return report, reportOf(ctx, report, what, size, 0)
}

// reportOf runs a measurement in a process of its own and reads what it prints.
func reportOf(ctx context.Context, report any, what string, size, packets int) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, program, "-child", what, "-size", strconv.Itoa(size), "-packets", strconv.Itoa(packets))
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("child: %w", err)
	}
	if err := json.Unmarshal(out, report); err != nil {
		return fmt.Errorf("child's report: %w", err)
	}
	return nil
}

func graphLoad(ctx context.Context, b *bench) ([]figure, error) {
	r, err := inChild(ctx, "load", b.scale(1_000_000))
	if err != nil {
		return nil, err
	}
	return []figure{
		judged(within(r.Load.Seconds(), 10), "%.2f s", r.Load.Seconds()),
		judged(within(megabytes(r.RSS), 1500), "RSS %.0f MB", megabytes(r.RSS)),
		info("%.1f s of CPU, the making of the events included; peak RSS %.0f MB; %.0f MB after a collection", r.LoadCPU.Seconds(), megabytes(r.Peak), megabytes(r.Held)),
	}, nil
}

func graphRead(ctx context.Context, b *bench) ([]figure, error) {
	r, err := inChild(ctx, "read", b.scale(1_000_000))
	if err != nil {
		return nil, err
	}
	return []figure{
		judged(within(micros(r.Has), 5), "%.2f µs", micros(r.Has)),
		judged(atLeast(r.Traversals/1e6, 5), "%.1f M/s", r.Traversals/1e6),
		info("at %d nodes + %d edges; View.Lookup alone %.2f µs, at a past moment %.2f µs", r.Nodes, r.Edges, micros(r.Lookup), micros(r.PastLookup)),
		info("edges walked with a metadata key read of each node reached: %.1f M/s", r.TraverseKeys/1e6),
	}, nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func runChild(what string, size, packets, flows int) error {
	switch what {
	case "flow-table":
		return childTable(size, packets)
	case "flow-memory":
		return childMemory(size, packets)
	case "flow-scan":
		return childScan(size, packets)
	case "flow-send":
		return childSend(sending{rate: size, millis: packets, flows: flows})
	case "veth-gro":
		return deliverInBatches(receiverLink)
	case "flow-ring":
		return childRing(size)
	}
	report, g, err := load(size)
	if err != nil {
		return err
	}
	switch what {
	case "load":
	case "read":
		if err := read(g, report); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown measurement %q", what)
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

// load fills a graph as several agents would: batches of a thousand elements, each with ten keys.
func load(size int) (*childReport, *graph.Graph, error) {
	const batch = 1000
	g := graph.New(graph.Options{})
	started := time.Now()
	apply := func(from, to int, element func(int) graph.Event) error {
		events := make([]graph.Event, 0, to-from)
		for i := from; i < to; i++ {
			events = append(events, element(i))
		}
		result, err := g.Apply(&graph.Batch{Origin: "bench", Events: events})
		if err == nil && len(result.Rejected) > 0 {
			err = fmt.Errorf("element %s rejected: %w", result.Rejected[0].ID, result.Rejected[0].Err)
		}
		return err
	}
	for from := 0; from < size; from += batch {
		if err := apply(from, min(from+batch, size), nodeEvent); err != nil {
			return nil, nil, err
		}
	}
	for from := 0; from < size; from += batch {
		if err := apply(from, min(from+batch, size), func(i int) graph.Event { return edgeEvent(i, size) }); err != nil {
			return nil, nil, err
		}
	}
	report := &childReport{Load: time.Since(started)}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return nil, nil, err
	}
	report.LoadCPU = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	pid := os.Getpid()
	var errs [3]error
	report.RSS, errs[0] = memoryOf(pid, "VmRSS")
	report.Peak, errs[1] = memoryOf(pid, "VmHWM")
	debug.FreeOSMemory()
	report.Held, errs[2] = memoryOf(pid, "VmRSS")
	view := g.View()
	report.Nodes, report.Edges = view.NodeCount(), view.EdgeCount()
	if report.Nodes != size || report.Edges != size {
		errs[0] = errors.Join(errs[0], fmt.Errorf("%d nodes and %d edges are there, want %d each", report.Nodes, report.Edges, size))
	}
	return report, g, errors.Join(errs[:]...)
}

func nodeEvent(i int) graph.Event {
	number := strconv.Itoa(i)
	return graph.Event{
		Op: graph.PutNode, ID: "n" + number, Host: "host" + strconv.Itoa(i%1000), Origin: "bench",
		Metadata: graph.NewMetadata(
			graph.F("Name", graph.String("eth"+number)),
			graph.F("Type", graph.String("device")),
			graph.F("MAC", graph.String(macAddress(i))),
			graph.F("MTU", graph.Int(1500)),
			graph.F("State", graph.String("UP")),
			graph.F("IfIndex", graph.Int(int64(i%4096))),
			graph.F("Driver", graph.String("virtio_net")),
			graph.F("Speed", graph.Int(10_000)),
			graph.F("IPV4", graph.Strings(ipAddress(i)+"/24")),
			graph.F("TID", graph.String("t"+number)),
		),
	}
}

func edgeEvent(i, size int) graph.Event {
	number := strconv.Itoa(i)
	return graph.Event{
		Op: graph.PutEdge, ID: "e" + number, Host: "host" + strconv.Itoa(i%1000), Origin: "bench",
		Parent: "n" + strconv.Itoa(i), Child: "n" + strconv.Itoa((i*7+1)%size),
		Metadata: graph.NewMetadata(
			graph.F("RelationType", graph.String("layer2")),
			graph.F("Type", graph.String("cable")),
			graph.F("Name", graph.String("link"+number)),
			graph.F("Speed", graph.Int(10_000)),
			graph.F("Port", graph.Int(int64(i%48))),
			graph.F("PeerPort", graph.Int(int64(i%32))),
			graph.F("Vlan", graph.Int(int64(i%4094+1))),
			graph.F("State", graph.String("UP")),
			graph.F("Rack", graph.String("r"+strconv.Itoa(i%200))),
			graph.F("Length", graph.Int(int64(i%30))),
		),
	}
}

func macAddress(i int) string {
	return fmt.Sprintf("02:00:%02x:%02x:%02x:%02x", i>>24&255, i>>16&255, i>>8&255, i&255)
}

func ipAddress(i int) string {
	return "10." + strconv.Itoa(i>>16&255) + "." + strconv.Itoa(i>>8&255) + "." + strconv.Itoa(i&255)
}

// read measures lookups and traversals in the loaded graph.
func read(g *graph.Graph, report *childReport) error {
	const lookups = 200_000
	size := report.Nodes
	name := func(i int) string { return "eth" + strconv.Itoa(i*7919%size) }
	look := func(view func() (*graph.View, error)) (time.Duration, error) {
		started := time.Now()
		for i := range lookups {
			v, err := view()
			if err != nil {
				return 0, err
			}
			found := false
			nodes, _, ok := v.Lookup("Name", graph.String(name(i)))
			if ok {
				for node := range nodes {
					found = node.ID() != ""
				}
			}
			if !found {
				return 0, fmt.Errorf("%s was not found by the index", name(i))
			}
		}
		return time.Since(started) / lookups, nil
	}
	var err error
	if report.Lookup, err = look(func() (*graph.View, error) { return g.View(), nil }); err != nil {
		return err
	}
	past := g.Now()
	if _, err := g.Apply(&graph.Batch{Origin: "bench", Events: []graph.Event{nodeEvent(size)}}); err != nil {
		return err
	}
	if report.PastLookup, err = look(func() (*graph.View, error) { return g.At(past) }); err != nil {
		return err
	}
	if report.Has, err = has(g, name, lookups/10); err != nil {
		return err
	}
	report.Traversals = traverse(g, false)
	report.TraverseKeys = traverse(g, true)
	return nil
}

// has runs parsed queries through the engine, result included.
func has(g *graph.Graph, name func(int) string, times int) (time.Duration, error) {
	engine := gremlin.New(g, gremlin.Options{})
	queries := make([]*gremlin.Query, 1000)
	for i := range queries {
		query, err := gremlin.Parse("G.V().Has('Name','" + name(i) + "')")
		if err != nil {
			return 0, err
		}
		queries[i] = query
	}
	started := time.Now()
	for i := range times {
		result, err := engine.Exec(context.Background(), queries[i%len(queries)])
		if err != nil {
			return 0, err
		}
		if i < len(queries) {
			if text, err := result.AppendJSON(nil); err != nil || len(text) < 10 {
				return 0, fmt.Errorf("%s found nothing: %s: %w", queries[i], text, err)
			}
		}
	}
	return time.Since(started) / time.Duration(times), nil
}

// traverse walks from every node over its edges to the children, for about a second, on one goroutine.
func traverse(g *graph.Graph, keys bool) float64 {
	view := g.View()
	edges := 0
	started := time.Now()
	for time.Since(started) < time.Second {
		for node := range view.Nodes() {
			for _, child := range view.Out(node) {
				if keys {
					if _, ok := child.Field("MTU"); !ok {
						return 0
					}
				}
				edges++
			}
			if edges&0xffff == 0 && time.Since(started) > 5*time.Second {
				break
			}
		}
	}
	return float64(edges) / time.Since(started).Seconds()
}
