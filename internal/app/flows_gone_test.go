package app

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/testenv"
	"github.com/weft-net/weft/skydive"
)

// TestSumHasWhatPassedOnInterfacesThatAreGone deletes the interface under a capture, kills the agent and the analyzer,
// and makes an interface of that name anew: the capture's sum is what both interfaces counted.
func TestSumHasWhatPassedOnInterfacesThatAreGone(t *testing.T) {
	w := newWire(t)
	name := fmt.Sprint("wgft", os.Getpid()) // the agent sees all namespaces of this host, those of other tests too
	s := newCaptureStage(t, name)
	counts := func(what string, nodes int, want func() int64) {
		t.Helper()
		testenv.Eventually(t, 10*time.Second, func() string {
			var c skydive.CaptureState
			if err := s.call(http.MethodGet, "/api/capture/"+s.id, nil, &c); err != nil {
				return what + ": " + err.Error()
			}
			l := c.Ledger
			if l == nil || c.Count != nodes || int64(l.Received) != want() || l.Received != l.Counted+l.Drops[flow.CauseDown.String()] {
				return fmt.Sprintf("%s: active on %d nodes, ledger %+v; %d packets passed", what, c.Count, l, want())
			}
			return ""
		})
		t.Log(time.Now().Format(time.TimeOnly), what)
	}
	w.joinQuietly(name)
	s.awaitActive()
	before := w.passed(name)
	traffic := w.traffic()
	s.awaitReported(2)
	s.agent.kill() // what it counted and did not report is lost, and is in the sum
	s.agent.start()
	s.awaitReported(4)
	traffic()
	counts("the interface is there", 1, func() int64 { return w.passed(name) - before })
	pause(500 * time.Millisecond) // the last acknowledgement may be late
	sum := w.passed(name) - before
	counts("the interface rests", 1, func() int64 { return sum })

	w.near.IP("link", "del", name)
	gone := func() int64 { return sum }
	counts("it is gone", 0, gone)
	s.agent.kill()
	s.agent.start()
	counts("another agent", 0, gone)
	s.analyzer.kill()
	s.analyzer.start()
	counts("another analyzer", 0, gone)
	pause(12 * time.Second) // an analyzer writes every five seconds, but not in its first five
	s.agent.kill()
	s.analyzer.kill()
	s.analyzer.start()
	counts("an analyzer without an agent", 0, gone)
	s.agent.start()
	counts("which then comes", 0, gone)

	w.joinQuietly(name)
	s.awaitActive()
	for range 100 {
		w.near.Do(func() error {
			c, err := net.Dial("udp", w.farA+":9")
			if err == nil {
				_, err = c.Write([]byte("hello"))
				c.Close()
			}
			return err
		})
	}
	if w.passed(name) < 100 {
		t.Errorf("%d packets passed over the new interface", w.passed(name))
	}
	counts("another interface", 1, func() int64 { return sum + w.passed(name) })
}
