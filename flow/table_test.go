package flow_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	ft "github.com/weft-net/weft/flow/flowtest"
)

const second = int64(time.Second)

// start is when the tests' first packets come.
const start = 1_700_000_000 * second

// told is a report as a test keeps it.
type told struct {
	flow.Flow
	why flow.Reason
}

// watch returns a table and what it reports.
func watch(o flow.Options) (*flow.Table, *[]told) {
	var reports []told
	o.NodeTID = "node"
	o.Report = func(f *flow.Flow, why flow.Reason) { reports = append(reports, told{*f.Clone(), why}) }
	return flow.NewTable(o), &reports
}

// at makes a packet.
func at(ns int64, layers ...ft.Layer) flow.Packet {
	data := ft.Packet(layers...)
	return flow.Packet{Data: data, Length: len(data), Time: ns}
}

// add adds Ethernet packets.
func add(t *flow.Table, packets ...flow.Packet) { t.Add(flow.LinkEthernet, packets) }

const macA, macB = "02:00:00:00:00:0a", "02:00:00:00:00:0b"

var (
	there = ft.Ethernet{Src: macA, Dst: macB}
	back  = ft.Ethernet{Src: macB, Dst: macA}
	ip    = ft.IPv4{Src: "10.0.0.2", Dst: "10.0.0.1"}
	ipB   = ft.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2", TTL: 60}
)

func TestFlowOfBothDirections(t *testing.T) {
	table, reports := watch(flow.Options{CaptureID: "capture"})
	add(table,
		at(start, there, ip, ft.UDP{Src: 4000, Dst: 99}, ft.Zeros(100)),
		at(start+second/2, back, ipB, ft.UDP{Src: 99, Dst: 4000}, ft.Zeros(50)),
	)
	table.Advance(start + second)
	if len(*reports) != 1 {
		t.Fatalf("%d reports, want 1", len(*reports))
	}
	f := (*reports)[0]
	if f.why != flow.Started || f.LayersPath != "Ethernet/IPv4/UDP" || f.Application != "UDP" || f.CaptureID != "capture" || f.NodeTID != "node" {
		t.Errorf("flow: %+v", f)
	}
	if *f.Link != (flow.Layer{Protocol: flow.Ethernet, A: macA, B: macB}) {
		t.Errorf("link: %+v", *f.Link)
	}
	if *f.Network != (flow.Layer{Protocol: flow.IPv4, A: "10.0.0.2", B: "10.0.0.1"}) {
		t.Errorf("network: %+v", *f.Network)
	}
	if *f.Transport != (flow.TransportLayer{Protocol: flow.UDP, A: 4000, B: 99}) {
		t.Errorf("transport: %+v", *f.Transport)
	}
	want := flow.Metric{ABPackets: 1, ABBytes: 142, BAPackets: 1, BABytes: 92, Start: start / 1e6, Last: start/1e6 + 500}
	if *f.Metric != want || *f.LastUpdateMetric != want {
		t.Errorf("metrics: %+v, update %+v, want %+v", *f.Metric, *f.LastUpdateMetric, want)
	}
}

func TestReportsOfALife(t *testing.T) {
	table, reports := watch(flow.Options{})
	packet := func(s int64) flow.Packet {
		return at(start+s*second, there, ip, ft.UDP{Src: 4000, Dst: 99}, ft.Zeros(10))
	}
	for s := range int64(1000) {
		if s == 0 || s == 70 || s == 71 {
			add(table, packet(s))
		}
		table.Advance(start + s*second)
	}
	var got []string
	for _, r := range *reports {
		got = append(got, fmt.Sprintf("%s %d of %d, finish %d", r.why, r.LastUpdateMetric.ABPackets, r.Metric.ABPackets, r.FinishType))
	}
	want := []string{"started 1 of 1, finish 0", "updated 2 of 3, finish 0", "ended 0 of 3, finish 1"}
	if !slices.Equal(got, want) {
		t.Errorf("reports %q, want %q", got, want)
	}
	if l := table.Ledger(); l.FlowsLive != 0 || l.Reported != 3 || !l.Balanced() {
		t.Errorf("ledger %+v", l)
	}
}

