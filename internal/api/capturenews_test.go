package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/skydive"
)

// fate is what became of captures, as a test wants it.
type fate struct {
	mu   sync.Mutex
	list []api.CaptureInfo
}

func (f *fate) set(list ...api.CaptureInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = list
}

func (f *fate) captures() []api.CaptureInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list
}

// fares is a capture that is in a state on each of some nodes, each "node:state" or "node:state:error".
func fares(id string, nodes ...string) api.CaptureInfo {
	info := api.CaptureInfo{ID: id}
	for _, text := range nodes {
		part := strings.SplitN(text+"::", ":", 4)
		info.Nodes = append(info.Nodes, api.CaptureNode{ID: part[0], Host: "h1", Name: part[0], State: part[1], Error: part[2]})
		if part[1] == "active" {
			info.Active++
		}
	}
	return info
}

// captureNews gives what a message says of a capture: type, id, count, and the nodes with their states.
func captureNews(t *testing.T, m *skydive.Message) string {
	t.Helper()
	var state skydive.CaptureState
	if err := json.Unmarshal(m.Obj, &state); err != nil {
		t.Fatalf("%v in %s", err, m.Obj)
	}
	text := fmt.Sprint(m.Type, " ", state.UUID, " ", state.Count)
	for _, n := range state.Nodes {
		text += " " + n.ID + ":" + n.State
		if n.Error != "" {
			text += ":" + n.Error
		}
	}
	return text
}

func withFate(t *testing.T, change ...func(*api.Deps)) (*apitest.Server, *fate) {
	f := new(fate)
	return apitest.Start(t, append(change, func(d *api.Deps) { d.Captures = f.captures })...), f
}

const notify = "OnDemandCaptureNotification"

func TestSubscribersAreToldOfCaptures(t *testing.T) {
	for _, c := range []struct{ name, path, protocol string }{
		{"subscriber", "/ws/subscriber", "json"},
		{"protobuf", "/ws/subscriber", "protobuf"},
		{"pubsub", "/ws/pubsub", "json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := withFate(t)
			w := dial(t, s, c.path, "X-Websocket-Namespace", notify, "X-Client-Protocol", c.protocol)
			both := dial(t, s, c.path, "X-Host-ID", "both", "X-Client-Protocol", c.protocol)
			told := func(want string) {
				t.Helper()
				for _, client := range []*wire{w, both} {
					m := client.next()
					if got := captureNews(t, m); got != want || m.Namespace != notify || m.Status != 200 || len(m.UUID) != 36 {
						t.Errorf("got %s in %s, want %s", got, m.Namespace, want)
					}
				}
			}
			expect(t, s, 200, "POST", "/api/capture", `{"UUID":"c1","Name":"n","GremlinQuery":"G.V().Has('Name','eth0')"}`)
			told("Added c1 0")
			f.set(fares("c1", "a:waiting:the agent has not begun yet", "b:active"))
			told("NodeUpdated c1 1 b:active")
			f.set(fares("c1", "a:active", "b:active"))
			told("NodeUpdated c1 2 a:active")
			// One begins where another ends: the count stays.
			f.set(fares("c1", "a:failed:gone", "b:active", "c:active"))
			told("NodeUpdated c1 2 a:failed:gone c:active")
			// The query finds one node less.
			f.set(fares("c1", "a:failed:gone", "c:active"))
			told("NodeUpdated c1 1 b:ended")
			expect(t, s, 200, "DELETE", "/api/capture/c1", "")
			told("Deleted c1 0")
			if n := len(w.messages); n != 0 {
				t.Errorf("%d messages more", n)
			}
		})
	}
}

