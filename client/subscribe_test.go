package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/skydive"
)

// next waits for an event.
func next(t *testing.T, s *client.Subscription) client.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	ev, err := s.Next(ctx)
	if err != nil {
		t.Fatalf("waiting for an event: %v", err)
	}
	return ev
}

func expect(t *testing.T, s *client.Subscription, typ, id string) client.Event {
	t.Helper()
	ev := next(t, s)
	if ev.Type != typ || ev.ID() != id {
		t.Fatalf("got %s %s, want %s %s", ev.Type, ev.ID(), typ, id)
	}
	return ev
}

func subscribe(t *testing.T, c *client.Client, o client.SubscribeOptions) *client.Subscription {
	t.Helper()
	o.MinBackoff = time.Millisecond
	s, err := c.Subscribe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestSubscriptionBeginsWithTheGraphAndFollowsIt(t *testing.T) {
	for _, protocol := range []string{skydive.ProtocolJSON, skydive.ProtocolProtobuf} {
		f := newFake(t)
		f.graph = &skydive.Graph{Nodes: []*skydive.Node{node("n1", 1), node("n2", 1)}, Edges: []*skydive.Edge{edge("e1", "n1", "n2")}}
		s := subscribe(t, f.client(), client.SubscribeOptions{
			Sync: true, Protocol: protocol, Filter: "G.V().SubGraph()", Namespaces: []string{"Graph", "Alert"}, UpdatePolicy: skydive.UpdateFull,
		})
		first := expect(t, s, client.EventSync, "")
		if len(first.Graph.Nodes) != 2 || len(first.Graph.Edges) != 1 || first.Resync {
			t.Errorf("began with %+v", first)
		}
		h := f.handshook[0]
		if h.Get("X-Client-Type") != "weft-client" || h.Get("X-Host-ID") == "" || h.Get("X-Client-Protocol") != protocol ||
			h.Get("X-Gremlin-Filter") != "G.V().SubGraph()" || strings.Join(h.Values("X-Websocket-Namespace"), " ") != "Graph Alert" ||
			h.Get("X-Update-Policy") != "full" {
			t.Errorf("handshake %v", h)
		}
		f.tell(skydive.MsgNodeUpdated, node("n1", 2))
		if ev := expect(t, s, skydive.MsgNodeUpdated, "n1"); ev.Node.Revision != 2 || ev.Message.Status != 200 {
			t.Errorf("got %+v", ev)
		}
		f.tell(skydive.MsgEdgeDeleted, edge("e1", "n1", "n2"))
		expect(t, s, skydive.MsgEdgeDeleted, "e1")
	}
}

func TestEventsAreRangedOver(t *testing.T) {
	f := newFake(t)
	s := subscribe(t, f.client(), client.SubscribeOptions{})
	<-f.joined
	for i := range 3 {
		f.tell(skydive.MsgNodeAdded, node(fmt.Sprint("n", i), 1))
	}
	var seen []string
	for ev, err := range s.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, ev.ID()); len(seen) == 2 {
			break
		}
	}
	for ev, err := range s.Events() {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, ev.ID())
		s.Close() // ends the loop without an error
	}
	if strings.Join(seen, " ") != "n0 n1 n2" {
		t.Errorf("saw %v", seen)
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestOtherNamespacesPassThrough(t *testing.T) {
	f := newFake(t)
	s := subscribe(t, f.client(), client.SubscribeOptions{Replica: client.NewReplica()})
	sock := <-f.joined
	m, _ := skydive.NewMessage(skydive.NamespaceAlert, skydive.MsgAlert, "a", skydive.AlertReport{UUID: "x", ReasonData: skydive.RawJSON("true")})
	f.set(func() { f.sendLocked(sock, m) })
	var report skydive.AlertReport
	if ev := expect(t, s, skydive.MsgAlert, ""); ev.Message.Obj.Decode(&report) != nil || report.UUID != "x" {
		t.Errorf("got %+v", ev)
	}
}

func TestReconnectIsFollowedByResync(t *testing.T) {
	f := newFake(t)
	f.graph = &skydive.Graph{Nodes: []*skydive.Node{node("n1", 1)}}
	s := subscribe(t, f.client(), client.SubscribeOptions{Sync: true})
	expect(t, s, client.EventSync, "")
	refusals := 0
	f.set(func() {
		f.graph.Nodes = append(f.graph.Nodes, node("n2", 1))
		f.refuse = func(*http.Request) int { // the old connection still counts, then the server starts
			refusals++
			return map[int]int{1: 409, 2: 503}[refusals]
		}
	})
	f.cut()
	ev := expect(t, s, client.EventSync, "")
	if !ev.Resync || len(ev.Graph.Nodes) != 2 {
		t.Errorf("after the reconnect: %+v", ev)
	}
	if st := s.Stats(); st.Reconnects != 1 || refusals != 3 {
		t.Errorf("stats %+v after %d attempts", st, refusals)
	}
}

func TestReconnectWithoutSyncIsReported(t *testing.T) {
	f := newFake(t)
	s := subscribe(t, f.client(), client.SubscribeOptions{})
	<-f.joined
	f.tell(skydive.MsgNodeAdded, node("n1", 1))
	expect(t, s, skydive.MsgNodeAdded, "n1")
	f.cut()
	expect(t, s, client.EventLost, "")
	<-f.joined
	f.tell(skydive.MsgNodeAdded, node("n2", 1))
	expect(t, s, skydive.MsgNodeAdded, "n2")
}

func TestDifferenceInsteadOfGraph(t *testing.T) {
	f := newFake(t)
	f.graph = &skydive.Graph{Nodes: []*skydive.Node{node("n1", 1), node("n2", 1)}, Edges: []*skydive.Edge{edge("e1", "n1", "n2")}}
	s := subscribe(t, f.client(), client.SubscribeOptions{Sync: true, Diff: true})
	got := map[string]bool{}
	take := func(n int) string {
		clear(got)
		var order []string
		for range n {
			ev := next(t, s)
			got[ev.Type+" "+ev.ID()] = true
			order = append(order, ev.Type+" "+ev.ID())
		}
		return strings.Join(order, ", ")
	}
	if order := take(3); !got["NodeAdded n1"] || !got["NodeAdded n2"] || !strings.HasSuffix(order, "EdgeAdded e1") {
		t.Errorf("at first: %s", order)
	}
	f.set(func() { f.graph = &skydive.Graph{Nodes: []*skydive.Node{node("n1", 2), node("n3", 1)}} })
	f.cut()
	if order := take(4); !strings.HasPrefix(order, "EdgeDeleted e1, NodeDeleted n2") || !got["NodeUpdated n1"] || !got["NodeAdded n3"] {
		t.Errorf("after the reconnect: %s", order)
	}
	if n, e := s.Replica().Len(); n != 2 || e != 0 {
		t.Errorf("replica has %d nodes, %d edges", n, e)
	}
}

func TestSlowConsumerIsResyncedAndAnswersPings(t *testing.T) {
	f := newFake(t)
	f.pingEvery = time.Millisecond
	f.graph = &skydive.Graph{Nodes: []*skydive.Node{node("final", 9)}}
	s := subscribe(t, f.client(), client.SubscribeOptions{Sync: true, QueueEvents: 10})
	expect(t, s, client.EventSync, "")
	for i := range 1000 {
		f.tell(skydive.MsgNodeUpdated, node("n", int64(i)))
	}
	eventually(t, "all received", func() bool { return s.Stats().Received >= 1001 })
	for i := range 10 { // what the queue held, in order
		if ev := expect(t, s, skydive.MsgNodeUpdated, "n"); ev.Node.Revision != int64(i) {
			t.Fatalf("event %d has revision %d", i, ev.Node.Revision)
		}
	}
	ev := expect(t, s, client.EventSync, "")
	if !ev.Resync || ev.Lost != 990 || ev.Graph.Nodes[0].ID != "final" {
		t.Errorf("got %+v", ev)
	}
	if st := s.Stats(); st.Lost != 990 || st.Resyncs != 1 || st.Reconnects != 0 {
		t.Errorf("stats %+v", st)
	}
	f.tell(skydive.MsgNodeAdded, node("after", 1))
	expect(t, s, skydive.MsgNodeAdded, "after")
}

func TestSlowConsumerWithoutSyncIsTold(t *testing.T) {
	f := newFake(t)
	s := subscribe(t, f.client(), client.SubscribeOptions{QueueBytes: 1000})
	<-f.joined
	for i := range 100 {
		f.tell(skydive.MsgNodeUpdated, node("n", int64(i)))
	}
	eventually(t, "all received", func() bool { return s.Stats().Received == 100 })
	n := 0
	ev := next(t, s)
	for ; ev.Type == skydive.MsgNodeUpdated; ev = next(t, s) {
		n++
	}
	if ev.Type != client.EventLost || n == 0 || n+ev.Lost != 100 {
		t.Errorf("%d events, then %+v", n, ev)
	}
}

func TestReplicaAppliesPartialUpdates(t *testing.T) {
	f := newFake(t)
	f.graph = &skydive.Graph{Nodes: []*skydive.Node{node("n1", 1), node("n2", 1)}, Edges: []*skydive.Edge{edge("e1", "n1", "n2")}}
	r := client.NewReplica()
	s := subscribe(t, f.client(), client.SubscribeOptions{Sync: true, UpdatePolicy: skydive.UpdatePartial, Replica: r})
	expect(t, s, client.EventSync, "")
	before, _ := r.Node("n1")
	f.tell(skydive.MsgNodePartiallyUpdated, skydive.PartialUpdate{ID: "n1", UpdatedAt: 5, Revision: 2, Ops: []skydive.PartialOp{
		{Type: skydive.OpAdd, Key: "Metric.RxBytes", Value: 7}, {Type: skydive.OpDel, Key: "Type"},
	}})
	ev := expect(t, s, skydive.MsgNodeUpdated, "n1")
	if ev.Node.Metadata.Int("Metric.RxBytes") != 7 || ev.Node.Metadata.Str("Type") != "" || ev.Node.Revision != 2 || ev.Node.UpdatedAt != 5 {
		t.Errorf("got %+v", ev.Node)
	}
	if before.Metadata.Str("Type") != "host" || before.Revision != 1 {
		t.Errorf("the old element changed to %+v", before)
	}
	if now, _ := r.Node("n1"); now != ev.Node {
		t.Error("the replica has another element than the event")
	}
	f.tell(skydive.MsgEdgePartiallyUpdated, skydive.PartialUpdate{ID: "e1", Revision: 2, Ops: []skydive.PartialOp{{Type: skydive.OpAdd, Key: "Up", Value: true}}})
	if ev := expect(t, s, skydive.MsgEdgeUpdated, "e1"); ev.Edge.Metadata["Up"] != true || ev.Edge.Child != "n2" {
		t.Errorf("got %+v", ev.Edge)
	}
	f.tell(skydive.MsgEdgeDeleted, edge("e1", "n1", "n2"))
	f.tell(skydive.MsgNodeDeleted, node("n1", 3))
	f.tell(skydive.MsgNodeAdded, node("n3", 1))
	f.tell(skydive.MsgEdgeAdded, edge("e2", "n2", "n3"))
	for _, want := range []string{"EdgeDeleted e1", "NodeDeleted n1", "NodeAdded n3", "EdgeAdded e2"} {
		typ, id, _ := strings.Cut(want, " ")
		expect(t, s, typ, id)
	}
	nodes, edges := 0, 0
	for range r.Nodes() {
		nodes++
	}
	for range r.Edges() {
		edges++
	}
	if _, ok := r.Edge("e2"); nodes != 2 || edges != 1 || !ok {
		t.Errorf("replica has %d nodes, %d edges", nodes, edges)
	}
}

// Skydive sends a partial update without steps for what it updates as a whole.
func TestUpdateWithoutStepsIsRepairedByResync(t *testing.T) {
	f := newFake(t)
	f.graph = &skydive.Graph{Nodes: []*skydive.Node{node("n1", 1)}}
	s := subscribe(t, f.client(), client.SubscribeOptions{Sync: true, Replica: client.NewReplica()})
	expect(t, s, client.EventSync, "")
	f.set(func() { f.graph = &skydive.Graph{Nodes: []*skydive.Node{node("n1", 2)}} })
	f.tell(skydive.MsgNodePartiallyUpdated, skydive.PartialUpdate{ID: "n1", Revision: 2})
	f.tell(skydive.MsgNodePartiallyUpdated, skydive.PartialUpdate{ID: "unknown", Revision: 2, Ops: []skydive.PartialOp{{Type: skydive.OpDel, Key: "A"}}})
	if ev := expect(t, s, client.EventSync, ""); ev.Graph.Nodes[0].Revision != 2 || !ev.Resync {
		t.Errorf("got %+v", ev)
	}
	f.tell(skydive.MsgNodePartiallyUpdated, skydive.PartialUpdate{ID: "n1", Revision: 3}) // has to wait its turn
	expect(t, s, client.EventSync, "")
}

func TestFilterIsChangedAndKept(t *testing.T) {
	f := newFake(t)
	s := subscribe(t, f.client(), client.SubscribeOptions{Sync: true, Filter: "G.V('a')"})
	expect(t, s, client.EventSync, "")
	if err := s.SetFilter(t.Context(), "G.V('b')"); err != nil {
		t.Fatal(err)
	}
	if ev := expect(t, s, client.EventSync, ""); ev.Resync {
		t.Error("the change of a filter is called a resync")
	}
	<-f.joined
	f.cut()
	expect(t, s, client.EventSync, "")
	if sock := <-f.joined; sock.filter != "G.V('b')" {
		t.Errorf("reconnected with filter %q", sock.filter)
	}
	if err := s.SetFilter(t.Context(), "bad"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, client.ErrBadRequest) || !strings.Contains(err.Error(), "got: bad") {
		t.Errorf("a bad filter gave %v", err)
	}
}

// Skydive answers null once a filter was reset.
func TestNullGraphIsEmpty(t *testing.T) {
	f := newFake(t)
	s := subscribe(t, f.client(), client.SubscribeOptions{})
	sock := <-f.joined
	f.set(func() { f.sendLocked(sock, &skydive.Message{Namespace: "Graph", Type: "SyncReply", Status: 200}) })
	if ev := expect(t, s, client.EventSync, ""); ev.Graph == nil || len(ev.Graph.Nodes) != 0 {
		t.Errorf("got %+v", ev)
	}
	f.set(func() { f.sendLocked(sock, &skydive.Message{Namespace: "Graph", Type: "SyncReply", Status: 400}) })
	if _, err := s.Next(t.Context()); !errors.Is(err, client.ErrBadRequest) || !strings.Contains(err.Error(), "keeps no history") {
		t.Errorf("got %v", err)
	}
}

// Skydive accepts what it refuses, and closes without a word.
func TestSilentRefusalIsAnError(t *testing.T) {
	f := newFake(t)
	f.sayBye = true
	s := subscribe(t, f.client(), client.SubscribeOptions{})
	if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "client type, protocol, filter or policy") {
		t.Errorf("got %v", err)
	}
}

