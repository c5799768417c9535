package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/graphjson"
	"github.com/weft-net/weft/skydive"
)

const (
	batchEvents  = 2000 // of one publisher's batch
	batchesAhead = 64   // committed but not known to be visible, of one publisher
)

// publisher turns what a client says into batches of its origin. The goroutine that
// reads also decodes and commits; when a commit blocks it does not read, and TCP slows
// the client down. A second goroutine waits for the outcome of each batch and reports.
type publisher struct {
	*socket
	full    string // the origin's name in the graph
	writer  OriginWriter
	decoder graphjson.Decoder
	said    bool // anything at all

	events []graph.Event
	notes  []note
	ahead  chan landing
}

// note remembers of an event what a report about it needs.
type note struct {
	uuid  string
	quiet quietness
}

// quietness says which refusal of an event is no news to the client.
type quietness uint8

const (
	loud         quietness = iota
	quietStale             // an addition of what is there already
	quietUnknown           // a deletion of what is not there
)

// landing is a batch on its way, or a mark in the order of batches.
type landing struct {
	pending Pending
	notes   []note
	then    func(committed, rejected int64) // called when all before it is settled
}

func (s *Server) newPublisher(c *socket) *publisher {
	name := c.origin()
	return &publisher{
		socket: c, full: s.deps.Committer.OriginName(name),
		writer:  s.deps.Committer.Origin(name, OriginOptions{Persist: c.persist}),
		decoder: graphjson.Decoder{MaxDepth: s.limits.MaxDepth},
		ahead:   make(chan landing, batchesAhead),
	}
}

// servePublisher answers GET /ws/publisher.
func (s *Server) servePublisher(w http.ResponseWriter, r *http.Request) error {
	return s.openSocket(w, r, skydive.PathPublisher, func(c *socket) error {
		return s.newPublisher(c).serve(nil)
	})
}

// serve reads until the connection ends. sync answers SyncRequests where the endpoint is
// a subscriber's too.
func (p *publisher) serve(sync func(*graphjson.Message)) error {
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		p.report()
	}()
	err := p.readAll(sync)
	p.gone.Store(true)
	// Nobody waits for the outcome any more: a bus that is down may not hold the name.
	limit := time.AfterFunc(p.s.limits.WriteTimeout, p.cancel)
	defer limit.Stop()
	if p.transient && p.said {
		err = errors.Join(err, p.drop())
	}
	close(p.ahead)
	<-settled
	p.writer.Close()
	return err
}

// readAll takes messages in. What has arrived together becomes one batch.
func (p *publisher) readAll(sync func(*graphjson.Message)) error {
	var (
		buf []byte
		m   graphjson.Message
		err error
	)
	received := p.s.metrics.received.WithLabelValues(p.endpoint, "data")
	for {
		if buf, err = p.read(buf[:0]); err != nil {
			return errors.Join(err, p.flush())
		}
		received.Inc()
		if err := p.take(buf, &m, sync); err != nil {
			return err
		}
		if len(p.events) > 0 && (len(p.events) >= batchEvents || !wholeFrame(p.in)) {
			if err := p.flush(); err != nil {
				return err
			}
		}
		if cap(buf) > bufferKeep {
			buf = nil
		}
	}
}

// take handles one message. The error is not the message's, but ends the connection.
func (p *publisher) take(data []byte, m *graphjson.Message, sync func(*graphjson.Message)) error {
	if err := p.decode(data, m); err != nil {
		p.complain(http.StatusBadRequest, m.UUID, m.Element.ID, err)
		return nil
	}
	if m.Namespace != skydive.NamespaceGraph {
		p.complain(http.StatusBadRequest, m.UUID, "", fmt.Errorf("unknown namespace %q: use %s", clip(m.Namespace), skydive.NamespaceGraph))
		return nil
	}
	switch m.Type {
	case skydive.MsgSync, skydive.MsgSyncReply:
		return p.replaceAll(m)
	case skydive.MsgSyncRequest:
		if err := p.flush(); err != nil {
			return err
		}
		uuid := m.UUID
		if sync != nil {
			own := *m
			own.Obj = append([]byte(nil), m.Obj...)
			return p.mark(func(_, _ int64) { sync(&own) })
		}
		return p.mark(func(_, _ int64) { p.s.replyWithGraph(p.socket, skydive.MsgSyncReply, uuid) })
	case skydive.MsgFlushRequest:
		if err := p.flush(); err != nil {
			return err
		}
		uuid := m.UUID
		return p.mark(func(committed, rejected int64) {
			p.send(skydive.MsgFlushReply, uuid, skydive.StatusOK, fmt.Appendf(nil, `{"Committed":%d,"Rejected":%d}`, committed, rejected))
		})
	}
	event, quiet, err := p.event(m)
	if errors.Is(err, errInFlight) {
		// What it is about may be on its way: wait until it has landed.
		if err := p.flush(); err != nil {
			return err
		}
		if err := p.settle(); err != nil {
			return err
		}
		event, quiet, err = p.event(m)
	}
	if err != nil {
		p.complain(http.StatusBadRequest, m.UUID, m.Element.ID+m.Partial.ID, err)
		return nil
	}
	p.events = append(p.events, event)
	p.notes = append(p.notes, note{uuid: m.UUID, quiet: quiet})
	return nil
}

