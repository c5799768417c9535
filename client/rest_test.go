package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/skydive"
)

func TestLogsInByItselfAndAgainWhenForgotten(t *testing.T) {
	f := newFake(t)
	f.user = "admin"
	c := f.client(func(cfg *client.Config) { cfg.Username, cfg.Password = "admin", "secret" })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if info, err := c.Info(t.Context()); err != nil || info.Service != skydive.ServiceAnalyzer {
				t.Errorf("got %+v, %v", info, err)
			}
		})
	}
	wg.Wait()
	if f.logins != 1 {
		t.Errorf("8 calls logged in %d times", f.logins)
	}
	f.forgetTokens()
	if _, err := c.Info(t.Context()); err != nil || f.logins != 2 {
		t.Errorf("after the server forgot: %v, %d logins", err, f.logins)
	}
	reply, err := c.Login(t.Context())
	if err != nil || len(reply.Permissions) != 1 || reply.Token != "token3" {
		t.Errorf("login gave %+v, %v", reply, err)
	}
}

func TestWrongPasswordIsUnauthorized(t *testing.T) {
	f := newFake(t)
	f.user = "admin"
	c := f.client(func(cfg *client.Config) { cfg.Username, cfg.Password = "admin", "wrong" })
	if _, err := c.Info(t.Context()); !errors.Is(err, client.ErrUnauthorized) || !strings.Contains(err.Error(), `log in as "admin"`) {
		t.Errorf("got %v", err)
	}
	if _, err := f.client().Info(t.Context()); !errors.Is(err, client.ErrUnauthorized) {
		t.Errorf("without a name: got %v", err)
	}
	if _, err := c.Subscribe(t.Context(), client.SubscribeOptions{}); !errors.Is(err, client.ErrUnauthorized) {
		t.Errorf("WebSocket: got %v", err)
	}
}

func TestTokenIsUsedInsteadOfLogin(t *testing.T) {
	f := newFake(t)
	f.user = "admin"
	f.tokens["ready"] = true
	c := f.client(func(cfg *client.Config) { cfg.Token = "ready" })
	if _, err := c.Info(t.Context()); err != nil || f.logins != 0 {
		t.Errorf("got %v after %d logins", err, f.logins)
	}
}

func TestErrorsTellWhatHappened(t *testing.T) {
	f := newFake(t)
	f.things["node"] = map[string]json.RawMessage{"n1": json.RawMessage(`{"ID":"n1","Metadata":{"Name":"old"}}`)}
	c := f.client()
	ctx := t.Context()
	check := func(what string, err, kind error, text string) {
		t.Helper()
		if !errors.Is(err, kind) || err.Error() != text {
			t.Errorf("%s: got %v, want %s", what, err, text)
		}
	}
	_, err := c.Nodes().Get(ctx, "x")
	check("get", err, client.ErrNotFound, "GET /api/node/x: 404 Node 'x' not found")
	_, err = c.Nodes().Create(ctx, node("n1", 0), 0)
	check("create", err, client.ErrConflict, "POST /api/node: 409 duplicated resource")
	set, _ := client.Set("/Metadata/Name", "old")
	_, err = c.Nodes().Update(ctx, "n1", client.Patch{set})
	check("update", err, client.ErrNotModified, "PATCH /api/node/n1: 304 Not Modified")
	_, err = c.Query(ctx, "G.Foo()")
	check("query", err, client.ErrBadRequest, "POST /api/topology: 400 Expected step function, got: Foo")
	_, err = client.ResourceAt[skydive.Node](c, "/api/forbidden").List(ctx)
	check("role", err, client.ErrForbidden, "GET /api/forbidden: 405 Method Not Allowed")
	if _, err = c.Nodes().Get(ctx, ""); err == nil {
		t.Error("an empty id was asked for")
	}
	var e *client.Error
	if !errors.As(err, &e) && e != nil {
		t.Error("not an *Error")
	}
	f.Close()
	if _, err := c.Info(ctx); err == nil || !strings.HasPrefix(err.Error(), "GET /api: dial tcp") {
		t.Errorf("no server: got %v", err)
	}
}

