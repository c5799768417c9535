package runner

import (
	"fmt"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture/spool"
)

// account is the ledger of one capture on one node, over all rings and processes.
//
// What ties it to the interface is its zero: what the interface's counter showed when the ledger was empty. While the
// capture runs without a filter, the counter is always zero + Received; so when a new ring is opened on the same
// interface, what the counter shows beyond zero and the ledger's packets went by while nobody counted.
type account struct {
	key     string
	capture string

	mu       sync.Mutex
	base     flow.Ledger // of rings and processes that are over
	rings    map[*ring]*ringPart
	face     string // the interface that zero belongs to; "" = none
	zero     int64
	settled  bool   // zero was read in a quiet moment
	pending  bool   // the packets that went by were counted while more came: a quiet moment corrects them
	lenient  bool   // the interface counts what the capture does not take: a filter, sampling
	upper    bool   // CauseDown is an upper bound
	unsaid   uint64 // packets that an earlier process counted and never reported
	drifted  uint64 // packets by which interface and rings did not agree in quiet moments
	observed Counters
}

// ringPart is what one ring that is open adds to the ledger.
type ringPart struct {
	live    flow.Ledger // of the table
	dropped uint64      // by the ring
	kept    uint64      // packets in reports that the spool has
}

// position is an account as the spool keeps it: what can be proven after a crash.
type position struct {
	Received uint64 // at that moment, what no report told of included
	Reported uint64
	Bytes    uint64
	Drops    []uint64
	Faults   []uint64 `json:",omitzero"`
	Flows    uint64
	Evicted  uint64
	Face     string `json:",omitzero"`
	Zero     int64  `json:",omitzero"`
	Upper    bool   `json:",omitzero"`
	Drifted  uint64 `json:",omitzero"`
}

func accountKey(capture, tid string) string { return capture + "/" + tid }

func captureOf(key string) string {
	capture, _, _ := strings.Cut(key, "/")
	return capture
}

// restore makes an account of what an earlier process left.
func restore(key string, data []byte) (*account, error) {
	var p position
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("position: %w", err)
	}
	a := &account{key: key, face: p.Face, zero: p.Zero, settled: true, upper: p.Upper, drifted: p.Drifted}
	a.capture = captureOf(key)
	a.base = flow.Ledger{Counted: p.Reported, CountedBytes: p.Bytes, Reported: p.Reported, Flows: p.Flows, FlowsEvicted: p.Evicted}
	copy(a.base.Drops[:], p.Drops)
	copy(a.base.Faults[:], p.Faults)
	a.base.Received = a.base.Counted + a.base.Dropped()
	if p.Received > a.base.Received {
		a.unsaid = p.Received - a.base.Received
	}
	return a, nil
}

// sum is the ledger now. The caller holds mu.
func (a *account) sum() flow.Ledger {
	l := a.base
	// What an earlier process counted and never reported is in no flow, whether the interface is met again or not.
	l.Drops[flow.CauseDown] += a.unsaid
	l.Received += a.unsaid
	for _, part := range a.rings {
		live := part.live
		live.Drops[flow.CauseRing] += part.dropped
		live.Received = live.Counted + live.Dropped()
		l = l.Add(live)
	}
	return l
}

func (a *account) ledger() (l flow.Ledger, upper bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sum(), a.upper
}

// entry is the position for the spool. The caller holds mu.
func (a *account) entry() spool.Entry {
	l := a.sum()
	p := position{
		Received: l.Received, Reported: a.reported(), Bytes: l.CountedBytes, Drops: l.Drops[:], Faults: l.Faults[:], Flows: l.Flows, Evicted: l.FlowsEvicted,
		Face: a.face, Zero: a.zero, Upper: a.upper, Drifted: a.drifted,
	}
	data, err := json.Marshal(&p)
	if err != nil { // no value of this type fails
		data = []byte("{}")
	}
	return spool.Entry{Key: a.key, Value: data}
}