// A Skydive client reads the capture out of each message.
func TestNewsOfACaptureIsTheCapture(t *testing.T) {
	s, f := withFate(t)
	w := dial(t, s, "/ws/subscriber", "X-Websocket-Namespace", notify)
	made := expect(t, s, 200, "POST", "/api/capture", `{"UUID":"c1","Name":"n","GremlinQuery":"G.V().Has('Name','eth0')","RawPacketLimit":9}`)
	if m := w.next("Added"); string(m.Obj) != made {
		t.Errorf("added %s, want %s", m.Obj, made)
	}
	f.set(fares("c1", "a:active"))
	want := strings.TrimSuffix(strings.Replace(made, `"Count":0`, `"Count":1`, 1), "}") + `,"Nodes":[{"ID":"a","Host":"h1","Name":"a",`
	if m := w.next("NodeUpdated"); !strings.HasPrefix(string(m.Obj), want) {
		t.Errorf("updated %s, want %s…", m.Obj, want)
	}
}

func TestWhatWasThereIsNoNews(t *testing.T) {
	store := new(apitest.Store)
	if err := store.Create(t.Context(), api.KindCapture, "c1", []byte(`{"UUID":"c1","GremlinQuery":"G.V()"}`), 0); err != nil {
		t.Fatal(err)
	}
	s, f := withFate(t, func(d *api.Deps) { d.Store = store })
	f.set(fares("c1", "a:active"))
	w := dial(t, s, "/ws/subscriber", "X-Websocket-Namespace", notify)
	expect(t, s, 200, "POST", "/api/capture", `{"UUID":"c2","GremlinQuery":"G.V().Has('Name','eth0')"}`)
	if got := captureNews(t, w.next()); got != "Added c2 0" {
		t.Errorf("first %s", got)
	}
	f.set(fares("c1", "a:active"), fares("c2", "a:active"))
	if got := captureNews(t, w.next()); got != "NodeUpdated c2 1 a:active" {
		t.Errorf("then %s", got)
	}
	f.set(fares("c1", "a:failed:x"), fares("c2", "a:active"))
	if got := captureNews(t, w.next()); got != "NodeUpdated c1 0 a:failed:x" {
		t.Errorf("then %s", got)
	}
}

// A guest may not list captures, and does not learn of them in another way.
func TestGuestsAreNotToldOfCaptures(t *testing.T) {
	s := guarded(t)
	_, guest := logIn(t, s, "gus", "gus")
	_, admin := logIn(t, s, "ada", "ada")
	g := dial(t, s, "/ws/subscriber", "X-Host-ID", "g", "X-Auth-Token", guest.Token)
	a := dial(t, s, "/ws/subscriber", "X-Host-ID", "a", "X-Auth-Token", admin.Token)
	expect(t, s, 200, "POST", "/api/capture", onEth0, "X-Auth-Token", admin.Token)
	a.next("Added")
	pair(t, s)
	if m := g.next(); m.Namespace != "Graph" {
		t.Errorf("a guest got %+v", m)
	}
}

// Who does not read misses news, and nobody else does.
func TestSlowClientsMissNewsOfCaptures(t *testing.T) {
	s, f := withFate(t, func(d *api.Deps) { d.Limits.QueueBytes, d.Limits.PongTimeout = 1<<20, time.Minute })
	silentAt(t, s, "/ws/subscriber", "json")
	fast := dial(t, s, "/ws/subscriber", "X-Websocket-Namespace", notify)
	expect(t, s, 200, "POST", "/api/capture", `{"UUID":"c1","GremlinQuery":"G.V()"}`)
	fast.next("Added")
	var states [2]api.CaptureInfo
	for i, state := range []string{":active", ":failed"} {
		nodes := make([]string, 2_000)
		for n := range nodes {
			nodes[n] = fmt.Sprint("n", n, state)
		}
		states[i] = fares("c1", nodes...)
	}
	for i := 0; metric(t, s, `weft_websocket_dropped_total{cause="capture notification"}`) == 0; i++ {
		if i == 50 {
			t.Fatal("nothing was dropped")
		}
		f.set(states[i%2])
		fast.next("NodeUpdated")
	}
}
