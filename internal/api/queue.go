package api

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
)

// frame is one encoded message, shared by all that it goes to and never changed.
type frame []byte

// outgoing is an entry of a queue: frames, or a message that is written as it is made.
type outgoing struct {
	frames []frame
	size   int64
	stream func(w io.Writer) error
	done   func() // called when the stream is written: whoever set it counts such entries
	answer bool   // to a request of the client's: it is not dropped with the events
	resync bool   // the state instead of what the client lost
}

// What an entry costs beside the bytes of its frames, so that a bound in bytes bounds
// the entries too. A stream is made when its turn comes: until then it costs next to
// nothing.
const (
	entryCost  = 192
	frameCost  = 32
	streamCost = 1 << 10
)

// cost is what an entry counts against the bound of a queue.
func (o *outgoing) cost() int64 {
	n := o.size + entryCost + frameCost*int64(len(o.frames))
	if o.stream != nil {
		n += streamCost
	}
	return n
}

// errFull says that a queue is at its bound.
var errFull = errors.New("queue full")

// queue is what waits to be written to one client, bounded in bytes. Any goroutine may
// push; one takes.
type queue struct {
	limit int64

	mu     sync.Mutex
	list   []outgoing
	size   int64 // the cost of the list
	closed bool
	wake   chan struct{} // holds a token when there is something to take
}

func newQueue(limit int64) *queue { return &queue{limit: limit, wake: make(chan struct{}, 1)} }

// push appends, or returns errFull and leaves the queue as it is. One entry always fits
// into an empty queue, and one that is counted elsewhere always does.
func (q *queue) push(entry outgoing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	if q.size > 0 && q.size+entry.cost() > q.limit && entry.done == nil {
		return errFull
	}
	q.add(entry)
	return nil
}

func (q *queue) add(entry outgoing) {
	q.list = append(q.list, entry)
	q.size += entry.cost()
	q.signal()
}

// replace drops what waits, but for answers, and puts one entry in its place.
func (q *queue) replace(entry outgoing) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	old := q.list
	q.list, q.size = nil, 0
	for _, former := range old {
		if former.answer {
			q.add(former)
		} else {
			dropped += len(former.frames)
		}
	}
	q.add(entry)
	return dropped
}

// resyncing says whether a resync still waits: the client has not got to it.
func (q *queue) resyncing() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.list, func(entry outgoing) bool { return entry.resync })
}

// take waits for entries and returns all there are.
func (q *queue) take(ctx context.Context, into []outgoing) ([]outgoing, error) {
	for {
		q.mu.Lock()
		if len(q.list) > 0 {
			into = append(into[:0], q.list...)
			clear(q.list)
			q.list, q.size = q.list[:0], 0
			q.mu.Unlock()
			return into, nil
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return nil, io.EOF
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// close lets take return what is there, then io.EOF.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.signal()
	q.mu.Unlock()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
