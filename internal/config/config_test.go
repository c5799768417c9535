package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// load reads one file and environment as a process of user 0 at host "h1" would.
func load(t *testing.T, file string, env []string, flags map[string]any) (Config, []string, error) {
	t.Helper()
	src := Sources{Env: append([]string{"WEFT_HOST=h1", "WEFT_DATA_DIR=memory"}, env...), Flags: flags}
	if file != "" {
		src.File = filepath.Join(t.TempDir(), "weft.yaml")
		if err := os.WriteFile(src.File, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, warnings, err := Load(src)
	if err != nil && src.File != "" {
		// The directory's name differs from run to run.
		err = errors.New(strings.ReplaceAll(err.Error(), filepath.Dir(src.File)+"/", ""))
	}
	return cfg, warnings, err
}

func TestDefaultsAreValid(t *testing.T) {
	cfg, warnings, err := load(t, "", nil, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	want := Default()
	want.Host, want.DataDir = "h1", Memory
	if diff := cmp.Diff(want, cfg); diff != "" {
		t.Errorf("no source given, but the defaults changed (-want +got):\n%s", diff)
	}
}

func TestLaterSourcesWin(t *testing.T) {
	file := `
listen: 127.0.0.1:1
graph: {window: 10m, window-bytes: 64MiB}
query:
  deadline: 3s
log.level: warn
`
	env := []string{"WEFT_QUERY_DEADLINE=4s", "WEFT_LISTEN=127.0.0.1:2", "PATH=/bin", "WEFT_HOST=", "WEFT_GRAPH_WINDOW="}
	cfg, _, err := load(t, file, env, map[string]any{"listen": "127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"only in the file", cfg.Graph.Window, 10 * time.Minute},
		{"a size in the file", cfg.Graph.WindowBytes, 64 * MiB},
		{"a dotted key in the file", cfg.Log.Level, "warn"},
		{"environment over file", cfg.Query.Deadline, 4 * time.Second},
		{"flag over environment", cfg.Listen, "127.0.0.1:3"},
		{"an empty variable is none", cfg.Host, "h1"},
		{"untouched", cfg.Query.MaxResults, 1_000_000},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}

func TestListsReplaceTheDefault(t *testing.T) {
	cfg, _, err := load(t, "probes: {linux: {netns-dirs: [/a]}}", []string{"WEFT_PROBES_ENABLED=linux, ovs"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/a"}, cfg.Probes.Linux.NetnsDirs); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"linux", "ovs"}, cfg.Probes.Enabled); diff != "" {
		t.Error(diff)
	}
}

// Each wrong setting is answered with its key, its place and what to do.
func TestErrorsNamePlaceAndRemedy(t *testing.T) {
	for _, c := range []struct {
		name, file string
		env        []string
		flags      map[string]any
		want       string
	}{
		{
			name: "unknown key", file: "graph:\n  windw: 1h\n",
			want: "setting graph.windw (weft.yaml line 2): unknown setting; the nearest known one is graph.window",
		},
		{
			name: "unknown section", file: "\n\ngrahp:\n  window: 1h\n",
			want: "setting grahp (weft.yaml line 3): unknown setting; the nearest known one is graph",
		},
		{
			name: "two unknown keys", file: "a: 1\nlisten_: x\n",
			want: "setting a (weft.yaml line 1): unknown setting; the nearest known one is api\nsetting listen_ (weft.yaml line 2): unknown setting; the nearest known one is listen",
		},
		{
			name: "value where a section is", file: "graph: 1h\n",
			want: "setting graph (weft.yaml line 1): settings expected below it, as in 'key: value'",
		},
		{
			name: "section where a value is", file: "listen: {host: a}\n",
			want: "setting listen (weft.yaml line 1): not a single value map[host:a]",
		},
		{
			name: "list where a value is", file: "listen: [a, b]\n",
			want: "setting listen (weft.yaml line 1): not a single value [a b]",
		},
		{
			name: "duration without unit", file: "graph: {window: 30}\n",
			want: `setting graph.window (weft.yaml line 1): duration "30" without a unit: write 30s for seconds`,
		},
		{
			name: "duration in words", env: []string{"WEFT_GRAPH_WINDOW=an hour"},
			want: `setting graph.window (WEFT_GRAPH_WINDOW): not a duration "an hour": write it as 30s, 5m or 1h30m`,
		},
		{
			name: "size", env: []string{"WEFT_GRAPH_WINDOW_BYTES=many"},
			want: `setting graph.window-bytes (WEFT_GRAPH_WINDOW_BYTES): not a size "many": write it as 64MiB or 1GB`,
		},
		{
			name: "number", file: "query: {max-results: 1.5}",
			want: `setting query.max-results (weft.yaml line 1): not a whole number "1.5"`,
		},
		{
			name: "bool", env: []string{"WEFT_NO_AUTH=maybe"},
			want: `setting no-auth (WEFT_NO_AUTH): neither true nor false "maybe"`,
		},
		{
			name: "list of lists", file: "api:\n  hosts: [[a]]\n",
			want: `setting api.hosts (weft.yaml line 2): not a list of texts: it holds [a]`,
		},
		{
			name: "listen without port", flags: map[string]any{"listen": "localhost"},
			want: `setting listen (--listen): "localhost": missing port in address: write it as HOST:PORT, for example 127.0.0.1:8082`,
		},
		{
			name: "listen to all without users", file: "listen: :8082",
			want: `setting listen (weft.yaml line 1): ":8082" is not loopback and there are no users: add one with 'weft user add NAME', or serve everyone with --no-auth`,
		},
		{
			name: "port out of range", flags: map[string]any{"listen": "localhost:70000"},
			want: `setting listen (--listen): "localhost:70000": port "70000" is not between 0 and 65535: write it as HOST:PORT, for example 127.0.0.1:8082`,
		},
		{
			name: "bus off loopback", flags: map[string]any{"nats.listen": "0.0.0.0:4222"},
			want: `setting nats.listen (--nats-listen): "0.0.0.0:4222" is not loopback and no agent has credentials: name a file of HOST:PASSWORD lines in nats.credentials`,
		},
		{
			name: "bus twice", flags: map[string]any{"nats.listen": "127.0.0.1:4222", "nats.url": "nats://u:secret@h:4222"},
			want: `setting nats.listen (--nats-listen): "127.0.0.1:4222", but nats.url "nats://u:xxxxx@h:4222" names another NATS: set one of them`,
		},
		{
			name: "bus URL", file: "nats: {url: 'h:4222'}",
			want: `setting nats.url (weft.yaml line 1): "h:4222" is no NATS address: write it as nats://HOST:4222 or tls://HOST:4222`,
		},
		{
			name: "password alone", file: "nats: {password: p}",
			want: `setting nats.user: empty, but nats.password is set: give both`,
		},
		{
			name: "half a certificate", file: "tls: {key: /dev/null}",
			want: `setting tls.cert: empty, but tls.key is set: give both`,
		},
		{
			name: "no certificates", file: "nats: {tls: {cert: /dev/null, key: /dev/null, ca: /dev/null}}",
			want: `setting nats.tls.cert (weft.yaml line 1): /dev/null with nats.tls.key /dev/null: tls: failed to find any PEM data in certificate input: give a certificate and its own key, both in PEM form
setting nats.tls.ca (weft.yaml line 1): /dev/null: no certificate in it: give the authorities' certificates in PEM form`,
		},
		{
			name: "file that is not there", file: "auth: {users-file: /nowhere/users}",
			want: `setting auth.users-file (weft.yaml line 1): open /nowhere/users: no such file or directory: name a file that this user may read`,
		},
		{
			name: "level", env: []string{"WEFT_LOG_LEVEL=loud"},
			want: `setting log.level (WEFT_LOG_LEVEL): "loud" is no level: write debug, info, warn or error`,
		},
		{
			name: "pong before ping", file: "api: {pong-timeout: 1s}",
			want: `setting api.pong-timeout (weft.yaml line 1): 1s is not longer than api.ping-delay 2s: every quiet client would be cut`,
		},
		{
			name: "too little", file: "graph: {samples-kept: 0}",
			want: `setting graph.samples-kept (weft.yaml line 1): 0: at least 1 is needed`,
		},
		{
			name: "deadline zero", file: "query: {deadline: 0s}",
			want: `setting query.deadline (weft.yaml line 1): 0s: at least 1ms is needed`,
		},
		{
			name: "too short a capture's ring", file: "capture: {ring-bytes: 1KiB}",
			want: `setting capture.ring-bytes (weft.yaml line 1): 1KiB: at least 64KiB is needed (0: chosen)`,
		},
		{
			name: "too many rings", env: []string{"WEFT_CAPTURE_RINGS=1000"},
			want: `setting capture.rings (WEFT_CAPTURE_RINGS): 1000: at most 256, one for each processor is enough`,
		},
		{
			name: "a port without a name", file: "flow: {application-ports: ['TCP:443']}",
			want: `setting flow.application-ports (weft.yaml line 1): "TCP:443" is no name of a port: write it as TCP:443:HTTPS, with TCP, UDP or SCTP`,
		},
		{
			name: "a port with two names", env: []string{"WEFT_FLOW_APPLICATION_PORTS=UDP:53:DNS UDP:053:NAMES"},
			want: `setting flow.application-ports (WEFT_FLOW_APPLICATION_PORTS): UDP:53 is "DNS" and "NAMES": give it one name`,
		},
		{
			name: "short flows that outlive the others", file: "flow: {expire: 5s}",
			want: `setting flow.expire-short: 10s is longer than flow.expire 5s: ARP and DNS are to go sooner than the rest`,
		},
		{
			name: "origin", file: "api: {origins: [example.com]}",
			want: `setting api.origins (weft.yaml line 1): "example.com" is no web origin: write it as https://HOST or https://HOST:PORT`,
		},
		{
			name: "host with a space", flags: map[string]any{"host": "a b"},
			want: `setting host (--host): "a b": a name has no spaces, '*', '>' or '/'`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := load(t, c.file, c.env, c.flags)
			if err == nil {
				t.Fatalf("accepted; want %q", c.want)
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("error text (-want +got):\n%s", diff)
			}
		})
	}
}

func TestZeroMeansNeverWhereItSaysSo(t *testing.T) {
	if _, _, err := load(t, "graph: {expire: 0s, window: 0s}", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestBrokenFiles(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"not YAML":      {"listen: [", "configuration file weft.yaml: yaml: line 1: did not find expected node content"},
		"key twice":     {"host: a\nhost: b\n", "configuration file weft.yaml: yaml: unmarshal errors:\n  line 2: mapping key \"host\" already defined at line 1"},
		"a single word": {"hello", "weft.yaml line 1: settings expected below it, as in 'key: value'"},
	} {
		_, _, err := load(t, c.file, nil, nil)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if _, _, err := Load(Sources{File: "/nowhere/weft.yaml"}); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestEmptyFilesAndSectionsChangeNothing(t *testing.T) {
	for _, file := range []string{"# nothing\n", "graph:\n", "{}\n", "---\n"} {
		cfg, _, err := load(t, file, nil, nil)
		if err != nil {
			t.Errorf("%q: %v", file, err)
		}
		if cfg.Graph != Default().Graph {
			t.Errorf("%q changed the graph's settings: %+v", file, cfg.Graph)
		}
	}
}

func TestForeignVariablesAreWarnings(t *testing.T) {
	_, warnings, err := load(t, "", []string{"WEFT_LISTN=127.0.0.1:1", "WEFT_ANALYZER=h:1", "WEFTY=1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"environment variable WEFT_LISTN is no setting of weft (nearest: WEFT_LISTEN)"}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Error(diff)
	}
}

func TestLookupHidesSecrets(t *testing.T) {
	cfg := Default()
	cfg.NATS.Password, cfg.NATS.URL = "swordfish", "nats://u:swordfish@a:4222,tls://swordfish@b:4222,nats://c:4222"
	for key, want := range map[string]any{
		"nats.password":      Hidden,
		"nats.url":           "nats://u:xxxxx@a:4222,tls://xxxxx@b:4222,nats://c:4222",
		"graph.window":       "1h",
		"graph.window-bytes": "256MiB",
		"no-auth":            false,
		"log":                map[string]any{"level": "info", "format": "text"},
		"nats.tls":           map[string]any{"ca": "", "cert": "", "key": ""},
	} {
		got, ok := cfg.Lookup(key)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("Lookup(%q): %v (-want +got):\n%s", key, ok, diff)
		}
	}
	for _, key := range []string{"nats.pass", "nothing", "graph.", "nats.password.x"} {
		if got, ok := cfg.Lookup(key); ok {
			t.Errorf("Lookup(%q) = %v, want nothing", key, got)
		}
	}
	all, _ := cfg.Lookup("")
	if n := all.(map[string]any)["nats"].(map[string]any)["password"]; n != Hidden {
		t.Errorf("the whole configuration shows the password as %v", n)
	}
}

// A dump is a file that gives the same settings again.
func TestDumpLoadsBack(t *testing.T) {
	cfg, _, err := load(t, "log: {level: debug}\napi: {hosts: [a, 'b: c', '']}\nhost: 'no'\n", nil, map[string]any{"graph.window-bytes": "1000"})
	if err != nil {
		t.Fatal(err)
	}
	for _, docs := range []bool{false, true} {
		var out strings.Builder
		if err := cfg.WriteYAML(&out, docs); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "dump.yaml")
		if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		again, _, err := Load(Sources{File: path})
		if err != nil {
			t.Fatalf("%v in\n%s", err, out.String())
		}
		if diff := cmp.Diff(cfg, again, cmp.Transformer("list", func(l []string) string { return strings.Join(l, "\x00") })); diff != "" {
			t.Errorf("docs %v: the dump gives other settings (-want +got):\n%s\n%s", docs, diff, out.String())
		}
	}
}

func TestEveryFieldIsDescribed(t *testing.T) {
	seen := map[string]string{}
	for f := range Default().Fields() {
		if f.Doc == "" || strings.HasSuffix(f.Key, ".") || f.Key == "" {
			t.Errorf("field %q has no koanf name or no doc tag", f.Key)
		}
		if other := seen[f.Env()]; other != "" {
			t.Errorf("%s and %s are both %s", f.Key, other, f.Env())
		}
		seen[f.Env()] = f.Key
		if strings.Contains(f.Key, "password") != f.Secret {
			t.Errorf("field %s: secret is %v", f.Key, f.Secret)
		}
	}
}

func TestDefaultDataDir(t *testing.T) {
	for _, c := range []struct {
		uid  int
		env  []string
		want string
	}{
		{0, []string{"XDG_STATE_HOME=/x"}, "/var/lib/weft"},
		{1, []string{"XDG_STATE_HOME=/x", "HOME=/h"}, "/x/weft"},
		{1, []string{"XDG_STATE_HOME=relative", "HOME=/h"}, "/h/.local/state/weft"},
		{1, nil, ""},
	} {
		got, err := defaultDataDir(c.uid, c.env)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("user %d with %v: %q, %v, want %q", c.uid, c.env, got, err, c.want)
		}
	}
}

func TestResolveFindsTheUsersOfTheDataDirectory(t *testing.T) {
	cfg := Default()
	cfg.DataDir = t.TempDir()
	if err := cfg.Resolve(nil); err != nil || cfg.Auth.UsersFile != "" || cfg.Host == "" {
		t.Errorf("without a file: %q, host %q, %v", cfg.Auth.UsersFile, cfg.Host, err)
	}
	path := filepath.Join(cfg.DataDir, "users")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Resolve(nil); err != nil || cfg.Auth.UsersFile != path {
		t.Errorf("with a file: %q, %v", cfg.Auth.UsersFile, err)
	}
}
