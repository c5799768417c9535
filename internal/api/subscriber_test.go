package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
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
	"github.com/weft-net/weft/skydive/skydivetest"
)

// idOf is the ID in a message's object.
func idOf(t testing.TB, m *skydive.Message) string {
	t.Helper()
	id, _ := parse(t, string(m.Obj))["ID"].(string)
	return id
}

// story renders the next n messages as "Type ID".
func (w *wire) story(n int) []string {
	w.t.Helper()
	var lines []string
	for range n {
		m := w.next()
		lines = append(lines, m.Type+" "+idOf(w.t, m))
	}
	return lines
}

// synced subscribes and waits until the subscription stands.
func synced(t testing.TB, s *apitest.Server, header ...string) *wire {
	t.Helper()
	w := dial(t, s, "/ws/subscriber", header...)
	w.say("SyncRequest", "first", "{}")
	w.next("SyncReply")
	return w
}

func same(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestSubscriberFollowsTheGraph(t *testing.T) {
	for _, protocol := range []string{"json", "protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			s := apitest.Start(t)
			w := synced(t, s, "X-Host-ID", "s1", "X-Client-Protocol", protocol)
			pair(t, s)
			same(t, w.story(3), "NodeAdded a", "NodeAdded b", "EdgeAdded e")
			s.Apply(t, "probe", apitest.Node("a", "eth0", "device", graph.F("MTU", graph.Int(1400))))
			m := w.next("NodeUpdated")
			if obj := string(m.Obj); m.Namespace != "Graph" || m.Status != 200 || len(m.UUID) != 36 || !strings.Contains(obj, `"MTU":1400`) {
				t.Errorf("update %+v", m)
			}
			s.Apply(t, "probe", graph.Event{Op: graph.DeleteNode, ID: "a"})
			edge, node := w.next(), w.next()
			same(t, []string{edge.Type, node.Type}, "EdgeDeleted", "NodeDeleted")
			if parse(t, string(node.Obj))["DeletedAt"] == nil {
				t.Errorf("deleted %s", node.Obj)
			}
		})
	}
}

func TestSyncReplyStandsInTheOrderOfEvents(t *testing.T) {
	s := apitest.Start(t)
	w := synced(t, s, "X-Host-ID", "s1")
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		pace := time.NewTicker(100 * time.Microsecond)
		defer pace.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-pace.C:
				_, _ = s.Graph.Apply(&graph.Batch{Origin: "probe", Events: []graph.Event{apitest.Node("n", fmt.Sprint("name", i), "x")}})
			}
		}
	}()
	var revision float64
	for i := range 20 {
		w.say("SyncRequest", fmt.Sprint(i), "{}")
		for {
			m := w.next()
			obj := parse(t, string(m.Obj))
			whole := strings.HasPrefix(m.Type, "Sync") // Sync, when the client is slower than the graph
			if whole {
				nodes, _ := obj["Nodes"].([]any)
				if len(nodes) == 0 {
					break
				}
				obj = nodes[0].(map[string]any)
			}
			now := obj["Revision"].(float64)
			if now < revision || (!whole && now == revision && now != 0) {
				t.Fatalf("%s of revision %v after %v", m.Type, now, revision)
			}
			revision = now
			if m.Type == "SyncReply" {
				break
			}
		}
	}
	close(stop)
	<-stopped
}

