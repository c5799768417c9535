package agent

import (
	"errors"
	"maps"
	"time"

	"github.com/weft-net/weft/graph"
)

// heldAge is how long a layer waits for its node. A probe that still means it says it again.
const heldAge = 10 * time.Minute

// heldLayer is what an origin said of a node that is not there yet.
type heldLayer struct {
	event graph.Event
	at    time.Time
}

// hold keeps the layers of a batch whose nodes the graph does not know, and forgets those that it replaces. An origin
// that lays layers is a guest: in whole states it comes after the owners of the nodes.
func (o *origin) hold(events []graph.Event, rejected []graph.Rejection) {
	now := time.Now()
	for i := range events {
		switch e := &events[i]; e.Op {
		case graph.PutLayer:
			o.guest = o.guest || e.Rank != graph.RankOwner
			delete(o.held, e.ID)
		case graph.DropLayer:
			delete(o.held, e.ID)
		}
	}
	if len(rejected) > 0 {
		maps.DeleteFunc(o.held, func(_ string, l heldLayer) bool { return now.Sub(l.at) > heldAge })
	}
	for _, r := range rejected {
		e := events[r.Index]
		if e.Op != graph.PutLayer || e.Edge || e.Rank == graph.RankOwner || !errors.Is(r.Err, graph.ErrUnknown) {
			continue
		}
		if o.held == nil {
			o.held = map[string]heldLayer{}
		}
		if len(o.held) < maxParked {
			o.held[e.ID] = heldLayer{e, now}
		}
	}
}

// laySoon lays what was held for the nodes of a batch that has been applied. The caller holds mu.
func (x *outbox) laySoon(events []graph.Event) {
	for i := range events {
		if events[i].Op != graph.PutNode {
			continue
		}
		for _, o := range x.order {
			if l, waits := o.held[events[i].ID]; waits {
				delete(o.held, events[i].ID)
				x.take(o, []graph.Event{l.event}, false)
			}
		}
	}
}
