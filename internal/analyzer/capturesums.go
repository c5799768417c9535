package analyzer

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/skydive"
)

// sums adds up what captures counted, on hosts that are gone too.
//
// Each agent says what each capture counted on its host, on nodes that are gone too, in the metadata of the host's node,
// and numbers its books: an agent that begins with empty ones has another number. So what books are in the graph is what
// their agent says, and what was there and is not any more is what it was last; all analyzers see the same, and the
// first by name keeps all in the store, as the graph of hosts ends with the analyzers. The caller holds captures.mu.
type sums struct {
	known   map[string]map[string]books // by capture and number
	stored  map[string]map[string]flow.Ledger
	written map[string]time.Time // by capture
}

// books is what one agent counted for one capture.
type books struct {
	host   string
	ledger flow.Ledger
	live   bool // in the graph
}

const (
	kindCaptureSum = "capturesum" // of the store: books by capture
	sumTick        = time.Second
	sumPause       = 5 * time.Second // between two writings of what agents still say
	mostBooks      = 4096            // of a capture that are not in the graph; then they become one
	oldBooks       = ""              // their number
)

func newSums() sums {
	return sums{known: map[string]map[string]books{}, stored: map[string]map[string]flow.Ledger{}, written: map[string]time.Time{}}
}

// look brings the books up to date with the graph.
func (s *sums) look(view *graph.View) {
	for _, of := range s.known {
		for number, b := range of {
			b.live = false
			of[number] = b
		}
	}
	hosts, _, _ := view.Lookup("Type", graph.String("host"))
	if hosts == nil {
		return
	}
	for n := range hosts {
		list, _ := n.Field("CaptureSums")
		if list.Kind() != graph.KindList || bus.MemberOf(n.Owner()) != n.Host() {
			continue
		}
		for v := range list.All() {
			said := v.Object()
			capture, number := textOf(said, "ID"), textOf(said, "Books")
			if capture != "" && number != oldBooks {
				s.of(capture)[number] = books{host: n.Host(), ledger: ledgerOf(said), live: true}
			}
		}
	}
}

func (s *sums) of(capture string) map[string]books {
	if s.known[capture] == nil {
		s.known[capture] = map[string]books{}
	}
	return s.known[capture]
}

// heard takes what the store has of a capture.
func (s *sums) heard(capture string, data []byte) error {
	if data == nil {
		delete(s.stored, capture)
		delete(s.written, capture)
		return nil
	}
	var record map[string]skydive.CaptureLedger
	if err := json.Unmarshal(data, &record); err != nil {
		return err
	}
	ledgers := make(map[string]flow.Ledger, len(record))
	for number, l := range record {
		ledgers[number] = readLedger(&l)
	}
	of := s.of(capture)
	folded := ledgers[oldBooks] != s.stored[capture][oldBooks]
	s.stored[capture] = ledgers
	maps.DeleteFunc(of, func(number string, b books) bool {
		_, kept := ledgers[number]
		return folded && !b.live && !kept // it is in the folded ones
	})
	for number, l := range ledgers {
		if b := of[number]; !b.live && (number == oldBooks || l.Received >= b.ledger.Received) {
			of[number] = books{ledger: l}
		}
	}
	return nil
}

// record is what the store is to have of a capture. Those that are not in the graph become one when they are many.
// It is urgent when the graph does not have it.
func (s *sums) record(capture string) (ledgers map[string]flow.Ledger, urgent bool) {
	ledgers = map[string]flow.Ledger{}
	var gone []string
	for number, b := range s.known[capture] {
		b.ledger.FlowsLive = 0
		ledgers[number] = b.ledger
		if !b.live {
			gone = append(gone, number)
		}
	}
	if len(gone) > mostBooks {
		var all flow.Ledger
		for _, number := range gone {
			all = all.Add(ledgers[number])
			delete(ledgers, number)
			delete(s.known[capture], number)
		}
		ledgers[oldBooks], gone = all, []string{oldBooks}
		s.of(capture)[oldBooks] = books{ledger: all}
	}
	urgent = slices.ContainsFunc(gone, func(number string) bool { return ledgers[number] != s.stored[capture][number] })
	return ledgers, urgent
}

// sum is what the capture counted on all hosts that said so, and which of the hosts in the graph did.
func (s *sums) sum(capture string) (all flow.Ledger, said map[string]bool) {
	said = map[string]bool{}
	for _, b := range s.known[capture] {
		if b.live {
			said[b.host] = true
		} else {
			b.ledger.FlowsLive = 0
		}
		all = all.Add(b.ledger)
	}
	return all, said
}

// readLedger reads a ledger with the names of causes and faults.
func readLedger(in *skydive.CaptureLedger) flow.Ledger {
	l := flow.Ledger{
		Received: in.Received, Counted: in.Counted, CountedBytes: in.CountedBytes, Reported: in.Reported,
		Flows: in.Flows, FlowsEvicted: in.FlowsEvicted, FlowsLive: in.FlowsLive,
	}
	for i := range l.Drops {
		l.Drops[i] = in.Drops[flow.Cause(i).String()]
	}
	for i := range l.Faults {
		l.Faults[i] = in.Faults[flow.Fault(i).String()]
	}
	return l
}

// heardSum takes a change of the store.
func (c *captures) heardSum(e api.StoreEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.sums.heard(e.ID, e.Data); err != nil {
		c.a.log.Warn("what a capture counted on hosts that are gone cannot be read", "capture", e.ID, "error", err)
	}
}

// keepSums looks at the books, and keeps them if this analyzer is the one that writes.
func (c *captures) keepSums(ctx context.Context, leads bool) {
	writes := map[string][]byte{} // nil: the record goes
	c.mu.Lock()
	early := time.Since(c.a.mono) < captureSettle // the store may still be read
	c.sums.look(c.a.graph.View())
	if !early {
		maps.DeleteFunc(c.sums.known, func(capture string, _ map[string]books) bool { return c.byID[capture] == nil })
	}
	if leads && !early {
		for capture := range c.byID {
			record, urgent := c.sums.record(capture)
			if maps.Equal(record, c.sums.stored[capture]) || !urgent && time.Since(c.sums.written[capture]) < sumPause {
				continue
			}
			if data, err := json.Marshal(record, json.Deterministic(true)); err == nil {
				writes[capture], c.sums.written[capture] = data, time.Now()
			}
		}
		for capture := range c.sums.stored {
			if c.byID[capture] == nil {
				writes[capture] = nil
			}
		}
	}
	c.mu.Unlock()
	for capture, data := range writes {
		var err error
		if data == nil {
			err = c.a.opts.Store.Delete(ctx, kindCaptureSum, capture)
		} else {
			err = c.a.opts.Store.Put(ctx, kindCaptureSum, capture, data)
		}
		if err != nil {
			c.a.log.Debug("what a capture counted is not kept; trying again", "capture", capture, "error", err)
		}
	}
}
