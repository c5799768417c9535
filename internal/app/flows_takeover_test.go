package app

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/internal/bus/bustest"
	"github.com/weft-net/weft/internal/testenv"
)

// TestSecondAnalyzerTakesOver has two analyzers on one bus, of which the first is killed while packets pass, and comes
// back: captures go on as if nothing had been, in the same flows, and new ones are ordered by whoever is there.
func TestSecondAnalyzerTakesOver(t *testing.T) {
	w := newWire(t)
	name := fmt.Sprint("wtft", os.Getpid()) // the agent sees all namespaces of this host, those of other tests too
	url := bustest.Debian(t, "")
	analyzer := func(host string) *captureStage {
		s := &captureStage{t: t, api: bustest.FreeAddress(t)}
		s.analyzer = newProcess(t, map[string]string{
			roleVariable: string(Analyzer), hostVariable: host, listenVariable: s.api, busVariable: url, dirVariable: t.TempDir(),
		})
		s.analyzer.start()
		return s
	}
	first, second := analyzer("hub-1"), analyzer("hub-2")
	agent := newProcess(t, map[string]string{
		roleVariable: string(Agent), hostVariable: "h1", listenVariable: "127.0.0.1:0", busVariable: strings.TrimPrefix(url, "nats://"), dirVariable: t.TempDir(),
	})
	agent.start()
	first.id = first.create(name, "")
	second.id = first.id
	w.joinQuietly(name)
	first.awaitActive()
	before := w.passed(name)
	traffic := w.traffic()
	first.awaitReported(2)
	second.awaitReported(2)

	first.analyzer.kill()
	second.awaitActive()
	more := *second
	more.id = second.create(name, "udp") // nobody orders it before the second analyzer knows that it is alone
	more.awaitActive()

	first.analyzer.start()
	first.awaitReported(2)
	more.api = first.api
	more.awaitActive()
	first.awaitActive()
	last := *first
	last.id = first.create(name, "tcp") // the first gives orders again
	last.awaitActive()
	sent, echoed := traffic()

	for _, s := range []*captureStage{first, second} {
		testenv.Eventually(t, 10*time.Second, func() string {
			passed := w.passed(name) - before
			ledger, err := s.ledger()
			if err != nil {
				return err.Error()
			}
			packets, past, live, err := s.packetsOfFlows()
			switch {
			case err != nil:
				return err.Error()
			case int64(ledger.Received) != passed || ledger.Counted != ledger.Received || packets != passed:
				return fmt.Sprintf("the interface counted %d packets: %d in flows, ledger %+v", passed, packets, ledger)
			case past != 2 || live != 2:
				return fmt.Sprintf("%d flows of the past and %d live, where the capture should never have begun anew", past, live)
			}
			return ""
		})
	}
	if passed := w.passed(name) - before; passed < sent+2*echoed {
		t.Errorf("%d datagrams and %d echoes were sent, and %d packets passed", sent, echoed, passed)
	}
}
