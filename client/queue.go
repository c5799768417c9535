package client

import (
	"context"
	"sync"

	"github.com/weft-net/weft/skydive"
)

// item is one thing that the consumer of a Subscription takes from its queue.
type item struct {
	frame  []byte // a message of the server; nil of a mark
	mark   bool   // events are missing here
	lost   int    // how many, as far as known
	reply  bool   // the frame is the whole graph that was asked for
	resync bool   // the frame makes up for lost events; of a mark: such a frame is coming already
}

// queue is what stands between the reader of a Subscription, who must never wait, and its consumer, who may. It is
// bounded: what comes when it is full is counted and dropped, and a mark stands for it.
type queue struct {
	maxItems, maxBytes int
	protocol           string
	sync               bool // a mark is followed by a whole graph, so nothing is added between them

	mu       sync.Mutex
	items    []item
	bytes    int
	full     bool            // dropping; there is a mark at the end
	coming   bool            // the reply to a SyncRequest is awaited or queued
	awaiting string          // the UUID of a SyncRequest, before whose reply no event of the graph counts
	resync   bool            // the awaited reply makes up for lost events
	asked    map[string]bool // UUIDs of SyncRequests whose reply is never dropped
	lost     int             // since the last item that told so
	stats    SubscriptionStats
	err      error // after which nothing comes
	ready    chan struct{}
}

func newQueue(maxItems, maxBytes int, protocol string, sync bool) *queue {
	return &queue{maxItems: maxItems, maxBytes: maxBytes, protocol: protocol, sync: sync, asked: make(map[string]bool), ready: make(chan struct{}, 1)}
}

// push adds a frame, or drops it.
func (q *queue) push(frame []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Received++
	if q.awaiting != "" {
		q.pushAwaiting(frame)
		return
	}
	if q.full || len(q.items) > 0 && (len(q.items) >= q.maxItems || q.bytes+len(frame) > q.maxBytes) {
		q.drop()
		return
	}
	q.add(item{frame: frame})
}

// pushAwaiting lets the awaited reply through, and what is not about the graph; the reply contains the rest.
func (q *queue) pushAwaiting(frame []byte) {
	m, err := skydive.DecodeMessage(frame, q.protocol)
	switch {
	case err != nil:
		q.add(item{frame: frame}) // the consumer decodes it again, and reports why it cannot
	case m.Type == skydive.MsgSyncReply && m.UUID == q.awaiting:
		q.awaiting = ""
		q.add(item{frame: frame, reply: true, resync: q.resync, lost: q.lost})
		q.lost = 0
	case m.Namespace != skydive.NamespaceGraph || q.asked[m.UUID]:
		delete(q.asked, m.UUID)
		if len(q.items) < q.maxItems {
			q.add(item{frame: frame})
		} else {
			q.lost++
			q.stats.Lost++
		}
	default:
		q.stats.Superseded++
	}
}

func (q *queue) drop() {
	q.lost++
	q.stats.Lost++
	if !q.full {
		q.full = true
		q.add(item{mark: true})
	}
}

func (q *queue) add(it item) {
	q.items = append(q.items, it)
	q.bytes += len(it.frame)
	signal(q.ready)
}

// await says that nothing counts before the reply to a SyncRequest.
func (q *queue) await(uuid string, resync bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.awaiting, q.resync, q.full, q.coming = uuid, resync, false, true
}

// mark says that events may be missing from here on.
func (q *queue) mark() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.full {
		q.add(item{mark: true})
	}
}

// end says that nothing comes any more.
func (q *queue) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	signal(q.ready)
}

// pop waits for the next item. What is queued comes before the error that ends the queue.
func (q *queue) pop(ctx context.Context) (item, error) {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			it := q.items[0]
			q.items[0] = item{}
			q.items = q.items[1:]
			q.bytes -= len(it.frame)
			switch {
			case it.reply:
				q.coming = q.awaiting != ""
			case it.mark && q.sync:
				it.resync = q.coming // the count is told with the graph
			case it.mark:
				it.lost, q.lost, q.full = q.lost, 0, false
			}
			q.mu.Unlock()
			return it, nil
		}
		err := q.err
		q.mu.Unlock()
		if err != nil {
			signal(q.ready) // for the next caller
			return item{}, err
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
			return item{}, context.Cause(ctx)
		}
	}
}
