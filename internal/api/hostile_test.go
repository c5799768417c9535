package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
)

// intact checks that a server answers and that its graph is that of pair.
func intact(t testing.TB, s *apitest.Server) {
	t.Helper()
	m := parse(t, expect(t, s, 200, "GET", "/api/topology", ""))
	if nodes, edges := len(m["Nodes"].([]any)), len(m["Edges"].([]any)); nodes != 2 || edges != 1 {
		t.Errorf("%d nodes, %d edges", nodes, edges)
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '['
	}
	return len(p), nil
}

func TestHugeBodies(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s)
	for _, path := range []string{"/api/topology", "/api/node", "/login"} {
		for name, length := range map[string]int64{"announced": 100 << 20, "chunked": -1} {
			t.Run(path+" "+name, func(t *testing.T) {
				req, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL+path, io.LimitReader(endless{}, 100<<20))
				req.ContentLength = length
				req.Header.Set("Content-Type", "application/json")
				if path == "/login" {
					req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
				client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
				res, err := client.Do(req)
				if err != nil {
					// The server closed while the body was under way; what it said is lost
					// to a client that does not read before it has written everything.
					t.Logf("client saw %v", err)
					return
				}
				defer res.Body.Close()
				text, _ := io.ReadAll(res.Body)
				if res.StatusCode != 413 && (path != "/login" || res.StatusCode != 400) {
					t.Errorf("%d %.200s", res.StatusCode, text)
				}
				if res.StatusCode == 413 && !strings.Contains(string(text), "api.max-body") {
					t.Errorf("no remedy: %s", text)
				}
			})
		}
	}
	intact(t, s)
}

func TestBodyBeyondTheLimitIsAnswered(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) { d.Limits.MaxBody = 1000 })
	text := expect(t, s, 413, "POST", "/api/node", strings.Repeat(" ", 1001))
	if text != "body larger than 1000 bytes: send less, or raise the setting api.max-body\n" {
		t.Errorf("got %q", text)
	}
	w := dial(t, s, "/ws/publisher", "X-Host-ID", "h")
	w.say("NodeAdded", "u", node("a", strings.Repeat("x", 2000), ""))
	<-w.closed
	if !strings.Contains(w.err.Error(), "1009") && !strings.Contains(w.err.Error(), "StatusMessageTooBig") {
		t.Errorf("closed with %v", w.err)
	}
}

func TestMalformedBodies(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s)
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for _, body := range []string{`{`, `nul`, `"x"`, `[1,2]`, `{"ID":{},"GremlinQuery":{}}`, `{"ID":[],"GremlinQuery":[]}`, "{\"ID\":\"\xff\",\"GremlinQuery\":\"\xff\"}", `{"Metadata":` + deep + `,"GremlinQuery":` + deep + `}`, `{"a":1,"a":2}`} {
		for _, path := range []string{"/api/topology", "/api/node", "/api/edge", "/api/noderule", "/api/edgerule"} {
			res, text := call(t, s, "POST", path, body)
			if res.StatusCode != 400 || len(text) > 1500 || len(text) < 10 {
				t.Errorf("%s %.40q: %d %.200s", path, body, res.StatusCode, text)
			}
		}
		if res, _ := call(t, s, "PATCH", "/api/node/a", body); res.StatusCode != 400 {
			t.Errorf("patch %.40q: %d", body, res.StatusCode)
		}
	}
	intact(t, s)
}