func TestShortExpiry(t *testing.T) {
	table, reports := watch(flow.Options{})
	add(table, at(start, there, ip, ft.UDP{Src: 4000, Dst: 53}, ft.Zeros(20)), at(start, there, ft.ARP{SrcMAC: macA, SrcIP: "10.0.0.2", DstIP: "10.0.0.1"}))
	for s := range int64(12) {
		table.Advance(start + s*second)
	}
	for _, r := range (*reports)[2:] {
		if r.why != flow.Ended || r.FinishType != flow.FinishTimeout || r.Application != "DNS" && r.Application != "ARP" {
			t.Errorf("report %v of %s", r.why, r.Application)
		}
	}
	if len(*reports) != 4 {
		t.Errorf("%d reports, want 2 of each", len(*reports))
	}
}

func TestEvictionTakesTheUnused(t *testing.T) {
	table, reports := watch(flow.Options{MaxFlows: 100})
	packet := func(n int, port uint16) flow.Packet {
		return at(start+int64(n)*1e6, there, ip, ft.UDP{Src: port, Dst: 99})
	}
	for n := range 10_000 {
		add(table, packet(n, uint16(1000+n)), packet(n, 7)) // port 7 is always in use
	}
	for _, r := range *reports {
		if r.why != flow.Evicted || r.FinishType != flow.FinishTimeout {
			t.Fatalf("report %v, finish %v", r.why, r.FinishType)
		}
		if r.Transport.A == 7 {
			t.Fatal("the flow in use was evicted")
		}
	}
	l := table.Ledger()
	if l.FlowsEvicted != uint64(len(*reports)) || l.FlowsLive != 100 || l.Flows != 10_001 || l.Counted != 20_000 || !l.Balanced() {
		t.Errorf("ledger %+v with %d reports", l, len(*reports))
	}
}

// TestLedgerAndUpdatesAddUp is the property that nothing is lost: over random traffic, tables and clocks.
func TestLedgerAndUpdatesAddUp(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		sums, last, over := map[string]flow.Metric{}, map[string]flow.Metric{}, map[string]bool{}
		var roots uint64
		table := flow.NewTable(flow.Options{
			NodeTID: "n", MaxFlows: []int{64, 500, 100_000}[seed%3], Update: 20 * time.Millisecond, Expire: 100 * time.Millisecond, ExtraTCPMetric: true,
			Report: func(f *flow.Flow, why flow.Reason) {
				if over[f.UUID] {
					t.Fatalf("seed %d: a report of %s after its end", seed, f.UUID)
				}
				sum := sums[f.UUID]
				sum.Add(*f.LastUpdateMetric)
				sums[f.UUID], last[f.UUID] = sum, *f.Metric
				over[f.UUID] = why == flow.Ended || why == flow.Evicted
				if f.ParentUUID == "" {
					roots += uint64(f.LastUpdateMetric.ABPackets + f.LastUpdateMetric.BAPackets)
				}
			},
		})
		var batch []flow.Packet
		var sent uint64
		ft.Traffic{Flows: 800, Packets: 40_000, Seed: seed, Mix: ft.Tunnels(), Interval: 100_000}.Stream(func(ts int64, data []byte, wire int) {
			cut := data
			if rng.IntN(50) == 0 {
				cut = data[:rng.IntN(len(data))]
			}
			batch = append(batch, flow.Packet{Data: slices.Clone(cut), Length: wire, Time: ts})
			sent++
			if rng.IntN(30) == 0 {
				add(table, batch...)
				batch = batch[:0]
				table.Advance(ts)
				if l := table.Ledger(); !l.Balanced() || l.Received+uint64(len(batch)) != sent {
					t.Fatalf("seed %d: ledger %+v after %d packets", seed, l, sent)
				}
			}
		})
		add(table, batch...)
		table.Close()
		l := table.Ledger()
		if !l.Balanced() || l.Received != sent || l.Counted != l.Reported || l.Counted != roots || l.FlowsLive != 0 {
			t.Errorf("seed %d: ledger %+v, %d packets sent, %d reported", seed, l, sent, roots)
		}
		for id, sum := range sums {
			m := last[id]
			if sum.ABPackets != m.ABPackets || sum.ABBytes != m.ABBytes || sum.BAPackets != m.BAPackets || sum.BABytes != m.BABytes {
				t.Fatalf("seed %d: the updates of %s add up to %+v, its metric is %+v", seed, id, sum, m)
			}
			if !over[id] {
				t.Fatalf("seed %d: %s did not end", seed, id)
			}
		}
	}
}

