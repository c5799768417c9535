package flow_test

import (
	"fmt"
	"os"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/flowtest"
)

// request is a question to a DNS server and its answer, five milliseconds later.
func request(from, to string, at time.Time) []flow.Packet {
	there := flowtest.Packet(
		flowtest.Ethernet{Src: "02:00:00:00:00:01", Dst: "02:00:00:00:00:02"},
		flowtest.IPv4{Src: from, Dst: to}, flowtest.UDP{Src: 40000, Dst: 53}, flowtest.Zeros(40))
	back := flowtest.Packet(
		flowtest.Ethernet{Src: "02:00:00:00:00:02", Dst: "02:00:00:00:00:01"},
		flowtest.IPv4{Src: to, Dst: from}, flowtest.UDP{Src: 53, Dst: 40000}, flowtest.Zeros(120))
	return []flow.Packet{
		{Data: there, Length: len(there), Time: at.UnixNano()},
		{Data: back, Length: len(back), Time: at.Add(5 * time.Millisecond).UnixNano()},
	}
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// A table is given packets, and now and then the time; it reports flows as they begin, go on and end.
func ExampleTable() {
	table := flow.NewTable(flow.Options{
		Report: func(f *flow.Flow, why flow.Reason) {
			fmt.Println(why, f.Network.A, "to", f.Network.B, f.Application, f.Metric.ABBytes, "bytes, back", f.Metric.BABytes)
		},
	})
	table.Add(flow.LinkEthernet, request("10.0.0.1", "10.0.0.53", noon))
	for second := range 12 { // a flow of DNS is over after ten seconds of silence
		table.Advance(noon.Add(time.Duration(second) * time.Second).UnixNano())
	}
	table.Close()
	fmt.Println(table.Ledger().Counted, "packets counted,", table.Ledger().Dropped(), "dropped")
	// Output:
	// started 10.0.0.1 to 10.0.0.53 DNS 82 bytes, back 162
	// ended 10.0.0.1 to 10.0.0.53 DNS 82 bytes, back 162
	// 2 packets counted, 0 dropped
}

// Scan asks a table for the flows that live now, here for those of one address.
func ExampleTable_Scan() {
	table := flow.NewTable(flow.Options{})
	table.Add(flow.LinkEthernet, request("10.0.0.1", "10.0.0.53", noon))
	table.Add(flow.LinkEthernet, request("10.0.0.2", "10.0.0.53", noon))
	var keep []*flow.Flow
	for cursor, done := uint64(0), false; !done; {
		cursor, done = table.Scan(cursor, 1000, nil, func(f *flow.Flow) bool {
			if f.Network.A == "10.0.0.2" {
				keep = append(keep, f.Clone()) // f itself is used again
			}
			return true
		})
	}
	for _, f := range keep {
		fmt.Println(f.LayersPath, f.Network.A, f.Transport.A)
	}
	// Output:
	// Ethernet/IPv4/UDP/DNS 10.0.0.2 40000
}

// AppendJSON writes behind what is there already, so that one buffer serves for many flows.
func ExampleFlow_AppendJSON() {
	flows := []*flow.Flow{
		{UUID: "0000000000000001", LayersPath: "Ethernet/ARP", Application: "ARP"},
		{UUID: "0000000000000002", Network: &flow.Layer{Protocol: flow.IPv4, A: "10.0.0.1", B: "10.0.0.2"}},
	}
	var buffer []byte
	for _, f := range flows {
		buffer = append(f.AppendJSON(buffer[:0]), '\n')
		os.Stdout.Write(buffer)
	}
	// Output:
	// {"UUID":"0000000000000001","LayersPath":"Ethernet/ARP","Application":"ARP","Start":0,"Last":0,"TrackingID":"","L3TrackingID":"","ParentUUID":"","NodeTID":"","CaptureID":"","RawPacketsCaptured":0}
	// {"UUID":"0000000000000002","LayersPath":"","Application":"","Network":{"Protocol":"IPV4","A":"10.0.0.1","B":"10.0.0.2","ID":0},"Start":0,"Last":0,"TrackingID":"","L3TrackingID":"","ParentUUID":"","NodeTID":"","CaptureID":"","RawPacketsCaptured":0}
}

// Field reads a flow by the names that queries and JSON have.
func ExampleFlow_Field() {
	f := &flow.Flow{
		Network: &flow.Layer{Protocol: flow.IPv4, A: "10.0.0.1", B: "10.0.0.2"},
		Metric:  &flow.Metric{ABBytes: 1500},
	}
	for _, name := range []string{"Network.A", "Metric.ABBytes", "Transport.A"} {
		value, ok := f.Field(name)
		fmt.Println(name, ok, value.Str, value.Num)
	}
	// Output:
	// Network.A true 10.0.0.1 0
	// Metric.ABBytes true  1500
	// Transport.A false  0
}

// The layers above transport can be read on their own.
func ExampleDecodeDNS() {
	question := append([]byte{0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "\x04weft\x07example\x00\x00\x01\x00\x01"...)
	dns, err := flow.DecodeDNS(question)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(dns.Questions[0].Name, dns.Questions[0].Type)
	// Output:
	// weft.example A
}
