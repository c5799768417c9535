package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
)

// watched is an output that tells of its first line, and keeps the greatest heap that it saw.
type watched struct {
	began sync.Once
	first chan struct{}
	lines int
	seen  int // lines at the last look
	most  uint64
}

func (w *watched) Write(p []byte) (int, error) {
	w.began.Do(func() { close(w.first) })
	if w.lines += strings.Count(string(p), "\n"); w.lines-w.seen >= 20_000 {
		w.seen, w.most = w.lines, max(w.most, heapInUse())
	}
	return len(p), nil
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// However many flows there are, they are printed as they come, and not held.
func TestFlowsArePrintedAsTheyCome(t *testing.T) {
	const early, bound = 1000, 24 << 20
	flows := 200_000
	if raceEnabled {
		flows = 5_000 // minutes, else
	}
	for _, format := range []string{"table", "json", "csv"} {
		out := &watched{first: make(chan struct{})}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			var line []byte
			for i := range flows {
				one := flow.Flow{UUID: fmt.Sprintf("%016x", i), Application: "TCP", Network: &flow.Layer{Protocol: flow.IPv4, A: "10.0.0.1", B: "10.0.0.2"}, Metric: &flow.Metric{ABBytes: int64(i)}}
				line = append(line[:0], ",["[min(1, max(0, 1-i))])
				_, _ = w.Write(one.AppendJSON(line))
				if i == early {
					_ = http.NewResponseController(w).Flush()
					select {
					case <-out.first:
					case <-time.After(scriptPatience):
						t.Errorf("%s: nothing is printed after %d flows", format, early)
						return
					}
				}
			}
			_, _ = io.WriteString(w, "]")
		}))
		var side strings.Builder
		sh := &shell{in: strings.NewReader(""), out: out, err: &side, env: []string{"WEFT_ANALYZER=" + strings.TrimPrefix(server.URL, "http://")}}
		before := heapInUse()
		ctx, cancel := context.WithTimeout(t.Context(), 3*scriptPatience)
		code := runWeft(ctx, sh, "flows", "--format", format)
		cancel()
		server.Close()
		want := flows
		if format != "json" {
			want++ // a header
		}
		if code != exitOK || out.lines != want || out.most > before+bound {
			t.Errorf("%s: exit code %d, %d lines, up to %d bytes more than before; want %d lines within %d: %s", format, code, out.lines, int64(out.most)-int64(before), want, bound, side.String())
		}
		t.Logf("%s: %d bytes more than before", format, int64(out.most)-int64(before))
	}
}

// What came before the answer broke off is shown, and then that it did.
func TestFlowsThatBreakOff(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"UUID":"f1"},`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	code, out, side := ask(t, []string{"WEFT_ANALYZER=" + server.URL}, "flows", "--json")
	if code != exitUnreachable || !strings.HasPrefix(out, `{"UUID":"f1"`) || !strings.Contains(side, "stopped answering") {
		t.Errorf("exit code %d: %s%s", code, out, side)
	}
}