func TestQueriesThatWouldNotEnd(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Engine = gremlin.New(d.Graph, gremlin.Options{Deadline: 300 * time.Millisecond, MaxResults: 1000})
	})
	var events []graph.Event
	for i := range 2000 {
		events = append(events, apitest.Node(fmt.Sprint("n", i), fmt.Sprint("n", i), "x"))
	}
	for i := range 2000 {
		for j := range 3 {
			events = append(events, apitest.Edge(fmt.Sprint("e", i, "-", j), fmt.Sprint("n", i), fmt.Sprint("n", (i*7+j*13+1)%2000), "layer2"))
		}
	}
	s.Apply(t, "probe", events...)
	if text := expect(t, s, 400, "POST", "/api/topology", `{"GremlinQuery":"G.V()"}`); !strings.Contains(text, "1000") {
		t.Errorf("everything: %s", text)
	}
	product := "G.V()" + strings.Repeat(".Both()", 60) + ".Count()"
	start := time.Now()
	res, text := call(t, s, "POST", "/api/topology", fmt.Sprintf(`{"GremlinQuery":%q}`, product))
	if res.StatusCode < 400 || time.Since(start) > 5*time.Second {
		t.Errorf("cross product: %d %s after %v", res.StatusCode, text, time.Since(start))
	}
	huge := `{"GremlinQuery":"G.V().Has('Name', '` + strings.Repeat("x", 1<<20) + `')"}`
	if res, text := call(t, s, "POST", "/api/topology", huge); res.StatusCode >= 500 {
		t.Errorf("a query of 1 MB: %d %.100s", res.StatusCode, text)
	}
	expect(t, s, 200, "POST", "/api/topology", `{"GremlinQuery":"G.V().Count()"}`)
}

func TestQueryEndsWhenItsClientLeaves(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Engine = gremlin.New(d.Graph, gremlin.Options{Deadline: time.Hour, MaxResults: 1 << 40})
	})
	pair(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	body := fmt.Sprintf(`{"GremlinQuery":%q}`, "G.V()"+strings.Repeat(".Both().BothE().BothV()", 40)+".Count()")
	req, _ := http.NewRequestWithContext(ctx, "POST", s.URL+"/api/topology", strings.NewReader(body))
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	eventually(t, "the request is over", func() bool {
		return strings.Contains(expect(t, s, 200, "GET", "/metrics", ""), `weft_http_requests_total{code="200",method="POST",route="/api/topology"} 1`)
	})
}

func TestIdleSockets(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) { d.Limits.HeaderTimeout = 500 * time.Millisecond })
	pair(t, s)
	var conns []net.Conn
	for range 1000 {
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	intact(t, s)
	for _, conn := range conns { // closed by the server before long
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Fatalf("still open: %v", err)
		}
	}
	intact(t, s)
}

func TestIdleWebSockets(t *testing.T) {
	s := apitest.Start(t)
	for i := range 1000 {
		dial(t, s, "/ws/subscriber", "X-Host-ID", fmt.Sprint("idle", i))
	}
	pair(t, s)
	intact(t, s)
}

func TestSlowLoris(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Limits.HeaderTimeout, d.Limits.RequestTimeout = 300*time.Millisecond, 300*time.Millisecond
	})
	pair(t, s)
	for name, head := range map[string]string{
		"head": "GET /api HTTP/1.1\r\nHost: " + s.Addr + "\r\nX-Slow: ",
		"body": "POST /api/topology HTTP/1.1\r\nHost: " + s.Addr + "\r\nContent-Length: 1000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = io.Copy(io.Discard, bufio.NewReader(conn))
			}()
			_, _ = io.WriteString(conn, head)
			drip := time.NewTicker(20 * time.Millisecond)
			defer drip.Stop()
			deadline := time.After(5 * time.Second)
			for {
				select {
				case <-drip.C:
					_, _ = io.WriteString(conn, " ")
				case <-ended:
					return
				case <-deadline:
					t.Fatal("the server holds on")
				}
			}
		})
	}
	intact(t, s)
}

func TestConnectionLimit(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Limits.MaxConns, d.Limits.HeaderTimeout = 3, 300*time.Millisecond
	})
	for range 10 {
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	expect(t, s, 200, "GET", "/api", "") // its turn comes when the idle ones are closed
}

func TestPanicsAreAnswered(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) { d.Status = func() any { panic("bug") } })
	expect(t, s, 500, "GET", "/api/status", "")
	expect(t, s, 200, "GET", "/api", "")
}