func TestPartialUpdatesLoseNothing(t *testing.T) {
	s := apitest.Start(t)
	object := func(fields ...graph.Field) graph.Value { return graph.Object(graph.NewMetadata(fields...)) }
	s.Apply(t, "probe",
		apitest.Node("a", "eth0", "device", graph.F("Ovs", object(graph.F("A", graph.Int(1)), graph.F("B", graph.Int(2)))), graph.F("Gone", graph.Bool(true))),
		apitest.Node("b", "eth1", "device"), apitest.Edge("e", "a", "b", "layer2"))
	w := synced(t, s, "X-Host-ID", "s1", "X-Update-Policy", "partial")
	eventually(t, "the subscriber has the whole graph", func() bool { // events follow the state that a reply gave
		w.say("SyncRequest", "again", "{}")
		return strings.Contains(string(w.next("SyncReply").Obj), `"ID":"e"`)
	})
	s.Apply(t, "probe", apitest.Node("a", "eth0", "device", graph.F("Ovs", object(graph.F("A", graph.Int(1)), graph.F("B", graph.Int(3)))), graph.F("New", graph.Strings("x"))))
	m := w.next()
	var update skydive.PartialUpdate
	if err := json.Unmarshal(m.Obj, &update); err != nil || m.Type != "NodePartiallyUpdated" || update.ID != "a" || update.Revision != 1 {
		t.Fatalf("%s %s, %v", m.Type, m.Obj, err)
	}
	var ops []string
	for _, op := range update.Ops {
		ops = append(ops, fmt.Sprint(op.Type, " ", op.Key, " ", op.Value))
	}
	same(t, ops, "1 New [x]", "1 Ovs.B 3", "2 Gone <nil>")
	changed := apitest.Edge("e", "a", "b", "ownership")
	s.Apply(t, "probe", changed)
	if m := w.next(); m.Type != "EdgePartiallyUpdated" || !strings.Contains(string(m.Obj), `{"Type":1,"Key":"RelationType","Value":"ownership"}`) {
		t.Errorf("%s %s", m.Type, m.Obj)
	}
	// A key with a dot cannot be named by a path: the whole element goes.
	s.Apply(t, "probe", apitest.Node("b", "eth1", "device", graph.F("a.b", graph.Int(1))))
	if m := w.next(); m.Type != "NodeUpdated" || !strings.Contains(string(m.Obj), `"a.b":1`) {
		t.Errorf("%s %s", m.Type, m.Obj)
	}
}

func TestFilterIsIncremental(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s) // a device, b bridge, e between them
	w := dial(t, s, "/ws/subscriber", "X-Host-ID", "s1", "X-Gremlin-Filter", "G.V().Has('Type', WITHIN('device', 'veth')).SubGraph()")
	w.say("SyncRequest", "1", "{}")
	m := parse(t, string(w.next("SyncReply").Obj))
	if len(m["Nodes"].([]any)) != 1 || m["Edges"] != nil {
		t.Fatalf("sync %v", m)
	}
	s.Apply(t, "probe", apitest.Node("c", "br1", "bridge")) // not in the filter
	s.Apply(t, "probe", apitest.Node("b", "br0", "veth"))   // enters, and its edge with it
	same(t, w.story(2), "NodeAdded b", "EdgeAdded e")
	s.Apply(t, "probe", apitest.Node("b", "other", "veth"))
	same(t, w.story(1), "NodeUpdated b")
	s.Apply(t, "probe", apitest.Node("b", "other", "bridge")) // leaves
	same(t, w.story(2), "EdgeDeleted e", "NodeDeleted b")
	s.Apply(t, "probe", apitest.Node("d", "v0", "veth"), apitest.Edge("f", "d", "a", "layer2"))
	same(t, w.story(2), "NodeAdded d", "EdgeAdded f")
	s.Apply(t, "probe", graph.Event{Op: graph.DeleteNode, ID: "d"})
	same(t, w.story(2), "EdgeDeleted f", "NodeDeleted d")
}

func TestFilterThatIsEvaluatedAgain(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s)
	w := dial(t, s, "/ws/subscriber", "X-Host-ID", "s1", "X-Gremlin-Filter", "G.V().Has('Type','bridge').Out().SubGraph()")
	w.say("SyncRequest", "1", "{}")
	if m := parse(t, string(w.next("SyncReply").Obj)); len(m["Nodes"].([]any)) != 1 {
		t.Fatalf("sync %v", m)
	}
	s.Apply(t, "probe", apitest.Node("c", "eth1", "device"), apitest.Edge("f", "b", "c", "layer2"))
	same(t, w.story(1), "NodeAdded c")
	s.Apply(t, "probe", apitest.Node("c", "eth2", "device"))
	same(t, w.story(1), "NodeUpdated c")
	s.Apply(t, "probe", graph.Event{Op: graph.DeleteEdge, Edge: true, ID: "e"})
	same(t, w.story(1), "NodeDeleted a")
}

