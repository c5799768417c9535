package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
)

// weftOn runs a command against a server and gives what it printed.
func weftOn(t *testing.T, s *apitest.Server, args ...string) (out, side string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	sh := &shell{in: strings.NewReader(""), out: &stdout, err: &stderr, env: []string{"WEFT_ANALYZER=" + s.Addr}}
	root := newRoot(sh)
	root.SetArgs(args)
	ctx, cancel := context.WithTimeout(t.Context(), scriptPatience)
	defer cancel()
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil {
		stderr.WriteString(cmd.CommandPath() + ": " + err.Error() + "\n")
		code = 1
	}
	return stdout.String(), stderr.String(), code
}

func TestCaptureCommands(t *testing.T) {
	infos := []api.CaptureInfo{}
	s := apitest.Start(t, func(d *api.Deps) { d.Captures = func() []api.CaptureInfo { return infos } })
	out, side, code := weftOn(t, s, "capture", "create", "G.V().Has('Name','eth0')", "--name", "uplink", "--tcp-metrics", "--extra-layers", "dns,vrrp", "--raw-packets", "10", "--key-mode", "L3")
	id := strings.TrimSpace(out)
	if code != 0 || len(id) != 36 {
		t.Fatalf("%d: %q %s", code, out, side)
	}
	infos = append(infos, api.CaptureInfo{
		ID: id, Active: 1, Ledger: flow.Ledger{Received: 10, Counted: 7, Drops: [flow.NumCauses]uint64{flow.CauseRing: 3}},
		Nodes: []api.CaptureNode{
			{ID: "n1", Host: "h", Name: "eth0", Type: "device", State: "active"},
			{ID: "n2", Host: "h", Name: "pod", Type: "container", State: "failed", Error: "no interface"},
		},
	})
	out, _, _ = weftOn(t, s, "capture", "list")
	if !strings.HasPrefix(out, "UUID ") || !strings.Contains(out, "G.V().Has('Name','eth0')") || !strings.Contains(out, "  10        7        3 (ring 3)") {
		t.Errorf("list\n%s", out)
	}
	if out, _, _ = weftOn(t, s, "capture", "list", "--nodes"); !strings.Contains(out, "failed") || !strings.Contains(out, "no interface") {
		t.Errorf("nodes\n%s", out)
	}
	if out, _, _ = weftOn(t, s, "capture", "list", "--json"); !strings.Contains(out, `"ExtraTCPMetric":true`) || !strings.Contains(out, `"ExtraLayers":3`) || !strings.Contains(out, `"RawPacketLimit":10`) {
		t.Errorf("json %s", out)
	}
	if out, _, _ = weftOn(t, s, "capture", "get", id); !strings.Contains(out, "Ledger.Drops.ring") {
		t.Errorf("get\n%s", out)
	}
	if _, side, code = weftOn(t, s, "capture", "create", "G.V().Has('Name','eth0')"); code == 0 || !strings.Contains(side, "duplicated resource: capture "+id) {
		t.Errorf("again: %d %s", code, side)
	}
	if _, side, _ = weftOn(t, s, "capture", "create", "G.E()"); !strings.Contains(side, "gives edges: a capture needs an expression that gives nodes") {
		t.Errorf("edges: %s", side)
	}
	if _, side, _ = weftOn(t, s, "capture", "create", "G.V()", "--extra-layers", "http"); !strings.Contains(side, "--extra-layers http: write dns, dhcpv4 or vrrp") {
		t.Errorf("layers: %s", side)
	}
	if _, side, code = weftOn(t, s, "capture", "delete", id); code != 0 {
		t.Error(side)
	}
	if _, side, _ = weftOn(t, s, "capture", "delete", id); !strings.Contains(side, "Capture '"+id+"' not found") {
		t.Errorf("again: %s", side)
	}
}

func TestFlowsFollowed(t *testing.T) {
	s, hub := apitest.StartWithFlows(t)
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() { // reports, until the command has seen enough
		defer close(ended)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if hub.Subscriptions() > 0 {
				other := apitest.Flow("f2", "c2")
				other.Application = "DNS"
				hub.Report([]*flow.Flow{apitest.Flow("f1", "c1"), other})
				return
			}
		}
	}()
	out, side, code := weftOn(t, s, "flows", "--follow", "app=DNS", "--limit", "1", "--json")
	close(stop)
	<-ended
	if code != 0 || !strings.HasPrefix(out, `{"UUID":"f2"`) || strings.Count(out, "\n") != 1 {
		t.Errorf("%d %s %s", code, out, side)
	}
}

func TestFlowsUsage(t *testing.T) {
	s, _ := apitest.StartWithFlows(t)
	for want, args := range map[string][]string{
		"neither a file nor a term":       {"flows", "eth0"},
		"are for capture files":           {"flows", "--filter", "tcp"},
		"files and filters together":      {"flows", "a.pcap", "port=1"},
		"not for files":                   {"flows", "--follow", "a.pcap"},
		".Limit(1) with --follow":         {"flows", "--follow", ".Limit(1)"},
		"--format xml: write table, json": {"flows", "--follow", "--format", "xml"},
		"--json and --format csv":         {"flows", "--json", "--format", "csv"},
	} {
		if _, side, code := weftOn(t, s, args...); code == 0 || !strings.Contains(side, want) {
			t.Errorf("%v: %s", args, side)
		}
	}
}
