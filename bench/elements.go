package main

import (
	"fmt"
	"strconv"

	"github.com/weft-net/weft/skydive"
)

// The elements that publishers send: interfaces like those that Skydive was measured with, about 250 bytes of JSON a
// node and 320 an edge, so that 10,000 of each are the 5.7 MB of the table.

func node(i int) *skydive.Node {
	number := strconv.Itoa(i)
	return &skydive.Node{
		ID: "bench-node-" + number, Host: "bench",
		Metadata: skydive.Metadata{
			"Name": "node" + number, "Type": "device", "MAC": macAddress(i), "MTU": 1500,
			"State": "UP", "Group": i % groups, "Description": "port " + number,
		},
	}
}

func edge(i, nodes int) *skydive.Edge {
	number := strconv.Itoa(i)
	return &skydive.Edge{
		ID: "bench-edge-" + number, Host: "bench",
		Parent: "bench-node-" + strconv.Itoa(i%nodes), Child: "bench-node-" + strconv.Itoa((i*7+1)%nodes),
		Metadata: skydive.Metadata{
			"RelationType": "layer2", "Type": "cable", "Name": "link" + number, "Port": i % 48, "Group": i % groups,
			"Description": "from rack " + strconv.Itoa(i%200) + " to rack " + strconv.Itoa(i%177),
		},
	}
}

// groups is how many sets the elements fall into; the subscribers of the table each filter for one.
const groups = 100

// frames are the messages that a plain client writes, made beforehand: what is measured is the server.
func frames(nodes, edges int) ([][]byte, error) {
	var all [][]byte
	add := func(kind string, obj any) error {
		message, err := skydive.NewMessage(skydive.NamespaceGraph, kind, "", obj)
		if err != nil {
			return err
		}
		text, err := message.AppendJSON(nil)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		all = append(all, text)
		return nil
	}
	for i := range nodes {
		if err := add(skydive.MsgNodeAdded, node(i)); err != nil {
			return nil, err
		}
	}
	for i := range edges {
		if err := add(skydive.MsgEdgeAdded, edge(i, nodes)); err != nil {
			return nil, err
		}
	}
	return all, nil
}
