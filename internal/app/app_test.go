package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/bus/bustest"
	"github.com/weft-net/weft/internal/config"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/testenv"
)

// settings are those of a process that keeps nothing and listens where it may.
func settings(host string) config.Config {
	cfg := config.Default()
	cfg.Host, cfg.Listen, cfg.DataDir = host, "127.0.0.1:0", config.Memory
	return cfg
}

// oneNode is a probe that sees one node.
func oneNode(name string) probe.Spec {
	return probe.Spec{Name: name, Default: true, New: func(env probe.Env) (probe.Probe, error) {
		return probeFunc{name, func(ctx context.Context, sink probe.Sink) error {
			sink.Replace([]graph.Event{{Op: graph.PutNode, ID: name + "@" + env.Host, Host: env.Host, Metadata: graph.NewMetadata(
				graph.F("Name", graph.String(env.Host)), graph.F("Type", graph.String("host")))}})
			<-ctx.Done()
			return nil
		}}, nil
	}}
}

type probeFunc struct {
	name string
	run  func(context.Context, probe.Sink) error
}

func (p probeFunc) Name() string                                   { return p.name }
func (p probeFunc) Run(ctx context.Context, sink probe.Sink) error { return p.run(ctx, sink) }

// running is an App at work.
type running struct {
	*App
	t    *testing.T
	stop func() error
}

func start(t *testing.T, opts Options) *running {
	t.Helper()
	if opts.Probes == nil {
		opts.Probes = []probe.Spec{oneNode("fake")}
	}
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	r := &running{App: a, t: t}
	var result error
	var stopped bool
	r.stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			select {
			case result = <-ended:
			case <-time.After(20 * time.Second):
				t.Fatal("not stopped within 20 s")
			}
		}
		return result
	}
	t.Cleanup(func() { _ = r.stop() })
	select {
	case <-a.Ready():
	case err := <-ended:
		stopped = true
		t.Fatalf("not started: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("not ready within 20 s")
	}
	return r
}

// get asks the API and returns status and text.
func (r *running) get(path string) (int, string) {
	r.t.Helper()
	answer, err := http.Get("http://" + r.Addr() + path)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// shows waits until the graph has the texts.
func (r *running) shows(limit time.Duration, texts ...string) {
	r.t.Helper()
	testenv.Eventually(r.t, limit, func() string {
		_, dump := r.get("/api/topology")
		for _, text := range texts {
			if !strings.Contains(dump, text) {
				return fmt.Sprintf("no %q in %s", text, dump)
			}
		}
		return ""
	})
}

func TestAllInOneIsReadyAtOnceAndStopsCleanly(t *testing.T) {
	cfg := settings("h1")
	cfg.DataDir = t.TempDir()
	begun := time.Now()
	r := start(t, Options{Config: cfg, Role: AllInOne, Version: "1.2.3"})
	if took := time.Since(begun); took > 300*time.Millisecond && !raceEnabled {
		t.Errorf("ready after %s", took)
	}
	if code, text := r.get("/readyz"); code != 200 {
		t.Errorf("/readyz: %d %s", code, text)
	}
	r.shows(time.Second, "fake@h1")
	for path, want := range map[string]string{
		"/api":        `"Version":"1.2.3"`,
		"/metrics":    "weft_persistence 1",
		"/healthz":    "",
		"/api/status": `"Persistence":"on"`,
	} {
		testenv.Eventually(t, 5*time.Second, func() string {
			if code, text := r.get(path); code != 200 || !strings.Contains(text, want) {
				return fmt.Sprintf("%s: %d %s", path, code, text)
			}
			return ""
		})
	}
	begun = time.Now()
	if err := r.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("stopped after %s", took)
	}
	// The directory and the port are free again.
	cfg.Listen = r.Addr()
	start(t, Options{Config: cfg, Role: AllInOne})
}

