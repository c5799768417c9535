package app

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/probe/linux"
	"github.com/weft-net/weft/internal/testenv"
	"github.com/weft-net/weft/skydive"
)

// TestLedgerBeginsWithTheInterface has a capture before the interface, and packets from the interface's first moment
// on: the ledger has them all, those too that passed before a ring was open.
func TestLedgerBeginsWithTheInterface(t *testing.T) {
	w := newWire(t)
	r := start(t, Options{Role: AllInOne, Config: settings("h1"), Probes: []probe.Spec{{Name: linux.Name, Default: true, New: linux.New}}})
	id := r.capture("G.V().Has('Name','weft-born')")
	testenv.Eventually(t, 10*time.Second, func() string { // the namespace is not what is new
		var found []any
		r.query("G.V().Has('Type','netns','Inode',"+fmt.Sprint(w.near.Inode())+")", &found)
		if len(found) != 1 {
			return "the namespace is not seen yet"
		}
		return ""
	})
	over := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		for tick := time.NewTicker(200 * time.Microsecond); ; {
			select {
			case <-over:
				tick.Stop()
				return
			case <-tick.C:
			}
			w.near.Do(func() error {
				if c, err := net.Dial("udp", w.farA+":9"); err == nil { // not before there is a route
					_, _ = c.Write([]byte("hello"))
					c.Close()
				}
				return nil
			})
		}
	})
	stop := sync.OnceFunc(func() { close(over); sending.Wait() })
	t.Cleanup(stop)
	// By one process, so that packets pass before anybody can have opened a ring. What is sent goes nowhere.
	atOnce := filepath.Join(t.TempDir(), "batch")
	script := fmt.Sprintf(`link add weft-born type veth peer name far0
link set far0 up
link set weft-born up
neigh add %s lladdr 02:00:00:00:00:01 dev weft-born
addr add %s/24 dev weft-born
`, w.farA, w.nearA)
	if err := os.WriteFile(atOnce, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	w.near.IP("-batch", atOnce)
	r.counts(id, 1)
	r.flows("G.Flows().Has('Application','UDP')", 10*time.Second)
	stop()
	var state skydive.CaptureState
	testenv.Eventually(t, 10*time.Second, func() string {
		_, text := r.get("/api/capture/" + id)
		if err := json.Unmarshal([]byte(text), &state); err != nil {
			return err.Error()
		}
		if l, passed := state.Ledger, w.passed("weft-born"); l == nil || int64(l.Received) != passed || l.Received != l.Counted+l.Drops[flow.CauseDown.String()] {
			return fmt.Sprintf("the interface counted %d packets: ledger %+v", passed, l)
		}
		return ""
	})
	if state.Ledger.Drops[flow.CauseDown.String()] == 0 {
		t.Error("no packet passed before the ring was open: this test shows nothing")
	}
	t.Logf("ledger %+v", state.Ledger)
}
