package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/skydive"
)

// crowd fills a graph with devices.
func crowd(t testing.TB, s *apitest.Server, n int) {
	t.Helper()
	var events []graph.Event
	for i := range n {
		events = append(events, apitest.Node(fmt.Sprint("n", i), fmt.Sprint("name-", i), "device"))
	}
	s.Apply(t, "probe", events...)
}

// mute is a WebSocket client that reads only when it is told to.
func mute(t testing.TB, s *apitest.Server, path string, header http.Header) *websocket.Conn {
	t.Helper()
	header.Set("X-Client-Type", "test")
	conn, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http")+path, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

func TestSyncRequestsOfAClientThatDoesNotReadHurtNobody(t *testing.T) {
	const filter = "G.V().Has('Type','device').SubGraph()"
	for _, c := range []struct{ name, path, filter, obj string }{
		{"incremental", "/ws/subscriber", filter, "{}"},
		{"evaluated again", "/ws/subscriber", "G.V().Has('Type','device').Dedup('@ID').SubGraph()", "{}"},
		{"everything", "/ws/subscriber", "", "{}"},
		{"past", "/ws/subscriber", filter, `{"Time":32503680000000}`},
		{"pubsub", "/ws/pubsub", filter, "{}"},
		{"publisher", "/ws/publisher", "", "{}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Who does not read answers no pings, and this one is meant to stay.
			s := apitest.Start(t, func(d *api.Deps) { d.Limits.PongTimeout = time.Minute })
			crowd(t, s, 20_000)
			conn := mute(t, s, c.path, http.Header{"X-Gremlin-Filter": {c.filter}})
			const flood = 2000
			for i := range flood {
				m := skydive.Message{Namespace: "Graph", Type: "SyncRequest", UUID: fmt.Sprint(i), Status: 200, Obj: []byte(c.obj)}
				text, err := m.AppendJSON(nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := conn.Write(t.Context(), websocket.MessageText, text); err != nil {
					t.Fatal(err)
				}
			}
			other := synced(t, s, "X-Host-ID", "other", "X-Gremlin-Filter", "G.V().Has('Type','late').SubGraph()")
			s.Apply(t, "probe", apitest.Node("late", "late", "late"))
			other.next("NodeAdded")

			// Every request has an answer.
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			answered := map[string]int{}
			states := 0
			for len(answered) < flood {
				_, data, err := conn.Read(ctx)
				if err != nil {
					t.Fatalf("after %d answers: %v", len(answered), err)
				}
				var m skydive.Message
				if err := m.UnmarshalJSON(data); err != nil {
					t.Fatal(err)
				}
				if m.Type != "SyncReply" {
					continue
				}
				if _, twice := answered[m.UUID]; twice {
					t.Errorf("two answers to %s", m.UUID)
				}
				answered[m.UUID] = m.Status
				switch m.Status {
				case 200:
					states++
				case 429:
					if !strings.Contains(string(m.Obj), "wait for their answers") {
						t.Errorf("refused with %s", m.Obj)
					}
				default:
					t.Errorf("status %d %s", m.Status, m.Obj)
				}
			}
			if states == 0 || states == flood {
				t.Errorf("%d of %d answered with the state", states, flood)
			}
		})
	}
}

func TestEveryChangeOfTheFilterIsAnswered(t *testing.T) {
	s := apitest.Start(t)
	crowd(t, s, 1000)
	w := dial(t, s, "/ws/subscriber", "X-Host-ID", "s1")
	for i := range 50 {
		for _, name := range []string{"a", "b"} {
			w.say("SyncRequest", fmt.Sprint(name, i), fmt.Sprintf(`{"GremlinFilter":"G.V().Has('Name','%s%d').SubGraph()"}`, name, i))
		}
		for range 2 {
			if m := w.next("SyncReply"); m.Status != 200 {
				t.Fatalf("%s: %d %s", m.UUID, m.Status, m.Obj)
			}
		}
	}
}

func TestSyncRequestDuringTheFirstCommit(t *testing.T) {
	for i := range 20 {
		s := apitest.Start(t)
		w := dial(t, s, "/ws/subscriber", "X-Host-ID", "s1", "X-Gremlin-Filter", "G.V().Has('Type','device').SubGraph()")
		applied := make(chan struct{})
		go func() {
			defer close(applied)
			_, _ = s.Graph.Apply(&graph.Batch{Origin: "probe", Events: []graph.Event{apitest.Node("n", "n", "device")}})
		}()
		w.say("SyncRequest", "now", "{}")
		w.say("SyncRequest", "again", `{"GremlinFilter":"G.V().Has('Type','device').Dedup('@ID').SubGraph()"}`)
		for range 2 {
			if m := w.next("SyncReply"); m.Status != 200 {
				t.Fatalf("round %d: %d %s", i, m.Status, m.Obj)
			}
		}
		<-applied
	}
}
