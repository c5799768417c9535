// Command client asks an analyzer, which it plays itself, what it is and which nodes it has.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/skydive"
)

func main() {
	answers := map[string]string{
		skydive.PathAPI:      `{"Host":"stranger","Version":"1","Service":"weft"}`,
		skydive.PathTopology: `[{"ID":"n1","Metadata":{"Name":"eth0"},"Host":"h","Origin":"o","CreatedAt":1,"UpdatedAt":1,"DeletedAt":null,"Revision":1}]`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", skydive.ContentJSON)
		fmt.Fprintln(w, answers[r.URL.Path])
	}))
	defer server.Close()
	c, err := client.New(client.Config{Address: server.URL})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	info, err := c.Info(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	nodes, err := c.QueryNodes(context.Background(), "G.V()")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Service, "at", info.Host)
	for _, node := range nodes {
		fmt.Println(node.ID)
	}
}
