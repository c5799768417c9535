package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/skydive"
)

// fake is a server that follows the specification, with the quirks of Skydive unless weft is set.
type fake struct {
	*httptest.Server
	t    testing.TB
	weft bool
	user string // with password "secret"; no authentication when empty

	mu        sync.Mutex
	tokens    map[string]bool
	logins    int
	requests  []*http.Request
	queries   map[string]string                     // query to answer
	things    map[string]map[string]json.RawMessage // path, id
	graph     *skydive.Graph
	socks     map[*fakeSock]bool
	received  []*skydive.Message // by publishers
	refuse    func(*http.Request) int
	sayBye    bool // accept and close at once without a reason
	ignore    bool // do not read from publishers
	joined    chan *fakeSock
	rejected  int64
	pingEvery time.Duration
	handshook []http.Header
	over      chan struct{} // closed at the end of the test
}

type fakeSock struct {
	conn     *websocket.Conn
	protocol string
	path     string
	filter   string
	host     string
	ctx      context.Context
}

func newFake(t testing.TB) *fake {
	f := &fake{
		t: t, tokens: map[string]bool{}, queries: map[string]string{}, things: map[string]map[string]json.RawMessage{},
		graph: &skydive.Graph{}, socks: map[*fakeSock]bool{}, joined: make(chan *fakeSock, 100), pingEvery: 2 * time.Second,
		over: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", f.login)
	mux.HandleFunc("/ws/", f.websocket)
	mux.HandleFunc("/", f.rest)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, r.Clone(context.Background()))
		f.mu.Unlock()
		if f.weft {
			w.Header().Set(skydive.HeaderWeftVersion, "0.1.0")
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		close(f.over)
		f.mu.Lock()
		for s := range f.socks {
			_ = s.conn.CloseNow()
		}
		f.mu.Unlock()
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

// client makes a client of the server.
func (f *fake) client(change ...func(*client.Config)) *client.Client {
	cfg := client.Config{Address: f.URL}
	for _, c := range change {
		c(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

func (f *fake) login(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logins++
	if r.FormValue("username") != f.user || r.FormValue("password") != "secret" {
		http.Error(w, "Invalid credentials", http.StatusUnauthorized)
		return
	}
	token := fmt.Sprintf("token%d", f.logins)
	f.tokens[token] = true
	http.SetCookie(w, &http.Cookie{Name: "authtoken", Value: token, Path: "/"})
	_, _ = fmt.Fprintf(w, `{"Token":%q,"Permissions":[{"Object":"topology","Action":"read","Allowed":true}]}`, token)
}

// authorized looks for the token where the specification says, in that order.
func (f *fake) authorized(r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.user == "" {
		return true
	}
	if c, err := r.Cookie("authtoken"); err == nil {
		return f.tokens[c.Value]
	}
	return f.tokens[r.Header.Get("X-Auth-Token")]
}

func (f *fake) forgetTokens() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.tokens)
}

func (f *fake) lastRequest() *http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[len(f.requests)-1]
}

func (f *fake) rest(w http.ResponseWriter, r *http.Request) {
	if !f.authorized(r) {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	accept := r.Header.Get("Accept")
	f.mu.Lock()
	defer f.mu.Unlock()
	switch path := r.URL.Path; {
	case path == "/api":
		_, _ = io.WriteString(w, `{"Host":"fake","Version":"0.28.0","Service":"analyzer"}`+"\n")
	case path == "/api/status":
		_, _ = io.WriteString(w, `{"Agents":{},"Peers":{"Incomers":{},"Outgoers":{}},"Publishers":{},"Subscribers":{},"Alerts":{"IsMaster":true},"Captures":{"IsMaster":false},"Probes":{"fabric":{"Status":"running"}}}`)
	case path == "/api/config/host_id":
		_, _ = io.WriteString(w, `"fake"`)
	case path == "/api/config/flow.expire":
		_, _ = io.WriteString(w, `600.0`)
	case path == "/api/forbidden":
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	case path == "/api/topology" && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_ = json.NewEncoder(w).Encode(f.graph)
	case path == "/api/topology":
		var p skydive.TopologyParams
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil || p.GremlinQuery == "" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer, ok := f.queries[p.GremlinQuery]
		if !ok {
			http.Error(w, "Expected step function, got: Foo", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", accept+"; charset=UTF-8")
		_, _ = io.WriteString(w, answer+"\n")
	default:
		f.resource(w, r)
	}
}

// resource keeps things as the specification says, with the status codes of its code.
func (f *fake) resource(w http.ResponseWriter, r *http.Request) {
	kind, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/"), "/")
	all := f.things[kind]
	if all == nil {
		http.NotFound(w, r)
		return
	}
	title := strings.ToUpper(kind[:1]) + kind[1:]
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	switch body, _ := io.ReadAll(r.Body); {
	case id == "" && r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(all)
	case id == "" && r.Method == http.MethodPost:
		var v map[string]any
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/yaml") {
			v = map[string]any{"Name": string(body)}
		} else if err := json.Unmarshal(body, &v); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		id, _ := v["ID"].(string)
		if id == "" {
			id = fmt.Sprintf("uuid-%d", len(all))
			v["UUID"] = id
		}
		if all[id] != nil {
			http.Error(w, "duplicated resource", http.StatusConflict)
			return
		}
		all[id], _ = json.Marshal(v)
		if f.weft {
			w.WriteHeader(http.StatusOK)
		} else {
			w.WriteHeader(http.StatusCreated)
		}
		_, _ = w.Write(all[id])
	case all[id] == nil:
		http.Error(w, fmt.Sprintf("%s '%s' not found", title, id), http.StatusNotFound)
	case r.Method == http.MethodGet:
		_, _ = w.Write(all[id])
	case r.Method == http.MethodDelete:
		delete(all, id)
		w.Header().Set("Content-Type", "text/plain")
	case r.Method == http.MethodPatch:
		var patch client.Patch
		if err := json.Unmarshal(body, &patch); err != nil || len(patch) == 0 {
			http.Error(w, "updating resource with patched version: resource not updatable", http.StatusBadRequest)
			return
		}
		changed := strings.Replace(string(all[id]), `"old"`, string(patch[0].Value), 1)
		if changed == string(all[id]) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		all[id] = json.RawMessage(changed)
		_, _ = io.WriteString(w, changed)
	}
}

func (f *fake) websocket(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	refuse, bye := f.refuse, f.sayBye
	f.handshook = append(f.handshook, r.Header)
	host := r.Header.Get("X-Host-ID")
	for s := range f.socks {
		if s.host == host && s.path == r.URL.Path && refuse == nil {
			refuse = func(*http.Request) int { return http.StatusConflict }
		}
	}
	f.mu.Unlock()
	if !f.authorized(r) {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	if refuse != nil {
		if status := refuse(r); status != 0 {
			http.Error(w, "host_id conflict", status)
			return
		}
	}
	w.Header().Set("X-Host-ID", "fake")
	w.Header().Set("X-Service-Type", "analyzer")
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	conn.SetReadLimit(-1)
	if bye || r.Header.Get("X-Client-Type") == "" {
		_ = conn.Close(websocket.StatusNormalClosure, "")
		return
	}
	s := &fakeSock{
		conn: conn, protocol: r.Header.Get("X-Client-Protocol"), path: r.URL.Path, filter: r.Header.Get("X-Gremlin-Filter"),
		host: host, ctx: r.Context(),
	}
	f.mu.Lock()
	f.socks[s] = true
	f.mu.Unlock()
	f.joined <- s
	f.serve(s)
	f.mu.Lock()
	delete(f.socks, s)
	f.mu.Unlock()
	_ = conn.CloseNow()
}

func (f *fake) serve(s *fakeSock) {
	ctx, cancel := context.WithCancel(s.ctx)
	pinging := make(chan struct{})
	defer func() { cancel(); <-pinging }()
	go func() {
		defer close(pinging)
		f.ping(ctx, s)
	}()
	for {
		if f.ignoring() {
			<-f.over
			return
		}
		_, frame, err := s.conn.Read(ctx)
		if err != nil {
			return
		}
		m, err := skydive.DecodeMessage(frame, s.protocol)
		if err != nil {
			continue // ignored, as in Skydive
		}
		f.handle(s, m)
	}
}

func (f *fake) ignoring() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ignore
}

// ping pings at once and every while, and cuts a client that does not answer.
func (f *fake) ping(ctx context.Context, s *fakeSock) {
	tick := time.NewTicker(f.pingEvery)
	defer tick.Stop()
	for {
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := s.conn.Ping(wait)
		cancel()
		if err != nil && ctx.Err() == nil && !f.ignoring() {
			f.t.Logf("no pong: %v", err)
			_ = s.conn.CloseNow()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *fake) handle(s *fakeSock, m *skydive.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.path == skydive.PathPublisher {
		f.received = append(f.received, m)
	}
	switch m.Type {
	case skydive.MsgSyncRequest:
		var req skydive.SyncRequest
		_ = m.Obj.Decode(&req)
		reply := &skydive.Message{Namespace: "Graph", Type: "SyncReply", UUID: m.UUID, Status: 200}
		reply.Obj, _ = f.graph.AppendJSON(nil)
		if req.GremlinFilter != nil {
			s.filter = *req.GremlinFilter
			if s.filter == "bad" {
				reply.Status, reply.Obj = 400, skydive.RawJSON(`"Expected step function, got: bad"`)
			}
		}
		f.sendLocked(s, reply)
	case skydive.MsgFlushRequest:
		if f.weft {
			n := int64(len(f.received)) - 1 - f.rejected
			reply, _ := skydive.NewMessage("Graph", "FlushReply", m.UUID, skydive.FlushReply{Committed: n, Rejected: f.rejected})
			f.sendLocked(s, reply)
		}
	case skydive.MsgEdgeAdded:
		var e skydive.Edge
		if m.Obj.Decode(&e) == nil && e.Child == "nowhere" && f.weft {
			f.rejected++
			reply, _ := skydive.NewMessage("Graph", "Error", m.UUID, skydive.ErrorReport{Reason: "child node is not known", ID: e.ID})
			reply.Status = 400
			f.sendLocked(s, reply)
		}
	}
}

func (f *fake) sendLocked(s *fakeSock, m *skydive.Message) {
	frame, err := m.Append(nil, s.protocol)
	if err != nil {
		f.t.Error(err)
	}
	kind := websocket.MessageText
	if s.protocol == skydive.ProtocolProtobuf {
		kind = websocket.MessageBinary
	}
	if err := s.conn.Write(s.ctx, kind, frame); err != nil {
		f.t.Logf("fake: write: %v", err)
	}
}

// tell sends an event to all subscribers.
func (f *fake) tell(typ string, obj any) {
	m, err := skydive.NewMessage(skydive.NamespaceGraph, typ, "u", obj)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.socks {
		f.sendLocked(s, m)
	}
}

// set changes the server under its lock.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// cut breaks all WebSockets.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.socks {
		_ = s.conn.CloseNow()
		delete(f.socks, s)
	}
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within 15 s", what)
		case <-tick.C:
		}
	}
}

func node(id string, revision int64) *skydive.Node {
	return &skydive.Node{ID: id, Metadata: skydive.Metadata{"Name": id, "Type": "host"}, Host: "h", CreatedAt: 1, UpdatedAt: skydive.Millis(revision), Revision: revision}
}

func edge(id, parent, child string) *skydive.Edge {
	return &skydive.Edge{ID: id, Metadata: skydive.Metadata{"RelationType": "layer2"}, Host: "h", CreatedAt: 1, UpdatedAt: 1, Revision: 1, Parent: parent, Child: child}
}
