package main

import (
	"context"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-net/weft/gremlin"
)

// ask runs the program against a server and gives what it says.
func ask(t *testing.T, env []string, args ...string) (code int, out, side string) {
	t.Helper()
	var o, e strings.Builder
	sh := &shell{in: strings.NewReader(""), out: &o, err: &e, env: env}
	code = runWeft(context.Background(), sh, args...)
	return code, o.String(), e.String()
}

// answering is a server that answers everything alike.
func answering(t *testing.T, status int, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// What goes wrong has its exit code, and a text that says what to do.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		args   []string
		code   int
		side   string
	}{
		{"fine", 200, "42\n", []string{"query", "G.V().Count()"}, exitOK, ""},
		{"bad query", 400, "line 1, column 5: Foo", []string{"query", "G.Foo()"}, exitUsage, "weft query: line 1, column 5: Foo\n"},
		{"query over its deadline", 504, "query took over 30s", []string{"query", "G"}, exitFailed, "weft query: query took over 30s\n"},
		{"no graph to draw", 406, "only a graph can be drawn", []string{"query", "G.V()", "--format", "dot"}, exitUsage, "weft query: only a graph can be drawn\n"},
		{"unknown user", 401, "who?", []string{"query", "G"}, exitRefused, "does not know this user: give --username and --password"},
		{"Skydive's refusal", 405, "", []string{"dump"}, exitRefused, "does not allow this user to do that"},
		{"refusal", 403, "", []string{"node", "delete", "x"}, exitRefused, "does not allow this user"},
		{"not there", 404, "Node 'x' not found", []string{"node", "get", "x"}, exitNotFound, "weft node get: Node 'x' not found\n"},
		{"not ready", 503, "starting", []string{"status"}, exitUnreachable, "is not ready: try again"},
		{"not there, without a reason", 404, "", []string{"node", "get", "x"}, exitNotFound, "weft node get: GET /api/node/x: 404 Not Found\n"},
		{"conflict", 409, "duplicated resource", []string{"edgerule", "create", "--src", "G.V()", "--dst", "G.V()"}, exitFailed, "duplicated resource"},
		{"no plan", 200, "[]", []string{"query", "G.V()", "--explain"}, exitFailed, "only weft's analyzers can explain"},
		{"no JSON", 200, "<html>", []string{"query", "G.V()"}, exitFailed, `answer of the analyzer is no JSON: is there another program at that address? It begins "<html>"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, side := ask(t, []string{"WEFT_ANALYZER=" + answering(t, c.status, c.body)}, c.args...)
			if code != c.code || !strings.Contains(side, c.side) {
				t.Errorf("exit code %d, want %d; said:\n%swant in it:\n%s", code, c.code, side, c.side)
			}
			if c.code != exitOK && c.status != 200 && out != "" {
				t.Errorf("an answer on standard output: %q", out)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	at := closedPort(t)
	for _, args := range [][]string{
		{"query", "G"},
		{"dump"},
		{"status"},
		{"node", "list"},
		{"listen"},
		{"add", os.DevNull},
		{"edge", "create", "--parent", "a", "--child", "b", "--relation", "x"},
	} {
		code, _, side := ask(t, nil, append(args, "--analyzer", at)...)
		want := "analyzer " + at + " does not answer: start one with 'weft allinone', or name another with --analyzer"
		if code != exitUnreachable || !strings.Contains(side, want) {
			t.Errorf("%v: exit code %d, said %q", args, code, side)
		}
	}
	code, _, side := ask(t, nil, "query", "G", "--analyzer", "no-such-host.invalid:1")
	if code != exitUnreachable || !strings.Contains(side, "analyzer no-such-host.invalid:1") {
		t.Errorf("unknown host: exit code %d, said %q", code, side)
	}
	code, _, side = ask(t, nil, "query", "G", "--analyzer", "ftp://x")
	if code != exitUsage || !strings.Contains(side, "neither http nor https") {
		t.Errorf("unknown scheme: exit code %d, said %q", code, side)
	}
}

// Flags go over WEFT_…, and that over SKYDIVE_…, each on its own.
func TestWhereTheAnalyzerIsNamed(t *testing.T) {
	one, two, three := answering(t, 200, "1"), answering(t, 200, "2"), answering(t, 200, "3")
	for _, c := range []struct {
		env  []string
		args []string
		want string
	}{
		{[]string{"SKYDIVE_ANALYZER=" + one}, nil, "1\n"},
		{[]string{"SKYDIVE_ANALYZER=" + one, "WEFT_ANALYZER=" + two}, nil, "2\n"},
		{[]string{"SKYDIVE_ANALYZER=" + one, "WEFT_ANALYZER="}, nil, "1\n"},
		{[]string{"SKYDIVE_ANALYZER=" + one, "WEFT_ANALYZER=" + two}, []string{"--analyzer", three}, "3\n"},
		{[]string{"WEFT_ANALYZER=" + two}, []string{"--analyzer", "http://" + three}, "3\n"},
	} {
		code, out, side := ask(t, c.env, append([]string{"query", "G.V().Count()"}, c.args...)...)
		if code != exitOK || out != c.want {
			t.Errorf("%v %v: %d %q %s, want %q", c.env, c.args, code, out, side, c.want)
		}
	}
}

func TestCredentialsAreSentToLogin(t *testing.T) {
	for _, env := range [][]string{
		{"WEFT_USERNAME=alice", "WEFT_PASSWORD=secret"},
		{"SKYDIVE_USERNAME=alice", "SKYDIVE_PASSWORD=secret"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/login" && r.FormValue("username") == "alice" && r.FormValue("password") == "secret":
				_, _ = w.Write([]byte(`{"Token":"t0","Permissions":[]}`))
			case r.Header.Get("X-Auth-Token") == "t0":
				_, _ = w.Write([]byte("7"))
			default:
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		defer s.Close()
		if code, out, side := ask(t, env, "query", "G.V().Count()", "--analyzer", s.URL); code != exitOK || out != "7\n" {
			t.Errorf("%v: %d %q %s", env, code, out, side)
		}
		if code, _, side := ask(t, env, "query", "G", "--analyzer", s.URL, "--password", "wrong"); code != exitRefused {
			t.Errorf("wrong password: exit code %d: %s", code, side)
		}
	}
}

func TestCertificates(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("5")) }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // it logs the handshakes that are meant to fail
	s.StartTLS()
	defer s.Close()
	at := strings.TrimPrefix(s.URL, "https://")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		side string
	}{
		{"known authority", []string{"--analyzer", at, "--cacert", ca}, exitOK, ""},
		{"any", []string{"--analyzer", at, "--insecure"}, exitOK, ""},
		{"unknown authority", []string{"--analyzer", s.URL}, exitUnreachable, "shows a certificate that is not trusted: name its authority with --cacert"},
		{"half a pair", []string{"--analyzer", at, "--cert", ca}, exitUsage, "--cert and --key: give both"},
		{"no certificate in it", []string{"--analyzer", at, "--cacert", os.DevNull}, exitFailed, "no certificate in PEM form"},
		{"no TLS there", []string{"--analyzer", answering(t, 200, "5"), "--insecure"}, exitUnreachable, "does not speak TLS"},
	} {
		code, out, side := ask(t, nil, append([]string{"query", "G.V().Count()"}, c.args...)...)
		if code != c.code || !strings.Contains(side, c.side) || code == exitOK && out != "5\n" {
			t.Errorf("%s: exit code %d, want %d: %s%s", c.name, code, c.code, out, side)
		}
	}
}

// A dump that breaks off leaves no file, and the old one as it was.
func TestBrokenDumpLeavesNoFile(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Nodes":[`))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer s.Close()
	dir := t.TempDir()
	old := filepath.Join(dir, "dump.json")
	if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, side := ask(t, nil, "dump", old, "--analyzer", s.URL); code != exitUnreachable {
		t.Errorf("exit code %d: %s", code, side)
	}
	if data, err := os.ReadFile(old); err != nil || string(data) != "old" {
		t.Errorf("the old dump is now %q, %v", data, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestGremlinString(t *testing.T) {
	for _, text := range []string{"n1", `it's`, `back\slash`, "line\nend", `"`, `\'`} {
		q, err := gremlin.Parse("G.V(" + gremlinString(text) + ")")
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		again, err := gremlin.Parse(q.String())
		if err != nil || again.String() != q.String() || !strings.Contains(q.String(), gremlinString(text)) {
			t.Errorf("%q is %s in the query %s", text, gremlinString(text), q)
		}
	}
}