func TestManyChangesAreFewEvaluations(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) { d.Limits.RefilterDelay = time.Hour })
	pair(t, s)
	var clients []*wire
	for i := range 5 {
		w := dial(t, s, "/ws/subscriber", "X-Host-ID", fmt.Sprint("s", i), "X-Gremlin-Filter", "G.V().Both().SubGraph()")
		w.say("SyncRequest", "1", "{}")
		w.next("SyncReply")
		clients = append(clients, w)
	}
	for i := range 100 {
		s.Apply(t, "probe", apitest.Node("a", fmt.Sprint("eth", i), "device"))
	}
	clients[0].say("SyncRequest", "2", "{}")
	clients[0].next("SyncReply")
	text := expect(t, s, 200, "GET", "/metrics", "")
	if !strings.Contains(text, "weft_subscriber_evaluations_total 1\n") || !strings.Contains(text, "weft_subscriber_filters 1\n") {
		t.Errorf("metrics %s", text)
	}
}

func TestFilterIsChangedBySyncRequest(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s)
	w := synced(t, s, "X-Host-ID", "s1", "X-Gremlin-Filter", "G.V().Has('Name','none').SubGraph()")
	count := func(obj string) int {
		w.say("SyncRequest", "x", obj)
		nodes, _ := parse(t, string(w.next("SyncReply").Obj))["Nodes"].([]any)
		return len(nodes)
	}
	if n := count(`{}`); n != 0 {
		t.Errorf("%d nodes", n)
	}
	if n := count(`{"GremlinFilter":"G.V().Has('Type','bridge').SubGraph()"}`); n != 1 {
		t.Errorf("%d nodes by the second filter", n)
	}
	w.say("SyncRequest", "bad", `{"GremlinFilter":"G.V("}`)
	if m := w.next("SyncReply"); m.Status != 400 || m.UUID != "bad" || m.Obj[0] != '"' {
		t.Errorf("bad filter: %+v %s", m, m.Obj)
	}
	w.say("SyncRequest", "worse", `{"GremlinFilter":5}`)
	if m := w.next("SyncReply"); m.Status != 400 {
		t.Errorf("filter of the wrong type: %+v", m)
	}
	if n := count(`{"GremlinFilter":""}`); n != 2 {
		t.Errorf("%d nodes without a filter", n)
	}
	s.Apply(t, "probe", apitest.Node("z", "z", "z"))
	same(t, w.story(1), "NodeAdded z")
}

func TestSyncOfThePast(t *testing.T) {
	s := apitest.Start(t)
	s.Apply(t, "probe", apitest.Node("a", "x", "device"))
	before := s.Graph.Now().Millis()
	eventually(t, "the next millisecond", func() bool { return time.Now().UnixMilli() > before })
	s.Apply(t, "probe", apitest.Node("b", "y", "bridge"))
	w := synced(t, s, "X-Host-ID", "s1")
	nodes := func(obj string) int {
		w.say("SyncRequest", "x", obj)
		list, _ := parse(t, string(w.next("SyncReply").Obj))["Nodes"].([]any)
		return len(list)
	}
	if n := nodes(fmt.Sprintf(`{"Time":%d}`, before)); n != 1 {
		t.Errorf("%d nodes then", n)
	}
	if n := nodes(fmt.Sprintf(`{"Time":%d,"GremlinFilter":"G.V().Has('Type','bridge').SubGraph()"}`, before)); n != 0 {
		t.Errorf("%d nodes then by a filter", n)
	}
	w.say("SyncRequest", "old", `{"Time":1}`)
	if m := w.next("SyncReply"); m.Status != 400 || !strings.Contains(string(m.Obj), "earliest") {
		t.Errorf("before the window: %+v %s", m, m.Obj)
	}
}

func TestNamespaces(t *testing.T) {
	s := apitest.Start(t)
	graphOnly := synced(t, s, "X-Host-ID", "s1", "X-Websocket-Namespace", "Graph")
	flows := dial(t, s, "/ws/subscriber?x-websocket-namespace=flow&x-websocket-namespace=stats", "X-Host-ID", "s2")
	flows.say("SyncRequest", "1", "{}")
	pair(t, s)
	same(t, graphOnly.story(3), "NodeAdded a", "NodeAdded b", "EdgeAdded e")
	if n := len(flows.messages); n != 0 {
		t.Errorf("%d messages of another namespace", n)
	}
}

