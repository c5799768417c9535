package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/config"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/testenv"
)

func TestWhatIsWrongIsSaidBeforeAnythingStarts(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"users":       {func(c *config.Config) { c.Auth.UsersFile = junk }, "line 1"},
		"probe":       {func(c *config.Config) { c.Probes.Enabled = []string{"nope"} }, `"nope"`},
		"host":        {func(c *config.Config) { c.Host = "a@b" }, "--host"},
		"certificate": {func(c *config.Config) { c.TLS.Cert, c.TLS.Key = junk, junk }, junk},
		"credentials": {func(c *config.Config) { c.NATS.Credentials = junk }, "line 1"},
	} {
		cfg := settings("h1")
		try.change(&cfg)
		_, err := New(Options{Config: cfg, Role: AllInOne, Probes: []probe.Spec{oneNode("fake")}})
		if err == nil || !strings.Contains(err.Error(), try.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: no %q in one line: %v", name, try.want, err)
		}
	}
}

func TestEndDuringTheStartIsNoFailure(t *testing.T) {
	for _, role := range []Role{AllInOne, Analyzer} {
		a, err := New(Options{Config: settings("h1"), Role: role, Probes: []probe.Spec{oneNode("fake")}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Run(ctx); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// What left the window goes also when nothing changes any more, in the graph of an analyzer
// and in that of an agent.
func TestIdleGraphLetsItsPastGo(t *testing.T) {
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	busy := probe.Spec{Name: "fake", Default: true, New: func(env probe.Env) (probe.Probe, error) {
		return probeFunc{"fake", func(ctx context.Context, sink probe.Sink) error {
			for i := range 100 {
				sink.Commit(graph.Event{Op: graph.PutNode, ID: "n@" + env.Host, Host: env.Host, Metadata: graph.NewMetadata(
					graph.F("Name", graph.String("n")), graph.F("Type", graph.String("host")), graph.F("MTU", graph.Int(int64(i))))})
			}
			<-ctx.Done()
			return nil
		}}, nil
	}}
	hub := settings("hub")
	hub.NATS.Listen = "127.0.0.1:0"
	analyzer := start(t, Options{Config: hub, Role: Analyzer, Now: now})
	cfg := settings("h1")
	cfg.NATS.URL = "nats://" + analyzer.BusAddr()
	agent := start(t, Options{Config: cfg, Role: Agent, Now: now, Probes: []probe.Spec{busy}})
	analyzer.shows(5*time.Second, `"MTU":99`)
	past := func(r *running, some bool) {
		t.Helper()
		testenv.Eventually(t, 5*time.Second, func() string {
			if _, text := r.get("/api/status"); strings.Contains(text, `"PastVersions":0,"PastBytes":0,`) == some {
				return text
			}
			return ""
		})
	}
	past(agent, true)
	past(analyzer, true)
	ahead.Store(int64(2 * time.Hour))
	past(agent, false)
	past(analyzer, false)
}

func TestStartOnAFullDisk(t *testing.T) {
	testenv.Root(t)
	dir := t.TempDir()
	if err := unix.Mount("weft-test", dir, "tmpfs", 0, "size=1048576"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	ballast, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := ballast.Close(); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "h1", 11)
	fake := probe.Spec{Name: "fake", Default: true, New: func(env probe.Env) (probe.Probe, error) {
		return &fakeProbe{host: env.Host, kernel: w.listener.Addr().String()}, nil
	}}
	cfg := settings("h1")
	cfg.DataDir = filepath.Join(dir, "data")
	stop := w.change()
	defer stop()
	r := start(t, Options{Config: cfg, Role: AllInOne, Probes: []probe.Spec{fake}})
	testenv.Eventually(t, 5*time.Second, func() string {
		_, text := r.get("/api/status")
		if !strings.Contains(text, `"Persistence":"off"`) || strings.Contains(text, `"Reason":"starting"`) || !strings.Contains(text, `"Reason":"`) {
			return text
		}
		return ""
	})
	_, text := r.get("/api/status")
	t.Log(text)
	stop()
	s := &stage{t: t, api: r.Addr()}
	s.expectRight("full disk from the start", w.truth(), time.Now(), 5*time.Second)
}
