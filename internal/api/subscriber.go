package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/graphjson"
	"github.com/weft-net/weft/skydive"
)

// serveSubscriber answers GET /ws/subscriber.
func (s *Server) serveSubscriber(w http.ResponseWriter, r *http.Request) error {
	return s.openSocket(w, r, skydive.PathSubscriber, func(c *socket) error {
		sub := &subscriber{socket: c, class: classOf(c)}
		defer sub.depart()
		if err := sub.arrive(c.filter); err != nil {
			return err
		}
		return sub.listen()
	})
}

// servePubSub answers GET /ws/pubsub: a publisher that is told what others do.
func (s *Server) servePubSub(w http.ResponseWriter, r *http.Request) error {
	return s.openSocket(w, r, skydive.PathPubSub, func(c *socket) error {
		p := s.newPublisher(c)
		sub := &subscriber{socket: c, class: classOf(c), echo: p.full}
		defer sub.depart()
		if err := sub.arrive(c.filter); err != nil {
			return err
		}
		return p.serve(func(m *graphjson.Message) { sub.request(m) })
	})
}

func classOf(c *socket) (k class) {
	if c.partial {
		k |= classPartial
	}
	if c.protobuf {
		k |= classProtobuf
	}
	return k
}

// arrive joins the group of a filter.
func (sub *subscriber) arrive(filter *gremlin.Query) error {
	joined := make(chan error, 1)
	if !sub.s.hub.do(func() { joined <- sub.s.hub.join(sub, filter) }) {
		return errStopping
	}
	select {
	case err := <-joined:
		if err != nil {
			sub.end(websocket.StatusTryAgainLater, err.Error())
		}
		return err
	case <-sub.s.hub.done:
		return errStopping
	}
}

func (sub *subscriber) depart() { sub.s.hub.do(func() { sub.s.hub.leave(sub) }) }

// listen handles what a mere subscriber says: requests for the state.
func (sub *subscriber) listen() error {
	var (
		buf     []byte
		m       graphjson.Message
		err     error
		decoder = publisher{socket: sub.socket, decoder: graphjson.Decoder{MaxDepth: sub.s.limits.MaxDepth}}
	)
	received := sub.s.metrics.received.WithLabelValues(sub.endpoint, "data")
	for {
		if buf, err = sub.read(buf[:0]); err != nil {
			return err
		}
		received.Inc()
		switch err := decoder.decode(buf, &m); {
		case err != nil:
			sub.complain(http.StatusBadRequest, m.UUID, "", err)
		case m.Namespace != skydive.NamespaceGraph:
			sub.complain(http.StatusBadRequest, m.UUID, "", fmt.Errorf("unknown namespace %q: use %s", clip(m.Namespace), skydive.NamespaceGraph))
		case m.Type == skydive.MsgSyncRequest:
			sub.request(&m)
		default:
			sub.complain(http.StatusBadRequest, m.UUID, m.Element.ID, fmt.Errorf("message type %q is not taken here: %s only reads, write to %s", clip(m.Type), skydive.PathSubscriber, skydive.PathPublisher))
		}
	}
}

// request answers a SyncRequest.
func (sub *subscriber) request(m *graphjson.Message) {
	uuid := m.UUID
	if !sub.admitSync(uuid) {
		return
	}
	refuse := func(err error) {
		sub.refuseSync(uuid, skydive.StatusBadRequest, err)
		sub.answered()
	}
	var params skydive.SyncRequest
	if len(m.Obj) > 0 {
		if err := json.Unmarshal(m.Obj, &params); err != nil {
			refuse(fmt.Errorf("SyncRequest: want {\"Time\":ms,\"GremlinFilter\":\"…\"}: %w", err))
			return
		}
	}
	var filter *gremlin.Query
	if params.GremlinFilter != nil && *params.GremlinFilter != "" {
		query, err := parseFilter(*params.GremlinFilter)
		if err != nil {
			refuse(fmt.Errorf("GremlinFilter: %w", err))
			return
		}
		filter = query
	}
	sub.s.hub.do(func() {
		hub := sub.s.hub
		if params.GremlinFilter != nil {
			if err := hub.join(sub, filter); err != nil {
				refuse(err)
				return
			}
		}
		switch {
		case params.Time == 0:
			hub.sync(sub, uuid)
		case sub.group != nil && sub.wants(skydive.NamespaceGraph):
			sub.past(sub.group.query, int64(params.Time), uuid)
		default:
			sub.answered()
		}
	})
}

// past answers with the state at a moment that is over. It runs in the hub, but what
// takes time does not.
func (sub *subscriber) past(query *gremlin.Query, ms int64, uuid string) {
	refuse := func(status int, err error) {
		sub.refuseSync(uuid, status, err)
		sub.answered()
	}
	view, err := sub.s.deps.Graph.At(graph.EndOfMilli(ms))
	if err != nil {
		refuse(skydive.StatusBadRequest, err)
		return
	}
	reply := func(write func(buf *buffer, flush func() error, tail string) error) {
		entry := stateMessage(sub.s, sub.protobuf, skydive.MsgSyncReply, uuid, write)
		entry.answer, entry.done = true, sub.answered
		sub.answer(entry)
	}
	if query == nil {
		reply(func(buf *buffer, flush func() error, tail string) error { return appendGraph(buf, view, flush, tail) })
		return
	}
	go func() {
		leave, err := sub.s.queries.enter(sub.ctx)
		if err != nil {
			refuse(statusOf(err), err)
			return
		}
		defer leave()
		result, err := sub.s.deps.Engine.ExecOn(sub.ctx, query, view)
		if err != nil {
			refuse(skydive.StatusBadRequest, err)
			return
		}
		nodes, edges := result.Graph()
		reply(func(buf *buffer, flush func() error, tail string) error {
			return appendElements(buf, slices.Values(nodes), slices.Values(edges), flush, tail)
		})
	}()
}
