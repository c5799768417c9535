package linux

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
)

// The waits of the probe.
const (
	settle       = 2 * time.Millisecond   // a change waits for others
	settleMost   = 100 * time.Millisecond // under load
	listsPause   = 250 * time.Millisecond // between two changes of a link's lists
	firstReading = 3 * time.Second        // the first Replace waits for all namespaces
	devicePause  = time.Second            // between two questions to drivers, for a link that is known
)

// A loop is one Run of a probe: all state, owned by one goroutine. Other goroutines send
// it functions with post.
type loop struct {
	ctx      context.Context
	env      probe.Env
	log      *slog.Logger
	sink     probe.Sink
	limits   probe.LinuxSettings
	visitors *visitors
	calls    chan func()
	timers   timers
	count    *instruments

	host   host
	own    *space
	all    bool // sees all namespaces
	spaces map[uint64]*space
	byID   map[int]*space
	nextID int

	names    map[string]struct{} // files in the directories of named namespaces
	pids     map[int]*space      // by the process that leads to them
	scanning bool

	unread  int  // what the first Replace waits for
	started bool // Replace was called

	dirty      map[*link]struct{} // nodes to describe again
	dirtyEdges map[*link]struct{}
	dirtySpace map[*space]struct{}
	hostDirty  bool
	later      map[*link]struct{} // their lists changed and rest
	removed    []string           // ids of nodes
	refs       map[ref]map[*link]struct{}
	lost       map[*link]struct{} // links whose peer's namespace is not known
	tunnels    map[int]map[*link]struct{}
	samples    []graph.Event
	samplers   *samplers
	seed       maphash.Seed
	serial     int64 // of events about links, and of readings

	flushDue  bool
	lastFlush time.Duration
}

// The ids that the probe gives to namespaces start somewhere between these two: the kernel
// and others give low ones, and an id that an earlier run gave is not to be met again.
const (
	firstID = 1 << 20
	lastID  = 1 << 30
)

func newLoop(ctx context.Context, env probe.Env, sink probe.Sink) *loop {
	return &loop{
		ctx: ctx, env: env, sink: sink, limits: env.Settings.Linux,
		log:        env.Logger.With("probe", Name),
		calls:      make(chan func(), 64),
		count:      newInstruments(),
		spaces:     make(map[uint64]*space),
		byID:       make(map[int]*space),
		names:      make(map[string]struct{}),
		pids:       make(map[int]*space),
		nextID:     firstID + rand.IntN(lastID-firstID),
		dirty:      make(map[*link]struct{}),
		dirtyEdges: make(map[*link]struct{}),
		dirtySpace: make(map[*space]struct{}),
		later:      make(map[*link]struct{}),
		refs:       make(map[ref]map[*link]struct{}),
		lost:       make(map[*link]struct{}),
		tunnels:    make(map[int]map[*link]struct{}),
		samplers:   newSamplers(),
		seed:       maphash.MakeSeed(),
		hostDirty:  true,
	}
}

// post has f run on the loop's goroutine. It waits while the loop is behind, and gives up
// when the probe ends.
func (l *loop) post(f func()) {
	select {
	case l.calls <- f:
	case <-l.ctx.Done():
	}
}

// run serves calls and timers until the context ends.
func (l *loop) run() {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		clock.Reset(l.timers.wait(time.Hour))
		select {
		case f := <-l.calls:
			f()
		case <-clock.C:
		case <-l.ctx.Done():
			return
		}
		l.timers.fire()
	}
}

// after has f run on the loop's goroutine once d has passed.
func (l *loop) after(d time.Duration, f func()) { l.timers.add(time.Now().Add(d), f) }

// touch plans a flush.
func (l *loop) touch() {
	if l.flushDue || !l.started {
		return
	}
	l.flushDue = true
	l.after(min(max(settle, 5*l.lastFlush), settleMost), func() {
		l.flushDue = false
		l.flush()
	})
}

func (l *loop) touchLink(k *link) {
	l.dirty[k] = struct{}{}
	l.touch()
}

func (l *loop) touchEdges(k *link) {
	l.dirtyEdges[k] = struct{}{}
	l.touch()
}

func (l *loop) touchSpace(s *space) {
	if !s.own {
		l.dirtySpace[s] = struct{}{}
		l.touch()
	}
}

