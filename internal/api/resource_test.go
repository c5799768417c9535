package api_test

import (
	"context"
	"strings"
	"testing"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/skydive/skydivetest"
)

const aNode = `{"ID":"n1","Metadata":{"Name":"rack","Type":"rack","Units":42}}`

func TestWhatAProbeSeesIsNotDeleted(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) { d.Speaks = func(origin string) bool { return origin == "linux@h" } })
	s.Apply(t, "linux@h", apitest.Node("link", "eth0", "device"))
	s.Apply(t, "linux@gone", apitest.Node("ghost", "eth0", "device"))
	if text := expect(t, s, 409, "DELETE", "/api/node/link", ""); !strings.Contains(text, "linux@h sees it") {
		t.Errorf("reason %q", text)
	}
	expect(t, s, 200, "DELETE", "/api/node/ghost", "")
	if _, there := s.Graph.View().Node("link"); !there || s.Graph.View().NodeCount() != 1 {
		t.Error("the wrong node went")
	}
}

func TestNodeLifeCycle(t *testing.T) {
	s := apitest.Start(t)
	res, text := call(t, s, "POST", "/api/node", aNode)
	if res.StatusCode != 200 || strings.HasSuffix(text, "\n") {
		t.Fatalf("create: %d %q", res.StatusCode, text)
	}
	m := parse(t, text)
	if m["ID"] != "n1" || m["Origin"] != "api.test" || m["Revision"] != 0.0 {
		t.Errorf("created %v", m)
	}
	if all := parse(t, expect(t, s, 200, "GET", "/api/node", "")); all["n1"] == nil {
		t.Errorf("list %v", all)
	}
	expect(t, s, 200, "GET", "/api/node/n1", "")

	text = expect(t, s, 200, "PATCH", "/api/node/n1", `[{"op":"replace","path":"/Metadata/Units","value":48},{"op":"replace","path":"/Metadata/Name","value":"other"}]`)
	m = parse(t, text)
	if metadata := m["Metadata"].(map[string]any); metadata["Units"] != 48.0 || metadata["Name"] != "rack" || m["Revision"] != 1.0 {
		t.Errorf("patched %v", m)
	}
	expect(t, s, 304, "PATCH", "/api/node/n1", `[{"op":"replace","path":"/Metadata/Units","value":48}]`)
	expect(t, s, 400, "PATCH", "/api/node/n1", `[{"op":"replace","path":"/Metadata/None/x","value":48}]`)
	expect(t, s, 400, "PATCH", "/api/node/n1", `{"Units":48}`)
	expect(t, s, 404, "PATCH", "/api/node/none", `[]`)
	if text := expect(t, s, 400, "PATCH", "/api/node/n1", `[{"op":"replace","path":"","value":"zz"}]`); strings.Contains(text, "%!") {
		t.Errorf("got %s", text)
	}

	if text := expect(t, s, 200, "DELETE", "/api/node/n1", ""); text != "" {
		t.Errorf("delete answers %q", text)
	}
	if text := expect(t, s, 404, "GET", "/api/node/n1", ""); text != "Node 'n1' not found\n" {
		t.Errorf("got %q", text)
	}
	expect(t, s, 404, "DELETE", "/api/node/n1", "")
	if text := expect(t, s, 200, "GET", "/api/edge", ""); text != "{}\n" {
		t.Errorf("no edges: %q", text)
	}
}

