package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/skydive"
)

// An answer of which some is missing is printed, and is not a success; another warning does not make it one.
func TestAnswersThatAreNotWhole(t *testing.T) {
	for _, test := range []struct {
		warning string
		code    int
	}{
		{"host b did not answer within 5s: its flows are missing, or some of them", exitFailed},
		{"there is no source of flows: the answer is empty", exitFailed},
		{"this analyzer just started: hosts may still be joining, and their flows be missing; ask again in some seconds", exitOK},
		{"the interval begins at the earliest known moment, 2026-11-21T11:22:54Z", exitOK},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add(skydive.HeaderWarning, test.warning)
			_, _ = w.Write(append(append([]byte{'['}, apitest.Flow("0000000000000001", "c1").AppendJSON(nil)...), ']'))
		}))
		for _, args := range [][]string{
			{"flows"},
			{"flows", "--format", "csv"},
			{"flows", "--json"},
			{"flows", ".Nodes()"},
			{"query", "G.Flows()"},
			{"query", "--json", "G.Flows()"},
		} {
			code, out, side := ask(t, []string{"WEFT_ANALYZER=" + server.URL}, args...)
			if code != test.code || !strings.Contains(out, "0000000000000001") || !strings.HasPrefix(side, "warning: "+test.warning) {
				t.Errorf("%v: exit code %d, want %d: %s%s", args, code, test.code, out, side)
			}
			if told := strings.Contains(side, "the answer is not whole: see the warnings above"); told != (code != exitOK) {
				t.Errorf("%v: %s", args, side)
			}
		}
		server.Close()
	}
}

// A line of CSV costs no memory of its own, nor does a row of the table.
func TestFlowRowsDoNotAllocate(t *testing.T) {
	one := apitest.Flow("0000000000000001", "c1")
	for name, rows := range map[string]flowRows{
		"csv":          {format: "csv", nodes: true},
		"csv, chosen":  {format: "csv", columns: []string{"UUID", "Network.A", "Transport.B", "TCPMetric.BASawEnd", "Metric.RTT"}},
		"table":        {nodes: true},
		"table, fewer": {columns: []string{"UUID", "Network.A", "Transport.B", "TCPMetric.BASawEnd"}},
	} {
		w, err := rows.writer(bufio.NewWriter(io.Discard), screen{})
		if err != nil {
			t.Fatal(err)
		}
		write := func() {
			if err := w.flow(one); err != nil {
				t.Fatal(err)
			}
		}
		for range rowsForWidths + 1 { // those that are kept back
			write()
		}
		if n := testing.AllocsPerRun(1000, write); n != 0 {
			t.Errorf("%s: %v allocations a flow", name, n)
		}
	}
}

// On a terminal the ids that are alike in most rows are cut; elsewhere they are whole.
func TestIDsOfFlowsOnATerminal(t *testing.T) {
	one := &flow.Flow{UUID: "0000000000000001", CaptureID: "6d0f4f0a-5b2e-4a38-8a3e-0c6f0d6a0c11", NodeTID: "959300e2-224d-5ee1-80f2-be3771c5d2a9"}
	for _, test := range []struct {
		s    screen
		want string
	}{
		{screen{}, "0000000000000001  6d0f4f0a-5b2e-4a38-8a3e-0c6f0d6a0c11  959300e2-224d-5ee1-80f2-be3771c5d2a9\n"},
		{screen{terminal: true}, "0000000000000001  6d0f4f0a…  959300e2…\n"},
	} {
		var text strings.Builder
		out := bufio.NewWriter(&text)
		w, _ := flowRows{nodes: true}.writer(out, test.s)
		for _, err := range []error{w.flow(one), w.settle(), out.Flush()} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if !strings.HasSuffix(text.String(), test.want) {
			t.Errorf("%s", text.String())
		}
	}
}
