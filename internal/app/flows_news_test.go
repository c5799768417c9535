package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/probe/linux"
	"github.com/weft-net/weft/internal/testenv"
	"github.com/weft-net/weft/skydive"
)

// listen subscribes to a namespace of an endpoint; next gives what a message in it says.
func (r *running) listen(path, namespace string) (next func(into any) *skydive.Message) {
	r.t.Helper()
	conn, answer, err := websocket.Dial(r.t.Context(), "ws://"+r.Addr()+path, &websocket.DialOptions{
		HTTPHeader: http.Header{skydive.HeaderClientType: {"test"}, skydive.HeaderNamespace: {namespace}},
	})
	if err != nil {
		r.t.Fatalf("%s: %v (%v)", path, err, answer)
	}
	conn.SetReadLimit(-1)
	messages := make(chan *skydive.Message, 10_000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, data, err := conn.Read(r.t.Context())
			if err != nil {
				return
			}
			m := new(skydive.Message)
			if m.UnmarshalJSON(data) == nil {
				messages <- m
			}
		}
	}()
	r.t.Cleanup(func() { _ = conn.CloseNow(); <-ended })
	return func(into any) *skydive.Message {
		r.t.Helper()
		select {
		case m := <-messages:
			if err := json.Unmarshal(m.Obj, into); err != nil || m.Namespace != namespace {
				r.t.Fatalf("%v in %+v: %s", err, m, m.Obj)
			}
			return m
		case <-time.After(20 * time.Second):
			r.t.Fatalf("nothing in the namespace %s", namespace)
			return nil
		}
	}
}

// A client hears that a capture is made, begins on a node that comes, ends with the node, and is deleted.
func TestClientsHearOfCaptures(t *testing.T) {
	w := newWire(t)
	r := start(t, Options{Role: AllInOne, Config: settings("h1"), Probes: []probe.Spec{{Name: linux.Name, Default: true, New: linux.New}}})
	next := r.listen(skydive.PathSubscriber, skydive.NamespaceCaptureNotify)
	var state skydive.CaptureState
	id := r.capture("G.V().Has('Name','weft-news')")
	if m := next(&state); m.Type != skydive.MsgCaptureAdded || state.UUID != id || state.Count != 0 {
		t.Errorf("first %s %+v", m.Type, state)
	}
	await := func(kind, node string, count int) {
		t.Helper()
		for {
			state = skydive.CaptureState{}
			m := next(&state)
			if m.Type != skydive.MsgCaptureUpdated || state.UUID != id || len(state.Nodes) != 1 || state.Nodes[0].Name != "weft-news" {
				t.Fatalf("%s %+v while waiting for %s", m.Type, state, kind)
			}
			if state.Nodes[0].State == node && state.Count == count {
				return
			}
		}
	}
	w.join("weft-news")
	await("its beginning", skydive.CaptureActive, 1)
	w.near.IP("link", "del", "weft-news")
	await("its end", skydive.CaptureEnded, 0)

	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, fmt.Sprintf("http://%s/api/capture/%s", r.Addr(), id), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if m := next(&state); m.Type != skydive.MsgCaptureDeleted || state.UUID != id || state.Count != 0 {
		t.Errorf("last %s %+v", m.Type, state)
	}
}

// The ledger is the same everywhere: on the flow socket, in the node's metadata, in the list of captures and in the metrics.
func TestTheLedgerIsTheSameEverywhere(t *testing.T) {
	w := newWire(t)
	w.join("weft-sums")
	r := start(t, Options{Role: AllInOne, Config: settings("h1"), Probes: []probe.Spec{{Name: linux.Name, Default: true, New: linux.New}}})
	id := r.capture("G.V().Has('Name','weft-sums')")
	r.counts(id, 1)
	next := r.listen(skydive.PathSubscriberFlow, skydive.NamespaceStats)
	w.talk(20)
	type node struct {
		Metadata struct {
			TID      string
			Captures []struct {
				ID              string
				PacketsReceived uint64
				Ledger          skydive.CaptureLedger
			}
		}
	}
	testenv.Eventually(t, 15*time.Second, func() string {
		var stats skydive.CaptureStats
		next(&stats)
		var nodes []node
		r.query("G.V().Has('Name','weft-sums')", &nodes)
		_, text := r.get("/api/capture/" + id)
		_, metrics := r.get("/metrics")
		var capture skydive.CaptureState
		if err := json.Unmarshal([]byte(text), &capture); err != nil {
			t.Fatal(err)
		}
		if stats.Ledger == nil || stats.Ledger.Counted < 40 || len(nodes) != 1 || len(nodes[0].Metadata.Captures) != 1 || capture.Ledger == nil {
			return fmt.Sprintf("not there yet: %+v, %+v, %s", stats, nodes, text)
		}
		n := nodes[0].Metadata
		if stats.CaptureID != id || stats.NodeTID != n.TID || n.TID == "" {
			t.Fatalf("counters of %s on %s, want %s on %s", stats.CaptureID, stats.NodeTID, id, n.TID)
		}
		same := func(l *skydive.CaptureLedger) string {
			return fmt.Sprintf("%d %d %d %d %d %d %d %v %v", l.Received, l.Counted, l.CountedBytes, l.Reported, l.Flows, l.FlowsEvicted, l.FlowsLive, l.Drops, l.Faults)
		}
		want := same(stats.Ledger)
		if got := same(&n.Captures[0].Ledger); got != want {
			return "the node says " + got + ", the flow socket " + want
		}
		if got := same(capture.Ledger); got != want {
			return "the capture says " + got + ", the flow socket " + want
		}
		var dropped uint64
		labels := fmt.Sprintf(`{capture=%q,node=%q}`, id, n.TID)
		sum := map[string]uint64{}
		for line := range strings.Lines(metrics) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			number, _ := strconv.ParseFloat(value, 64)
			if strings.HasPrefix(name, "weft_capture_packets_dropped_total{") {
				dropped += uint64(number)
			}
			sum[name] = uint64(number)
		}
		for _, name := range []string{"weft_flows_messages_dropped_total", "weft_flows_lagged_total", "weft_flow_spool_dropped_total", "weft_flow_spool_batches"} {
			if n, there := sum[name]; !there || n > 0 && name != "weft_flow_spool_batches" {
				t.Fatalf("metric %s: %v, %d", name, there, n)
			}
		}
		received, counted := sum["weft_capture_packets_received_total"+labels], sum["weft_capture_packets_counted_total"+labels]
		if received != stats.Ledger.Received || counted != stats.Ledger.Counted || received != counted+dropped {
			return fmt.Sprintf("metrics: %d received, %d counted, %d dropped; the flow socket %s", received, counted, dropped, want)
		}
		if uint64(stats.PacketsReceived) != received || uint64(stats.PacketsDropped) != stats.Ledger.Dropped() || n.Captures[0].PacketsReceived != received {
			t.Fatalf("Skydive's counters %+v, ledger %s", stats, want)
		}
		return ""
	})
}