func TestRefusedElements(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s)
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/api/node", `{"Metadata":{"Name":"x","Type":"y"}}`, 400, "invalid schema: ID is missing"},
		{"/api/node", `{"ID":"x"}`, 400, "invalid schema: Metadata.Type is missing"},
		{"/api/node", `{"ID":"x","Metadata":{"Type":"y","Name":""}}`, 400, "invalid schema: Metadata.Name must be a string that is not empty"},
		{"/api/node", `{"ID":"x","Metadata":{"Type":"netns","Name":"blue"}}`, 400, "invalid schema: Metadata.Path is missing"},
		{"/api/node", `{"ID":"x","Metadata":{"Type":"ovsport","Name":"p"}}`, 400, "invalid schema: Metadata.UUID is missing"},
		{"/api/node", `{"ID":"a","Metadata":{"Type":"y","Name":"x"}}`, 400, "Node ID conflict"},
		{"/api/node", `{"ID":5}`, 400, "want a string, got a number"},
		{"/api/node", `{"ID":"x","CreatedAt":-1,"Metadata":{"Type":"y","Name":"x"}}`, 400, "CreatedAt is negative"},
		{"/api/node", `{"ID":"x","UpdatedAt":-1,"Metadata":{"Type":"y","Name":"x"}}`, 400, "UpdatedAt is negative"},
		{"/api/edge", `{"ID":"x","Parent":"a","Child":"b","Revision":-1,"Metadata":{"RelationType":"layer2"}}`, 400, "Revision is negative"},
		{"/api/noderule", `{"Metadata":{"A":1},"Action":"update","Query":"G.V().Count()"}`, 400, "Query gives number: a rule needs"},
		{"/api/edgerule", `{"Src":"G.V()","Dst":"G.V().Values('Name')","Metadata":{"RelationType":"layer2"}}`, 400, "Dst gives values"},
		{"/api/node", `[]`, 400, "want an element"},
		{"/api/node", ``, 400, "JSON ends too early"},
		{"/api/edge", `{"ID":"x","Parent":"a","Metadata":{"RelationType":"layer2"}}`, 400, "invalid schema: Child is missing"},
		{"/api/edge", `{"ID":"x","Parent":"a","Child":"b"}`, 400, "invalid schema: Metadata.RelationType is missing"},
		{"/api/edge", `{"ID":"x","Parent":"a","Child":"nowhere","Metadata":{"RelationType":"layer2"}}`, 400, "child node 'nowhere' does not exist"},
		{"/api/edge", `{"ID":"e","Parent":"a","Child":"b","Metadata":{"RelationType":"layer2"}}`, 400, "Edge ID conflict"},
		{"/api/noderule", `{"Metadata":{"A":1},"Action":"update","Query":"G.V("}`, 400, "invalid schema: Query: "},
		{"/api/noderule", `{"Metadata":{"A":1},"Action":"destroy"}`, 400, `invalid schema: Action is "destroy": use "create" or "update"`},
		{"/api/noderule", `{"Action":"update","Query":"G.V()"}`, 400, "invalid schema: Metadata is empty"},
		{"/api/noderule", `{"Metadata":{"Name":"x"},"Action":"create"}`, 400, "invalid schema: Metadata.Type is missing"},
		{"/api/edgerule", `{"Src":"G.V()","Metadata":{"RelationType":"layer2"}}`, 400, "invalid schema: Dst is missing"},
		{"/api/edgerule", `{"Src":"G.V()","Dst":"G.V()","Metadata":{}}`, 400, "invalid schema: Metadata.RelationType is missing"},
	} {
		if text := expect(t, s, c.status, "POST", c.path, c.body); !strings.Contains(text, c.want) {
			t.Errorf("%s: got %s, want %s", c.body, text, c.want)
		}
	}
	if n := s.Graph.View().NodeCount(); n != 2 {
		t.Errorf("%d nodes after refusals", n)
	}
}

func TestPatchOfAnothersNodeIsALayer(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s)
	text := expect(t, s, 200, "PATCH", "/api/node/a", `[{"op":"add","path":"/Metadata/Rack","value":{"Row":3}},{"op":"remove","path":"/Metadata/MTU"}]`)
	if !strings.Contains(text, `"Rack":{"Row":3}`) || strings.Contains(text, "MTU") {
		t.Errorf("patched %s", text)
	}
	if !s.Committer.Persistent("user") {
		t.Error("patches do not survive a restart")
	}
	// The probe speaks again; what the user said stays on top.
	s.Apply(t, "probe", apitest.Node("a", "eth0", "device", graph.F("MTU", graph.Int(9000)), graph.F("State", graph.String("UP"))))
	text = expect(t, s, 200, "GET", "/api/node/a", "")
	if !strings.Contains(text, `"Rack":{"Row":3}`) || strings.Contains(text, "MTU") || !strings.Contains(text, "UP") {
		t.Errorf("after the probe %s", text)
	}
	text = expect(t, s, 200, "PATCH", "/api/node/a", `[{"op":"replace","path":"/Metadata/Rack/Row","value":4},{"op":"add","path":"/Metadata/MTU","value":1}]`)
	if !strings.Contains(text, `"Rack":{"Row":4}`) || !strings.Contains(text, `"MTU":1`) {
		t.Errorf("patched again %s", text)
	}
	expect(t, s, 200, "DELETE", "/api/node/a", "") // an operator may
}

