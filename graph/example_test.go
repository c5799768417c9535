package graph_test

import (
	"fmt"
	"time"

	"github.com/weft-net/weft/graph"
)

func Example() {
	now := time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)
	g := graph.New(graph.Options{Now: func() time.Time { return now }})
	commit := func(origin string, events ...graph.Event) graph.Moment {
		res, err := g.Apply(&graph.Batch{Origin: origin, Events: events})
		if err != nil {
			fmt.Println(err)
		}
		return res.Moment
	}

	// A probe tells of a host and its link.
	commit("linux.h1",
		graph.Event{Op: graph.PutNode, ID: "host", Metadata: graph.NewMetadata(graph.F("Type", graph.String("host")))},
		graph.Event{Op: graph.PutNode, ID: "eth0", Metadata: graph.NewMetadata(
			graph.F("Name", graph.String("eth0")), graph.F("State", graph.String("UP")))},
		graph.Event{Op: graph.PutEdge, ID: "own", Parent: "host", Child: "eth0"})
	// A capture speaks about the same link, in a layer of its own.
	up := commit("capture.h1", graph.Event{
		Op: graph.PutLayer, ID: "eth0", Rank: graph.RankCapture,
		Metadata: graph.NewMetadata(graph.F("Captures", graph.Strings("c1"))),
	})
	// The link goes down.
	now = now.Add(time.Minute)
	commit("linux.h1", graph.Event{Op: graph.PatchNode, ID: "eth0", Patch: []graph.PathOp{{Path: "State", Value: graph.String("DOWN")}}})

	print := func(what string, v *graph.View) {
		links, _, _ := v.Lookup("Name", graph.String("eth0"))
		for n := range links {
			fmt.Printf("%s: %s\n", what, n.Metadata().AppendJSON(nil))
			for _, parent := range v.In(n) {
				fmt.Printf("%s: in %s\n", what, parent.ID())
			}
		}
	}
	print("now", g.View())
	past, err := g.At(up)
	if err != nil {
		fmt.Println(err)
		return
	}
	print("then", past)
	// Output:
	// now: {"Captures":["c1"],"Name":"eth0","State":"DOWN"}
	// now: in host
	// then: {"Captures":["c1"],"Name":"eth0","State":"UP"}
	// then: in host
}
