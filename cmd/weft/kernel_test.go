package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/internal/app"
	"github.com/weft-net/weft/internal/config"
	"github.com/weft-net/weft/internal/testenv"
)

// startAllInOne runs a whole weft in this process and gives a client of it and its address.
func startAllInOne(t *testing.T) (*client.Client, string) {
	t.Helper()
	cfg := config.Default()
	cfg.Host, cfg.Listen, cfg.DataDir = "testhost", "127.0.0.1:0", config.Memory
	a, err := app.New(app.Options{Config: cfg, Role: app.AllInOne})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-a.Ready():
	case <-time.After(scriptPatience):
		t.Fatal("not ready")
	}
	cl, err := client.New(client.Config{Address: a.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl, a.Addr()
}

// The README's tour: what ip(8) makes is there within a second, weft listen prints a change,
// and what is gone is still in the past.
func TestTourOfTheKernel(t *testing.T) {
	testenv.Root(t)
	cl, addr := startAllInOne(t)
	blue := testenv.NewNamespace(t)
	inside := fmt.Sprintf("G.V().Has('Name','%s').Out().Has('Type','veth')", blue.Name)
	names := func(query string) string {
		nodes, err := cl.QueryNodes(t.Context(), query)
		if err != nil {
			return err.Error()
		}
		var all []string
		for _, n := range nodes {
			all = append(all, fmt.Sprint(n.Metadata["Name"]))
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	settle := func(limit time.Duration, query, want string) time.Duration {
		t.Helper()
		return testenv.Eventually(t, limit, func() string {
			if got := names(query); got != want {
				return fmt.Sprintf("%s gives %q, want %q", query, got, want)
			}
			return ""
		})
	}
	blue.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	t.Logf("a new pair is found after %v", settle(time.Second, inside, "v0 v1"))

	lines := listen(t, addr)
	v0, err := cl.QueryNodes(t.Context(), inside+".Has('Name','v0')")
	if err != nil || len(v0) != 1 {
		t.Fatalf("%v, %v", v0, err)
	}
	var waits []time.Duration
	for i := range 20 {
		mtu := 1400 + i
		start := time.Now()
		blue.IP("link", "set", "v0", "mtu", fmt.Sprint(mtu))
		heard(t, lines, v0[0].ID, fmt.Sprintf(`"MTU":%d`, mtu))
		waits = append(waits, time.Since(start))
	}
	slices.Sort(waits)
	t.Logf("from the start of ip link set to the line: median %v, longest %v (target 100ms)", waits[len(waits)/2], waits[len(waits)-1])
	if longest := waits[len(waits)-1]; longest > time.Second {
		t.Errorf("a change took %v to its subscriber", longest)
	}

	code, out, side := ask(t, []string{"WEFT_ANALYZER=" + addr}, "query", "--json", inside+".Has('MTU',1419).Values('Name')")
	if code != exitOK || strings.TrimSpace(out) != `["v0"]` {
		t.Errorf("weft query: %d %s%s", code, out, side)
	}
	there := time.Now().UnixMilli()
	blue.Delete()

	settle(5*time.Second, inside, "")
	settle(5*time.Second, fmt.Sprintf("G.V().Has('Name','%s')", blue.Name), "")
	past := fmt.Sprintf("G.At(%d).V().Has('Name','%s').Out().Has('Type','veth')", there, blue.Name)
	if got := names(past); got != "v0 v1" {
		t.Errorf("%s gives %q", past, got)
	}
}

// listen runs weft listen until the test ends, and gives its lines from the first event on.
func listen(t *testing.T, addr string) *bufio.Scanner {
	t.Helper()
	in, out := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() {
		sh := &shell{in: strings.NewReader(""), out: out, err: io.Discard, env: []string{"WEFT_ANALYZER=" + addr}}
		ended <- runWeft(ctx, sh, "listen", "--sync-request")
	}()
	watchdog := time.AfterFunc(2*scriptPatience, func() { in.Close() })
	t.Cleanup(func() {
		watchdog.Stop()
		stop()
		in.Close()
		<-ended
	})
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"Namespace":"Graph","Type":"SyncReply"`) {
		t.Fatalf("weft listen began with %.200q", lines.Text())
	}
	return lines
}

// heard waits for the line of an update of the node that has the text.
func heard(t *testing.T, lines *bufio.Scanner, id, text string) {
	t.Helper()
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, `{"Namespace":"Graph","Type":"NodeUpdated","UUID":"`) && strings.Contains(line, `"Obj":{"ID":"`+id+`"`) && strings.Contains(line, text) {
			return
		}
	}
	t.Fatalf("no line with %s", text)
}
