package pcapfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/flowtest"
	"github.com/weft-net/weft/flow/pcapfile"
)

// This turns a capture file into flows: all of what it takes. The file may be pcap or pcapng, with gzip, zstd or neither.
func Example() {
	file := trace() // or os.Open("trace.pcap.zst")

	table := flow.NewTable(flow.Options{
		EndsOnly:      true, // each flow once, when it is over
		ReassembleTCP: true, // with TCPMetric
		Report: func(f *flow.Flow, _ flow.Reason) {
			fmt.Printf("%s %s:%d > %s:%d, %d bytes there, %d back\n", f.Application,
				f.Network.A, f.Transport.A, f.Network.B, f.Transport.B, f.Metric.ABBytes, f.Metric.BABytes)
		},
	})
	reader, err := pcapfile.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	for {
		link, packets, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // of a damaged file; the packets before that are counted
			log.Print(err)
			break
		}
		table.Add(link, packets)
		table.Advance(packets[len(packets)-1].Time) // the time of the file, not of the clock
	}
	table.Close() // reports what the end of the file left open
	fmt.Println(table.Ledger().Counted, "packets")
	// Output:
	// TCP 10.0.0.1:40000 > 10.0.0.2:80, 54 bytes there, 154 back
	// 2 packets
}

// trace is a capture file of two packets, made with the Writer.
func trace() io.Reader {
	var file bytes.Buffer
	w := pcapfile.NewWriter(&file, pcapfile.Pcap, flow.LinkEthernet)
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for i, layers := range [][]flowtest.Layer{
		{
			flowtest.Ethernet{Src: "02:00:00:00:00:01", Dst: "02:00:00:00:00:02"},
			flowtest.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2"},
			flowtest.TCP{Src: 40000, Dst: 80, Seq: 1, Flags: flowtest.ACK},
		},
		{
			flowtest.Ethernet{Src: "02:00:00:00:00:02", Dst: "02:00:00:00:00:01"},
			flowtest.IPv4{Src: "10.0.0.2", Dst: "10.0.0.1"},
			flowtest.TCP{Src: 80, Dst: 40000, Seq: 1, Ack: 1, Flags: flowtest.ACK},
			flowtest.Zeros(100),
		},
	} {
		data := flowtest.Packet(layers...)
		if err := w.Write(flow.LinkEthernet, flow.Packet{Data: data, Length: len(data), Time: at.UnixNano() + int64(i)}); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
	return &file
}