func TestResourcesAreKept(t *testing.T) {
	for _, weft := range []bool{false, true} { // 201 and 200
		f := newFake(t)
		f.weft = weft
		f.things["node"], f.things["capture"] = map[string]json.RawMessage{}, map[string]json.RawMessage{}
		c := f.client()
		ctx := t.Context()
		created, err := c.Nodes().Create(ctx, &skydive.Node{ID: "a/b", Metadata: skydive.Metadata{"Name": "old", "MTU": 1500}}, time.Minute)
		if err != nil || created.ID != "a/b" || created.Metadata.Int("MTU") != 1500 {
			t.Fatalf("created %+v, %v", created, err)
		}
		if ttl := f.lastRequest().Header.Get("X-Resource-TTL"); ttl != "1m0s" {
			t.Errorf("time to live is %q", ttl)
		}
		if got, err := c.Nodes().Get(ctx, "a/b"); err != nil || got.Metadata.Str("Name") != "old" {
			t.Errorf("got %+v, %v", got, err)
		}
		set, err := client.Set(client.Pointer("Metadata", "Name"), "new")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Nodes().Update(ctx, "a/b", client.Patch{set}); err != nil || got.Metadata.Str("Name") != "new" {
			t.Errorf("updated to %+v, %v", got, err)
		}
		capture, err := c.Captures().Create(ctx, &skydive.Capture{GremlinQuery: "G.V()"}, 0)
		if err != nil || capture.UUID == "" {
			t.Errorf("capture %+v, %v", capture, err)
		}
		if list, err := c.Captures().List(ctx); err != nil || len(list) != 1 || list[capture.UUID].GremlinQuery != "G.V()" {
			t.Errorf("captures %v, %v", list, err)
		}
		if err := c.Nodes().Delete(ctx, "a/b"); err != nil {
			t.Errorf("delete: %v", err)
		}
		if list, err := c.Nodes().List(ctx); err != nil || len(list) != 0 {
			t.Errorf("nodes %v, %v", list, err)
		}
		if n, err := c.Nodes().CreateYAML(ctx, []byte("Name: x")); err != nil || n == nil {
			t.Errorf("YAML: %v", err)
		}
	}
}

func TestPatchIsRFC6902(t *testing.T) {
	set, err := client.Set(client.Pointer("Metadata", "a/b~c"), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(client.Patch{set, client.Remove("/Metadata/X")})
	const want = `[{"op":"add","path":"/Metadata/a~1b~0c","value":null},{"op":"remove","path":"/Metadata/X"}]`
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v\nwant %s", text, err, want)
	}
}

