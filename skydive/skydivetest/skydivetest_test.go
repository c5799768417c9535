package skydivetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/skydive/skydivetest"
)

func TestPythonJSONLooksLikePython(t *testing.T) {
	got := string(skydivetest.PythonJSON(skydivetest.Object{
		"s": "é😀\n\"\\\x01", "l": []any{1, int64(2), 1.0, 2.5, nil, true}, "o": skydivetest.Object{}, "e": struct{ A []string }{[]string{"x"}},
	}))
	const want = `{"e": {"A": ["x"]}, "l": [1, 2, 1.0, 2.5, null, true], "o": {}, "s": "\u00e9\ud83d\ude00\n\"\\\u0001"}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// request is what the server below saw.
type request struct {
	method, path, contentType, accept, cookie, body string
}

// answering serves the answers in order and records the requests.
func answering(t *testing.T, answers ...func(http.ResponseWriter)) (*skydivetest.REST, *[]request) {
	var seen []request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, request{r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header.Get("Cookie"), string(body)})
		answers[0](w)
		answers = answers[1:]
	}))
	t.Cleanup(s.Close)
	return &skydivetest.REST{Endpoint: strings.TrimPrefix(s.URL, "http://"), HTTP: s.Client()}, &seen
}

func answer(status int, contentType, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestRESTSendsWhatPythonSends(t *testing.T) {
	login := func(w http.ResponseWriter) {
		http.SetCookie(w, &http.Cookie{Name: "authtoken", Value: "T0", Path: "/"})
	}
	r, seen := answering(t, login, answer(200, "application/json; charset=UTF-8", `[{"ID":"n1","Host":"h"}]`))
	r.Username, r.Password = "admin", "p&w"
	nodes, err := r.LookupNodes(t.Context(), "G.V()")
	if err != nil || len(nodes) != 1 || nodes[0]["ID"] != "n1" {
		t.Fatalf("got %v, %v", nodes, err)
	}
	want := []request{
		{"POST", "/login", "application/x-www-form-urlencoded", "", "", "password=p%26w&username=admin"},
		{"POST", "/api/topology", "application/json", "application/json", "authtoken=T0", `{"GremlinQuery": "G.V()"}`},
	}
	for i, w := range want {
		if (*seen)[i] != w {
			t.Errorf("request %d\ngot  %+v\nwant %+v", i, (*seen)[i], w)
		}
	}
	if r.Cookie() != "authtoken=T0" {
		t.Errorf("cookie is %q", r.Cookie())
	}
}

func TestRESTDemandsWhatPythonDemands(t *testing.T) {
	ctx := t.Context()
	r, _ := answering(t,
		answer(304, "text/plain", ""),
		answer(200, "text/plain", `[]`),
		answer(200, "application/json", `[{"ID":"n1"}]`),
		answer(200, "application/json", `{"UUID":"a1","Expression":"G"}`),
		answer(200, "text/plain", ""),
		answer(200, "application/json", `{"c1":{"UUID":"c1","GremlinQuery":"G"}}`),
		answer(405, "text/plain", "no\n"),
	)
	var bad *skydivetest.BadRequest
	if _, err := r.Update(ctx, "node", "n1", []skydivetest.Object{{"op": "test"}}); !errors.As(err, &bad) || bad.Status != 304 {
		t.Errorf("304: got %v", err)
	}
	if _, err := r.LookupNodes(ctx, "G.V()"); err == nil || !strings.Contains(err.Error(), "TypeError") {
		t.Errorf("text/plain was parsed: %v", err)
	}
	if _, err := r.LookupNodes(ctx, "G.V()"); !errors.Is(err, skydivetest.KeyError("Host")) {
		t.Errorf("a node without Host: got %v", err)
	}
	if _, err := r.Create(ctx, "alert", skydivetest.Object{"Action": ""}); !errors.Is(err, skydivetest.KeyError("Action")) {
		t.Errorf("an alert without Action: got %v", err)
	}
	if _, err := r.Delete(ctx, "capture", "c1"); err != nil {
		t.Errorf("delete: %v", err)
	}
	if list, err := r.List(ctx, "capture"); err != nil || list["c1"]["UUID"] != "c1" {
		t.Errorf("list: got %v, %v", list, err)
	}
	if _, err := r.List(ctx, "capture"); !errors.As(err, &bad) || bad.Body != "no\n" {
		t.Errorf("405: got %v", err)
	}
}

func TestSendFileSendsAndLeaves(t *testing.T) {
	type frame struct{ namespace, typ, uuid, id string }
	frames := make(chan frame, 10)
	headers := make(chan http.Header, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer close(frames)
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil {
				if websocket.CloseStatus(err) != -1 {
					t.Errorf("the tool said good-bye: %v", err)
				}
				return
			}
			if kind != websocket.MessageText || !strings.Contains(string(data), `", "`) {
				t.Errorf("frame %v %s", kind, data)
			}
			var m struct {
				Namespace, Type, UUID string
				Obj                   struct{ ID string }
			}
			if err := json.Unmarshal(data, &m); err != nil {
				t.Error(err)
			}
			frames <- frame{m.Namespace, m.Type, m.UUID, m.Obj.ID}
		}
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "dump.json")
	if err := os.WriteFile(file, []byte(`{"Nodes":[{"ID":"n1"}],"Edges":[{"ID":"e1"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	endpoint := "ws" + strings.TrimPrefix(s.URL, "http") + "/ws/publisher"
	if err := skydivetest.SendFile(ctx, endpoint, skydivetest.WSOptions{Cookies: []string{"authtoken=x", "a=b"}}, skydivetest.ModeAdd, file); err != nil {
		t.Fatal(err)
	}
	h := <-headers
	for name, want := range map[string]string{
		"X-Host-Id": "Test", "X-Client-Type": "skydive-python-client", "X-Client-Protocol": "json",
		"X-Persistence-Policy": "Persistent", "Cookie": "authtoken=x;a=b", "X-Gremlin-Filter": "", "Origin": "",
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	}
	var got []string
	for f := range frames {
		if f.namespace != "Graph" || len(f.uuid) != 32 || strings.Contains(f.uuid, "-") {
			t.Errorf("frame %+v", f)
		}
		got = append(got, f.typ+" "+f.id)
	}
	if strings.Join(got, ", ") != "NodeAdded n1, EdgeAdded e1" {
		t.Errorf("got %v", got)
	}
}

func TestRefusalIsReported(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "host_id conflict", http.StatusConflict)
	}))
	defer s.Close()
	_, err := skydivetest.DialWS(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http"), skydivetest.WSOptions{})
	var refused *skydivetest.Refused
	if !errors.As(err, &refused) || refused.Status != 409 || refused.Body != "host_id conflict\n" {
		t.Errorf("got %v", err)
	}
}
