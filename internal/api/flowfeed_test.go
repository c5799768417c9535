package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/skydive"
)

// withFlows starts a server with a hub of flows of the test's own.
func withFlows(t testing.TB, change ...func(*api.Deps)) (*apitest.Server, *apitest.FlowHub) {
	hub := new(apitest.FlowHub)
	return apitest.Start(t, append(change, func(d *api.Deps) { d.Flows = hub })...), hub
}

// uuids lists the flows of a message in JSON.
func uuids(t testing.TB, m *skydive.Message) string {
	t.Helper()
	var flows []struct{ UUID string }
	if err := json.Unmarshal(m.Obj, &flows); err != nil {
		t.Fatalf("%v in %.200s", err, m.Obj)
	}
	var ids []string
	for _, f := range flows {
		ids = append(ids, f.UUID)
	}
	return strings.Join(ids, " ")
}

func twoCaptures() *api.FlowBatch {
	return &api.FlowBatch{
		Host:  "h",
		Flows: []*flow.Flow{apitest.Flow("f1", "c1"), apitest.Flow("f2", "c2"), apitest.Flow("f3", "c1")},
		Stats: []flow.Stats{{CaptureID: "c1", FlowCount: 2, PacketsReceived: 9, PacketsDropped: 1}, {CaptureID: "c2"}},
	}
}

func TestFlowSubscriberGetsFlowsAndStats(t *testing.T) {
	s, hub := withFlows(t)
	w := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", "a")
	hub.Publish(twoCaptures())
	m := w.next()
	if m.Namespace != "flow" || m.Type != "store" || m.Status != 200 || len(m.UUID) != 36 || uuids(t, m) != "f1 f2 f3" {
		t.Errorf("got %+v", m)
	}
	var flows []map[string]any
	if err := json.Unmarshal(m.Obj, &flows); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(flows[0]["Network"].(map[string]any)["A"], flows[0]["Transport"].(map[string]any)["Protocol"], flows[0]["CaptureID"]); got != "10.0.0.1TCPc1" {
		t.Errorf("flow %v", flows[0])
	}
	m = w.next()
	const want = `{"CaptureID":"c1","FlowCount":2,"FlowDropped":0,"KernelFlowDropped":0,"PacketsDropped":1,"PacketsReceived":9}`
	if m.Namespace != "stats" || m.Type != "stats" || string(m.Obj) != want {
		t.Errorf("got %+v %s", m, m.Obj)
	}
	if m = w.next(); !strings.HasPrefix(string(m.Obj), `{"CaptureID":"c2"`) {
		t.Errorf("got %s", m.Obj)
	}
}

func TestFlowSubscriberSpeaksProtobuf(t *testing.T) {
	s, hub := withFlows(t)
	w := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", "a", "X-Client-Protocol", "protobuf")
	batch := twoCaptures()
	hub.Publish(batch)
	m := w.next()
	if m.Namespace != "flow" || m.Type != "store" || m.Format != skydive.FormatProtobuf {
		t.Errorf("got %+v", m)
	}
	var got flow.Message
	if err := got.DecodeProto(m.Obj); err != nil {
		t.Fatal(err)
	}
	if len(got.Flows) != 3 || got.Flows[2].UUID != "f3" || got.Flows[0].Metric.BABytes != 4000 {
		t.Errorf("got %+v", got)
	}
	m = w.next()
	var stats flow.Message
	if err := stats.DecodeProto(m.Obj); err != nil {
		t.Fatal(err)
	}
	if m.Namespace != "stats" || len(stats.Stats) != 1 || stats.Stats[0] != batch.Stats[0] {
		t.Errorf("got %+v of %+v", stats, m)
	}
}

