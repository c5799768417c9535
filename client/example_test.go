package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/skydive"
)

// exampleTB lets examples use the fake server of the tests.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (e *exampleTB) Cleanup(f func())    { e.cleanups = append(e.cleanups, f) }
func (e *exampleTB) Fatal(a ...any)      { panic(fmt.Sprint(a...)) }
func (e *exampleTB) Error(a ...any)      { panic(fmt.Sprint(a...)) }
func (e *exampleTB) Logf(string, ...any) {}
func (e *exampleTB) Helper()             {}
func (e *exampleTB) close()              { runAll(e.cleanups) }
func runAll(fs []func()) {
	for i := len(fs) - 1; i >= 0; i-- {
		fs[i]()
	}
}
func exampleServer() (*fake, *exampleTB) { tb := &exampleTB{}; return newFake(tb), tb }

func ExampleClient_QueryNodes() {
	server, tb := exampleServer()
	defer tb.close()
	server.queries["G.V().Has('Type', 'bridge')"] = `[{"ID":"1","Metadata":{"Name":"br0","MTU":1500},"Host":"a"}]`

	c, err := client.New(client.Config{Address: server.URL})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	bridges, err := c.QueryNodes(context.Background(), "G.V().Has('Type', 'bridge')")
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range bridges {
		fmt.Println(n.Host, n.Metadata.Str(skydive.KeyName), n.Metadata.Int(skydive.KeyMTU))
	}
	// Output: a br0 1500
}

func ExampleQuery() {
	server, tb := exampleServer()
	defer tb.close()
	server.queries["G.V().Has('Type', 'host').Values('Name')"] = `["a","b"]`

	c, err := client.New(client.Config{Address: server.URL})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	names, err := client.Query[[]string](context.Background(), c, "G.V().Has('Type', 'host').Values('Name')")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(names)
	// Output: [a b]
}

func ExampleResource() {
	server, tb := exampleServer()
	defer tb.close()
	server.things["noderule"] = map[string]json.RawMessage{}

	c, err := client.New(client.Config{Address: server.URL})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	rule, err := c.NodeRules().Create(ctx, &skydive.NodeRule{
		Name: "rack", Action: skydive.NodeRuleUpdate, Query: "G.V().Has('Type', 'host')", Metadata: skydive.Metadata{"Rack": "r1"},
	}, time.Hour) // it goes by itself after an hour
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rule.Name, rule.Metadata.Str("Rack"))
	_, err = c.NodeRules().Get(ctx, "another")
	fmt.Println(errors.Is(err, client.ErrNotFound), err)
	// Output:
	// rack r1
	// true GET /api/noderule/another: 404 Noderule 'another' not found
}

// A subscription that keeps a copy of the graph: whatever happens to the connection, the copy follows.
func ExampleClient_Subscribe() {
	server, tb := exampleServer()
	defer tb.close()
	server.graph.Nodes = []*skydive.Node{{ID: "1", Metadata: skydive.Metadata{"Name": "eth0", "MTU": 1500}, Revision: 1}}

	c, err := client.New(client.Config{Address: server.URL})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	replica := client.NewReplica()
	sub, err := c.Subscribe(context.Background(), client.SubscribeOptions{
		Sync: true, UpdatePolicy: skydive.UpdatePartial, Replica: replica,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			log.Fatal(err)
		}
		switch ev.Type {
		case client.EventSync:
			fmt.Println("the graph has", len(ev.Graph.Nodes), "node")
			server.tell(skydive.MsgNodePartiallyUpdated, skydive.PartialUpdate{
				ID: "1", Revision: 2, Ops: []skydive.PartialOp{{Type: skydive.OpAdd, Key: "MTU", Value: 1400}},
			})
		case skydive.MsgNodeUpdated:
			fmt.Println(ev.Node.Metadata.Str("Name"), "has MTU", ev.Node.Metadata.Int("MTU"))
			sub.Close()
		}
	}
	// Output:
	// the graph has 1 node
	// eth0 has MTU 1400
}

func ExampleClient_Publish() {
	server, tb := exampleServer()
	defer tb.close()
	server.weft = true

	c, err := client.New(client.Config{Address: server.URL})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	p, err := c.Publish(ctx, client.PublishOptions{
		ClientType: "inventory", HostID: "rack-1", Persistence: skydive.DeleteOnDisconnect,
		OnError: func(e *client.PublishError) { fmt.Println(e) },
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"tor1", "tor2"} {
		if err := p.NodeAdded(ctx, &skydive.Node{ID: name, Metadata: skydive.Metadata{"Name": name, "Type": "switch"}}); err != nil {
			log.Fatal(err)
		}
	}
	if err := p.EdgeAdded(ctx, &skydive.Edge{ID: "link", Parent: "tor1", Child: "nowhere", Metadata: skydive.Metadata{"RelationType": "layer2"}}); err != nil {
		log.Fatal(err)
	}
	done, err := p.Flush(ctx) // everything before is committed, or refused
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Committed, "committed,", done.Rejected, "rejected")
	if err := p.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// element "link" refused: child node is not known
	// 2 committed, 1 rejected
}
