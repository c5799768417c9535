// Command graph uses weft's graph alone, as someone does who wants a graph with a past and nothing else.
package main

import (
	"fmt"
	"log"

	"github.com/weft-net/weft/graph"
)

func main() {
	g := graph.New(graph.Options{})
	put := func(state string) graph.Moment {
		result, err := g.Apply(&graph.Batch{Origin: "stranger", Events: []graph.Event{{
			Op: graph.PutNode, ID: "eth0", Host: "here",
			Metadata: graph.NewMetadata(graph.F("Name", graph.String("eth0")), graph.F("State", graph.String(state))),
		}}})
		if err != nil {
			log.Fatal(err)
		}
		return result.Moment
	}
	before := put("UP")
	put("DOWN")
	past, err := g.At(before)
	if err != nil {
		log.Fatal(err)
	}
	for _, view := range []*graph.View{past, g.View()} {
		node, _ := view.Node("eth0")
		state, _ := node.Field("State")
		fmt.Println(state)
	}
}
