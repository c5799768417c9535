package graph

// endedQueue lists the versions that ended, oldest end first: what the window may let go.
type endedQueue struct {
	first, last *endedChunk
	head        int // in first
	n           int
}

const endedPerChunk = 256

type endedChunk struct {
	entries []ended
	next    *endedChunk
}

// ended is a version that the next one replaced; without a next one the element was deleted.
type ended struct {
	e       *element
	v, next *version
}

func (q *endedQueue) len() int { return q.n }

func (q *endedQueue) push(x ended) {
	if q.last == nil || len(q.last.entries) == endedPerChunk {
		c := &endedChunk{entries: make([]ended, 0, endedPerChunk)}
		if q.last == nil {
			q.first = c
		} else {
			q.last.next = c
		}
		q.last = c
	}
	q.last.entries = append(q.last.entries, x)
	q.n++
}

func (q *endedQueue) peek() *ended { return &q.first.entries[q.head] }

func (q *endedQueue) pop() {
	q.first.entries[q.head] = ended{}
	q.head++
	q.n--
	if q.head == endedPerChunk {
		q.first = q.first.next
		q.head = 0
		if q.first == nil {
			q.last = nil
		}
	}
}

func (g *Graph) end(e *element, v, next *version) {
	g.ended.push(ended{e, v, next})
	g.pastBytes += v.bytes()
}

// trimmedPerCall bounds the work of one call of Trim.
const trimmedPerCall = 20_000

// Trim lets go what is older than the window, gives up edges that waited too long, and forgets origins. It does a bounded amount of
// work: call it now and then, such as once a second. Apply does a little of it each time.
func (g *Graph) Trim() {
	now := MomentOf(g.opts.Now())
	g.mu.Lock()
	t := txn{g: g}
	t.expireParked()
	g.forgetOrigins(max(now, g.last), originsPerTrim)
	g.trim(max(now, g.last)-Moment(g.opts.Window), trimmedPerCall)
	g.mu.Unlock()
	g.tellOrphans(t.orphans)
}

// trim lets go versions that ended by a moment, or that are too many bytes.
func (g *Graph) trim(until Moment, budget int) {
	for ; budget > 0 && g.ended.n > 0; budget-- {
		x := *g.ended.peek()
		to := Moment(x.v.to.Load())
		if to > until && g.pastBytes <= g.opts.WindowBytes {
			return
		}
		// Views that need the version learn that they are too old before it goes.
		if to > Moment(g.earliest.Load()) {
			g.earliest.Store(int64(to))
		}
		g.ended.pop()
		g.pastBytes -= x.v.bytes()
		g.counts.trimmed++
		g.counts.versions--
		if x.next != nil {
			x.next.prev.Store(nil)
			g.unindexVersion(x.e, x.v, x.next)
			continue
		}
		g.forget(x.e, x.v)
	}
}

// forget takes a deleted element out of everything.
func (g *Graph) forget(e *element, v *version) {
	g.unindexVersion(e, v, nil)
	if newer := e.newer.Load(); newer != nil {
		newer.older.Store(nil)
	} else if hash := maphashString(g.seed, e.id); e.edge {
		g.edgeIDs.remove(hash, e.handle)
	} else {
		g.nodeIDs.remove(hash, e.handle)
	}
	if e.edge {
		e.asEdge().unlink()
	}
	g.elementsOf(e.edge).drop(e)
}
