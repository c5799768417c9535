package api

import (
	"context"
	"errors"
	"io"
	"sync"
)

// frame is one encoded message, shared by all that it goes to and never changed.
type frame []byte

// outgoing is an entry of a queue: frames, or a message that is written as it is made.
type outgoing struct {
	frames []frame
	size   int64
	stream func(w io.Writer) error
	answer bool // to a request of the client's: it is not dropped with the events
}

// maxStreams is how many messages that are written as they are made may wait: each holds
// on to a state of the graph.
const maxStreams = 16

// errFull says that a queue is at its bound.
var errFull = errors.New("queue full")

// queue is what waits to be written to one client, bounded in bytes. Any goroutine may
// push; one takes.
type queue struct {
	limit int64

	mu      sync.Mutex
	list    []outgoing
	size    int64
	streams int
	closed  bool
	wake    chan struct{} // holds a token when there is something to take
}

func newQueue(limit int64) *queue { return &queue{limit: limit, wake: make(chan struct{}, 1)} }

// push appends, or returns errFull and leaves the queue as it is. One entry always fits
// into an empty queue. Streams are made when their turn comes, and count nothing.
func (q *queue) push(entry outgoing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	if q.size > 0 && q.size+entry.size > q.limit || entry.stream != nil && q.streams >= maxStreams {
		return errFull
	}
	q.add(entry)
	return nil
}

func (q *queue) add(entry outgoing) {
	q.list = append(q.list, entry)
	q.size += entry.size
	if entry.stream != nil {
		q.streams++
	}
	q.signal()
}

// replace drops what waits, but for answers, and puts one entry in its place.
func (q *queue) replace(entry outgoing) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	old := q.list
	q.list, q.size, q.streams = nil, 0, 0
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

// take waits for entries and returns all there are.
func (q *queue) take(ctx context.Context, into []outgoing) ([]outgoing, error) {
	for {
		q.mu.Lock()
		if len(q.list) > 0 {
			into = append(into[:0], q.list...)
			clear(q.list)
			q.list, q.size, q.streams = q.list[:0], 0, 0
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