func (p *publisher) decode(data []byte, m *graphjson.Message) error {
	if !p.protobuf {
		return p.decoder.Message(data, m)
	}
	*m = graphjson.Message{}
	var envelope skydive.Message
	if err := envelope.UnmarshalProto(data); err != nil {
		return err
	}
	*m = graphjson.Message{Namespace: envelope.Namespace, Type: envelope.Type, UUID: envelope.UUID, Status: int64(envelope.Status), Obj: envelope.Obj}
	return p.decoder.Object(m)
}

// flush commits what was gathered. It blocks while too much is on its way.
func (p *publisher) flush() error {
	if len(p.events) == 0 {
		return nil
	}
	events, notes := p.events, p.notes
	p.events = make([]graph.Event, 0, min(batchEvents, len(events)))
	p.notes = make([]note, 0, min(batchEvents, len(events)))
	p.said = true
	pending, err := p.writer.Commit(p.ctx, events)
	if err != nil {
		return fmt.Errorf("commit of %s: %w", p.full, err)
	}
	p.s.metrics.batches.Observe(float64(len(events)))
	return p.land(landing{pending: pending, notes: notes})
}

func (p *publisher) land(l landing) error {
	select {
	case p.ahead <- l:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// mark has a function called when all that was committed so far is settled.
func (p *publisher) mark(then func(committed, rejected int64)) error {
	return p.land(landing{then: then})
}

// settle waits until all that was committed so far is settled.
func (p *publisher) settle() error {
	done := make(chan struct{})
	if err := p.mark(func(_, _ int64) { close(done) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// report waits for each batch in turn and tells the client what was refused.
func (p *publisher) report() {
	var committed, rejected int64
	for l := range p.ahead {
		if l.then != nil {
			l.then(committed, rejected)
			continue
		}
		result, err := l.pending.Wait(p.ctx)
		if err != nil {
			if p.ctx.Err() == nil {
				p.complain(http.StatusInternalServerError, "", "", fmt.Errorf("batch of %d messages: %w", len(l.notes), err))
			}
			rejected += int64(len(l.notes))
			continue
		}
		loudly := 0
		for _, r := range result.Rejected {
			var n note
			if r.Index >= 0 && r.Index < len(l.notes) {
				n = l.notes[r.Index]
			}
			if n.quiet == quietStale && errors.Is(r.Err, graph.ErrStale) || n.quiet == quietUnknown && errors.Is(r.Err, graph.ErrUnknown) {
				continue
			}
			loudly++
			p.complain(rejectionStatus(r.Err), n.uuid, r.ID, r.Err)
		}
		rejected += int64(loudly)
		committed += int64(len(l.notes) - loudly)
		p.s.metrics.events.WithLabelValues("committed").Add(float64(len(l.notes) - loudly))
		p.s.metrics.events.WithLabelValues("rejected").Add(float64(loudly))
	}
}

func rejectionStatus(err error) int {
	switch {
	case errors.Is(err, graph.ErrOwned), errors.Is(err, graph.ErrStale):
		return http.StatusConflict
	case errors.Is(err, graph.ErrUnknown), errors.Is(err, graph.ErrOrphan):
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// replaceAll handles Sync: the origin's whole state.
func (p *publisher) replaceAll(m *graphjson.Message) error {
	if err := p.flush(); err != nil {
		return err
	}
	var nodes, edges []graph.Event
	err := p.decoder.Graph(m.Obj,
		func(e *graphjson.Element) { nodes = append(nodes, p.whole(e, graph.PutNode)) },
		func(e *graphjson.Element) { edges = append(edges, p.whole(e, graph.PutEdge)) })
	if m.Obj == nil {
		err = errors.New("Sync without an object: send {\"Nodes\":…,\"Edges\":…}")
	}
	if err != nil {
		p.complain(http.StatusBadRequest, m.UUID, "", err)
		return nil
	}
	events := append(nodes, edges...)
	notes := make([]note, len(events))
	for i := range notes {
		notes[i] = note{uuid: m.UUID, quiet: quietStale}
	}
	p.said = true
	pending, err := p.writer.Snapshot(p.ctx, events)
	if err != nil {
		return fmt.Errorf("snapshot of %s: %w", p.full, err)
	}
	return p.land(landing{pending: pending, notes: notes})
}

// whole is the event of an element in a Sync, which keeps its displayed origin.
func (p *publisher) whole(e *graphjson.Element, op graph.Op) graph.Event {
	if e.Origin == "" {
		e.Origin = p.origin()
	}
	return e.Put(op)
}

// drop takes everything back that a client with DeleteOnDisconnect said.
func (p *publisher) drop() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), p.s.limits.WriteTimeout)
	defer cancel()
	pending, err := p.writer.Snapshot(ctx, nil)
	if err == nil {
		_, err = pending.Wait(ctx)
	}
	if err != nil {
		p.s.log.Error("elements of a client that left were not deleted", "origin", p.full, "error", err)
		return fmt.Errorf("deletion on disconnect: %w", err)
	}
	return nil
}

// Orphaned reports an edge whose nodes never came to the client that published it. It
// is fit for graph.Options.OnOrphan: it never blocks.
func (s *Server) Orphaned(origin string, ev graph.Event, cause error) {
	for _, c := range s.sockets.established() {
		if c.endpoint != skydive.PathSubscriber && s.deps.Committer.OriginName(c.origin()) == origin {
			c.complain(http.StatusNotFound, "", ev.ID, cause)
		}
	}
}
