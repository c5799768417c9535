package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
)

func TestQueriesAtOnceAreBounded(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Limits.Queries = 1
		d.Engine = gremlin.New(d.Graph, gremlin.Options{Deadline: time.Second, MaxResults: 1 << 40})
	})
	pair(t, s)
	endless := fmt.Sprintf(`{"GremlinQuery":%q}`, "G.V()"+strings.Repeat(".Both().BothE().BothV()", 40)+".Count()")
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		refused []string
		others  int
	)
	for range 40 {
		running.Go(func() {
			res, text := call(t, s, "POST", "/api/topology", endless)
			mu.Lock()
			defer mu.Unlock()
			if res.StatusCode == 503 && res.Header.Get("Retry-After") != "" {
				refused = append(refused, text)
			} else {
				others++
			}
		})
	}
	running.Wait()
	// One at a time for a second each, while the rest waits for five.
	if others > 10 || len(refused) < 20 {
		t.Errorf("%d refused, %d not", len(refused), others)
	}
	for _, text := range refused {
		if !strings.Contains(text, "query.concurrent") {
			t.Fatalf("no remedy: %s", text)
		}
	}
	expect(t, s, 200, "POST", "/api/topology", `{"GremlinQuery":"G.V().Count()"}`)
	metrics := expect(t, s, 200, "GET", "/metrics", "")
	for _, want := range []string{"weft_queries_running 0\n", "weft_queries_waiting 0\n", "weft_http_body_bytes 0\n", fmt.Sprintf(`weft_http_busy_total{what="query"} %d`, len(refused))} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in /metrics", want)
		}
	}
}

func TestBodiesAtOnceAreBounded(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) { d.Limits.MaxBody = 1 << 20 })
	pair(t, s)
	piece := strings.Repeat(" ", 1<<20-1000)
	// Three bodies of almost the largest size that are not over yet.
	var open []io.Closer
	var answers []chan int
	for range 3 {
		reader, writer := io.Pipe()
		open = append(open, writer)
		answer := make(chan int, 1)
		answers = append(answers, answer)
		go func() {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/api/topology", reader)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				answer <- 0
				return
			}
			_ = res.Body.Close()
			answer <- res.StatusCode
		}()
		go func() { _, _ = io.WriteString(writer, piece) }()
	}
	eventually(t, "the budget is used up", func() bool {
		return strings.Contains(expect(t, s, 200, "GET", "/metrics", ""), `weft_http_requests_total{code="503",method="POST",route="/api/topology"} `)
	})
	expect(t, s, 200, "POST", "/api/topology", `{"GremlinQuery":"G.V().Count()"}`) // small ones get through
	for _, writer := range open {
		_ = writer.Close()
	}
	// While one is refused another may be too, but one at least gets through.
	codes := map[int]int{}
	for _, answer := range answers {
		codes[<-answer]++
	}
	if codes[400] == 0 || codes[400]+codes[503] != 3 {
		t.Errorf("answered with %v", codes)
	}
	expect(t, s, 400, "POST", "/api/topology", piece)
}

func TestFiltersAreRefusedBeforeTheUpgrade(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) { d.Limits.MaxFilters = 1 })
	synced(t, s, "X-Host-ID", "all")
	const filter = "G.V().Has('Type','a').SubGraph()"
	synced(t, s, "X-Host-ID", "first", "X-Gremlin-Filter", filter)
	synced(t, s, "X-Host-ID", "shares", "X-Gremlin-Filter", filter)
	_, res, err := tryDial(t, s, "/ws/subscriber", "X-Host-ID", "other", "X-Gremlin-Filter", "G.V().Has('Type','b').SubGraph()")
	if err == nil || res == nil || res.StatusCode != 503 {
		t.Errorf("another filter: %v, %v", res, err)
	}
}

func TestAClientThatWritesFirstReadsTheRefusal(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) { d.Limits.MaxBody = 6 << 20 })
	for name, head := range map[string]string{
		"announced": fmt.Sprintf("Content-Length: %d\r\n\r\n", 8<<20),
		"chunked":   fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", 8<<20),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = io.WriteString(conn, "POST /api/topology HTTP/1.1\r\nHost: "+s.Addr+"\r\n"+head+strings.Repeat(" ", 8<<20))
			if err != nil {
				t.Fatalf("while writing: %v", err)
			}
			if name == "chunked" {
				_, _ = io.WriteString(conn, "\r\n0\r\n\r\n")
			}
			text, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.Contains(text, " 413 ") {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

func TestNotReadyWhileNothingCanBeCommitted(t *testing.T) {
	var mu sync.Mutex
	var ahead time.Duration
	s := apitest.Start(t, func(d *api.Deps) {
		d.Notes = func() []string { return []string{"persistence off: the disk is full"} }
		d.Clock = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(ahead)
		}
	})
	expect(t, s, 200, "POST", "/api/node", aNode) // what was stored is restored
	if text := expect(t, s, 200, "GET", "/readyz", ""); text != "ok, persistence off: the disk is full\n" {
		t.Errorf("got %q", text)
	}
	release := s.Committer.Hold()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = call(t, s, "POST", "/api/node", `{"ID":"n2","Metadata":{"Name":"x","Type":"y"}}`)
	}()
	eventually(t, "a commit that waits makes the server not ready", func() bool {
		mu.Lock()
		ahead += time.Minute
		mu.Unlock()
		res, text := call(t, s, "GET", "/readyz", "")
		return res.StatusCode == 503 && strings.Contains(text, "nothing could be committed for ")
	})
	release()
	<-done
	expect(t, s, 200, "GET", "/readyz", "")
}