// Beside Skydive's counters stands the ledger, by cause, under the names that the node's metadata has.
func TestStatsHaveTheLedger(t *testing.T) {
	s, hub := withFlows(t)
	text := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", "j", "X-Websocket-Namespace", "stats")
	binary := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", "p", "X-Websocket-Namespace", "stats", "X-Client-Protocol", "protobuf")
	for _, upper := range []bool{false, true} {
		l := &flow.Ledger{Received: 100, Counted: 90, CountedBytes: 9000, Reported: 80, Flows: 7, FlowsEvicted: 2, FlowsLive: 5}
		l.Drops[flow.CauseRing], l.Drops[flow.CauseDown], l.Faults[flow.FaultLength] = 4, 6, 3
		sent := flow.Stats{CaptureID: "c1", FlowCount: 5, FlowDropped: 2, PacketsDropped: 10, PacketsReceived: 100, NodeTID: "t1", Ledger: l, DownUpper: upper}
		hub.Publish(&api.FlowBatch{Stats: []flow.Stats{sent}})
		down := "agent_down"
		if upper {
			down = "agent_down_upper"
		}
		want := `{"CaptureID":"c1","FlowCount":5,"FlowDropped":2,"KernelFlowDropped":0,"PacketsDropped":10,"PacketsReceived":100,"NodeTID":"t1",` +
			`"Ledger":{"Received":100,"Counted":90,"CountedBytes":9000,"Reported":80,"Flows":7,"FlowsEvicted":2,"FlowsLive":5,` +
			`"Drops":{"` + down + `":6,"ring":4},"Faults":{"length":3}}}`
		if got := string(text.next("stats").Obj); got != want {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
		var got flow.Message
		if err := got.DecodeProto(binary.next("stats").Obj); err != nil {
			t.Fatal(err)
		}
		if len(got.Stats) != 1 || !reflect.DeepEqual(got.Stats[0], sent) {
			t.Errorf("got %+v, want %+v", got.Stats, sent)
		}
	}
}

func TestFlowSubscriberChoosesNamespaces(t *testing.T) {
	s, hub := withFlows(t)
	for i, c := range []struct{ namespaces, want string }{
		{"flow", "flow:f1 f2 f3"},
		{"stats", "stats:c1 stats:c2"},
		{"flow/c1", "flow/c1:f1 f3"},
		{"flow/c2,stats", "flow/c2:f2 stats:c1 stats:c2"},
		{"flow/c9,flow/c2", "flow/c2:f2"},
		{"*", "flow:f1 f2 f3 stats:c1 stats:c2"},
	} {
		t.Run(c.namespaces, func(t *testing.T) {
			w := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", fmt.Sprint("n", i), "X-Websocket-Namespace", c.namespaces)
			hub.Publish(twoCaptures())
			var got []string
			for range strings.Count(c.want, ":") {
				m := w.next()
				if m.Type == "stats" {
					got = append(got, "stats:"+parse(t, string(m.Obj))["CaptureID"].(string))
				} else {
					got = append(got, m.Namespace+":"+uuids(t, m))
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			// The next thing that comes is of the next batch: nothing else was sent.
			hub.Publish(twoCaptures())
			if first := w.next(); !strings.HasPrefix(c.want, first.Namespace+":") {
				t.Errorf("then %s", first.Namespace)
			}
		})
	}
}

func TestFlowSubscriberRefusals(t *testing.T) {
	s, _ := withFlows(t)
	for _, c := range []struct {
		header []string
		want   string
	}{
		{[]string{"X-Client-Type", ""}, "missing header X-Client-Type"},
		{[]string{"X-Gremlin-Filter", "G.Flows()"}, "X-Gremlin-Filter is for /ws/subscriber: choose flows by their capture"},
		{[]string{"X-Websocket-Namespace", "Graph"}, `X-Websocket-Namespace "Graph" is unknown here: use flow, flow/<id of a capture> or stats`},
		{[]string{"X-Websocket-Namespace", "flow/"}, `X-Websocket-Namespace "flow/" is unknown here`},
	} {
		header := append([]string{"X-Client-Type", "t", "Upgrade", "websocket", "Connection", "Upgrade"}, c.header...)
		if text := expect(t, s, 400, "GET", "/ws/subscriber/flow", "", header...); !strings.Contains(text, c.want) {
			t.Errorf("got %s, want %s", text, c.want)
		}
	}
	without := apitest.Start(t)
	if _, res, err := tryDial(t, without, "/ws/subscriber/flow"); err == nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("without flows: %v, %v", res, err)
	}
}

func TestFlowSubscribersShareOneSubscription(t *testing.T) {
	s, hub := withFlows(t)
	a := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", "a")
	b := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", "b", "X-Websocket-Namespace", "flow/c2")
	if n := hub.Subscriptions(); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
	hub.Publish(twoCaptures())
	a.next("store")
	b.next("store")
	status := parse(t, expect(t, s, 200, "GET", "/api/status", ""))
	if subs := status["Subscribers"].(map[string]any); subs["a"] == nil || subs["b"] == nil || len(status["Publishers"].(map[string]any)) != 0 {
		t.Errorf("status %v", status)
	}
	_ = a.conn.Close(websocket.StatusNormalClosure, "")
	_ = b.conn.Close(websocket.StatusNormalClosure, "")
	eventually(t, "nobody reads the hub", func() bool { return hub.Subscriptions() == 0 })
	// Who comes later gets what comes later.
	c := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", "c")
	hub.Publish(&api.FlowBatch{Flows: []*flow.Flow{apitest.Flow("late", "c1")}})
	if got := uuids(t, c.next("store")); got != "late" {
		t.Errorf("got %s", got)
	}
}

func TestSlowFlowSubscriberIsToldWhatItLost(t *testing.T) {
	s, hub := withFlows(t, func(d *api.Deps) { d.Limits.QueueBytes, d.Limits.PongTimeout = 256<<10, time.Minute })
	slow := silent(t, s)
	fast := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", "fast")
	batch := &api.FlowBatch{}
	for i := range 100 {
		batch.Flows = append(batch.Flows, apitest.Flow(fmt.Sprint("f", i), "c1"))
	}
	sent := 0
	// The slow client reads nothing: its socket and its queue fill, and then it loses.
	for deadline := time.Now().Add(20 * time.Second); lostFlows(t, s) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nothing was lost")
		}
		hub.Publish(batch)
		sent += 100
		if got := fast.next("store"); len(strings.Fields(uuids(t, got))) != 100 {
			t.Fatal("the fast client lost flows")
		}
	}
	// It reads on: what it gets and what it is told it lost is all there was. A last batch
	// carries the word.
	got, lost := 0, 0
	messages := slow.start()
	for got+lost < sent {
		select {
		case m := <-messages:
			switch m.Type {
			case "store":
				got += len(strings.Fields(uuids(t, m)))
			case "lost":
				lost += int(parse(t, string(m.Obj))["Flows"].(float64))
			}
		case <-time.After(50 * time.Millisecond):
			hub.Publish(batch)
			sent += 100
			fast.next("store")
		}
	}
	if got+lost != sent || lost == 0 {
		t.Errorf("%d got, %d lost, of %d", got, lost, sent)
	}
}

