package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/skydive"
)

// wire is a WebSocket client that answers pings all the time, as programs do.
type wire struct {
	t        testing.TB
	conn     *websocket.Conn
	protobuf bool
	messages chan *skydive.Message
	closed   chan struct{}
	err      error // once closed
}

// dial connects; headers come in pairs.
func dial(t testing.TB, s *apitest.Server, path string, header ...string) *wire {
	t.Helper()
	w, res, err := tryDial(t, s, path, header...)
	if err != nil {
		t.Fatalf("%s: %v (%v)", path, err, res)
	}
	return w
}

func tryDial(t testing.TB, s *apitest.Server, path string, header ...string) (*wire, *http.Response, error) {
	t.Helper()
	h := http.Header{"X-Client-Type": {"test"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(s.URL, "http")+path, &websocket.DialOptions{HTTPHeader: h})
	if err != nil {
		return nil, res, err
	}
	conn.SetReadLimit(-1)
	w := &wire{t: t, conn: conn, protobuf: h.Get("X-Client-Protocol") == "protobuf", messages: make(chan *skydive.Message, 100_000), closed: make(chan struct{})}
	go w.receive()
	t.Cleanup(func() { _ = conn.CloseNow(); <-w.closed })
	return w, res, nil
}

func (w *wire) receive() {
	defer close(w.closed)
	for {
		_, data, err := w.conn.Read(context.Background())
		if err != nil {
			w.err = err
			return
		}
		m := new(skydive.Message)
		if w.protobuf {
			err = m.UnmarshalProto(data)
		} else {
			err = m.UnmarshalJSON(data)
		}
		if err != nil {
			w.err = err
			return
		}
		w.messages <- m
	}
}

// say sends a message of the namespace Graph; obj is JSON.
func (w *wire) say(kind, uuid, obj string) {
	w.t.Helper()
	m := skydive.Message{Namespace: "Graph", Type: kind, UUID: uuid, Status: 200, Obj: []byte(obj)}
	if w.protobuf {
		w.write(websocket.MessageBinary, m.AppendProto(nil))
		return
	}
	text, err := m.AppendJSON(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(websocket.MessageText, text)
}

func (w *wire) write(kind websocket.MessageType, data []byte) {
	w.t.Helper()
	if err := w.conn.Write(context.Background(), kind, data); err != nil {
		w.t.Fatal(err)
	}
}

// next returns the next message of one of the types.
func (w *wire) next(kinds ...string) *skydive.Message {
	w.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case m := <-w.messages:
			for _, kind := range kinds {
				if m.Type == kind {
					return m
				}
			}
			if len(kinds) == 0 {
				return m
			}
		case <-w.closed:
			if len(w.messages) > 0 {
				continue
			}
			w.t.Fatalf("closed while waiting for %v: %v", kinds, w.err)
		case <-timeout:
			w.t.Fatalf("no %v", kinds)
		}
	}
}

// flush waits until everything said so far is visible.
func (w *wire) flush() string {
	w.t.Helper()
	w.say("FlushRequest", "f", "")
	return string(w.next("FlushReply").Obj)
}

func node(id, name string, more string) string {
	return fmt.Sprintf(`{"ID":%q,"Metadata":{"Name":%q,"Type":"device"%s},"Host":"h"}`, id, name, more)
}

func edge(id, parent, child string) string {
	return fmt.Sprintf(`{"ID":%q,"Parent":%q,"Child":%q,"Metadata":{"RelationType":"layer2"},"Host":"h"}`, id, parent, child)
}