func TestYAMLBodies(t *testing.T) {
	s := apitest.Start(t)
	body := "ID: y1\nMetadata:\n  Name: rack\n  Type: rack\n  Tags: [a, b]\n"
	text := expect(t, s, 200, "POST", "/api/node", body, "Content-Type", "application/yaml")
	if !strings.Contains(text, `"Tags":["a","b"]`) {
		t.Errorf("got %s", text)
	}
	if text := expect(t, s, 400, "POST", "/api/node", "a: [", "Content-Type", "application/yaml"); !strings.Contains(text, "malformed YAML") {
		t.Errorf("got %s", text)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"
	expect(t, s, 400, "POST", "/api/node", bomb, "Content-Type", "application/yaml")
}

func TestTimeToLive(t *testing.T) {
	s := apitest.Start(t)
	expect(t, s, 400, "POST", "/api/node", aNode, "X-Resource-TTL", "soon")
	expect(t, s, 200, "POST", "/api/node", aNode, "X-Resource-TTL", "50ms")
	eventually(t, "the node goes", func() bool {
		_, there := s.Graph.View().Node("n1")
		return !there
	})
	if all, _ := s.Store.List(t.Context(), api.KindNode); len(all) != 0 {
		t.Errorf("stored %v", all)
	}
}

func TestRules(t *testing.T) {
	s := apitest.Start(t)
	m := parse(t, expect(t, s, 200, "POST", "/api/noderule", `{"Name":"r","Metadata":{"Owner":"ada"},"Action":"update","Query":"G.V().Has('Type','host')"}`))
	id := m["UUID"].(string)
	if len(id) != 36 || m["Query"] != "G.V().Has('Type','host')" {
		t.Errorf("created %v", m)
	}
	if text := expect(t, s, 409, "POST", "/api/noderule", `{"UUID":"`+id+`","Metadata":{"A":1},"Action":"update","Query":"G.V()"}`); !strings.Contains(text, "duplicated resource") {
		t.Errorf("got %s", text)
	}
	if all := parse(t, expect(t, s, 200, "GET", "/api/noderule", "")); all[id] == nil {
		t.Errorf("list %v", all)
	}
	expect(t, s, 200, "PATCH", "/api/noderule/"+id, `[{"op":"replace","path":"/Description","value":"x"}]`)
	expect(t, s, 304, "PATCH", "/api/noderule/"+id, `[{"op":"replace","path":"/Description","value":"x"}]`)
	expect(t, s, 400, "PATCH", "/api/noderule/"+id, `[{"op":"replace","path":"/Query","value":"G.V("}]`)
	expect(t, s, 200, "DELETE", "/api/noderule/"+id, "")
	if text := expect(t, s, 404, "GET", "/api/noderule/"+id, ""); text != "NodeRule '"+id+"' not found\n" {
		t.Errorf("got %q", text)
	}
}

func TestWhatWasCreatedSurvivesARestart(t *testing.T) {
	first := apitest.Start(t)
	expect(t, first, 200, "POST", "/api/node", aNode)
	expect(t, first, 200, "POST", "/api/node", `{"ID":"n2","Metadata":{"Name":"x","Type":"y"}}`)
	expect(t, first, 200, "POST", "/api/edge", `{"ID":"e1","Parent":"n1","Child":"n2","Metadata":{"RelationType":"ownership"}}`)
	expect(t, first, 200, "PATCH", "/api/node/n2", `[{"op":"add","path":"/Metadata/More","value":true}]`)

	second := apitest.Start(t, func(d *api.Deps) { d.Store = first.Store })
	eventually(t, "all are back", func() bool {
		view := second.Graph.View()
		return view.NodeCount() == 2 && view.EdgeCount() == 1
	})
	if text := expect(t, second, 200, "GET", "/api/node/n2", ""); !strings.Contains(text, `"More":true`) {
		t.Errorf("got %s", text)
	}
	expect(t, second, 200, "PATCH", "/api/node/n1", `[{"op":"add","path":"/Metadata/Later","value":1}]`)
}

func TestPythonClient(t *testing.T) {
	s := apitest.Start(t)
	client := &skydivetest.REST{Endpoint: s.Addr, Username: "any", Password: "thing"}
	ctx := context.Background()
	if ok, err := client.Login(ctx); err != nil || !ok {
		t.Fatalf("login %v, %v", ok, err)
	}
	for _, id := range []string{"p1", "p2"} {
		if _, err := client.Create(ctx, "node", skydivetest.Object{"ID": id, "Host": "h", "Metadata": skydivetest.Object{"Name": id, "Type": "rack", "Weight": 2.0}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Create(ctx, "edge", skydivetest.Object{"ID": "pe", "Host": "h", "Parent": "p1", "Child": "p2", "Metadata": skydivetest.Object{"RelationType": "layer2"}}); err != nil {
		t.Fatal(err)
	}
	nodes, err := client.LookupNodes(ctx, "G.V().Has('Type', 'rack')")
	if err != nil || len(nodes) != 2 {
		t.Fatalf("%d nodes, %v", len(nodes), err)
	}
	edges, err := client.LookupEdges(ctx, "G.E()")
	if err != nil || len(edges) != 1 {
		t.Fatalf("%d edges, %v", len(edges), err)
	}
	if _, err := client.Update(ctx, "node", "p1", []skydivetest.Object{{"op": "add", "path": "/Metadata/Rack", "value": "r1"}}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"noderule", "edgerule", "node", "edge"} {
		if _, err := client.List(ctx, kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := client.Delete(ctx, "node", "p1"); err != nil {
		t.Fatal(err)
	}
}