func TestWhatIsInTheWayIsNamedWithItsRemedy(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	used := settings("h1")
	used.DataDir = t.TempDir()
	start(t, Options{Config: used, Role: Analyzer})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		role   Role
		change func(*config.Config)
		want   []string
	}{
		"second instance":    {AllInOne, func(c *config.Config) { c.DataDir = used.DataDir }, []string{used.DataDir, fmt.Sprintf("process %d", os.Getpid()), "--data-dir"}},
		"busy port":          {AllInOne, func(c *config.Config) { c.Listen = busy.Addr().String() }, []string{busy.Addr().String(), "address already in use", "--listen"}},
		"busy bus port":      {Analyzer, func(c *config.Config) { c.NATS.Listen = busy.Addr().String() }, []string{busy.Addr().String(), "--nats-listen"}},
		"no directory":       {Analyzer, func(c *config.Config) { c.DataDir = filepath.Join(file, "x") }, []string{"not a directory", "--data-dir"}},
		"open without users": {AllInOne, func(c *config.Config) { c.Listen = "0.0.0.0:0" }, []string{"no users", "--no-auth"}},
		"open bus":           {Analyzer, func(c *config.Config) { c.NATS.Listen = "0.0.0.0:0" }, []string{"nats.credentials"}},
		"agent of nobody":    {Agent, func(*config.Config) {}, []string{"--nats"}},
		"unknown probe":      {AllInOne, func(c *config.Config) { c.Probes.Enabled = []string{"nosuch"} }, []string{"nosuch", "fake"}},
		"host name":          {AllInOne, func(c *config.Config) { c.Host = "a@b" }, []string{"a@b", "--host"}},
		"unknown role":       {"king", func(*config.Config) {}, []string{"king", "allinone"}},
	} {
		cfg := settings("h2")
		try.change(&cfg)
		a, err := New(Options{Config: cfg, Role: try.role, Probes: []probe.Spec{oneNode("fake")}})
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			err = a.Run(ctx)
			cancel()
		}
		if err == nil {
			t.Errorf("%s: started", name)
			continue
		}
		for _, want := range try.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: no %q in: %v", name, want, err)
			}
		}
	}
}

func TestNoAuthOpensTheDoor(t *testing.T) {
	cfg := settings("h1")
	cfg.Listen, cfg.NoAuth = "0.0.0.0:0", true
	start(t, Options{Config: cfg, Role: AllInOne})
}