func TestPublisherWritesTheGraph(t *testing.T) {
	for _, protocol := range []string{"json", "protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			s := apitest.Start(t)
			p := dial(t, s, "/ws/publisher", "X-Host-ID", "h1", "X-Client-Protocol", protocol)
			p.say("EdgeAdded", "1", edge("e", "a", "b")) // before its nodes
			p.say("NodeAdded", "2", node("a", "eth0", ""))
			p.say("NodeAdded", "3", node("b", "eth1", ""))
			if got := p.flush(); got != `{"Committed":3,"Rejected":0}` {
				t.Errorf("flush %s", got)
			}
			n, _ := s.Graph.View().Node("a")
			if n.Origin() != "test.h1" || n.Host() != "h" || n.Revision() != 0 {
				t.Errorf("node %s", n.AppendJSON(nil))
			}
			if s.Graph.View().EdgeCount() != 1 {
				t.Error("the edge vanished")
			}
			p.say("NodeUpdated", "4", node("a", "eth9", `,"MTU":9000`))
			p.say("NodePartiallyUpdated", "5", `{"ID":"b","UpdatedAt":5,"Ops":[{"Type":1,"Key":"A.B","Value":[1]},{"Type":2,"Key":"Type"}]}`)
			p.say("EdgeUpdated", "6", `{"ID":"e","Metadata":{"RelationType":"ownership"}}`)
			p.flush()
			n, _ = s.Graph.View().Node("a")
			if text := string(n.Metadata().AppendJSON(nil)); text != `{"MTU":9000,"Name":"eth9","Type":"device"}` {
				t.Errorf("updated %s", text)
			}
			n, _ = s.Graph.View().Node("b")
			if text := string(n.Metadata().AppendJSON(nil)); text != `{"A":{"B":[1]},"Name":"eth1"}` {
				t.Errorf("partially updated %s", text)
			}
			e, _ := s.Graph.View().Edge("e")
			if text := string(e.Metadata().AppendJSON(nil)); text != `{"RelationType":"ownership"}` || e.Parent() != "a" {
				t.Errorf("edge %s", text)
			}
			p.say("SyncRequest", "7", `{}`)
			reply := p.next("SyncReply")
			if m := parse(t, string(reply.Obj)); reply.UUID != "7" || len(m["Nodes"].([]any)) != 2 {
				t.Errorf("sync %s", reply.Obj)
			}
			p.say("NodeDeleted", "8", node("a", "eth9", ""))
			p.say("EdgeDeleted", "9", edge("e", "a", "b")) // gone with its node: no error
			if got := p.flush(); got != `{"Committed":8,"Rejected":0}` {
				t.Errorf("flush %s", got)
			}
		})
	}
}

func TestKnownNodeIsBroughtUpToDate(t *testing.T) {
	s := apitest.Start(t)
	p := dial(t, s, "/ws/publisher", "X-Host-ID", "h1")
	text := strings.Replace(node("a", "eth0", ""), `"Host"`, `"Revision":3,"Host"`, 1)
	p.say("NodeAdded", "1", text)
	p.say("NodeAdded", "2", text)
	p.flush()
	p.say("NodeAdded", "3", strings.Replace(text, "eth0", "eth1", 1))
	if got := p.flush(); !strings.Contains(got, `"Rejected":0`) {
		t.Errorf("flush %s", got)
	}
	if n, _ := s.Graph.View().Node("a"); n.Revision() != 4 {
		t.Errorf("revision %d", n.Revision())
	}
}

func TestErrorsComeBackToThePublisher(t *testing.T) {
	s := apitest.Start(t)
	s.Apply(t, "probe", apitest.Node("theirs", "eth0", "device"))
	p := dial(t, s, "/ws/publisher", "X-Host-ID", "h1")
	complaint := func(status int, uuid, id, want string) {
		t.Helper()
		m := p.next("Error")
		var report skydive.ErrorReport
		if err := json.Unmarshal(m.Obj, &report); err != nil {
			t.Fatal(err)
		}
		if m.Status != status || m.UUID != uuid || report.ID != id || !strings.Contains(report.Reason, want) {
			t.Errorf("status %d, UUID %q, %+v; want %d %q %q %q", m.Status, m.UUID, report, status, uuid, id, want)
		}
	}
	p.say("NodeAdded", "u1", node("theirs", "x", ""))
	complaint(409, "u1", "theirs", "owned")
	p.say("NodeAdded", "u2", `{"Metadata":{}}`)
	complaint(400, "u2", "", "ID is missing")
	p.say("NodeAdded", "u3", `{"ID":"x","Metadata":[]}`)
	complaint(400, "u3", "x", "want an object, got a list")
	p.say("NodeMoved", "u4", `{}`)
	complaint(400, "u4", "", `unknown message type "NodeMoved"`)
	p.write(websocket.MessageText, []byte(`{"Namespace":"Graf","Type":"NodeAdded","UUID":"u5","Obj":{}}`))
	complaint(400, "u5", "", `unknown namespace "Graf"`)
	p.write(websocket.MessageText, []byte(`{"Namespace":`))
	complaint(400, "", "", "JSON ends too early")
	p.write(websocket.MessageText, []byte("{\"Namespace\":\"Graph\",\"Type\":\"NodeAdded\",\"UUID\":\"u6\",\"Obj\":{\"ID\":\"\xff\"}}"))
	complaint(400, "u6", "", "not UTF-8")
	p.write(websocket.MessageText, []byte(`{"Namespace":"Graph","Type":"NodeAdded","UUID":"u7","Obj":{"ID":"n","Metadata":`+strings.Repeat(`{"a":`, 10_000)+"1"+strings.Repeat("}", 10_000)+`}}`))
	complaint(400, "u7", "n", "nested deeper than 64 levels")
	p.say("NodePartiallyUpdated", "u8", `{"ID":"none","Ops":[{"Type":1,"Key":"A","Value":1}]}`)
	complaint(404, "u8", "none", "unknown")
	p.say("EdgeUpdated", "u9", `{"ID":"none","Metadata":{}}`)
	complaint(400, "u9", "none", "without Parent and Child")
	p.say("Sync", "u10", "null")
	complaint(400, "u10", "", "Sync without an object")
	p.say("NodeAdded", "ok", strings.Replace(node("mine", "x", ""), `"Host"`, `"Revision":5,"Host"`, 1))
	p.say("NodeUpdated", "u11", strings.Replace(node("mine", "y", ""), `"Host"`, `"Revision":5,"Host"`, 1))
	complaint(409, "u11", "mine", "revision")
	if s.Graph.View().NodeCount() != 2 {
		t.Errorf("%d nodes", s.Graph.View().NodeCount())
	}
}

