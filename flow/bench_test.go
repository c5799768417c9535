package flow_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/weft-net/weft/flow"
	ft "github.com/weft-net/weft/flow/flowtest"
)

// traffic generates packets into one piece of memory, as a ring has them.
func traffic(flows, packets int, mix ft.Mix) []flow.Packet {
	memory := make([]byte, 0, packets*100)
	list := make([]flow.Packet, 0, packets)
	ft.Traffic{Flows: flows, Packets: packets, Seed: 1, Mix: mix}.Stream(func(ts int64, data []byte, wire int) {
		from := len(memory)
		memory = append(memory, data...)
		list = append(list, flow.Packet{Data: memory[from:len(memory):len(memory)], Length: wire, Time: ts})
	})
	return list
}

// BenchmarkTable counts the benchmark's traffic: whole lives of flows, TCP metrics and tracking ids on. An operation is a packet.
func BenchmarkTable(b *testing.B) {
	for _, flows := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(flows), func(b *testing.B) {
			packets := traffic(flows, max(4_000_000, flows*10), ft.Plain())
			b.ReportAllocs()
			b.ResetTimer()
			table := flow.NewTable(flow.Options{NodeTID: "n", MaxFlows: 1 << 21, ExtraTCPMetric: true})
			for done, i := 0, 0; done < b.N; {
				n := min(256, len(packets)-i, b.N-done)
				table.Add(flow.LinkEthernet, packets[i:i+n])
				done += n
				if i += n; i == len(packets) {
					i = 0
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpackets/s")
			b.ReportMetric(float64(table.Ledger().FlowsLive), "flows")
		})
	}
}

// BenchmarkScan looks for one address among half a million live flows.
func BenchmarkScan(b *testing.B) {
	packets := traffic(500_000, 1_000_000, ft.Plain())
	table := flow.NewTable(flow.Options{NodeTID: "n", MaxFlows: 1 << 21})
	table.Add(flow.LinkEthernet, packets)
	var pre flow.Prefilter
	table.Scan(0, 1, nil, func(f *flow.Flow) bool {
		pre.Network = append(pre.Network, addrOf(f.Network.A))
		return true
	})
	b.ResetTimer()
	for range b.N {
		found := 0
		table.Scan(0, 1<<30, &pre, func(*flow.Flow) bool { found++; return true })
		if found == 0 {
			b.Fatal("nothing found")
		}
	}
}

// TestMemoryOfAFlow holds the memory of a live flow under 600 bytes.
func TestMemoryOfAFlow(t *testing.T) {
	const flows = 200_000
	packets := traffic(flows, flows*2, ft.Plain())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	table := flow.NewTable(flow.Options{NodeTID: "n", MaxFlows: 1 << 20, ExtraTCPMetric: true})
	table.Add(flow.LinkEthernet, packets)
	runtime.GC()
	runtime.ReadMemStats(&after)
	live := table.Ledger().FlowsLive
	each := float64(after.HeapAlloc-before.HeapAlloc) / float64(live)
	t.Logf("%.0f bytes a flow, %d flows", each, live)
	if live < flows/2 || each > 600 {
		t.Errorf("%.0f bytes for each of %d flows, want less than 600", each, live)
	}
	runtime.KeepAlive(packets)
}

// TestNoAllocationAPacket holds packets of known flows to no allocation.
func TestNoAllocationAPacket(t *testing.T) {
	for name, mix := range map[string]ft.Mix{"plain": ft.Plain(), "tunnels": ft.Tunnels()} {
		packets := traffic(1000, 20_000, mix)
		table := flow.NewTable(flow.Options{NodeTID: "n", MaxFlows: 1 << 16, ExtraTCPMetric: true})
		table.Add(flow.LinkEthernet, packets)
		if n := testing.AllocsPerRun(5, func() { table.Add(flow.LinkEthernet, packets) }); n > 3 {
			t.Errorf("%s: %v allocations for %d packets", name, n, len(packets))
		}
	}
}

// BenchmarkRawPackets asks for the packets of a thousand of a hundred thousand flows, and of all.
func BenchmarkRawPackets(b *testing.B) {
	packets := traffic(100_000, 200_000, ft.Plain())
	table := flow.NewTable(flow.Options{NodeTID: "n", MaxFlows: 1 << 20, RawPacketLimit: 2})
	table.Add(flow.LinkEthernet, packets)
	var uuids []string
	table.Scan(0, 1<<30, nil, func(f *flow.Flow) bool { uuids = append(uuids, f.UUID); return true })
	for _, n := range []int{1000, len(uuids)} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if found := rawPackets(table, 1<<14, uuids[:n]...); len(found) != n {
					b.Fatalf("packets of %d flows", len(found))
				}
			}
		})
	}
}
