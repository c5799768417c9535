package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/skydive"
)

// captures are the captures that clients asked for: validated here, kept in the store,
// brought to the agents by whoever watches the store. What became of them comes from
// Deps.Captures.
type captures struct {
	kind  resourceKind
	store Store
	state func() []CaptureInfo

	mu sync.Mutex // one creation at a time, so that duplicates are seen
}

func openCaptures(s *Server, k resourceKind) resource {
	return &captures{kind: k, store: s.deps.Store, state: s.deps.Captures}
}

func (k *captures) list(ctx context.Context, w http.ResponseWriter) error {
	all, err := k.store.List(ctx, KindCapture)
	if err != nil {
		return err
	}
	states := k.states()
	text := []byte{'{'}
	for i, id := range slices.Sorted(maps.Keys(all)) {
		if i > 0 {
			text = append(text, ',')
		}
		if text, err = jsontext.AppendQuote(text, id); err != nil {
			return fmt.Errorf("id %q: %w", id, err)
		}
		one, err := stateOf(all[id], states[id])
		if err != nil {
			return fmt.Errorf("capture %q: %w", id, err)
		}
		text = append(append(text, ':'), one...)
	}
	_, err = w.Write(append(text, "}\n"...))
	return err
}

func (k *captures) get(ctx context.Context, id string) ([]byte, error) {
	text, err := k.store.Get(ctx, KindCapture, id)
	if err != nil {
		return nil, err
	}
	return stateOf(text, k.states()[id])
}

func (k *captures) create(ctx context.Context, body []byte, ttl time.Duration) ([]byte, error) {
	var c skydive.Capture
	if err := decodeBody(body, &c); err != nil {
		return nil, err
	}
	if err := checkCapture(&c); err != nil {
		return nil, failf(http.StatusBadRequest, "invalid schema: %w", err)
	}
	if c.UUID == "" {
		c.UUID = uuid.NewString()
	}
	c.Count = 0
	text, err := json.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.duplicate(ctx, &c); err != nil {
		return nil, err
	}
	return text, k.store.Create(ctx, KindCapture, c.UUID, text, ttl)
}

// duplicate looks for a capture that would count the same packets: Skydive refuses those
// of the same query, type and filter.
func (k *captures) duplicate(ctx context.Context, c *skydive.Capture) error {
	all, err := k.store.List(ctx, KindCapture)
	if err != nil {
		return err
	}
	for id, text := range all {
		var other skydive.Capture
		if err := json.Unmarshal(text, &other); err != nil {
			return fmt.Errorf("capture %q: %w", id, err)
		}
		if other.Type == c.Type && other.GremlinQuery == c.GremlinQuery && other.BPFFilter == c.BPFFilter && other.Port == c.Port {
			return fmt.Errorf("%w: capture %s has this query, type and filter: use that, or delete it first", ErrExists, id)
		}
	}
	return nil
}

// replace refuses: what a capture is does not change, as in Skydive.
func (k *captures) replace(context.Context, string, []byte, []byte) ([]byte, error) {
	return nil, failf(http.StatusBadRequest, "updating resource with patched version: resource not updatable: delete the capture and create another")
}

func (k *captures) remove(ctx context.Context, id string) error {
	return k.store.Delete(ctx, KindCapture, id)
}

// states are the states of all captures by id.
func (k *captures) states() map[string]*CaptureInfo {
	if k.state == nil {
		return nil
	}
	list := k.state()
	byID := make(map[string]*CaptureInfo, len(list))
	for i := range list {
		byID[list[i].ID] = &list[i]
	}
	return byID
}

// stateOf completes a stored capture by what became of it.
func stateOf(text []byte, info *CaptureInfo) ([]byte, error) {
	var state skydive.CaptureState
	if err := json.Unmarshal(text, &state.Capture); err != nil {
		return nil, err
	}
	if info != nil {
		state.Count = info.Active
		state.Ledger = showLedger(info.Ledger)
		for i := range info.Nodes {
			state.Nodes = append(state.Nodes, showCaptureNode(&info.Nodes[i]))
		}
	}
	return json.Marshal(&state, json.Deterministic(true))
}

func showCaptureNode(n *CaptureNode) skydive.CaptureNode {
	return skydive.CaptureNode{
		ID: n.ID, TID: n.TID, Host: n.Host, Name: n.Name, Type: n.Type, State: n.State, Error: n.Error, Ledger: showLedger(n.Ledger),
	}
}

// showLedger is a ledger with the names of causes and faults, those that happened.
func showLedger(l flow.Ledger) *skydive.CaptureLedger {
	out := &skydive.CaptureLedger{
		Received: l.Received, Counted: l.Counted, CountedBytes: l.CountedBytes, Reported: l.Reported,
		Flows: l.Flows, FlowsEvicted: l.FlowsEvicted, FlowsLive: l.FlowsLive,
	}
	note := func(into *map[string]uint64, name string, n uint64) {
		if n == 0 {
			return
		}
		if *into == nil {
			*into = make(map[string]uint64)
		}
		(*into)[name] = n
	}
	for i, n := range l.Drops {
		note(&out.Drops, flow.Cause(i).String(), n)
	}
	for i, n := range l.Faults {
		note(&out.Faults, flow.Fault(i).String(), n)
	}
	return out
}