func TestAgentsOfOtherHostsJoinWithTheirCredentials(t *testing.T) {
	credentials := filepath.Join(t.TempDir(), "agents")
	if err := os.WriteFile(credentials, []byte("h1:secret-1\nh2:secret-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hub := settings("hub")
	hub.NATS.Listen, hub.NATS.Credentials = "127.0.0.1:0", credentials
	analyzer := start(t, Options{Config: hub, Role: Analyzer})
	agent := func(host, user, password string) *running {
		cfg := settings(host)
		cfg.NATS.URL, cfg.NATS.User, cfg.NATS.Password = "nats://"+analyzer.BusAddr(), user, password
		return start(t, Options{Config: cfg, Role: Agent, Probes: []probe.Spec{oneNode("fake")}})
	}
	h1 := agent("h1", "h1", "secret-1")
	analyzer.shows(5*time.Second, "fake@h1")
	if code, text := h1.get("/readyz"); code != 200 {
		t.Errorf("agent's /readyz: %d %s", code, text)
	}
	h1.shows(time.Second, "fake@h1")
	if code, text := h1.get("/api"); code != 200 || !strings.Contains(text, `"agent"`) {
		t.Errorf("agent's /api: %d %s", code, text)
	}
	if _, text := h1.get("/api/status"); !strings.Contains(text, `"TopologyProbes":["fake"]`) {
		t.Errorf("agent's status: %s", text)
	}
	// With the credentials of h1 nobody is h2.
	liar := agent("h2", "h1", "secret-1")
	wrong := agent("h2", "h2", "secret-1")
	agent("h2", "h2", "secret-2").get("/")
	analyzer.shows(5*time.Second, "fake@h2")
	if code, _ := wrong.get("/readyz"); code != 503 {
		t.Errorf("/readyz of an agent that may not connect: %d", code)
	}
	if code, text := liar.get("/healthz"); code != 200 {
		t.Errorf("/healthz: %d %s", code, text)
	}
}

func TestExistingNATSOfDebian(t *testing.T) {
	url := bustest.Debian(t, "")
	cfg := settings("hub")
	cfg.DataDir, cfg.NATS.URL = t.TempDir(), url
	analyzer := start(t, Options{Config: cfg, Role: AllInOne})
	other := settings("h1")
	other.NATS.URL = url
	start(t, Options{Config: other, Role: Agent, Probes: []probe.Spec{oneNode("fake")}})
	analyzer.shows(5*time.Second, "fake@h1", "fake@hub")
	if _, text := analyzer.get("/api/status"); !strings.Contains(text, `"Persistence":"on"`) {
		t.Errorf("status: %s", text)
	}
}

func TestNATSThatIsNotThereYet(t *testing.T) {
	cfg := settings("hub")
	cfg.NATS.URL = "nats://u:swordfish@" + bustest.FreeAddress(t)
	var log lockedLog
	r := start(t, Options{Config: cfg, Role: AllInOne, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if code, text := r.get("/readyz"); code != 503 || !strings.Contains(text, "bus not connected") {
		t.Errorf("/readyz: %d %s", code, text)
	}
	// A password in the address is nowhere to be read.
	for _, path := range []string{"/readyz", "/api/status", "/api/config/nats", "/metrics"} {
		if _, text := r.get(path); strings.Contains(text, "swordfish") {
			t.Errorf("%s shows the password: %s", path, text)
		}
	}
	if text := log.String(); !strings.Contains(text, "NATS does not answer yet") || strings.Contains(text, "swordfish") {
		t.Errorf("log: %s", text)
	}
}

// lockedLog may be read while it is written.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestFullDiskLeavesTheGraphRight(t *testing.T) {
	testenv.Root(t)
	dir := t.TempDir()
	if err := unix.Mount("weft-test", dir, "tmpfs", 0, "size=16777216"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	w := newWorld(t, "h1", 7)
	fake := probe.Spec{Name: "fake", Default: true, New: func(env probe.Env) (probe.Probe, error) {
		return &fakeProbe{host: env.Host, kernel: w.listener.Addr().String()}, nil
	}}
	cfg := settings("h1")
	cfg.DataDir = filepath.Join(dir, "data")
	r := start(t, Options{Config: cfg, Role: AllInOne, Probes: []probe.Spec{fake}})
	persistence := func(want string) func() string {
		return func() string {
			if _, text := r.get("/api/status"); !strings.Contains(text, `"Persistence":"`+want+`"`) {
				return text
			}
			return ""
		}
	}
	testenv.Eventually(t, 5*time.Second, persistence("on"))
	ballast, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	stop := w.change()
	defer stop()
	took := testenv.Eventually(t, 10*time.Second, persistence("off"))
	t.Logf("reported off after %s", took)
	if _, text := r.get("/metrics"); !strings.Contains(text, "weft_persistence 0") {
		t.Error("the metric says something else")
	}
	right := func(what string) {
		t.Helper()
		stop()
		s := &stage{t: t, api: r.Addr()}
		s.expectRight(what, w.truth(), time.Now(), 3*time.Second)
	}
	right("full disk")
	if err := os.Remove(ballast.Name()); err != nil {
		t.Fatal(err)
	}
	if err := ballast.Close(); err != nil {
		t.Fatal(err)
	}
	stop = w.change()
	testenv.Eventually(t, 20*time.Second, persistence("on"))
	right("disk with room again")
}

func TestProbeThatFailsIsStartedAgain(t *testing.T) {
	runs := 0 // the agent runs one at a time
	good := make(chan struct{})
	spec := probe.Spec{Name: "shaky", Default: true, New: func(env probe.Env) (probe.Probe, error) {
		return probeFunc{"shaky", func(ctx context.Context, sink probe.Sink) error {
			runs++
			switch runs {
			case 1:
				return errors.New("first failure")
			case 2:
				panic("second failure")
			}
			close(good)
			<-ctx.Done()
			return nil
		}}, nil
	}}
	r := start(t, Options{Config: settings("h1"), Role: AllInOne, Probes: []probe.Spec{spec, oneNode("fake")}})
	r.shows(2*time.Second, "fake@h1")
	select {
	case <-good:
	case <-time.After(10 * time.Second):
		t.Fatal("not started again")
	}
	testenv.Eventually(t, 5*time.Second, func() string {
		if _, text := r.get("/metrics"); !strings.Contains(text, "weft_agent_probe_restarts_total 2") {
			return "restarts are not counted"
		}
		return ""
	})
}
