package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/probe/linux"
	"github.com/weft-net/weft/internal/testenv"
)

// wire is two namespaces joined by a veth pair.
type wire struct {
	*testenv.Wire
	t           *testing.T
	near, far   *testenv.Namespace
	nearA, farA string // addresses
}

func newWire(t *testing.T) *wire {
	t.Helper()
	both := testenv.NewWire(t)
	return &wire{t: t, Wire: both, near: both.Near, far: both.Far, nearA: testenv.NearAddress, farA: testenv.FarAddress}
}

// join makes the pair, and gives its ends addresses.
func (w *wire) join(name string) {
	w.t.Helper()
	w.Join(name)
}

// dial connects the near end to the far one, where one connection is served until serve returns.
func (w *wire) dial(serve func(net.Conn)) (conn net.Conn) {
	w.t.Helper()
	var listener net.Listener
	w.far.Do(func() (err error) {
		listener, err = net.Listen("tcp", w.farA+":8000")
		return err
	})
	defer listener.Close() // after the handshake: what it accepted goes on
	accepted := make(chan net.Conn, 1)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			accepted <- conn
		}
		close(accepted)
	}()
	w.near.Do(func() (err error) {
		conn, err = net.DialTimeout("tcp", w.farA+":8000", 5*time.Second)
		return err
	})
	served, ok := <-accepted
	if !ok {
		w.t.Fatal("the far end did not accept")
	}
	go func() {
		defer served.Close()
		serve(served)
	}()
	return conn
}

// talk sends n lines over a TCP connection from the near end to the far one, which answers each.
func (w *wire) talk(n int) {
	w.t.Helper()
	conn := w.dial(func(conn net.Conn) { _, _ = io.Copy(conn, conn) }) // until the near end closes
	defer conn.Close()
	answer := make([]byte, 6)
	for range n {
		if _, err := conn.Write([]byte("hello\n")); err != nil {
			w.t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			w.t.Fatal(err)
		}
	}
}

// post sends a request to the API and decodes the answer.
func (r *running) post(path, body string, into any) {
	r.t.Helper()
	answer, err := http.Post("http://"+r.Addr()+path, "application/json", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if answer.StatusCode/100 != 2 {
		r.t.Fatalf("%s %s: %d %s", path, body, answer.StatusCode, text)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			r.t.Fatalf("%s: %v: %s", path, err, text)
		}
	}
}

func (r *running) query(text string, into any) {
	r.t.Helper()
	body, err := json.Marshal(map[string]string{"GremlinQuery": text})
	if err != nil {
		r.t.Fatal(err)
	}
	r.post("/api/topology", string(body), into)
}

// capture creates a capture and waits until it counts on so many nodes.
func (r *running) capture(query string) string {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"GremlinQuery": query, "RawPacketLimit": 100})
	if err != nil {
		r.t.Fatal(err)
	}
	var made struct{ UUID string }
	r.post("/api/capture", string(body), &made)
	return made.UUID
}

func (r *running) counts(id string, nodes int) {
	r.t.Helper()
	testenv.Eventually(r.t, 15*time.Second, func() string {
		_, text := r.get("/api/capture/" + id)
		var c struct{ Count int }
		if err := json.Unmarshal([]byte(text), &c); err != nil || c.Count != nodes {
			return fmt.Sprintf("counts on %d nodes, not %d: %s", c.Count, nodes, text)
		}
		return ""
	})
}

// flows asks for flows until there are some.
func (r *running) flows(query string, limit time.Duration) (flows []*flow.Flow) {
	r.t.Helper()
	testenv.Eventually(r.t, limit, func() string {
		flows = nil
		r.query(query, &flows)
		if len(flows) == 0 {
			return "no flows: " + query
		}
		return ""
	})
	return flows
}

func TestFlowsFromAWireToAnAnswer(t *testing.T) {
	w := newWire(t)
	r := start(t, Options{Role: AllInOne, Config: settings("h1"), Probes: []probe.Spec{{Name: linux.Name, Default: true, New: linux.New}}})
	id := r.capture("G.V().Has('Name','weft-near')") // before the interface exists
	w.join("weft-near")
	r.counts(id, 1)
	began := time.Now()
	w.talk(50)

	// The last packets may still be in the ring: RTT and FIN come with them.
	live := r.flows("G.Flows().Has('Application','TCP','Network','"+w.farA+"','Metric.BAPackets',GTE(50),'FinishType',2)", 10*time.Second)
	if f := live[0]; len(live) != 1 || f.Network.A != w.nearA || f.Network.B != w.farA || f.Transport.B != 8000 || f.CaptureID != id {
		t.Errorf("live: %d flows, %+v", len(live), f)
	}
	if f := live[0]; f.Metric == nil || f.Metric.ABPackets < 50 || f.Metric.BAPackets < 50 || f.Metric.RTT == 0 {
		t.Errorf("metric %+v", f.Metric)
	}

	var metrics []map[string][]flow.Metric
	r.query("G.Flows().Has('Transport',8000).Metrics()", &metrics)
	if len(metrics) != 1 || len(metrics[0][live[0].UUID]) != 1 || metrics[0][live[0].UUID][0].ABPackets < 50 {
		t.Errorf("metrics %+v", metrics)
	}

	var hops []struct{ Metadata struct{ Name string } }
	r.query("G.Flows().Has('Transport',8000).Hops()", &hops)
	if len(hops) != 1 || hops[0].Metadata.Name != "weft-near" {
		t.Errorf("hops %+v", hops)
	}

	var packets []map[string][]struct{ Data []byte }
	r.query("G.Flows().Has('Transport',8000).RawPackets()", &packets)
	if len(packets) != 1 || len(packets[0][live[0].UUID]) != 100 {
		t.Errorf("raw packets of %d flows", len(packets))
	}
	r.query("G.Flows().Has('Transport',8000).RawPackets().BPF('tcp[tcpflags] & tcp-syn != 0')", &packets)
	if len(packets) != 1 || len(packets[0][live[0].UUID]) != 2 {
		t.Errorf("SYN packets: %+v", packets)
	}

	past := r.flows(fmt.Sprintf("G.At(NOW, %d).Flows().Has('Transport',8000)", int(time.Since(began).Seconds())+2), 10*time.Second)
	if len(past) != 1 || past[0].UUID != live[0].UUID {
		t.Errorf("past: %d flows", len(past))
	}
}
