// Command flow counts a packet that it took from somewhere itself.
package main

import (
	"fmt"

	"github.com/weft-net/weft/flow"
)

func main() {
	table := flow.NewTable(flow.Options{EndsOnly: true, Report: func(f *flow.Flow, _ flow.Reason) {
		fmt.Println(f.Application, f.Network.A, f.Network.B)
	}})
	packet := []byte{
		0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
		0x9c, 0x40, 0x13, 0x89, 0, 8, 0, 0, // UDP, from 40000 to 5001
	}
	table.Add(flow.LinkIPv4, []flow.Packet{{Data: packet, Length: len(packet)}})
	table.Close()
}
