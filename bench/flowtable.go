package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/weft-net/weft/flow"
)

// tableReport is what the child process that counts packets in memory prints.
type tableReport struct {
	Packets     int
	Table, Bare time.Duration // for all packets: the table; a plain loop with a map
	CPU         time.Duration // of the table's run
	Allocs      float64       // a packet, in the table
	Flows       uint64        // that the table found
	BareFlows   int
	Live        uint64  // flows while memory was measured
	Bytes       float64 // of memory a live flow
	HeapBytes   float64 // of the heap alone
}

// packetBuffer holds packets one behind the other, as a capture file does.
type packetBuffer struct {
	data    []byte
	ends    []uint64
	lengths []uint32
	times   []int64
}

func fill(flows, packets int) *packetBuffer {
	p := &packetBuffer{data: make([]byte, 0, packets*96)}
	traffic{mix: traffics()[0].mix}.generator(flows, packets).Stream(func(ts int64, data []byte, wire int) {
		p.data = append(p.data, data...)
		p.ends = append(p.ends, uint64(len(p.data)))
		p.lengths = append(p.lengths, uint32(wire)) //nolint:gosec // at most 1,600
		p.times = append(p.times, ts)
	})
	return p
}

func (p *packetBuffer) len() int { return len(p.ends) }

// each hands all packets in batches to a function, as a source does.
func (p *packetBuffer) each(from, to int, add func([]flow.Packet)) {
	const size = 256
	batch := make([]flow.Packet, 0, size)
	start := uint64(0)
	if from > 0 {
		start = p.ends[from-1]
	}
	for i := from; i < to; i++ {
		batch = append(batch, flow.Packet{Data: p.data[start:p.ends[i]:p.ends[i]], Length: int(p.lengths[i]), Time: p.times[i]})
		start = p.ends[i]
		if len(batch) == size {
			add(batch)
			batch = batch[:0]
		}
	}
	if len(batch) > 0 {
		add(batch)
	}
}

// count feeds a table as the reader of a file does, time advancing with the packets.
func (p *packetBuffer) count(t *flow.Table, from, to int) {
	const pause = int64(100 * time.Millisecond)
	next := int64(0)
	p.each(from, to, func(batch []flow.Packet) {
		t.Add(flow.LinkEthernet, batch)
		if now := batch[len(batch)-1].Time; now >= next {
			t.Advance(now)
			next = now + pause
		}
	})
}

func options(reports *uint64) flow.Options {
	return flow.Options{
		NodeTID: "bench", CaptureID: "bench", ExtraTCPMetric: true,
		Report: func(*flow.Flow, flow.Reason) { *reports++ },
	}
}