// begin is called when rings are open on an interface that had counted packets of which the rings saw seen. since is
// what it had counted when the capture became responsible for it; nil: it is from now on.
func (a *account) begin(face string, packets, seen uint64, lenient bool, since *uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := int64(packets) - int64(seen)
	a.lenient = lenient
	if a.face != face || face == "" {
		// Another interface. What was counted and not reported is lost.
		a.lose(a.unsaid)
		a.unsaid = 0
		a.face, a.zero = face, before-int64(a.base.Received)
		a.settled, a.pending = false, false
		if since == nil || face == "" || before < int64(*since) {
			return // nothing says how much it let pass before
		}
		a.zero = int64(*since) - int64(a.base.Received)
	}
	missed := before - a.zero - int64(a.base.Received)
	if missed < 0 {
		// The counter was put back, or interface and rings never agreed. What is known to be lost stays lost.
		a.drifted += uint64(-missed)
		missed = int64(a.unsaid)
		a.zero = before - int64(a.base.Received) - missed
	}
	a.lose(uint64(missed))
	a.upper = a.upper || lenient && uint64(missed) > a.unsaid
	a.unsaid = 0
	a.pending = !lenient
}

// lose counts packets that went by while nobody counted. The caller holds mu.
func (a *account) lose(n uint64) {
	a.base.Drops[flow.CauseDown] += n
	a.base.Received += n
}

// quiet is called when the interface's counter and the rings stood still together, and the tables had counted all.
func (a *account) quiet(packets uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	zero := int64(packets) - int64(a.sum().Received)
	off := zero - a.zero
	switch {
	case a.lenient, off == 0:
	case a.pending && int64(a.base.Drops[flow.CauseDown])+off >= 0:
		a.base.Drops[flow.CauseDown] = uint64(int64(a.base.Drops[flow.CauseDown]) + off)
		a.base.Received = uint64(int64(a.base.Received) + off)
		zero = a.zero
	case a.settled:
		a.drifted += uint64(max(off, -off))
	}
	a.zero, a.settled, a.pending = zero, true, false
}

// busy is called at checkpoints that are not quiet: with a filter, only what passes after them can be missed.
func (a *account) busy(packets uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lenient {
		a.zero = int64(packets) - int64(a.sum().Received)
	}
}

// end is called when a capture is not wanted any more: what passes from now on is not missed.
func (a *account) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.face = ""
}

// drop counts reports that left the spool unsent: their packets are in no flow that anybody sees.
func (a *account) drop(packets uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	packets = min(packets, a.reported())
	a.base.Drops[flow.CauseQueue] += packets
	// The packets are counted in a ring's part or in the base; what the base has too little, a part has too much.
	a.base.Counted -= packets
	a.base.Reported -= packets
}

// miss counts packets and messages kept of flows that the flows went without.
func (a *account) miss(n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.base.Faults[flow.FaultNotKept] += n
}

// reported is how many packets are in reports that the spool took, and did not drop. The caller holds mu.
func (a *account) reported() uint64 {
	n := a.base.Reported
	for _, part := range a.rings {
		n += part.kept
	}
	return n
}

// join adds a ring; leave takes its last figures into the base.
func (a *account) join(r *ring) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rings == nil {
		a.rings = map[*ring]*ringPart{}
	}
	a.rings[r] = &ringPart{}
}

func (a *account) leave(r *ring) {
	a.mu.Lock()
	defer a.mu.Unlock()
	part := a.rings[r]
	if part == nil {
		return
	}
	delete(a.rings, r)
	live := part.live
	live.Drops[flow.CauseRing] += part.dropped
	live.Reported = part.kept
	live.FlowsLive = 0
	live.Received = live.Counted + live.Dropped()
	a.base = a.base.Add(live)
}

// note takes the newest figures of a ring.
func (a *account) note(r *ring, live flow.Ledger, dropped uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if part := a.rings[r]; part != nil {
		part.live, part.dropped = live, dropped
	}
}
