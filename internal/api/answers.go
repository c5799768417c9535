package api

import (
	"fmt"
	"net/http"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/skydive"
)

// maxSyncs is how many SyncRequests of one client may be without their answers: each
// answer is the whole graph, so that more than one being written and one behind it would
// only be older states of it.
const maxSyncs = 2

// admitSync lets a SyncRequest in, whose answer is to call answered when it is written;
// or it refuses the request and returns false.
func (c *socket) admitSync(uuid string) bool {
	if c.unanswered.Add(1) <= maxSyncs {
		return true
	}
	c.answered()
	c.refuseSync(uuid, http.StatusTooManyRequests, fmt.Errorf("%d SyncRequests wait for their answers: read those first", maxSyncs))
	return false
}

// answered makes room for another SyncRequest.
func (c *socket) answered() { c.unanswered.Add(-1) }

// refuseSync answers a SyncRequest with a reason.
func (c *socket) refuseSync(uuid string, status int, cause error) {
	if !c.wants(skydive.NamespaceGraph) {
		return
	}
	data := appendMessage(nil, c.protobuf, skydive.MsgSyncReply, uuid, status, graph.String(cause.Error()).AppendJSON(nil))
	c.answer(outgoing{frames: []frame{data}, size: int64(len(data)), answer: true})
}

// answer queues an answer that may not be left out. A client that reads none is sent
// away.
func (c *socket) answer(entry outgoing) {
	if c.out.push(entry) != nil {
		c.s.metrics.dropped.WithLabelValues("reply").Inc()
		c.end(websocket.StatusPolicyViolation, "too many SyncRequests before the answers were read")
	}
}
