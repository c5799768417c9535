package graph

import (
	"sync"
	"sync/atomic"
)

// ChangeKind says what became of an element.
type ChangeKind uint8

// The kinds of changes.
const (
	NodeAdded ChangeKind = iota + 1
	NodeUpdated
	NodeDeleted
	EdgeAdded
	EdgeUpdated
	EdgeDeleted
)

// String is the name of the change as Skydive's messages have it.
func (k ChangeKind) String() string {
	switch k {
	case NodeAdded:
		return "NodeAdded"
	case NodeUpdated:
		return "NodeUpdated"
	case NodeDeleted:
		return "NodeDeleted"
	case EdgeAdded:
		return "EdgeAdded"
	case EdgeUpdated:
		return "EdgeUpdated"
	case EdgeDeleted:
		return "EdgeDeleted"
	}
	return "unknown change"
}

// Change is what a commit did to one element.
type Change struct {
	Kind   ChangeKind
	Node   Node    // as after the change; a deleted one in its last version, with DeletedAt
	Edge   Edge    // the same, when the element is an edge
	Before Element // as before it; zero for an added one
	Sample bool    // only counters moved
}

// Commit is what one batch changed. It is shared by all subscribers: read only.
type Commit struct {
	Moment     Moment
	Origin     string
	Epoch, Seq uint64
	Changes    []Change
	Bytes      int // that it occupies in the log, about
}

// commitLog keeps the last commits for subscribers in a ring. The writer never waits for them: it overwrites, and who
// was not fast enough finds another commit in its place.
type commitLog struct {
	ring     []atomic.Pointer[loggedCommit]
	maxBytes int64
	head     atomic.Uint64 // commits ever logged: the last one has this number
	tail     atomic.Uint64 // the number of the oldest one kept, less one
	bytes    atomic.Int64

	subscribers atomic.Int64
	lagged      atomic.Uint64
	waiting     atomic.Int64 // subscribers that wait, or are about to

	mu    sync.Mutex
	baton chan struct{} // of those that wait now: who gets it wakes the next
}

type loggedCommit struct {
	number uint64
	commit *Commit
}

func (l *commitLog) init(size int, bytes int64) {
	l.ring = make([]atomic.Pointer[loggedCommit], size)
	l.maxBytes = bytes
	l.baton = make(chan struct{}, 1)
}

// wanted tells whether anybody subscribed.
func (l *commitLog) wanted() bool { return l.subscribers.Load() > 0 }

func (l *commitLog) stats() (subscribers int, lagged uint64, commits int, bytes int64) {
	return int(l.subscribers.Load()), l.lagged.Load(), int(l.head.Load() - l.tail.Load()), l.bytes.Load()
}

// append writes a commit; the head moves when it can be read.
func (l *commitLog) append(c *Commit) {
	n := l.head.Load() + 1
	size := uint64(len(l.ring))
	for n-l.tail.Load() > size || l.bytes.Load()+int64(c.Bytes) > l.maxBytes && n > l.tail.Load()+1 {
		l.forgetOldest()
	}
	l.bytes.Add(int64(c.Bytes))
	l.ring[n%size].Store(&loggedCommit{n, c})
	l.head.Store(n)
}

func (l *commitLog) forgetOldest() {
	n := l.tail.Load() + 1
	slot := &l.ring[n%uint64(len(l.ring))]
	l.bytes.Add(-int64(slot.Load().commit.Bytes))
	slot.Store(nil)
	l.tail.Store(n)
}

// reset forgets everything when nobody is left to read it.
func (l *commitLog) reset() {
	for l.tail.Load() < l.head.Load() {
		l.forgetOldest()
	}
}

// get gives a commit by its number; ok is false when it is not there any more.
func (l *commitLog) get(n uint64) (c *Commit, ok bool) {
	x := l.ring[n%uint64(len(l.ring))].Load()
	if x == nil || x.number != n {
		return nil, false
	}
	return x.commit, true
}

// broadcast wakes who waits, in time that does not depend on how many do: the first wakes the second, and so on.
func (l *commitLog) broadcast() {
	if l.waiting.Load() == 0 {
		return
	}
	l.mu.Lock()
	old := l.baton
	l.baton = make(chan struct{}, 1)
	l.mu.Unlock()
	old <- struct{}{}
}

func (l *commitLog) currentBaton() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.baton
}