func TestTruncatedProtobuf(t *testing.T) {
	s := apitest.Start(t)
	p := dial(t, s, "/ws/publisher", "X-Host-ID", "h1", "X-Client-Protocol", "protobuf")
	m := skydive.Message{Namespace: "Graph", Type: "NodeAdded", UUID: "u", Obj: []byte(node("a", "x", ""))}
	whole := m.AppendProto(nil)
	for _, size := range []int{0, 1, 7, len(whole) / 2, len(whole) - 1} {
		p.write(websocket.MessageBinary, whole[:size])
		if m := p.next("Error"); m.Status != 400 {
			t.Errorf("%d bytes: status %d", size, m.Status)
		}
	}
	p.write(websocket.MessageBinary, whole)
	if got := p.flush(); !strings.Contains(got, `"Committed":1`) {
		t.Errorf("flush %s", got)
	}
}

func TestUpdateOfAnothersNodeIsALayer(t *testing.T) {
	s := apitest.Start(t)
	s.Apply(t, "probe", apitest.Node("a", "eth0", "device"))
	p := dial(t, s, "/ws/publisher", "X-Host-ID", "h1", "X-Persistence-Policy", "DeleteOnDisconnect")
	p.say("NodeUpdated", "1", `{"ID":"a","Metadata":{"Room":"12"}}`)
	p.flush()
	n, _ := s.Graph.View().Node("a")
	if text := string(n.Metadata().AppendJSON(nil)); text != `{"Name":"eth0","Room":"12","Type":"device"}` {
		t.Errorf("got %s", text)
	}
	_ = p.conn.Close(websocket.StatusNormalClosure, "")
	eventually(t, "the layer goes with its client", func() bool {
		n, _ := s.Graph.View().Node("a")
		_, there := n.Field("Room")
		return !there
	})
}

// A client may send back the whole of what it read, counters included: only what it says
// differently is laid over the node, and the rest follows the probe as before.
func TestUpdateWithAWholeNodeKeepsFollowingItsOwner(t *testing.T) {
	s := apitest.Start(t)
	link := func(mtu int64) graph.Event {
		return graph.Event{Op: graph.PutNode, ID: "a", Metadata: graph.NewMetadata(
			graph.F("Name", graph.String("eth0")), graph.F("MTU", graph.Int(mtu)),
			graph.F("Vlan", graph.Object(graph.NewMetadata(graph.F("ID", graph.Int(7)), graph.F("Proto", graph.Int(1))))))}
	}
	s.Apply(t, "probe", link(1500), graph.Event{Op: graph.PutSample, ID: "a", Counters: &graph.Counters{
		Prefix: "Metric", Names: []string{"RxBytes"}, Values: []int64{5}, Start: 1, Last: 2,
	}})
	shows := func(want string) {
		t.Helper()
		n, _ := s.Graph.View().Node("a")
		if text := string(n.Metadata().Unset("Metric").Unset("LastUpdateMetric").AppendJSON(nil)); text != want {
			t.Errorf("got %s, want %s", text, want)
		}
	}
	p := dial(t, s, "/ws/publisher", "X-Host-ID", "h1")
	n, _ := s.Graph.View().Node("a")
	whole := n.Metadata().AppendJSON(nil)
	p.say("NodeUpdated", "1", `{"ID":"a","Metadata":`+string(whole)+`}`)
	p.flush()
	if n, _ = s.Graph.View().Node("a"); len(slices.Collect(n.Layers())) != 1 {
		t.Error("what says nothing new is no layer")
	}
	p.say("NodeUpdated", "2", `{"ID":"a","Metadata":{"Name":"eth0","MTU":1500,"Vlan":{"ID":8,"Proto":1},"Metric":{"RxBytes":4},"Room":"12"}}`)
	p.flush()
	s.Apply(t, "probe", link(9000))
	shows(`{"MTU":9000,"Name":"eth0","Room":"12","Vlan":{"ID":8,"Proto":1}}`)
	n, _ = s.Graph.View().Node("a")
	if counters, _ := n.Field("Metric.RxBytes"); counters.Int() != 5 {
		t.Errorf("counters %v", counters)
	}
	p.say("NodeDeleted", "3", `{"ID":"a"}`)
	if got := p.flush(); !strings.Contains(got, `"Rejected":0`) {
		t.Errorf("flush %s", got)
	}
	shows(`{"MTU":9000,"Name":"eth0","Vlan":{"ID":7,"Proto":1}}`)
	p.say("NodeDeleted", "4", `{"ID":"a"}`)
	if m := p.next("Error"); m.UUID != "4" || m.Status != 409 {
		t.Errorf("deletion of another's node: %+v", m)
	}
}