func TestPubSubDoesNotHearItself(t *testing.T) {
	s := apitest.Start(t)
	for _, filter := range []string{"", "G.V().Has('Type','device').SubGraph()"} {
		w := dial(t, s, "/ws/pubsub", "X-Host-ID", "p"+fmt.Sprint(len(filter)), "X-Gremlin-Filter", filter)
		mine, theirs := "mine"+filter, "theirs"+filter
		w.say("SyncRequest", "0", "{}")
		w.next("SyncReply")
		w.say("NodeAdded", "1", node(mine, "x", ""))
		eventually(t, "its own change", func() bool {
			_, there := s.Graph.View().Node(mine)
			return there
		})
		s.Apply(t, "probe", apitest.Node(theirs, "y", "device"))
		same(t, w.story(1), "NodeAdded "+theirs)
		w.say("SyncRequest", "once", "{}")
		if m := w.next(); m.Type != "SyncReply" || m.UUID != "once" || !strings.Contains(string(m.Obj), mine[:4]) {
			t.Errorf("got %s %s", m.Type, m.UUID)
		}
		w.say("FlushRequest", "f", "")
		if m := w.next(); m.Type != "FlushReply" {
			t.Errorf("the sync was answered twice: %s", m.Type)
		}
		_ = w.conn.CloseNow()
	}
}

func TestSubscribersMayNotWrite(t *testing.T) {
	s := apitest.Start(t)
	w := synced(t, s, "X-Host-ID", "s1")
	w.say("NodeAdded", "u", node("a", "x", ""))
	if m := w.next("Error"); m.Status != 400 || m.UUID != "u" || !strings.Contains(string(m.Obj), "/ws/publisher") {
		t.Errorf("got %+v", m)
	}
	if s.Graph.View().NodeCount() != 0 {
		t.Error("it wrote")
	}
}

func TestSlowSubscriberIsResynchronisedAndDelaysNobody(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) { d.Limits.QueueBytes = 64 << 10 })
	slow, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http")+"/ws/subscriber",
		&websocket.DialOptions{HTTPHeader: http.Header{"X-Client-Type": {"test"}, "X-Host-ID": {"slow"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.CloseNow()
	slow.SetReadLimit(-1)
	fast := synced(t, s, "X-Host-ID", "fast")
	big := strings.Repeat("x", 8<<10)
	lost := false
	last := 0
	for i := 0; !lost; i++ {
		s.Apply(t, "probe", apitest.Node("n", fmt.Sprint(big, i), "x"))
		fast.next("NodeAdded", "NodeUpdated") // at the pace of the graph
		lost = i%100 == 0 && !strings.Contains(expect(t, s, 200, "GET", "/metrics", ""), "weft_subscriber_resyncs_total 0\n")
		if last = i; i > 50_000 {
			t.Fatal("a client that reads nothing is not noticed")
		}
	}
	// Now it reads: after what was on its way comes the state.
	final := fmt.Sprint(big, last)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for seen := false; ; {
		_, data, err := slow.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var m skydive.Message
		if err := m.UnmarshalJSON(data); err != nil {
			t.Fatal(err)
		}
		seen = seen || m.Type == "Sync"
		if seen && strings.Contains(string(m.Obj), final+`"`) {
			return
		}
	}
}

func TestAClientThatIsAlwaysTooSlowIsSentAway(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) { d.Limits.QueueBytes = 1 })
	w := dial(t, s, "/ws/subscriber", "X-Host-ID", "slow")
	w.say("SyncRequest", "1", "{}")
	w.next("SyncReply")
	eventually(t, "it is closed", func() bool {
		for i := range 200 {
			s.Apply(t, "probe", apitest.Node("n", fmt.Sprint(i, time.Now()), "x"))
		}
		select {
		case <-w.closed:
			return true
		default:
			return false
		}
	})
	if code := websocket.CloseStatus(w.err); code != websocket.StatusTryAgainLater {
		t.Errorf("closed with %v", w.err)
	}
}

