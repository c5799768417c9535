package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/flow"
)

// answering is a server that gives everybody the same answer; it ends in the middle where a NUL stands.
func answering(t *testing.T, answer string) *fake {
	f := newFake(t)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, _, broken := strings.Cut(answer, "\x00")
		_, _ = io.WriteString(w, text)
		if broken {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	return f
}

func TestFlowsOfAQueryComeOneByOne(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		flows        string // ids
		err          string
	}{
		{"some", `[{"UUID":"a"}, {"UUID":"b","Metric":{"ABBytes":7}}]`, "a b", ""},
		{"none", ` [] `, "", ""},
		{"null", `null`, "", ""},
		{"nothing", ``, "", ""},
		{"a number", `7`, "", "result of G.Flows(): the query does not give flows"},
		{"names", `["a"]`, "", "result of G.Flows(): the query does not give flows"},
		{"cut between", `[{"UUID":"a"},` + "\x00", "a", "result of G.Flows(): unexpected EOF"},
		{"cut within", `[{"UUID":"a"},{"UU` + "\x00", "a", "result of G.Flows(): unexpected EOF"},
		{"no JSON", `[{"UUID":"a"}}`, "a", "result of G.Flows(): jsontext: "},
		{"no flow", `[{"UUID":"a"},{"UUID":[]}]`, "a", "result of G.Flows(): "},
		{"too large", `[{"UUID":"a"},{"UUID":"` + strings.Repeat("x", 5000) + `"}]`, "a", "result of G.Flows(): answer is too large: a flow of more than 4000 bytes"},
	} {
		cl := answering(t, c.answer).client(func(cfg *client.Config) { cfg.MaxResponse = 4000 })
		var ids []string
		var last error
		for f, err := range cl.QueryFlows(t.Context(), "G.Flows()") {
			if last != nil {
				t.Errorf("%s: something behind an error", c.name)
			}
			if last = err; err == nil {
				ids = append(ids, f.UUID)
			}
		}
		if got := strings.Join(ids, " "); got != c.flows || (last == nil) != (c.err == "") || last != nil && !strings.Contains(last.Error(), c.err) {
			t.Errorf("%s: %q, %v; want %q, %q", c.name, got, last, c.flows, c.err)
		}
	}
}

func TestFlowsOfARefusedQuery(t *testing.T) {
	f := newFake(t)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "found Nosuch", http.StatusBadRequest) })
	for _, err := range f.client().QueryFlows(t.Context(), "G.Nosuch()") {
		var answer *client.Error
		if !errors.As(err, &answer) || answer.Message != "found Nosuch" {
			t.Errorf("got %v", err)
		}
	}
}

// A server that stops in the middle is given up after the timeout; a consumer may take its time.
func TestFlowsThatStopComing(t *testing.T) {
	f := newFake(t)
	rested := make(chan struct{})
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `[{"UUID":"a"}`)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-rested:
		case <-f.over:
		}
		_, _ = io.WriteString(w, `,{"UUID":"b"}`)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-f.over:
		}
	})
	c := f.client(func(cfg *client.Config) { cfg.Timeout = 100 * time.Millisecond })
	var last error
	ids := ""
	for one, err := range c.QueryFlows(t.Context(), "G.Flows()") {
		if err == nil {
			ids += one.UUID
		}
		if ids == "a" {
			<-time.After(250 * time.Millisecond)
			close(rested)
		}
		last = err
	}
	if ids != "ab" || last == nil || last.Error() != "result of G.Flows(): no answer within 100ms" {
		t.Errorf("got the flows %q and %v", ids, last)
	}
}

// Many flows take no more memory than one.
func TestManyFlowsAreNotHeld(t *testing.T) {
	const bound = 16 << 20
	flows := 200_000
	if raceEnabled {
		flows = 5_000 // a minute, else
	}
	f := newFake(t)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		line := []byte("[")
		for i := range flows {
			one := flow.Flow{UUID: fmt.Sprintf("%016x", i), LayersPath: "Ethernet/IPv4/TCP", Application: "TCP", NodeTID: "some-node", Metric: &flow.Metric{ABBytes: int64(i)}}
			if i > 0 {
				line = append(line[:0], ',')
			}
			_, _ = w.Write(one.AppendJSON(line))
			line = line[:0]
		}
		_, _ = io.WriteString(w, "]")
	})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, n := heap(), uint64(0), 0
	for one, err := range f.client().QueryFlows(t.Context(), "G.Flows()") {
		if err != nil {
			t.Fatal(err)
		}
		if one.Metric.ABBytes != int64(n) {
			t.Fatalf("flow %d is %+v", n, one)
		}
		if n++; n%(flows/10) == 0 {
			most = max(most, heap())
		}
	}
	if n != flows || most > before+bound {
		t.Errorf("%d flows, and up to %d bytes more than before; want %d within %d", n, int64(most)-int64(before), flows, bound)
	}
	t.Logf("%d bytes more than before", int64(most)-int64(before))
}
