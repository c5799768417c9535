package app

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/probe/linux"
	"github.com/weft-net/weft/internal/testenv"
)

// Two captures on a node see the same flows, under the same UUIDs: one keeps packets and one does not, now and in the past, and what
// is uploaded under the name of the node changes neither.
func TestCapturesOfOneNode(t *testing.T) {
	w := newWire(t)
	r := start(t, Options{Role: AllInOne, Config: settings("h1"), Probes: []probe.Spec{{Name: linux.Name, Default: true, New: linux.New}}})
	keeps := r.capture("G.V().Has('Name','weft-near')")
	var made struct{ UUID string }
	r.post("/api/capture", `{"GremlinQuery":"G.V().Has('Name','weft-near','Type','veth')","ExtraTCPMetric":true}`, &made)
	w.join("weft-near")
	r.counts(keeps, 1)
	r.counts(made.UUID, 1)
	began := time.Now()
	w.talk(50)
	whole := "Flows().Has('Transport',8000,'Metric.ABPackets',GTE(50),'FinishType',2)"
	testenv.Eventually(t, 10*time.Second, func() string {
		if flows := r.flows("G."+whole, 10*time.Second); len(flows) != 2 {
			return fmt.Sprintf("%d flows that ended, not 2", len(flows))
		}
		return ""
	})
	node := r.flows("G."+whole, time.Second)[0].NodeTID

	ask := func(when string) {
		t.Helper()
		for _, c := range []struct {
			has  string
			want int
		}{{"", 100}, {".Has('CaptureID','" + keeps + "')", 100}, {".Has('CaptureID','" + made.UUID + "')", 0}} {
			if n := len(r.times(when + whole + c.has + ".RawPackets()")); n != c.want {
				t.Errorf("%s, flows%s: %d packets, want %d", when, c.has, n, c.want)
			}
		}
	}
	ask("G.")
	inPast := func() string {
		return fmt.Sprintf("G.At(NOW, %d).", int(time.Since(began).Seconds())+2)
	}
	testenv.Eventually(t, 15*time.Second, func() string {
		if flows := r.flows(inPast()+"Flows().Has('Transport',8000,'FinishType',2)", 15*time.Second); len(flows) != 2 {
			return fmt.Sprintf("%d flows of the past, not 2", len(flows))
		}
		return ""
	})
	ask(inPast())

	times := r.times("G." + whole + ".RawPackets()")
	fine := 0
	for _, at := range times {
		if !strings.HasSuffix(at, "000000") {
			fine++
		}
	}
	if fine < len(times)/2 {
		t.Errorf("%d of %d times are finer than a millisecond: %q", fine, len(times), times)
	}
	if past := r.times(inPast() + whole + ".RawPackets()"); strings.Join(past, " ") != strings.Join(times, " ") {
		t.Errorf("times of the past %q, live %q", past, times)
	}

	file := r.asFile("G." + whole + ".RawPackets()")
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.Addr()+"/api/pcap?CaptureID=second&NodeTID="+node, bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		t.Fatalf("upload: status %d", answer.StatusCode)
	}
	if flows := r.flows(inPast()+"Flows().Has('Transport',8000)", 10*time.Second); len(flows) != 3 {
		t.Errorf("%d flows of the past, want those of two captures and of the file", len(flows))
	}
	ask(inPast())
}

// times are those of the packets of a query, as tshark reads them.
func (r *running) times(query string) []string {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "packets.pcap")
	if err := os.WriteFile(path, r.asFile(query), 0o600); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	out, err := testenv.Command(ctx, r.t, "tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.time_epoch").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Fields(string(out))
}
