package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/skydive"
)

// hub follows the graph for all subscribers. One goroutine reads the commits in order,
// sees what each group of subscribers with the same filter is to learn of it, encodes
// that once a class, and queues it; a subscriber that does not keep up loses its queue
// and is given the whole state instead. Nobody waits for anybody.
type hub struct {
	s        *Server
	commands chan func()
	news     chan news
	encoder  *encoder
	moment   graph.Moment // up to which commits were handled
	view     *graph.View  // at moment; nil until asked for
	groups   map[string]*group
	workers  chan struct{} // bounds evaluations at once
	ctx      context.Context
	done     chan struct{}
}

// news is what the graph's log gave: a commit, or a state after a loss of place.
type news struct {
	commit *graph.Commit
	lost   *graph.View
}

// subscriber is a client of the hub. Its fields belong to the hub's goroutine.
type subscriber struct {
	*socket
	group   *group
	class   class
	echo    string // origin whose own changes are not sent; "" = all are
	losses  int    // of place, in a row
	lostAt  time.Time
	stopped bool
	lost    bool // a resync waits for the group's first evaluation
}

const lossesAllowed = 10 // within lossesWithin, before a subscriber is sent away

const lossesWithin = time.Minute

func newHub(s *Server) *hub {
	return &hub{
		s: s, commands: make(chan func(), 64), news: make(chan news, 64),
		encoder: newEncoder(), groups: make(map[string]*group), workers: make(chan struct{}, 2),
		done: make(chan struct{}),
	}
}

// run serves until the context ends.
func (h *hub) run(ctx context.Context) {
	defer close(h.done)
	h.ctx = ctx
	log := h.s.deps.Graph.Subscribe()
	h.view = log.View()
	h.moment = h.view.Moment()
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		h.follow(ctx, log)
	}()
	defer func() { <-followed }()
	for {
		select {
		case n := <-h.news:
			h.handle(n)
		case command := <-h.commands:
			command()
		case <-ctx.Done():
			return
		}
	}
}

// follow reads the log of the graph.
func (h *hub) follow(ctx context.Context, log *graph.Subscription) {
	defer log.Close()
	for {
		var n news
		commit, err := log.Next(ctx)
		switch {
		case err == nil:
			n.commit = commit
		case errors.Is(err, graph.ErrLagged):
			h.s.metrics.lagged.Inc()
			n.lost = log.Resync()
		default:
			if ctx.Err() == nil {
				h.s.log.Error("the graph's log ended, subscribers get nothing more", "error", err)
			}
			return
		}
		select {
		case h.news <- n:
		case <-ctx.Done():
			return
		}
	}
}

// do runs a command in the hub's goroutine; it returns false when the hub has ended.
func (h *hub) do(command func()) bool {
	select {
	case h.commands <- command:
		return true
	case <-h.done:
		return false
	}
}

func (h *hub) handle(n news) {
	if n.lost != nil {
		h.view, h.moment = n.lost, n.lost.Moment()
		for _, g := range h.groups {
			g.lose()
		}
		return
	}
	h.view, h.moment = nil, n.commit.Moment
	for _, g := range h.groups {
		g.commit(n.commit)
	}
}

// now is the graph as of the last commit that was handled.
func (h *hub) now() (*graph.View, error) {
	if h.view == nil {
		view, err := h.s.deps.Graph.At(h.moment)
		if err != nil {
			return nil, fmt.Errorf("state for subscribers: %w", err)
		}
		h.view = view
	}
	return h.view, nil
}

// join puts a subscriber into the group of a filter, nil for none. It runs in the hub.
func (h *hub) join(sub *subscriber, filter *gremlin.Query) error {
	text := ""
	if filter != nil {
		text = filter.String()
	}
	g := h.groups[text]
	if g == nil {
		if err := h.room(text); err != nil {
			return err
		}
		g = newGroup(h, text, filter)
		h.groups[text] = g
		h.s.metrics.filters.Set(float64(len(h.groups)))
		g.start()
	}
	asked := h.leave(sub)
	sub.group = g
	g.members[sub] = struct{}{}
	for _, ask := range asked {
		ask()
	}
	return nil
}

// room says whether a filter may be joined. It runs in the hub.
func (h *hub) room(text string) error {
	if text == "" || h.groups[text] != nil {
		return nil
	}
	used := len(h.groups)
	if h.groups[""] != nil {
		used--
	}
	if used >= h.s.limits.MaxFilters {
		return fmt.Errorf("%d different filters are in use: share one, or ask for the whole graph", h.s.limits.MaxFilters)
	}
	return nil
}