// silentWire is a client that reads nothing before it is started.
type silentWire struct {
	t    testing.TB
	conn *websocket.Conn
}

func silent(t testing.TB, s *apitest.Server) *silentWire { return silentAs(t, s, "json") }

func silentAs(t testing.TB, s *apitest.Server, protocol string) *silentWire {
	t.Helper()
	return silentAt(t, s, "/ws/subscriber/flow", protocol)
}

func silentAt(t testing.TB, s *apitest.Server, path, protocol string) *silentWire {
	t.Helper()
	// What the kernel keeps for a client that does not read is kept small, or it takes long to fill.
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return conn, err
	}}}
	conn, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http")+path, &websocket.DialOptions{
		HTTPClient: client, HTTPHeader: http.Header{"X-Client-Type": {"test"}, "X-Host-ID": {"silent"}, "X-Client-Protocol": {protocol}},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	return &silentWire{t: t, conn: conn}
}

// start reads until the end of the test.
func (w *silentWire) start() <-chan *skydive.Message {
	messages := make(chan *skydive.Message, 100_000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, data, err := w.conn.Read(context.Background())
			if err != nil {
				return
			}
			m := new(skydive.Message)
			if m.UnmarshalJSON(data) != nil {
				return
			}
			messages <- m
		}
	}()
	w.t.Cleanup(func() { _ = w.conn.CloseNow(); <-ended })
	return messages
}

// lostFlows reads the counter of what clients lost.
func lostFlows(t testing.TB, s *apitest.Server) int {
	t.Helper()
	return metric(t, s, `weft_flow_subscriber_lost_total{cause="client"}`)
}

// metric reads a metric by its name and labels; 0 when it is not there.
func metric(t testing.TB, s *apitest.Server, name string) int {
	t.Helper()
	for line := range strings.Lines(expect(t, s, 200, "GET", "/metrics", "")) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return int(n)
		}
	}
	return 0
}

func TestFlowSubscriberIsToldWhatTheServerLost(t *testing.T) {
	s, hub := withFlows(t)
	w := dial(t, s, "/ws/subscriber/flow")
	p := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", "p", "X-Client-Protocol", "protobuf")
	hub.Overwrite(4711)
	hub.Publish(twoCaptures())
	for _, c := range []*wire{w, p} {
		if m := c.next(); m.Namespace != "flow" || m.Type != "lost" || string(m.Obj) != `{"Flows":4711}` {
			t.Errorf("got %+v %s", m, m.Obj)
		}
		c.next("store")
	}
}

func TestManyFlowsComeInMessagesOfBoundedSize(t *testing.T) {
	s, hub := withFlows(t)
	for _, protocol := range []string{"json", "protobuf"} {
		w := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", protocol, "X-Client-Protocol", protocol)
		batch := &api.FlowBatch{}
		for i := range 3000 {
			batch.Flows = append(batch.Flows, apitest.Flow(fmt.Sprint("f", i), "c1"))
		}
		hub.Publish(batch)
		next, messages := 0, 0
		for next < 3000 {
			m := w.next("store")
			messages++
			if len(m.Obj) > 160<<10 {
				t.Errorf("%s: a message of %d bytes", protocol, len(m.Obj))
			}
			var ids []string
			if protocol == "json" {
				ids = strings.Fields(uuids(t, m))
			} else {
				var part flow.Message
				if err := part.DecodeProto(m.Obj); err != nil {
					t.Fatal(err)
				}
				for _, f := range part.Flows {
					ids = append(ids, f.UUID)
				}
			}
			for _, id := range ids {
				if id != fmt.Sprint("f", next) {
					t.Fatalf("%s: %s in place of f%d", protocol, id, next)
				}
				next++
			}
		}
		if messages < 2 {
			t.Errorf("%s: %d messages", protocol, messages)
		}
	}
}