func TestScan(t *testing.T) {
	table, _ := watch(flow.Options{})
	for n := range 1000 {
		host := fmt.Sprintf("10.0.%d.%d", n/250, n%250+3)
		add(table, at(start, there, ft.IPv4{Src: host, Dst: "10.0.0.1"}, ft.UDP{Src: uint16(n + 1), Dst: 2000}))
	}
	scan := func(pre *flow.Prefilter, budget int) (found []string) {
		for cursor, done := uint64(0), false; !done; {
			cursor, done = table.Scan(cursor, budget, pre, func(f *flow.Flow) bool {
				found = append(found, f.UUID)
				return true
			})
		}
		return found
	}
	all := scan(nil, 7)
	slices.Sort(all)
	if len(slices.Compact(all)) != 1000 {
		t.Fatalf("%d flows, want 1000", len(all))
	}
	addr := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	for _, test := range []struct {
		pre  flow.Prefilter
		want int
	}{
		{flow.Prefilter{Network: addr("10.0.0.1")}, 1000},
		{flow.Prefilter{NetworkA: addr("10.0.0.1")}, 0},
		{flow.Prefilter{NetworkB: addr("10.0.0.1")}, 1000},
		{flow.Prefilter{NetworkA: addr("10.0.1.77")}, 1},
		{flow.Prefilter{Network: addr("10.0.1.77"), Transport: []uint16{2000}}, 1},
		{flow.Prefilter{Network: []netip.Addr{}}, 0},
		{flow.Prefilter{Network: addr("::1")}, 0},
		{flow.Prefilter{TransportA: []uint16{5, 6}}, 2},
		{flow.Prefilter{TransportB: []uint16{5}}, 0},
		{flow.Prefilter{UUID: []string{all[3], "nonsense"}}, 1},
		{flow.Prefilter{Application: []string{"TCP"}}, 0},
		{flow.Prefilter{Application: []string{"UDP"}}, 1000},
	} {
		if got := len(scan(&test.pre, 100)); got != test.want {
			t.Errorf("%+v finds %d flows, want %d", test.pre, got, test.want)
		}
	}
}

func TestRawPackets(t *testing.T) {
	table, reports := watch(flow.Options{RawPacketLimit: 2, HeaderSize: 60})
	for n := range int64(3) {
		add(table, at(start+n*(second+123_456), there, ip, ft.UDP{Src: 4000, Dst: 99}, ft.Zeros(100)))
	}
	table.Advance(start + 3*second)
	f := (*reports)[0]
	raw := rawPackets(table, 1, f.UUID)[f.UUID]
	if len(raw) != 2 || f.RawPacketsCaptured != 2 || len(raw[0].Data) != 60 || raw[1].Timestamp != start/1e6+1000 || raw[1].Time() != start+1e9+123_456 || raw[1].Nanos != 123_456 || raw[1].Index != 1 || raw[0].LinkType != flow.LinkEthernet {
		t.Errorf("raw packets %+v", raw)
	}
	if some := rawPackets(table, 1, "0123456789abcdef", "none"); len(some) != 0 {
		t.Errorf("packets of a flow that is not there: %v", some)
	}
}

// rawPackets asks for the packets of flows, in slices of so many.
func rawPackets(table *flow.Table, budget int, uuids ...string) map[string][]flow.RawPacket {
	found := map[string][]flow.RawPacket{}
	of := flow.NewUUIDSet(uuids)
	for cursor, done := uint64(0), false; !done; {
		cursor, done = table.RawPackets(cursor, budget, of, func(uuid string, packets []flow.RawPacket) {
			found[uuid] = append(found[uuid], packets...)
		})
	}
	return found
}