func TestQueriesAreDecodedAsAsked(t *testing.T) {
	f := newFake(t)
	f.queries = map[string]string{
		"G.V()":         `[{"ID":"n1","Metadata":{"MTU":1500.0},"Host":"h"}]`,
		"G.E()":         `[{"ID":"e1","Parent":"n1","Child":"n2","DeletedAt":null}]`,
		"G":             `[{"Nodes":null,"Edges":null}]`,
		"G.V().Count()": `7`,
		"G.V().Keys()":  `null`,
		"G.V().Sum()":   `"text"`,
	}
	c := f.client()
	ctx := t.Context()
	if nodes, err := c.QueryNodes(ctx, "G.V()"); err != nil || len(nodes) != 1 || nodes[0].Metadata["MTU"] != int64(1500) {
		t.Errorf("nodes %v, %v", nodes, err)
	}
	if edges, err := c.QueryEdges(ctx, "G.E()"); err != nil || len(edges) != 1 || edges[0].Child != "n2" {
		t.Errorf("edges %v, %v", edges, err)
	}
	if g, err := c.QueryGraph(ctx, "G"); err != nil || len(g.Nodes) != 0 {
		t.Errorf("graph %v, %v", g, err)
	}
	if _, err := c.QueryGraph(ctx, "G.V().Count()"); err == nil || !strings.Contains(err.Error(), "result of G.V().Count()") {
		t.Errorf("a number was taken for a graph: %v", err)
	}
	if n, err := client.Query[int](ctx, c, "G.V().Count()"); err != nil || n != 7 {
		t.Errorf("count %d, %v", n, err)
	}
	if keys, err := client.Query[[]string](ctx, c, "G.V().Keys()"); err != nil || keys != nil {
		t.Errorf("keys %v, %v", keys, err)
	}
	if raw, err := c.Query(ctx, ""); err != nil || raw != nil {
		t.Errorf("empty query: %q, %v", raw, err)
	}
	if raw, err := c.Explain(ctx, "G"); err != nil || raw.IsNull() {
		t.Errorf("explain: %q, %v", raw, err)
	}
	var out bytes.Buffer
	if n, err := c.QueryTo(ctx, "G", skydive.ContentGraphviz, &out); err != nil || n != int64(out.Len()) || out.Len() == 0 {
		t.Errorf("stream: %d, %v", n, err)
	}
	if accept := f.lastRequest().Header.Get("Accept"); accept != skydive.ContentGraphviz {
		t.Errorf("asked for %q", accept)
	}
}

func TestServerIsAskedAboutItself(t *testing.T) {
	f := newFake(t)
	f.graph = &skydive.Graph{Nodes: []*skydive.Node{node("n1", 1)}}
	c := f.client()
	ctx := t.Context()
	if s, err := c.Status(ctx); err != nil || s.Probes["fabric"].Status != "running" || !s.Alerts.IsMaster {
		t.Errorf("status %+v, %v", s, err)
	}
	if v, err := c.ConfigValue(ctx, "host_id"); err != nil || v != "fake" {
		t.Errorf("config %v, %v", v, err)
	}
	if v, err := c.ConfigValue(ctx, "flow.expire"); err != nil || v != int64(600) {
		t.Errorf("config %v, %v", v, err)
	}
	if g, err := c.Topology(ctx); err != nil || len(g.Nodes) != 1 {
		t.Errorf("topology %v, %v", g, err)
	}
	var dump bytes.Buffer
	if _, err := c.Dump(ctx, &dump); err != nil || !strings.HasPrefix(dump.String(), `{"Nodes":[{"ID":"n1",`) {
		t.Errorf("dump %s, %v", dump.String(), err)
	}
	if _, err := c.Dump(ctx, brokenWriter{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a full disk gave %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestAnswersAreBounded(t *testing.T) {
	f := newFake(t)
	f.queries["G"] = `"` + strings.Repeat("x", 1000) + `"`
	c := f.client(func(cfg *client.Config) { cfg.MaxResponse = 500 })
	if _, err := c.Query(t.Context(), "G"); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestCallsWithoutDeadlineEnd(t *testing.T) {
	hang := make(chan struct{})
	f := newFake(t)
	f.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang })
	defer close(hang)
	c := f.client(func(cfg *client.Config) { cfg.Timeout = 20 * time.Millisecond })
	if _, err := c.Info(t.Context()); err == nil || err.Error() != "GET /api: no answer within 20ms" {
		t.Errorf("got %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"": "http://127.0.0.1:8082", "host:1": "http://host:1", "https://host/base/": "https://host/base", "[::1]:8082": "http://[::1]:8082",
	} {
		c, err := client.New(client.Config{Address: address})
		if err != nil || c.Address() != want {
			t.Errorf("%q: got %v, %v", address, c, err)
		}
	}
	for _, address := range []string{"ftp://host", "http://", "http://user:pw@host", "http://host?x", "ho st:1", "http://[::1"} {
		if _, err := client.New(client.Config{Address: address}); err == nil || !strings.Contains(err.Error(), "address ") {
			t.Errorf("%q: got %v", address, err)
		}
	}
}