// hasRoom asks the hub whether a filter may be joined, before a connection is made of it.
func (h *hub) hasRoom(ctx context.Context, filter *gremlin.Query) error {
	if filter == nil {
		return nil
	}
	text := filter.String()
	answer := make(chan error, 1)
	if !h.do(func() { answer <- h.room(text) }) {
		return errStopping
	}
	select {
	case err := <-answer:
		if err != nil {
			return &httpError{http.StatusServiceUnavailable, err}
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-h.done:
		return errStopping
	}
}

var errStopping = failf(http.StatusServiceUnavailable, "the server is stopping")

// leave takes a subscriber out of its group; the last one closes it, and what it asked
// for there and did not get is returned. It runs in the hub.
func (h *hub) leave(sub *subscriber) (asked []func()) {
	g := sub.group
	if g == nil {
		return nil
	}
	sub.group = nil
	delete(g.members, sub)
	if len(g.members) == 0 {
		g.stop()
		delete(h.groups, g.text)
		h.s.metrics.filters.Set(float64(len(h.groups)))
		asked, g.asked = g.asked, nil
	}
	return asked
}

// push queues frames for a subscriber; when its queue is full, what waits is replaced by
// the state as of now.
func (h *hub) push(sub *subscriber, frames []frame, size int64) {
	if len(frames) == 0 || sub.stopped || !sub.wants(skydive.NamespaceGraph) {
		return
	}
	if sub.out.push(outgoing{frames: frames, size: size}) == nil {
		return
	}
	now := h.s.now()
	if now.Sub(sub.lostAt) > lossesWithin {
		sub.losses = 0
	}
	sub.lostAt = now
	// As long as it has not got to the last resync it loses nothing more: that will be the
	// state of a later moment. Who does not read at all runs into the time limit of a write.
	if !sub.out.resyncing() {
		sub.losses++
	}
	if sub.losses > lossesAllowed {
		sub.stopped = true
		h.s.metrics.tooSlow.Inc()
		sub.end(websocket.StatusTryAgainLater, "too slow: use a filter or the partial update policy, or read faster")
		return
	}
	h.s.metrics.dropped.WithLabelValues("slow subscriber").Add(float64(len(frames)))
	h.resync(sub)
}

// resync replaces what waits for a subscriber by the whole state.
func (h *hub) resync(sub *subscriber) {
	g := sub.group
	if g == nil {
		return
	}
	if g.starting && g.failure == nil {
		if !sub.lost {
			sub.lost = true
			g.asked = append(g.asked, func() { sub.lost = false; h.resync(sub) })
		}
		return
	}
	h.s.metrics.resyncs.Inc()
	entry, err := g.state(sub, skydive.MsgSync, h.encoder.uuid())
	if err != nil {
		sub.end(websocket.StatusInternalError, "the state could not be read")
		return
	}
	entry.resync = true
	h.s.metrics.dropped.WithLabelValues("slow subscriber").Add(float64(sub.out.replace(entry)))
}

// sync queues the state as of now for a subscriber as the answer to its request, which
// admitSync let in.
func (h *hub) sync(sub *subscriber, uuid string) {
	g := sub.group
	if g == nil || !sub.wants(skydive.NamespaceGraph) {
		sub.answered()
		return
	}
	if g.starting && g.failure == nil {
		g.asked = append(g.asked, func() { h.sync(sub, uuid) })
		return
	}
	entry, err := g.state(sub, skydive.MsgSyncReply, uuid)
	if err != nil {
		sub.refuseSync(uuid, skydive.StatusBadRequest, err)
		sub.answered()
		return
	}
	entry.answer, entry.done = true, sub.answered
	sub.answer(entry)
}

// stateMessage is a queue entry that writes a graph in a message of its own.
func stateMessage(s *Server, protobuf bool, kind, uuid string, write func(buf *buffer, flush func() error, tail string) error) outgoing {
	return outgoing{stream: func(w io.Writer) error {
		buf := s.spare.buffer()
		defer s.spare.give(buf)
		if protobuf {
			// The envelope says how long its object is, so that has to be whole.
			if err := write(buf, func() error { return nil }, ""); err != nil {
				return err
			}
			_, err := w.Write(appendMessage(nil, true, kind, uuid, skydive.StatusOK, buf.data))
			return err
		}
		head, err := skydive.AppendEnvelope(buf.data, skydive.NamespaceGraph, kind, uuid, skydive.StatusOK)
		if err != nil {
			head, _ = skydive.AppendEnvelope(buf.data[:0], skydive.NamespaceGraph, kind, "", skydive.StatusOK)
		}
		buf.data = head
		return write(buf, func() error {
			_, err := w.Write(buf.data)
			buf.data = buf.data[:0]
			return err
		}, "}")
	}}
}

// replyWithGraph queues the live graph for a client that is not a subscriber.
func (s *Server) replyWithGraph(c *socket, kind, uuid string) {
	if !c.wants(skydive.NamespaceGraph) || !c.admitSync(uuid) {
		return
	}
	entry := stateMessage(s, c.protobuf, kind, uuid, func(buf *buffer, flush func() error, tail string) error {
		return appendGraph(buf, s.deps.Graph.View(), flush, tail)
	})
	entry.answer, entry.done = true, c.answered
	c.answer(entry)
}
