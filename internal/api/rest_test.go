package api_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
)

// call sends a request and returns status, headers and body. Headers come in pairs.
func call(t testing.TB, s *apitest.Server, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// expect is call with a check of the status.
func expect(t testing.TB, s *apitest.Server, status int, method, path, body string, header ...string) string {
	t.Helper()
	res, text := call(t, s, method, path, body, header...)
	if res.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d: %.300s", method, path, res.StatusCode, status, text)
	}
	return text
}

func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v in %.300s", err, text)
	}
	return m
}

// pair is a graph of two links and an edge.
func pair(t testing.TB, s *apitest.Server) {
	s.Apply(t, "probe",
		apitest.Node("a", "eth0", "device", graph.F("MTU", graph.Int(1500))),
		apitest.Node("b", "br0", "bridge"),
		apitest.Edge("e", "b", "a", "layer2"))
}

func TestInfo(t *testing.T) {
	s := apitest.Start(t)
	res, text := call(t, s, "GET", "/api", "")
	if text != `{"Host":"test","Version":"test","Service":"analyzer"}`+"\n" {
		t.Errorf("got %s", text)
	}
	if kind := res.Header.Get("Content-Type"); kind != "application/json; charset=UTF-8" {
		t.Errorf("content type %q", kind)
	}
	// Clients tell weft from Skydive by it, and use what weft adds.
	if version := res.Header.Get("X-Weft-Version"); version != "test" {
		t.Errorf("version %q", version)
	}
}

func TestTrailingSlashIsRedirected(t *testing.T) {
	s := apitest.Start(t)
	res, _ := call(t, s, "GET", "/api/", "")
	if res.StatusCode != http.StatusMovedPermanently || res.Header.Get("Location") != "/api" {
		t.Errorf("%d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	res, _ = call(t, s, "POST", "/api/node/?x=1", "{}")
	if res.StatusCode != http.StatusPermanentRedirect || res.Header.Get("Location") != "/api/node?x=1" {
		t.Errorf("%d to %q", res.StatusCode, res.Header.Get("Location"))
	}
}

func TestUnknownPathsNameTheNearest(t *testing.T) {
	s := apitest.Start(t)
	if text := expect(t, s, 404, "GET", "/api/topolgy", ""); !strings.Contains(text, "the nearest is /api/topology") {
		t.Errorf("got %s", text)
	}
	res, text := call(t, s, "PUT", "/api/node/x", "")
	if res.StatusCode != 405 || res.Header.Get("Allow") != "GET, PATCH, DELETE" || !strings.Contains(text, "does not take PUT") {
		t.Errorf("%d %q %s", res.StatusCode, res.Header.Get("Allow"), text)
	}
}

func TestHeadHasLengthAndNoBody(t *testing.T) {
	s := apitest.Start(t)
	res, text := call(t, s, "HEAD", "/api", "")
	if res.StatusCode != 200 || text != "" || res.ContentLength <= 0 {
		t.Errorf("%d, %d bytes announced, %q", res.StatusCode, res.ContentLength, text)
	}
}

func TestDump(t *testing.T) {
	s := apitest.Start(t)
	if text := expect(t, s, 200, "GET", "/api/topology", ""); text != `{"Nodes":null,"Edges":null}`+"\n" {
		t.Errorf("empty: %s", text)
	}
	pair(t, s)
	m := parse(t, expect(t, s, 200, "GET", "/api/topology", ""))
	if len(m["Nodes"].([]any)) != 2 || len(m["Edges"].([]any)) != 1 {
		t.Errorf("got %v", m)
	}
}

func TestQuery(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s)
	for _, c := range []struct {
		name, body, accept string
		status             int
		want, contentType  string
	}{
		{"count", `{"GremlinQuery":"G.V().Count()"}`, "", 200, "2\n", "application/json; charset=UTF-8"},
		{"sorted", `{"GremlinQuery": "G.V().Values('Name').Sort()"}`, "application/json", 200, `["br0","eth0"]` + "\n", "application/json; charset=UTF-8"},
		{"names", `{"GremlinQuery": "G.V().Has('Type','bridge').Values('Name')"}`, "application/json", 200, `["br0"]` + "\n", "application/json; charset=UTF-8"},
		{"curl", `{"GremlinQuery":"G.V().Count()"}`, "*/*", 200, "2\n", "application/json; charset=UTF-8"},
		{"echo", `{"GremlinQuery":"G.V().Count()"}`, "text/plain", 200, "2\n", "text/plain; charset=UTF-8"},
		{"empty query", `{"GremlinQuery":""}`, "", 204, "", ""},
		{"empty body", ``, "", 204, "", ""},
		{"blank body", " \n", "", 204, "", ""},
		{"drawing", `{"GremlinQuery":"G"}`, "text/vnd.graphviz", 200, "\t\"b\" -> \"a\" [label=\"layer2\"]\n", "text/vnd.graphviz; charset=UTF-8"},
		{"drawing of no graph", `{"GremlinQuery":"G.V().Count()"}`, "text/vnd.graphviz", 406, "only a graph can be drawn", ""},
		{"malformed", `{"GremlinQuery":`, "", 400, "body: JSON ends too early", ""},
		{"wrong type", `{"GremlinQuery":5}`, "", 400, "body: GremlinQuery is a number, but takes a string", ""},
		{"syntax", `{"GremlinQuery":"G.Vx()"}`, "", 400, "Vx", ""},
		{"duplicate key", `{"GremlinQuery":"G","GremlinQuery":"G.V()"}`, "", 400, `key "GremlinQuery" comes twice`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, text := call(t, s, "POST", "/api/topology", c.body, "Accept", c.accept)
			if res.StatusCode != c.status || !strings.Contains(text, c.want) {
				t.Errorf("%d: %s", res.StatusCode, text)
			}
			if kind := res.Header.Get("Content-Type"); c.contentType != "" && kind != c.contentType {
				t.Errorf("content type %q", kind)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s)
	m := parse(t, expect(t, s, 200, "POST", "/api/topology", `{"GremlinQuery":"G.V().Has('Name','br0')","Explain":true}`))
	if len(m["Result"].([]any)) != 1 || len(m["Plan"].(map[string]any)["Steps"].([]any)) == 0 {
		t.Errorf("got %v", m)
	}
}

func TestQueryAboutThePast(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s)
	text := expect(t, s, 400, "POST", "/api/topology", `{"GremlinQuery":"G.At('2001-01-01T00:00:00Z').V()"}`)
	if !strings.Contains(text, "earliest") {
		t.Errorf("got %s", text)
	}
}

func TestLargeAnswersAreStreamedAndCompressed(t *testing.T) {
	s := apitest.Start(t)
	var events []graph.Event
	for i := range 2000 {
		events = append(events, apitest.Node(fmt.Sprint("n", i), fmt.Sprint("name-", i), "device"))
	}
	s.Apply(t, "probe", events...)
	plain := expect(t, s, 200, "GET", "/api/topology", "")
	if len(plain) < 128<<10 {
		t.Fatalf("only %d bytes", len(plain))
	}
	res, packed := call(t, s, "GET", "/api/topology", "", "Accept-Encoding", "gzip, deflate")
	if res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("headers %v", res.Header)
	}
	reader, err := gzip.NewReader(bytes.NewReader([]byte(packed)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(reader)
	if err != nil || len(text) != len(plain) {
		t.Errorf("%d bytes, want %d, %v", len(text), len(plain), err)
	}
	if res, _ := call(t, s, "GET", "/api/topology", "", "Accept-Encoding", "gzip;q=0"); res.Header.Get("Content-Encoding") != "" {
		t.Error("gzip against the client's will")
	}
}

func TestStatus(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Status = func() any {
			return map[string]any{"Agents": map[string]any{"h1": map[string]any{"IsConnected": true}}}
		}
	})
	m := parse(t, expect(t, s, 200, "GET", "/api/status", ""))
	for _, key := range []string{"Agents", "Peers", "Publishers", "Subscribers", "Alerts", "Captures", "Probes"} {
		if _, ok := m[key].(map[string]any); !ok {
			t.Errorf("%s is %v", key, m[key])
		}
	}
	if m["Agents"].(map[string]any)["h1"] == nil {
		t.Errorf("agents %v", m["Agents"])
	}
}

func TestConfig(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Config = func(key string) (any, bool) {
			if key == "nats.password" {
				return "(hidden)", true
			}
			return nil, false
		}
	})
	if text := expect(t, s, 200, "GET", "/api/config/nats.password", ""); text != `"(hidden)"`+"\n" {
		t.Errorf("got %s", text)
	}
	if text := expect(t, s, 200, "GET", "/api/config/unknown.key", ""); text != `""`+"\n" {
		t.Errorf("got %s", text)
	}
}