func TestFollowersStayEqualToTheGraph(t *testing.T) {
	s := apitest.Start(t)
	filter := "G.V().Has('Type','even').SubGraph()"
	all, some, again := synced(t, s, "X-Host-ID", "all"), synced(t, s, "X-Host-ID", "some", "X-Gremlin-Filter", filter),
		synced(t, s, "X-Host-ID", "again", "X-Gremlin-Filter", "G.V().Has('Type','even').Dedup('@ID').SubGraph()")
	kinds := []string{"even", "odd"}
	for i := range 400 {
		id := fmt.Sprint("n", i*7%40)
		switch i % 4 {
		case 3:
			_, _ = s.Graph.Apply(&graph.Batch{Origin: "probe", Events: []graph.Event{{Op: graph.DeleteNode, ID: id}}})
		case 2:
			_, _ = s.Graph.Apply(&graph.Batch{Origin: "probe", Events: []graph.Event{apitest.Edge(fmt.Sprint("e", i%20), fmt.Sprint("n", i%40), fmt.Sprint("n", i*3%40), "layer2")}})
		default:
			_, _ = s.Graph.Apply(&graph.Batch{Origin: "probe", Events: []graph.Event{apitest.Node(id, id, kinds[i/3%2])}})
		}
	}
	truth := func(query string) string {
		return canonical(t, strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(expect(t, s, 200, "POST", "/api/topology", fmt.Sprintf(`{"GremlinQuery":%q}`, query))), "["), "]"))
	}
	for name, c := range map[string]struct {
		w     *wire
		query string
	}{"all": {all, "G"}, "incremental": {some, filter}, "evaluated again": {again, filter}} {
		state := newReplica()
		want := truth(c.query)
		deadline := time.After(10 * time.Second)
		for state.text() != want {
			select {
			case m := <-c.w.messages:
				state.apply(t, m)
			case <-deadline:
				t.Fatalf("%s:\n%s\nwant\n%s", name, state.text(), want)
			}
		}
	}
}

// replica is what a client makes of events.
type replica struct{ nodes, edges map[string]string }

func newReplica() *replica { return &replica{map[string]string{}, map[string]string{}} }

func (r *replica) apply(t testing.TB, m *skydive.Message) {
	t.Helper()
	obj := parse(t, string(m.Obj))
	id := obj["ID"].(string)
	text := render(obj)
	switch m.Type {
	case "NodeAdded", "NodeUpdated":
		r.nodes[id] = text
	case "NodeDeleted":
		delete(r.nodes, id)
	case "EdgeAdded", "EdgeUpdated":
		for _, end := range []string{"Parent", "Child"} {
			if r.nodes[obj[end].(string)] == "" {
				t.Fatalf("edge %s before its node %s", id, obj[end])
			}
		}
		r.edges[id] = text
	case "EdgeDeleted":
		delete(r.edges, id)
	}
}

func (r *replica) text() string {
	lines := slices.Sorted(maps.Values(r.nodes))
	return strings.Join(append(lines, slices.Sorted(maps.Values(r.edges))...), "\n")
}

func render(obj map[string]any) string {
	return fmt.Sprint(obj["ID"], obj["Revision"], obj["Metadata"], obj["Parent"], obj["Child"])
}

func canonical(t testing.TB, text string) string {
	r := newReplica()
	m := parse(t, text)
	for key, into := range map[string]map[string]string{"Nodes": r.nodes, "Edges": r.edges} {
		list, _ := m[key].([]any)
		for _, element := range list {
			obj := element.(map[string]any)
			into[obj["ID"].(string)] = render(obj)
		}
	}
	return r.text()
}

func TestPythonSubscriber(t *testing.T) {
	s := apitest.Start(t)
	pair(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := skydivetest.DialWS(ctx, "ws://"+s.Addr+"/ws/subscriber", skydivetest.WSOptions{Filter: "G.V().Has('Type','bridge').SubGraph()"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	if c.Header.Get("X-Host-ID") == "" || c.Header.Get("X-Service-Type") != "analyzer" || c.Header.Get("X-Weft-Version") != "test" {
		t.Errorf("handshake %v", c.Header)
	}
	if _, err := c.SyncRequest(ctx, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReceiveType(ctx, "SyncReply"); err != nil {
		t.Fatal(err)
	}
	s.Apply(t, "probe", apitest.Node("c", "x", "device"))
	if _, err := c.ReceiveType(ctx, "NodeAdded"); err != nil {
		t.Fatal(err)
	}
}
