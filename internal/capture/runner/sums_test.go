package runner

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/capture/order"
	"github.com/weft-net/weft/internal/capture/spool"
	"github.com/weft-net/weft/skydive"
)

// shownSum is what the host's node says of the one capture.
func (w *wire) shownSum() (number string, received int64) {
	node, _ := w.graph.View().Node(hostID())
	list, _ := node.Field(sumsKey)
	for item := range list.All() {
		m := item.Object()
		books, _ := m.Get("Books")
		n, _ := m.Lookup("Ledger.Received")
		return books.Str(), n.Int()
	}
	return "", 0
}

// TestSumKeepsWhatIsGone takes the interface away, and the order for it, and the process, and brings them back: the sum
// is what was counted, and once.
func TestSumKeepsWhatIsGone(t *testing.T) {
	w, dir := newWire(t), t.TempDir()
	r, stop := start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker(), Dir: dir})
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, Active)
	w.send(100)
	before := w.awaitExact(r)
	var number string
	sum := func(what string, want, gone uint64) {
		t.Helper()
		eventually(t, what, func() string {
			sums := r.Sums()
			if len(sums) != 1 || sums[0].Ledger.Received != want || sums[0].Gone.Received != gone || !sums[0].Ledger.Balanced() {
				return fmt.Sprintf("%+v, not %d, of them %d gone", sums, want, gone)
			}
			var shown int64
			if number, shown = w.shownSum(); shown != int64(want) || number == "" {
				return fmt.Sprintf("the host shows %d in books %q, not %d", shown, number, want)
			}
			return ""
		})
	}
	sum("on a node that is there", before.Received, 0)
	first := number
	nothing := order.Orders{Keep: []string{"c1"}}
	nothing.Seal()

	w.unplug()
	sum("under an order that stands", before.Received, 0)
	if err := r.SetOrders(nothing); err != nil {
		t.Fatal(err)
	}
	sum("of a node that is gone", before.Received, before.Received)
	dead := copyDir(t, dir)
	stop()
	w.Replace(nil)
	r, stop = start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker(), Dir: dead})
	sum("after a death", before.Received, before.Received)
	if number != first {
		t.Errorf("the books %s have become %s", first, number)
	}

	w.plug()
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, Active)
	w.send(50)
	after := w.awaitExact(r)
	if after.Received < before.Received+50 {
		t.Errorf("%+v, then %+v", before, after)
	}
	sum("of a node that came back", after.Received, 0)

	none := order.Orders{}
	none.Seal()
	if err := r.SetOrders(none); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a deleted capture has no sum", func() string {
		if _, shown := w.shownSum(); len(r.Sums()) > 0 || shown > 0 {
			return fmt.Sprint(r.Sums(), shown)
		}
		return ""
	})
	stop()
	r, _ = start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker(), Dir: t.TempDir()})
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c1"}, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, Active)
	w.send(5)
	sum("in other books", w.awaitExact(r).Received, 0)
	if number == first {
		t.Error("empty books have the number of those before")
	}
}

// TestManyGoneNodesBecomeOneLedger has more nodes than are kept apart, reports of theirs that leave the spool unsent
// later, and another process.
func TestManyGoneNodesBecomeOneLedger(t *testing.T) {
	dir := t.TempDir()
	open := func() (*outlet, *spool.Spool) {
		kept, err := spool.Open(spool.Options{Dir: dir, MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		o := &outlet{accounts: map[string]*account{}}
		o.begin(kept, slog.New(slog.DiscardHandler))
		return o, kept
	}
	total := func(o *outlet) (l flow.Ledger) {
		for _, a := range o.accounts {
			l = l.Add(a.standing().ledger)
		}
		return l
	}
	o, kept := open()
	wanted := map[string]bool{accountKey("c1", "stays"): true}
	count := func(tid string) {
		a, r := o.account("c1", tid), &ring{}
		r.tap = &tap{account: a}
		a.join(r)
		a.note(r, flow.Ledger{Counted: 9, Faults: [flow.NumFaults]uint64{flow.FaultTruncated: 1}}, 1)
		o.reports(r, []byte("nine packets"), 9)
		a.leave(r)
		o.checkpoint(a, nil)
	}
	count("stays")
	for i := range mostGone {
		count(fmt.Sprint("n", i))
	}
	if o.fold(wanted); len(o.accounts) != mostGone+1 {
		t.Fatalf("%d ledgers: not many enough to be added up", len(o.accounts))
	}
	count("last")
	want := total(o)
	if o.fold(wanted); len(o.accounts) != 2 || total(o) != want || want.Received != 10*(mostGone+2) {
		t.Fatalf("%d ledgers with %+v, not %+v", len(o.accounts), total(o), want)
	}
	var written flow.Ledger
	for key, data := range kept.State() {
		if key == booksKey {
			continue
		}
		a, err := restore(key, data)
		if err != nil {
			t.Fatal(err)
		}
		written = written.Add(a.standing().ledger)
	}
	if written.Received != want.Received || written.Faults != want.Faults {
		t.Errorf("what is kept says %+v, not %+v", written, want)
	}
	// The reports of the folded are dropped from the spool, which is nobody's but the rest's to account for.
	for range 20 {
		o.append(make([]byte, 64<<10), []spool.Entry{{Key: "other/x", Value: []byte("{}")}}, nil)
	}
	if l := total(o); l.Received != want.Received || !l.Balanced() || l.Drops[flow.CauseQueue] != want.Counted {
		t.Errorf("after reports were dropped %+v, before %+v", l, want)
	}
	o.checkpoint(o.account("c1", "stays"), nil)
	want = total(o)
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
	o, kept = open()
	delete(o.accounts, "other/x")
	if l := total(o); len(o.accounts) != 2 || l.Received != want.Received || l.Counted != want.Counted || l.Drops != want.Drops || l.Faults != want.Faults {
		t.Errorf("another process has %d ledgers with %+v, not %+v", len(o.accounts), l, want)
	}
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
}

// What was counted is in the ledger of the next process from its first moment on, also on a node that never comes back.
func TestLedgerOfADeadProcessIsWhole(t *testing.T) {
	a, r := counting(100, 60, 10)
	a.note(r, flow.Ledger{Counted: 100, Faults: [flow.NumFaults]uint64{flow.FaultHeader: 3}}, 10)
	for range 2 { // the second time nothing is new
		a = dies(t, a)
		l, _ := a.ledger()
		if l.Received != 110 || l.Counted != 60 || l.Drops[flow.CauseDown] != 40 || l.Faults[flow.FaultHeader] != 3 || !l.Balanced() {
			t.Errorf("%+v", l)
		}
	}
}

// The layer that says what is captured on the host's own node also has the sums.
func TestHostThatIsCapturedItselfShowsBoth(t *testing.T) {
	w := still(t)
	r, _ := start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker(), Counters: noCounters, Open: (&scripted{scripts: []*script{newScript(nil, packetsOf(udp(1)))}}).open})
	o := orders(skydive.Capture{UUID: "c1"}, "v0")
	o.Captures = append(o.Captures, orders(skydive.Capture{UUID: "c2"}, hostID()).Captures...)
	o.Seal()
	if err := r.SetOrders(o); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are there", func() string {
		node, _ := w.graph.View().Node(hostID())
		captures, _ := node.Field(layerKey)
		if _, n := w.shownSum(); n != 1 || captures.Kind() != graph.KindList || captures.Len() != 1 {
			return fmt.Sprintf("sum %d, %s", n, captures)
		}
		return ""
	})
}
