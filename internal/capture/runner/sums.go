package runner

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/capture/spool"
	"github.com/weft-net/weft/internal/probe"
)

// Sum is what a capture has counted on this host since it stands, on nodes that are gone and on those that its query
// gives no more too: it never shrinks.
type Sum struct {
	Capture   string // the id
	Ledger    flow.Ledger
	Gone      flow.Ledger // of it: on nodes that Captures does not list
	DownUpper bool        // what was lost while the agent was down is an upper bound
}

// standing is an account at one moment.
type standing struct {
	ledger   flow.Ledger
	upper    bool
	observed Counters
	drifted  uint64
	zero     int64
}

func (a *account) standing() standing {
	a.mu.Lock()
	defer a.mu.Unlock()
	return standing{a.sum(), a.upper, a.observed, a.drifted, a.zero}
}

// Sums gives the sum of each capture that counted here, sorted by capture.
func (r *Runner) Sums() []Sum {
	_, sums := r.survey()
	return sums
}

// survey reads each account once, so that the sums are those of the ledgers that the nodes show.
func (r *Runner) survey() ([]Status, []Sum) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := map[string]standing{}
	byCapture := map[string]Sum{}
	r.out.mu.Lock()
	for key, a := range r.out.accounts {
		s := a.standing()
		now[key] = s
		sum := byCapture[a.capture]
		sum.Capture, sum.Ledger = a.capture, sum.Ledger.Add(s.ledger)
		sum.DownUpper = sum.DownUpper || s.upper
		byCapture[a.capture] = sum
	}
	r.out.mu.Unlock()

	list := slices.Clone(r.absent)
	for _, t := range r.taps {
		state := t.state.Load()
		list = append(list, Status{
			Capture: t.capture, NodeID: t.node.ID, NodeTID: t.node.TID, State: state.State, Error: state.Error, Port: state.Port,
			ListenerFaults: t.listenerFaults(),
		})
	}
	listed := map[string]bool{}
	for i := range list {
		s := &list[i]
		key := accountKey(s.Capture.UUID, s.NodeTID)
		a, counted := now[key]
		if !counted {
			continue
		}
		s.Ledger, s.DownUpper, s.InterfaceDrops, s.Drifted, s.Zero = a.ledger, a.upper, a.observed.Dropped, a.drifted, a.zero
		listed[key] = true
	}
	for key, a := range now {
		if capture := captureOf(key); !listed[key] {
			sum := byCapture[capture]
			sum.Gone = sum.Gone.Add(a.ledger)
			byCapture[capture] = sum
		}
	}
	slices.SortFunc(list, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Capture.UUID, b.Capture.UUID), cmp.Compare(a.NodeID, b.NodeID))
	})
	return list, slices.SortedFunc(maps.Values(byCapture), func(a, b Sum) int { return cmp.Compare(a.Capture, b.Capture) })
}

// sumsKey is where the metadata of the host's node has the sums, each with the number of the books that they are from:
// what has another number was not counted in these.
const sumsKey = "CaptureSums"

// hostNode is the id of the host's node, if the graph has it.
func (r *Runner) hostNode(view *graph.View) (id string, there bool) {
	id = probe.GenID(r.opts.Host, "host")
	_, there = view.Node(id)
	return id, there
}

// sumsValue is the sums as the metadata shows them: the zero Value if nothing was counted.
func (r *Runner) sumsValue(sums []Sum) graph.Value {
	number := r.out.number()
	var list []graph.Value
	for _, s := range sums {
		if s.Ledger != (flow.Ledger{}) {
			list = append(list, graph.Object(graph.NewMetadata(
				graph.F("ID", graph.String(s.Capture)), graph.F("Books", graph.String(number)),
				graph.F("Ledger", ledgerValue(&s.Ledger, s.DownUpper)),
			)))
		}
	}
	if len(list) == 0 {
		return graph.Value{}
	}
	return graph.List(list...)
}

// mostGone is how many ledgers of nodes that are not captured any more are kept apart, in case that they come back.
const mostGone = 256

// fold adds up the ledgers of nodes that are gone once there are many: what is left of them is one ledger a capture.
// A node that comes back then begins with an empty ledger of its own.
func (o *outlet) fold(wanted map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var gone []*account
	for key, a := range o.accounts {
		if !wanted[key] && key != restKey(a.capture) {
			gone = append(gone, a)
		}
	}
	if len(gone) <= mostGone {
		return
	}
	var entries []spool.Entry
	rests := map[string]*account{}
	for _, a := range gone {
		rest := o.accounts[restKey(a.capture)]
		if rest == nil {
			rest = &account{key: restKey(a.capture), capture: a.capture}
			o.accounts[rest.key] = rest
		}
		rests[rest.key] = rest
		a.mu.Lock()
		l, upper, reported := a.sum(), a.upper, a.reported()
		a.mu.Unlock()
		l.Reported = reported
		rest.mu.Lock()
		rest.base = rest.base.Add(l)
		rest.upper = rest.upper || upper
		rest.mu.Unlock()
		delete(o.accounts, a.key)
		delete(o.dirty, a.key)
		entries = append(entries, spool.Entry{Key: a.key})
	}
	for _, rest := range rests {
		rest.mu.Lock()
		entries = append(entries, rest.entry())
		rest.mu.Unlock()
	}
	o.append(nil, entries, nil)
}

// restKey is the key of what is left of folded ledgers: no node's TID is empty.
func restKey(capture string) string { return accountKey(capture, "") }

// charged is the account that pays for a loss out of the spool. The caller holds mu.
func (o *outlet) charged(key string) *account {
	if a := o.accounts[key]; a != nil {
		return a
	}
	return o.accounts[restKey(captureOf(key))]
}