// childTable counts packets in a table, and in a plain map beside it.
func childTable(flows, packets int) error {
	p := fill(flows, packets)
	r := tableReport{Packets: p.len()}
	var reports uint64
	var before, after runtime.MemStats
	for range 3 { // the best: another process may have had the core
		t := flow.NewTable(options(&reports))
		runtime.GC()
		runtime.ReadMemStats(&before)
		used, started := selfCPU(), time.Now()
		p.count(t, 0, p.len())
		took, cpu := time.Since(started), selfCPU()-used
		runtime.ReadMemStats(&after)
		t.Close()
		l := t.Ledger()
		if !l.Balanced() || l.Counted != uint64(p.len()) { //nolint:gosec // a length
			return fmt.Errorf("the table counted %d of %d packets: %+v", l.Counted, p.len(), l)
		}
		if r.Table == 0 || took < r.Table {
			r.Table, r.CPU = took, cpu
			r.Allocs = float64(after.Mallocs-before.Mallocs) / float64(p.len())
		}
		r.Flows = l.Flows
	}
	for range 3 {
		runtime.GC()
		started := time.Now()
		r.BareFlows = bareMap(p)
		if took := time.Since(started); r.Bare == 0 || took < r.Bare {
			r.Bare = took
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// tuple is the key of the plain map: addresses and ports in an order that both directions share.
type tuple struct {
	low, high uint64 // address and port
	protocol  uint8
}

type counts struct{ packets, bytes int64 }

// bareMap is what anybody would write: Ethernet, IPv4, TCP and UDP, and a map of counters. It knows no tags, no options
// of IPv6, no state, no ids.
func bareMap(p *packetBuffer) int {
	flows := make(map[tuple]*counts)
	p.each(0, p.len(), func(batch []flow.Packet) {
		for _, packet := range batch {
			b := packet.Data
			if len(b) < 14+20+8 || b[12] != 8 || b[13] != 0 {
				continue
			}
			ip := b[14:]
			header := int(ip[0]&15) * 4
			if len(ip) < header+4 {
				continue
			}
			ports := ip[header:]
			a := uint64(ip[12])<<40 | uint64(ip[13])<<32 | uint64(ip[14])<<24 | uint64(ip[15])<<16 | uint64(ports[0])<<8 | uint64(ports[1])
			z := uint64(ip[16])<<40 | uint64(ip[17])<<32 | uint64(ip[18])<<24 | uint64(ip[19])<<16 | uint64(ports[2])<<8 | uint64(ports[3])
			key := tuple{min(a, z), max(a, z), ip[9]}
			c := flows[key]
			if c == nil {
				c = new(counts)
				flows[key] = c
			}
			c.packets++
			c.bytes += int64(packet.Length)
		}
	})
	return len(flows)
}

// childMemory measures what the flows of a table take while all of them live: what the process has of the machine's
// memory more than before.
func childMemory(flows, packets int) error {
	p := fill(flows, packets)
	var reports uint64
	pid := os.Getpid()
	debug.FreeOSMemory()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rss, err := memoryOf(pid, "VmRSS")
	if err != nil {
		return err
	}
	t := flow.NewTable(options(&reports))
	// Half-way every flow has begun and few are over.
	p.count(t, 0, p.len()/2)
	debug.FreeOSMemory()
	runtime.ReadMemStats(&after)
	now, err := memoryOf(pid, "VmRSS")
	if err != nil {
		return err
	}
	r := tableReport{Packets: p.len() / 2, Live: t.Ledger().FlowsLive}
	if r.Live == 0 {
		return fmt.Errorf("no flow lives: %+v", t.Ledger())
	}
	r.Bytes = float64(now-rss) / float64(r.Live)
	r.HeapBytes = (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(r.Live)
	runtime.KeepAlive(p)
	t.Close()
	return json.NewEncoder(os.Stdout).Encode(r)
}

func selfCPU() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func millions(packets int, d time.Duration) float64 { return float64(packets) / 1e6 / d.Seconds() }

func flowTable(ctx context.Context, b *bench, t traffic) ([]figure, error) {
	var r tableReport
	if err := reportOf(ctx, &r, "flow-table", b.scale(t.flows), b.scale(b.packets)); err != nil {
		return nil, err
	}
	speed := millions(r.Packets, r.Table)
	return []figure{
		judged(atLeast(speed, t.table), "%.1f M/s", speed),
		judged(within(r.Allocs, 0.01), "%.4f allocs", r.Allocs),
		info("a plain Go map of 5-tuples, same packets: %.1f M/s; CPU %.2f s for %.2f s; %s flows found, %s by the map",
			millions(r.Packets, r.Bare), r.CPU.Seconds(), r.Table.Seconds(), grouped(int(r.Flows)), grouped(r.BareFlows)), //nolint:gosec // a count
	}, nil
}

func flowMemory(ctx context.Context, b *bench) ([]figure, error) {
	var r tableReport
	if err := reportOf(ctx, &r, "flow-memory", b.scale(1_000_000), b.scale(b.packets)); err != nil {
		return nil, err
	}
	return []figure{
		judged(within(r.Bytes, 600), "%.0f bytes", r.Bytes),
		info("%s live flows; of the heap alone %.0f bytes each", grouped(int(r.Live)), r.HeapBytes), //nolint:gosec // a count
	}, nil
}
