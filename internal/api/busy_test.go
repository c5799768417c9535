package api_test

import (
	"fmt"
	"io"
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
		return strings.Contains(expect(t, s, 200, "GET", "/metrics", ""), `weft_http_requests_total{code="503",method="POST",route="/api/topology"} 1`)
	})
	expect(t, s, 200, "POST", "/api/topology", `{"GremlinQuery":"G.V().Count()"}`) // small ones get through
	for _, writer := range open {
		_ = writer.Close()
	}
	codes := map[int]int{}
	for _, answer := range answers {
		codes[<-answer]++
	}
	if codes[204]+codes[400] != 2 {
		t.Errorf("answered with %v", codes)
	}
	expect(t, s, 400, "POST", "/api/topology", piece)
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
