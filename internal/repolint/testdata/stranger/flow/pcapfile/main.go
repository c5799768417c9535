// Command pcapfile writes a capture file and reads it.
package main

import (
	"bytes"
	"fmt"
	"log"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/pcapfile"
)

func main() {
	var file bytes.Buffer
	writer := pcapfile.NewWriter(&file, pcapfile.Pcapng, flow.LinkEthernet)
	if err := writer.Write(flow.LinkEthernet, flow.Packet{Data: make([]byte, 60), Length: 60}); err != nil {
		log.Fatal(err)
	}
	if err := writer.Flush(); err != nil {
		log.Fatal(err)
	}
	reader, err := pcapfile.Open(&file)
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	link, packets, err := reader.Read()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(packets), "packets of link type", link)
}