// touchRefs has those links looked at again that depend on what is at r.
func (l *loop) touchRefs(r ref) {
	for k := range l.refs[r] {
		l.touchEdges(k)
		l.touchLink(k)
	}
}

// read has a space read from the beginning.
func (l *loop) read(s *space) {
	if s.gone {
		return
	}
	if s.reading {
		s.again = true
		return
	}
	s.reading, s.again = true, false
	s.waiting = nil
	path, enterable := s.path()
	limit := l.limits.RouteLimit
	inode, nsid := s.inode, s.nsid
	l.visitors.do(func(v *visitor) {
		var r *reading
		err := errOther
		if enterable {
			err = v.enter(path, inode, func() (err error) {
				r, err = v.readInside(limit, l.seed)
				return err
			})
		}
		if err != nil && nsid >= 0 {
			r, err = readOutside(v.conn, nsid, l.seed)
		}
		l.post(func() { l.finishReading(s, r, err) })
	})
}

func (l *loop) finishReading(s *space, r *reading, err error) {
	waiting, again := s.waiting, s.again
	s.again, s.waiting = false, nil
	if s.gone {
		return
	}
	if err != nil {
		s.reading = false
		l.count.failures.Inc()
		if s.own {
			l.log.Error("own network namespace cannot be read", "error", err)
			l.finishFirst(s)
			l.after(time.Second, func() { l.read(s) })
			return
		}
		l.removeSpace(s) // it has gone: not even its id is known to the kernel
		return
	}
	s.whole = r.whole
	l.apply(s, r)
	s.reading = false
	l.becameReady(s)
	for _, m := range waiting {
		l.event(s, m)
	}
	l.touchSpace(s)
	l.finishFirst(s)
	if again {
		l.read(s)
	}
}

// finishFirst notes that a space needs not be waited for.
func (l *loop) finishFirst(s *space) {
	if s.counted {
		return
	}
	s.counted = true
	if l.unread--; l.unread <= 0 {
		l.start()
	}
}

// becameReady looks again at links whose peer may be in s.
func (l *loop) becameReady(s *space) {
	if s.ready {
		return
	}
	s.ready = true
	for k := range l.lost {
		l.forgetIDs(k.space)
		l.touchLink(k)
		l.touchEdges(k)
	}
}

// start makes the first Replace.
func (l *loop) start() {
	if l.started {
		return
	}
	l.started = true
	l.flush()
}

// apply makes the space what was read.
func (l *loop) apply(s *space, r *reading) {
	seen := make(map[int]struct{}, len(r.links))
	addresses := make(map[int][]address, len(r.links))
	for _, a := range r.addresses {
		addresses[a.index] = append(addresses[a.index], a)
	}
	entries := make(map[int][]neighbour)
	for _, n := range r.neighbours {
		entries[n.index] = append(entries[n.index], n)
	}
	l.serial++
	for _, state := range r.links {
		seen[state.index] = struct{}{}
		k := l.putLink(s, state)
		k.seen, k.measured = l.serial, state.hash
		if d, ok := r.devices[state.index]; ok || !r.whole {
			k.device, k.asked = d, true
			delete(s.wanted, state.index)
		}
		k.addresses = nil
		for _, a := range addresses[state.index] {
			l.putAddress(k, a)
		}
		if r.whole {
			clear(k.neighbours)
			clear(k.fdb)
			for _, n := range entries[state.index] {
				k.putNeighbour(n)
			}
			k.routes = r.routes[state.index]
			k.listsOld = true
		}
		l.touchLink(k)
		l.touchEdges(k)
	}
	for index, k := range s.links {
		if _, ok := seen[index]; !ok {
			l.removeLink(k)
		}
	}
}

// removeSpace forgets a namespace and all that is in it.
func (l *loop) removeSpace(s *space) {
	if s.gone || s.own {
		return
	}
	s.gone = true
	for _, k := range s.links {
		l.removeLink(k)
	}
	if s.shown {
		l.removed = append(l.removed, s.id)
	}
	delete(l.dirtySpace, s)
	l.setProcess(s, 0, "")
	if l.spaces[s.inode] == s {
		delete(l.spaces, s.inode)
	}
	if l.byID[s.nsid] == s {
		delete(l.byID, s.nsid)
	}
	for k := range l.refs[ref{space: s}] {
		l.forgetIDs(k.space)
	}
	l.touchRefs(ref{space: s})
	l.count.spaces.Dec()
	l.finishFirst(s)
	l.touch()
}
