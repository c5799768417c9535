// Command gremlin asks a graph of its own a question.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
)

func main() {
	g := graph.New(graph.Options{})
	var events []graph.Event
	for _, name := range []string{"eth0", "eth1", "lo"} {
		events = append(events, graph.Event{
			Op: graph.PutNode, ID: name, Host: "here",
			Metadata: graph.NewMetadata(graph.F("Name", graph.String(name)), graph.F("Type", graph.String("device"))),
		})
	}
	if _, err := g.Apply(&graph.Batch{Origin: "stranger", Events: events}); err != nil {
		log.Fatal(err)
	}
	query, err := gremlin.Parse("G.V().Has('Name', REGEX('eth.*')).Count()")
	if err != nil {
		log.Fatal(err)
	}
	result, err := gremlin.New(g, gremlin.Options{}).Exec(context.Background(), query)
	if err != nil {
		log.Fatal(err)
	}
	if err := result.WriteJSON(os.Stdout); err != nil {
		log.Fatal(err)
	}
	fmt.Println()
}
