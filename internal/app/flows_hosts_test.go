package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/bus/bustest"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/probe/linux"
	"github.com/weft-net/weft/internal/testenv"
)

// TestFlowsOfAnotherHostOutliveTheAnalyzer has an agent with credentials of its own, and an analyzer that is away
// while packets pass.
func TestFlowsOfAnotherHostOutliveTheAnalyzer(t *testing.T) {
	w := newWire(t)
	w.join("weft-far")
	credentials := filepath.Join(t.TempDir(), "agents")
	if err := os.WriteFile(credentials, []byte("h1:secret-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hub := settings("hub")
	hub.DataDir = t.TempDir()
	hub.NATS.Listen, hub.NATS.Credentials = bustest.FreeAddress(t), credentials
	hub.Flow.QueryTimeout = time.Second
	analyzer := start(t, Options{Config: hub, Role: Analyzer})
	cfg := settings("h1")
	cfg.DataDir = t.TempDir()
	cfg.NATS.URL, cfg.NATS.User, cfg.NATS.Password = "nats://"+hub.NATS.Listen, "h1", "secret-1"
	agent := start(t, Options{Config: cfg, Role: Agent, Probes: []probe.Spec{{Name: linux.Name, Default: true, New: linux.New}}})

	id := analyzer.capture("G.V().Has('Name','weft-far')")
	analyzer.counts(id, 1)
	w.talk(10)
	if live := analyzer.flows("G.Flows().Has('Transport',8000)", 10*time.Second); len(live) != 1 {
		t.Errorf("live: %d flows", len(live))
	}
	if here := agent.flows("G.Flows().Has('Transport',8000)", time.Second); len(here) != 1 {
		t.Errorf("at the agent: %d flows", len(here))
	}

	if err := analyzer.stop(); err != nil {
		t.Fatal(err)
	}
	w.talk(20) // nobody takes the report
	analyzer = start(t, Options{Config: hub, Role: Analyzer})
	var all []*flow.Flow
	testenv.Eventually(t, 20*time.Second, func() string {
		analyzer.query("G.At(NOW, FOREVER).Flows().Has('Transport',8000)", &all)
		if len(all) != 2 {
			return "the flows before and during the outage are not both there"
		}
		return ""
	})
	analyzer.counts(id, 1) // the capture went on, and is not ended by an analyzer that does not know the host yet
	w.talk(5)
	if live := analyzer.flows("G.Flows().Has('Transport',8000)", 10*time.Second); len(live) == 0 {
		t.Error("nothing is live after the restart")
	}
}