func TestPersistencePolicies(t *testing.T) {
	for policy, stays := range map[string]bool{"": true, "Persistent": true, "DeleteOnDisconnect": false} {
		t.Run("policy "+policy, func(t *testing.T) {
			s := apitest.Start(t)
			p := dial(t, s, "/ws/publisher", "X-Host-ID", "h1", "X-Persistence-Policy", policy)
			p.say("NodeAdded", "1", node("a", "x", ""))
			p.flush()
			if got := s.Committer.Persistent("test.h1"); got != (policy == "Persistent") {
				t.Errorf("persistent: %v", got)
			}
			_ = p.conn.CloseNow()
			eventually(t, "the client is forgotten", func() bool {
				return !strings.Contains(expect(t, s, 200, "GET", "/api/status", ""), `"h1"`)
			})
			if _, there := s.Graph.View().Node("a"); there != stays {
				t.Errorf("there: %v", there)
			}
		})
	}
}

func TestSyncReplacesWhatThePublisherSaid(t *testing.T) {
	s := apitest.Start(t)
	s.Apply(t, "probe", apitest.Node("theirs", "x", "device"))
	p := dial(t, s, "/ws/publisher", "X-Host-ID", "h1")
	p.say("NodeAdded", "1", node("old", "x", ""))
	p.say("Sync", "2", `{"Edges":[`+edge("e", "a", "b")+`],"Nodes":[`+node("a", "x", "")+","+node("b", "y", "")+`]}`)
	p.flush()
	view := s.Graph.View()
	if _, there := view.Node("old"); there || view.NodeCount() != 3 || view.EdgeCount() != 1 {
		t.Errorf("%d nodes, %d edges", view.NodeCount(), view.EdgeCount())
	}
}

func TestRefusedHandshakes(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) { d.Limits.MaxWebSockets = 2 })
	for name, c := range map[string]struct {
		header []string
		status int
	}{
		"no type":       {[]string{"X-Client-Type", ""}, 400},
		"bad protocol":  {[]string{"X-Client-Protocol", "xml"}, 400},
		"bad policy":    {[]string{"X-Update-Policy", "some"}, 400},
		"bad persist":   {[]string{"X-Persistence-Policy", "maybe"}, 400},
		"bad filter":    {[]string{"X-Gremlin-Filter", "G.V("}, 400},
		"past filter":   {[]string{"X-Gremlin-Filter", "G.At('-1m').V().SubGraph()"}, 400},
		"no graph":      {[]string{"X-Gremlin-Filter", "G.V().Count()"}, 400},
		"foreign page":  {[]string{"Origin", "http://evil.example"}, 403},
		"control in id": {[]string{"X-Host-ID", "a\tb"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			_, res, err := tryDial(t, s, "/ws/subscriber", c.header...)
			if err == nil || res == nil || res.StatusCode != c.status {
				t.Errorf("got %v, %v", res, err)
			}
		})
	}
	if text := expect(t, s, 426, "GET", "/ws/publisher", ""); !strings.Contains(text, "WebSocket") {
		t.Errorf("got %s", text)
	}
	a := dial(t, s, "/ws/subscriber?x-host-id=a&x-client-type=q", "X-Client-Type", "")
	dial(t, s, "/ws/subscriber", "X-Host-ID", "b")
	if _, res, err := tryDial(t, s, "/ws/subscriber", "X-Host-ID", "a"); err == nil || res.StatusCode != 409 {
		t.Errorf("second a: %v, %v", res, err)
	}
	if _, res, err := tryDial(t, s, "/ws/subscriber", "X-Host-ID", "c"); err == nil || res.StatusCode != 503 {
		t.Errorf("one too many: %v, %v", res, err)
	}
	a.say("SyncRequest", "x", "{}")
	a.next("SyncReply")
}