func TestRefusalOnReconnectIsTheEnd(t *testing.T) {
	f := newFake(t)
	s := subscribe(t, f.client(), client.SubscribeOptions{Sync: true})
	expect(t, s, client.EventSync, "")
	f.set(func() { f.refuse = func(*http.Request) int { return 403 } })
	f.cut()
	if _, err := s.Next(t.Context()); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

func TestConflictAtFirstIsAnError(t *testing.T) {
	f := newFake(t)
	subscribe(t, f.client(), client.SubscribeOptions{HostID: "me"})
	<-f.joined
	if _, err := f.client().Subscribe(t.Context(), client.SubscribeOptions{HostID: "me"}); !errors.Is(err, client.ErrConflict) {
		t.Errorf("got %v", err)
	}
}

func TestSubscriptionEndsWithItsContext(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	s, err := f.client().Subscribe(ctx, client.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("enough")
	cancel(why)
	for _, err := range s.Events() {
		if !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
	}
	s.Close()
}

func TestBrokenMessageEndsTheSubscription(t *testing.T) {
	f := newFake(t)
	s := subscribe(t, f.client(), client.SubscribeOptions{NoReconnect: true})
	<-f.joined
	f.tell(skydive.MsgNodeAdded, map[string]any{"ID": 7})
	if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "message NodeAdded of the server") {
		t.Errorf("got %v", err)
	}
}

func TestMessageOverTheLimitEndsTheConnection(t *testing.T) {
	f := newFake(t)
	s := subscribe(t, f.client(), client.SubscribeOptions{NoReconnect: true, ReadLimit: 100})
	<-f.joined
	f.tell(skydive.MsgNodeAdded, node(strings.Repeat("x", 1000), 1))
	if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "too big") {
		t.Errorf("got %v", err)
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	c := newFake(t).client()
	for want, o := range map[string]client.SubscribeOptions{
		"update policy": {UpdatePolicy: "some"}, "protocol": {Protocol: "xml"}, "Diff needs Sync": {Diff: true},
	} {
		if _, err := c.Subscribe(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if _, err := c.Publish(t.Context(), client.PublishOptions{Persistence: "perhaps"}); err == nil {
		t.Error("a persistence policy was made up")
	}
}
