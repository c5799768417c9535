// Command skydive reads a message as it comes over a WebSocket of an analyzer, weft's or Skydive's.
package main

import (
	"fmt"
	"log"

	"github.com/weft-net/weft/skydive"
)

func main() {
	frame := `{"Namespace":"Graph","Type":"NodeAdded","UUID":"1","Status":200,"Obj":{"ID":"n1","Metadata":{"Name":"eth0","MTU":1500},"Host":"here"}}`
	message, err := skydive.DecodeMessage([]byte(frame), skydive.ProtocolJSON)
	if err != nil {
		log.Fatal(err)
	}
	var node skydive.Node
	if err := message.Obj.Decode(&node); err != nil {
		log.Fatal(err)
	}
	fmt.Println(message.Type, node.ID, node.Metadata["Name"], node.Metadata["MTU"])
}