func TestReconnectTakesThePlaceOfASilentConnection(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Limits.PingDelay, d.Limits.PongTimeout = 50*time.Millisecond, time.Hour
	})
	// A client that never reads, so that it answers no ping.
	dead, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http")+"/ws/publisher",
		&websocket.DialOptions{HTTPHeader: http.Header{"X-Client-Type": {"test"}, "X-Host-ID": {"h"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer dead.CloseNow()
	eventually(t, "the new connection is taken", func() bool {
		_, _, err := tryDial(t, s, "/ws/publisher", "X-Host-ID", "h")
		return err == nil
	})
}

func TestSilentClientsAreClosedAndBusyOnesAreNot(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Limits.PingDelay, d.Limits.PongTimeout = 20*time.Millisecond, 100*time.Millisecond
	})
	open := func(id string) *websocket.Conn {
		conn, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http")+"/ws/publisher",
			&websocket.DialOptions{HTTPHeader: http.Header{"X-Client-Type": {"test"}, "X-Host-ID": {id}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.CloseNow() })
		return conn
	}
	open("silent")
	busy := open("busy") // sends data, and reads nothing: no pong
	start := time.Now()
	for i := 0; time.Since(start) < 400*time.Millisecond; i++ {
		m := skydive.Message{Namespace: "Graph", Type: "NodeAdded", UUID: "u", Obj: []byte(node(fmt.Sprint("n", i), "x", ""))}
		text, _ := m.AppendJSON(nil)
		if err := busy.Write(t.Context(), websocket.MessageText, text); err != nil {
			t.Fatalf("cut after %v: %v", time.Since(start), err)
		}
		tick := time.NewTimer(10 * time.Millisecond)
		<-tick.C
	}
	status := expect(t, s, 200, "GET", "/api/status", "")
	if strings.Contains(status, `"silent"`) || !strings.Contains(status, `"busy"`) {
		t.Errorf("status %s", status)
	}
}

func TestFloodingPublisherIsSlowedAndNothingIsLost(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Limits.PingDelay, d.Limits.PongTimeout = 50*time.Millisecond, 500*time.Millisecond
	})
	release := s.Committer.Hold()
	p := dial(t, s, "/ws/publisher", "X-Host-ID", "h1")
	const n = 20_000
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			m := skydive.Message{Namespace: "Graph", Type: "NodeAdded", UUID: "u", Obj: []byte(node(fmt.Sprint("n", i), strings.Repeat("x", 500), ""))}
			text, _ := m.AppendJSON(nil)
			if err := p.conn.Write(context.Background(), websocket.MessageText, text); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	select {
	case err := <-sent:
		t.Fatalf("10 MB went nowhere: %v", err)
	case <-time.After(1500 * time.Millisecond): // three times the deadline for pongs
	}
	release()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if got := p.flush(); got != fmt.Sprintf(`{"Committed":%d,"Rejected":0}`, n) {
		t.Errorf("flush %s", got)
	}
	if got := s.Graph.View().NodeCount(); got != n {
		t.Errorf("%d nodes", got)
	}
}

func TestMessagesOfAClientThatLeftAtOnceArrive(t *testing.T) {
	s := apitest.Start(t)
	p := dial(t, s, "/ws/publisher", "X-Host-ID", "h1")
	const n = 5000
	for i := range n {
		p.say("NodeAdded", "u", node(fmt.Sprint("n", i), "x", ""))
	}
	_ = p.conn.CloseNow()
	eventually(t, "all nodes", func() bool { return s.Graph.View().NodeCount() == n })
}

func TestOrphansAreReported(t *testing.T) {
	s := apitest.Start(t)
	p := dial(t, s, "/ws/publisher", "X-Host-ID", "h1")
	p.flush()
	s.API.Orphaned("test.h1", graph.Event{ID: "e"}, graph.ErrOrphan)
	if m := p.next("Error"); m.Status != 404 || !strings.Contains(string(m.Obj), `"ID":"e"`) {
		t.Errorf("got %+v", m)
	}
}
