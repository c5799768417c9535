package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weft-net/weft/skydive"
)

// captureNews tells the subscribers of the namespace OnDemandCaptureNotification what becomes of captures: that one was
// made or deleted, which the store says, and that one began or ended on a node, which Deps.Captures says. Its goroutine
// owns what it knows.
type captureNews struct {
	s     *Server
	ids   *encoder
	ready chan struct{}            // closed when news are told: what was there before is known
	known map[string]*knownCapture // by id
	blind bool                     // nobody listened at the last look: what was missed is not told
}

// knownCapture is a capture as subscribers were last told of it.
type knownCapture struct {
	capture skydive.Capture
	nodes   map[string]skydive.CaptureNode // by node
	old     bool                           // it was there before anybody looked: how it fares is no news
}

const (
	captureLook  = 200 * time.Millisecond // between two looks at the state of captures
	captureShare = 20                     // of the time, at most one part in so many is spent looking
	captureRetry = time.Second            // after a failure of the store
)

// run follows the store and the state of captures until the context ends.
func (n *captureNews) run(ctx context.Context) {
	for {
		err := n.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		n.s.log.Warn("subscribers are not told of captures at the moment", "retry", captureRetry, "error", err)
		select {
		case <-time.After(captureRetry):
		case <-ctx.Done():
			return
		}
	}
}

func (n *captureNews) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// What is there already is no news.
	all, err := n.s.deps.Store.List(ctx, KindCapture)
	if err != nil {
		return fmt.Errorf("captures: %w", err)
	}
	n.known = make(map[string]*knownCapture, len(all))
	for id, text := range all {
		if one := n.learn(id, text); one != nil {
			one.old = true
		}
	}
	events, err := n.s.deps.Store.Watch(ctx, KindCapture)
	if err != nil {
		return fmt.Errorf("captures: %w", err)
	}
	select {
	case <-n.ready:
	default:
		close(n.ready)
	}
	look := time.NewTimer(captureLook)
	defer look.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return fmt.Errorf("captures: %w", ErrAway)
			}
			n.change(e)
		case <-look.C:
			began := time.Now()
			n.look()
			look.Reset(max(captureLook, captureShare*time.Since(began)))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// learn reads a capture of the store; nil when it cannot be read, which its own list tells.
func (n *captureNews) learn(id string, text []byte) *knownCapture {
	one := new(knownCapture)
	if err := json.Unmarshal(text, &one.capture); err != nil {
		return nil
	}
	n.known[id] = one
	return one
}

// await waits until news are told, for a moment: a client that comes right after the start is to miss none.
func (n *captureNews) await(ctx context.Context) {
	select {
	case <-n.ready:
		return
	default:
	}
	limit := time.NewTimer(captureLook)
	defer limit.Stop()
	select {
	case <-n.ready:
	case <-limit.C: // the store does not answer
	case <-ctx.Done():
	}
}

// change tells of a capture that was made or deleted.
func (n *captureNews) change(e StoreEvent) {
	old := n.known[e.ID]
	switch {
	case e.Data != nil && old == nil:
		if one := n.learn(e.ID, e.Data); one != nil {
			n.tell(skydive.MsgCaptureAdded, skydive.CaptureState{Capture: one.capture})
		}
	case e.Data == nil && old != nil:
		delete(n.known, e.ID)
		old.capture.Count = 0
		n.tell(skydive.MsgCaptureDeleted, skydive.CaptureState{Capture: old.capture})
	}
}

// look tells of captures that fare differently on a node than before.
func (n *captureNews) look() {
	if n.s.deps.Captures == nil || len(n.known) == 0 {
		return
	}
	if !slices.ContainsFunc(n.s.sockets.all(), (*socket).notified) {
		n.blind = true
		return
	}
	for _, info := range n.s.deps.Captures() {
		one := n.known[info.ID]
		if one == nil {
			continue // the store tells of it first
		}
		moved := one.compare(info.Nodes)
		silent := n.blind || one.old
		one.take(info)
		if len(moved) > 0 && !silent {
			n.tell(skydive.MsgCaptureUpdated, skydive.CaptureState{Capture: one.capture, Nodes: moved})
		}
	}
	n.blind = false
}

// compare gives the nodes on which a capture fares differently now, those that its query no longer finds as ended.
func (k *knownCapture) compare(nodes []CaptureNode) (moved []skydive.CaptureNode) {
	there := make(map[string]bool, len(nodes))
	for i := range nodes {
		there[nodes[i].ID] = true
		old, was := k.nodes[nodes[i].ID]
		news := old.State != nodes[i].State || old.Error != nodes[i].Error
		if !was { // that an agent was asked is no news
			news = nodes[i].State != skydive.CaptureWaiting
		}
		if news {
			moved = append(moved, showCaptureNode(&nodes[i]))
		}
	}
	for id, old := range k.nodes {
		if !there[id] {
			old.State, old.Error = skydive.CaptureEnded, ""
			moved = append(moved, old)
		}
	}
	slices.SortFunc(moved, func(a, b skydive.CaptureNode) int { return cmp.Compare(a.ID, b.ID) })
	return moved
}

func (k *knownCapture) take(info CaptureInfo) {
	k.capture.Count, k.old = info.Active, false
	k.nodes = make(map[string]skydive.CaptureNode, len(info.Nodes))
	for i := range info.Nodes {
		k.nodes[info.Nodes[i].ID] = showCaptureNode(&info.Nodes[i])
	}
}

// tell queues news for everybody who asked for it, or for everything. Somebody who does not read misses it: the state of
// a capture is there to be asked for.
func (n *captureNews) tell(kind string, state skydive.CaptureState) {
	m, err := skydive.NewMessage(skydive.NamespaceCaptureNotify, kind, n.ids.uuid(), &state)
	if err != nil {
		n.s.log.Error("news of a capture", "capture", state.UUID, "error", err)
		return
	}
	forms := make(map[string]frame, 2) // by protocol
	for _, c := range n.s.sockets.all() {
		if !c.notified() {
			continue
		}
		data := forms[c.protocol()]
		if data == nil {
			if data, err = m.Append(nil, c.protocol()); err != nil {
				n.s.log.Error("news of a capture", "capture", state.UUID, "error", err)
				return
			}
			forms[c.protocol()] = data
		}
		// A resync of the graph says nothing of captures, so that it does not take the place of this.
		if c.out.push(outgoing{frames: []frame{data}, size: int64(len(data)), answer: true}) != nil {
			n.s.metrics.dropped.WithLabelValues("capture notification").Inc()
		}
	}
}

// notified says whether the client is told of captures: it wants to, and may read them.
func (c *socket) notified() bool {
	return c.endpoint != skydive.PathSubscriberFlow && c.endpoint != skydive.PathPublisher &&
		c.role.Allows(KindCapture, read) && c.wants(skydive.NamespaceCaptureNotify)
}

// protocol is what the client's frames are in.
func (c *socket) protocol() string {
	if c.protobuf {
		return skydive.ProtocolProtobuf
	}
	return skydive.ProtocolJSON
}
