package runner

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-net/weft/internal/capture/order"
	"github.com/weft-net/weft/skydive"
)

func together(list ...order.Orders) order.Orders {
	all := order.Orders{From: "a1"}
	for _, o := range list {
		all.Captures = append(all.Captures, o.Captures...)
	}
	all.Seal()
	return all
}

// A capture that takes long to end holds up nothing but what carries on its ledger.
func TestWhatEndsHoldsUpNothingElse(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	w, taker := still(t), newTaker()
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	defer release()
	slow := newScript(nil, packetsOf(udp(1), udp(2)))
	slow.hold = hold
	next := newScript(nil, packetsOf(udp(3)))
	again := newScript(nil, packetsOf(udp(4)))
	sources := &scripted{scripts: []*script{slow, next, again}}
	r, stop := start(t, Options{Graph: w.graph, Sink: w, Publish: taker, Open: sources.open, Counters: noCounters})
	set := func(o order.Orders) {
		t.Helper()
		if err := r.SetOrders(o); err != nil {
			t.Fatal(err)
		}
	}
	show := func(want string) func() string {
		return func() string {
			got := ""
			for _, s := range r.Captures() {
				got += fmt.Sprint(s.Capture.UUID, " ", s.State, " ", s.Ledger.Counted, "; ")
			}
			if got != want {
				return "shown: " + got
			}
			return ""
		}
	}
	first := orders(skydive.Capture{UUID: "c1"}, "v0")
	set(first)
	eventually(t, "the first counts", show("c1 active 2; "))
	begun := time.Now()
	second := orders(skydive.Capture{UUID: "c2"}, "v0")
	set(second)
	eventually(t, "the second counts while the first ends", show("c2 active 1; "))
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the second began after %v", took)
	}
	// The first comes back: there is one ledger, and it is still written to.
	set(together(first, second))
	eventually(t, "the first waits for itself", show("c1 waiting 2; c2 active 1; "))
	if list := r.Captures(); list[0].Error != errEnding.Error() {
		t.Errorf("it waits because of %q", list[0].Error)
	}
	release()
	eventually(t, "the first goes on", show("c1 active 3; c2 active 1; "))
	set(second)
	eventually(t, "the ledger of what is deleted goes when it is over", func() string {
		if r.out.find(accountKey("c1", "tid-v0")) != nil {
			return "it is there"
		}
		return ""
	})
	stop()
	if got := taker.reported(); got != 4 {
		t.Errorf("%d packets in reports, not 4", got)
	}
	if n := sources.leftOpen(); n != 0 {
		t.Errorf("%d sources are still open", n)
	}
}
