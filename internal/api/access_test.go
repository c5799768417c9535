package api_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/internal/auth"
	"github.com/weft-net/weft/skydive"
	"github.com/weft-net/weft/skydive/skydivetest"
)

// guarded is a server with the administrator ada and the guest gus; their passwords are
// their names.
func guarded(t testing.TB) *apitest.Server {
	t.Helper()
	var lines []string
	for user, role := range map[string]string{"ada": "admin", "gus": "guest"} {
		hash, err := bcrypt.GenerateFromPassword([]byte(user), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, user+":"+string(hash)+":"+role)
	}
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := auth.New(auth.Options{UsersFile: file})
	if err != nil {
		t.Fatal(err)
	}
	return apitest.Start(t, func(d *api.Deps) { d.Auth = users })
}

func logIn(t testing.TB, s *apitest.Server, user, password string) (*http.Response, skydive.LoginReply) {
	t.Helper()
	form := url.Values{"username": {user}, "password": {password}}.Encode()
	res, text := call(t, s, "POST", "/login", form, "Content-Type", "application/x-www-form-urlencoded")
	var reply skydive.LoginReply
	if res.StatusCode == 200 {
		if err := json.Unmarshal([]byte(text), &reply); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	return res, reply
}

func TestLogin(t *testing.T) {
	s := guarded(t)
	res, reply := logIn(t, s, "gus", "gus")
	if res.StatusCode != 200 || len(reply.Token) < 40 || strings.HasPrefix(res.Header.Get("Content-Type"), "text") {
		t.Fatalf("%d %+v", res.StatusCode, reply)
	}
	cookies := map[string]*http.Cookie{}
	for _, c := range res.Cookies() {
		cookies[c.Name] = c
	}
	if c := cookies["authtoken"]; c == nil || c.Value != reply.Token || c.Path != "/" || c.MaxAge <= 0 {
		t.Errorf("authtoken %+v", c)
	}
	raw, err := base64.StdEncoding.DecodeString(cookies["permissions"].Value)
	if err != nil || !strings.Contains(string(raw), `{"Object":"websocket","Action":"/ws/publisher","Allowed":false}`) {
		t.Errorf("permissions %s, %v", raw, err)
	}
	if res, _ := logIn(t, s, "gus", "wrong"); res.StatusCode != 401 {
		t.Errorf("wrong password: %d", res.StatusCode)
	}
	for range 10 {
		logIn(t, s, "gus", "wrong")
	}
	if res, _ := logIn(t, s, "gus", "gus"); res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
		t.Errorf("after many failures: %d", res.StatusCode)
	}
}

func TestLoginWithoutUsersTakesAnything(t *testing.T) {
	s := apitest.Start(t)
	if res, reply := logIn(t, s, "any", "thing"); res.StatusCode != 200 || reply.Token == "" || len(res.Cookies()) != 2 {
		t.Errorf("%d %+v", res.StatusCode, reply)
	}
	client := skydivetest.REST{Endpoint: s.Addr}
	if ok, err := client.Login(t.Context()); err != nil || !ok {
		t.Errorf("without credentials: %v, %v", ok, err)
	}
}

func TestAccess(t *testing.T) {
	s := guarded(t)
	_, admin := logIn(t, s, "ada", "ada")
	_, guest := logIn(t, s, "gus", "gus")
	for _, c := range []struct {
		method, path, body string
		nobody, guest, ada int
	}{
		{"GET", "/api", "", 401, 200, 200},
		{"GET", "/healthz", "", 200, 200, 200},
		{"GET", "/readyz", "", 200, 200, 200},
		{"GET", "/metrics", "", 401, 200, 200},
		{"GET", "/api/status", "", 401, 200, 200},
		{"GET", "/api/topology", "", 401, 200, 200},
		{"POST", "/api/topology", `{"GremlinQuery":"G"}`, 401, 200, 200},
		{"GET", "/api/config/host", "", 401, 405, 200},
		{"GET", "/api/node", "", 401, 405, 200},
		{"POST", "/api/node", aNode, 401, 405, 200},
		{"DELETE", "/api/node/n1", "", 401, 405, 200},
		{"GET", "/api/noderule", "", 401, 405, 200},
	} {
		for _, as := range []struct {
			token  string
			status int
		}{{"", c.nobody}, {guest.Token, c.guest}, {admin.Token, c.ada}} {
			expect(t, s, as.status, c.method, c.path, c.body, "X-Auth-Token", as.token)
		}
	}
	if text := expect(t, s, 405, "GET", "/api/node", "", "X-Auth-Token", guest.Token); !strings.Contains(text, `user "gus" (guest) may not read node`) {
		t.Errorf("got %s", text)
	}
	for _, c := range []struct {
		path, token string
		status      int
	}{
		{"/ws/subscriber", "", 401},
		{"/ws/subscriber", guest.Token, 101},
		{"/ws/publisher", guest.Token, 403},
		{"/ws/pubsub", guest.Token, 403},
		{"/ws/publisher", admin.Token, 101},
	} {
		_, res, _ := tryDial(t, s, c.path, "X-Auth-Token", c.token, "X-Host-ID", c.path)
		if res == nil || res.StatusCode != c.status {
			t.Errorf("%s: %v, want %d", c.path, res, c.status)
		}
		if c.status == 101 && res != nil && !strings.Contains(strings.Join(res.Header.Values("Set-Cookie"), ";"), "permissions=") {
			t.Errorf("%s sets no permissions", c.path)
		}
	}
}

func TestGuestsReadFlowsButNotPackets(t *testing.T) {
	s := guarded(t)
	_, admin := logIn(t, s, "ada", "ada")
	_, guest := logIn(t, s, "gus", "gus")
	for _, c := range []struct {
		query      string
		guest, ada int
	}{
		{"G.Flows()", 200, 200},
		{"G.Flows().Metrics()", 200, 200},
		{"G.Flows().RawPackets()", 403, 200},
		{"G.Flows().RawPackets().BPF('tcp')", 403, 200},
		{"G.V().Flows().RawPackets().BPF('tcp[20] = 65').Count()", 403, 200},
		{"G.At('-1m').Flows().rawpackets()", 403, 400},
	} {
		body := `{"GremlinQuery":"` + c.query + `"}`
		text := expect(t, s, c.guest, "POST", "/api/topology", body, "X-Auth-Token", guest.Token)
		if c.guest == 403 && text != "RawPackets shows what is in packets, which the role guest may not read: ask for the role admin\n" {
			t.Errorf("%s: %s", c.query, text)
		}
		expect(t, s, c.ada, "POST", "/api/topology", body, "X-Auth-Token", admin.Token)
	}
}

// TestEveryRouteHasAnAccessRule keeps a new endpoint from being open by accident.
func TestEveryRouteHasAnAccessRule(t *testing.T) {
	s := guarded(t)
	doc := parse(t, func() string {
		_, admin := logIn(t, s, "ada", "ada")
		return expect(t, s, 200, "GET", "/api/openapi.json", "", "X-Auth-Token", admin.Token)
	}())
	open := map[string]bool{"/login": true, "/healthz": true, "/readyz": true}
	for path, methods := range doc["paths"].(map[string]any) {
		for method := range methods.(map[string]any) {
			if open[path] {
				continue
			}
			target := strings.NewReplacer("{id}", "x", "{key}", "x").Replace(path)
			expect(t, s, 401, strings.ToUpper(method), target, "")
		}
	}
}