func TestReadyAndHealth(t *testing.T) {
	var reason error
	s := apitest.Start(t, func(d *api.Deps) { d.Ready = func() error { return reason } })
	expect(t, s, 200, "GET", "/readyz", "")
	reason = fmt.Errorf("the bus is down")
	if text := expect(t, s, 503, "GET", "/readyz", ""); text != "not ready: the bus is down\n" {
		t.Errorf("got %q", text)
	}
	expect(t, s, 200, "GET", "/healthz", "")
}

func TestMetricsCountRequests(t *testing.T) {
	s := apitest.Start(t)
	expect(t, s, 200, "GET", "/api", "")
	text := expect(t, s, 200, "GET", "/metrics", "")
	if want := `weft_http_requests_total{code="200",method="GET",route="/api"} 1`; !strings.Contains(text, want) {
		t.Errorf("no %s in\n%s", want, text)
	}
}

func TestForeignPagesAreKeptAway(t *testing.T) {
	s := apitest.Start(t)
	expect(t, s, 403, "GET", "/api", "", "Host", "evil.example")
	expect(t, s, 403, "GET", "/api", "", "Origin", "http://evil.example")
	expect(t, s, 403, "GET", "/ws/subscriber", "", "Origin", "http://evil.example", "Upgrade", "websocket", "Connection", "Upgrade")
	expect(t, s, 200, "GET", "/api", "", "Origin", s.URL)
	if res, _ := call(t, s, "GET", "/api", "", "Origin", s.URL); res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("CORS")
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		tick := time.NewTimer(2 * time.Millisecond)
		select {
		case <-tick.C:
		case <-t.Context().Done():
		}
	}
}

func TestBrowserIsToldWhatThisIs(t *testing.T) {
	s := apitest.Start(t)
	res, text := call(t, s, "GET", "/", "")
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	for _, link := range regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(text, -1) {
		if res, _ := call(t, s, "GET", link[1], ""); res.StatusCode != 200 {
			t.Errorf("the page leads to %s: %d", link[1], res.StatusCode)
		}
	}
}