// Packets of many flows are found in one pass, in slices of any size, and stay what they were while the table goes on.
func TestRawPacketsOfMany(t *testing.T) {
	for _, budget := range []int{1, 7, 100} {
		table, _ := watch(flow.Options{RawPacketLimit: 2})
		for n := range 50 {
			for range 1 + n%3 {
				add(table, at(start, there, ip, ft.UDP{Src: 4000, Dst: uint16(100 + n)}, ft.Payload{byte(n)}))
			}
		}
		port := map[string]int{}
		var uuids []string
		table.Scan(0, 100, nil, func(f *flow.Flow) bool {
			if port[f.UUID] = int(f.Transport.B); port[f.UUID]%2 == 0 {
				uuids = append(uuids, f.UUID)
			}
			return true
		})
		found := rawPackets(table, budget, uuids...)
		table.Close()
		if len(found) != 25 || len(rawPackets(table, budget, uuids...)) != 0 {
			t.Errorf("budget %d: packets of %d flows, want 25, and none when they ended", budget, len(found))
		}
		for uuid, packets := range found {
			n := port[uuid] - 100
			if len(packets) != min(1+n%3, 2) || packets[0].Data[42] != byte(n) {
				t.Errorf("budget %d: flow to port %d has %v", budget, port[uuid], packets)
			}
		}
	}
}

func TestRecordsOfTwoDirectionsMeet(t *testing.T) {
	table, reports := watch(flow.Options{})
	a, b := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("10.0.0.1")
	table.Record(flow.Record{Source: a, Destination: b, SourcePort: 4000, DestinationPort: 80, Protocol: 6, Packets: 10, Bytes: 1000, Start: start, End: start + second})
	table.Record(flow.Record{Source: b, Destination: a, SourcePort: 80, DestinationPort: 4000, Protocol: 6, Packets: 7, Bytes: 5e9, Start: start, End: start + second})
	table.Close()
	f := (*reports)[0]
	want := flow.Metric{ABPackets: 10, ABBytes: 1000, BAPackets: 7, BABytes: 5e9, Start: start / 1e6, Last: start/1e6 + 1000}
	if len(*reports) != 1 || *f.Metric != want || f.LayersPath != "IPv4/TCP" {
		t.Errorf("%d reports, %s %+v", len(*reports), f.LayersPath, *f.Metric)
	}
	if l := table.Ledger(); l.Received != 17 || l.Counted != 17 || l.Reported != 17 || l.CountedBytes != 5e9+1000 {
		t.Errorf("ledger %+v", l)
	}
}

func addrOf(s string) netip.Addr { return netip.MustParseAddr(s) }

// A flow that TCP ended is reported at once, and still found for as long as an update takes.
func TestEndedFlowIsShownForAWhile(t *testing.T) {
	table, reports := watch(flow.Options{})
	connection := func(s int64) {
		add(table,
			at(start+s*second, there, ip, ft.TCP{Src: 4000, Dst: 80, Flags: ft.SYN}),
			at(start+s*second, back, ipB, ft.TCP{Src: 80, Dst: 4000, Flags: ft.SYN | ft.ACK}),
			at(start+s*second, back, ipB, ft.TCP{Src: 80, Dst: 4000, Flags: ft.RST}),
		)
	}
	seen := func() (uuids []string) {
		table.Scan(0, 1<<20, nil, func(f *flow.Flow) bool {
			uuids = append(uuids, f.UUID)
			return true
		})
		return uuids
	}
	connection(0)
	table.Advance(start + 2*second)
	if len(*reports) != 1 || (*reports)[0].why != flow.Ended || (*reports)[0].FinishType != flow.FinishRST {
		t.Fatalf("reports: %+v", *reports)
	}
	first := (*reports)[0].UUID
	if got := seen(); !slices.Equal(got, []string{first}) || table.Ledger().FlowsLive != 0 {
		t.Errorf("scan after the end gives %v, want %s; %d live", got, first, table.Ledger().FlowsLive)
	}
	connection(10) // of the same ports
	if got := seen(); len(got) != 1 || got[0] == first || table.Ledger().FlowsLive != 1 {
		t.Errorf("scan after another connection gives %v; %d live", got, table.Ledger().FlowsLive)
	}
	for s := range int64(80) {
		table.Advance(start + (10+s)*second)
	}
	if got := seen(); len(got) != 0 {
		t.Errorf("a minute later the scan gives %v", got)
	}
	connection(100)
	table.Advance(start + 102*second)
	table.Close()
	if l := table.Ledger(); len(*reports) != 3 || l.Reported != 9 || l.FlowsLive != 0 || !l.Balanced() {
		t.Errorf("%d reports, ledger %+v", len(*reports), l)
	}
}
