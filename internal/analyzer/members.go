package analyzer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
)

// members are the processes on the bus, as their heartbeats show them.
type members struct {
	mu     sync.Mutex
	byName map[string]*peer
	paused time.Time // until when nobody counts as away: our own connection was
	// dropped are origins that were taken out of the graph, which still knows their
	// numbers: the next batch would follow, but must be a Snapshot.
	dropped map[string]time.Time // when
}

// peer is one of them.
type peer struct {
	name     string
	instance string
	seen     time.Time // the last heartbeat; monotonic, so that no clock change matters
	since    time.Time // of this instance, by the clock
	lastSeen time.Time // by the clock
	beat     bus.Beat
	away     bool
	marked   map[string]bool // host nodes that bear the mark
	twins    int             // changes of instance in a row while both are alive

	at     map[string]bus.Position // where each origin stands in the graph
	claims map[string]*claim       // origins that are behind what their member said
	extra  map[string]int          // origins that its heartbeats do not list: how many in a row
	listed map[string]bool         // by the pages of this heartbeat; nil: one was lost
	page   int                     // the last one
}

// claim is an origin that seems to be behind.
type claim struct {
	said  bus.Position // by its member's heartbeat
	gap   bus.Position // of a batch that came too early: no need to wait whether it is only late
	bare  bool         // layers of the origin did not find their nodes: its whole state lays them when the nodes are here
	seen  bus.Position // in the graph when the claim was looked at last
	since time.Time    // without progress
	wait  time.Duration
	next  time.Time // not before
}

const (
	graceNew    = 300 * time.Millisecond // for a batch in flight, when the origin is unknown
	graceLate   = 700 * time.Millisecond // when it is known but behind
	firstWait   = 500 * time.Millisecond // between two requests, growing
	longestWait = 10 * time.Second
	claimTick   = 50 * time.Millisecond
	maxMembers  = 50_000 // more are not watched
	maxListed   = 1 << 20
	dropMemory  = time.Hour // then the graph has forgotten the numbers, too
)

func (m *members) get(name string) *peer {
	one := m.byName[name]
	if one == nil {
		one = &peer{
			name: name, seen: time.Now(), at: map[string]bus.Position{},
			claims: map[string]*claim{}, extra: map[string]int{}, marked: map[string]bool{},
		}
		m.byName[name] = one
	}
	return one
}

func (m *members) away() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.byName {
		if one.away {
			n++
		}
	}
	return n
}

// beat takes a heartbeat.
func (a *Analyzer) beat(b bus.Beat) {
	if b.Member == a.member {
		return
	}
	var gone []string
	a.members.mu.Lock()
	if len(a.members.byName) >= maxMembers && a.members.byName[b.Member] == nil {
		a.members.mu.Unlock()
		return
	}
	m := a.members.get(b.Member)
	now := time.Now()
	if m.instance != b.Instance {
		if m.instance != "" && now.Sub(m.seen) < 2*time.Second {
			if m.twins++; m.twins == 3 {
				a.log.Warn("two processes speak for one host: give each its own name with --host", "member", b.Member)
			}
		}
		m.instance, m.since = b.Instance, a.opts.Now()
		clear(m.extra)
	}
	m.seen, m.lastSeen, m.beat = now, a.opts.Now(), b
	whole := m.turn(b)
	for _, said := range b.Origins {
		a.claim(m, said)
	}
	if whole {
		gone = m.unlisted()
	}
	a.members.mu.Unlock()
	for _, name := range gone {
		a.drop(name)
		a.counters.dropped.Add(1)
	}
}

// turn takes the next page of a heartbeat, and says whether that completes it.
func (m *peer) turn(b bus.Beat) bool {
	switch {
	case b.Page == 0:
		m.listed = make(map[string]bool, len(b.Origins))
	case b.Page != m.page+1 || len(m.listed) > maxListed:
		m.listed = nil
	}
	m.page = b.Page
	if m.listed == nil {
		return false
	}
	for _, said := range b.Origins {
		m.listed[said.Origin] = true
	}
	return b.Page >= b.Pages-1
}

// unlisted forgets the origins that heartbeats no longer list, and gives those of them that
// the graph has.
func (m *peer) unlisted() (gone []string) {
	look := func(name string, there bool) {
		if m.listed[name] {
			delete(m.extra, name)
		} else if m.extra[name]++; m.extra[name] >= 2 {
			if there {
				gone = append(gone, name)
			}
			m.forget(name)
		}
	}
	for name := range m.at {
		look(name, true)
	}
	for name := range m.claims {
		if _, there := m.at[name]; !there {
			look(name, false)
		}
	}
	m.listed = nil
	return gone
}

// claim notes what a heartbeat says of an origin.
func (a *Analyzer) claim(m *peer, said bus.Position) {
	c := m.claims[said.Origin]
	if c == nil {
		c = &claim{seen: m.at[said.Origin], since: time.Now(), wait: firstWait}
		m.claims[said.Origin] = c
	}
	c.said = said
	m.settle(said.Origin)
}

// missing is a gap in an origin's batches.
func (a *Analyzer) missing(member, origin string, epoch, seq uint64) {
	a.members.mu.Lock()
	defer a.members.mu.Unlock()
	m := a.members.get(member)
	m.doubt(origin, epoch).gap = bus.Position{Origin: origin, Epoch: epoch, Seq: seq}
}

// doubt gives the claim on an origin, a new one if there is none.
func (m *peer) doubt(origin string, epoch uint64) *claim {
	c := m.claims[origin]
	if c == nil {
		c = &claim{said: bus.Position{Origin: origin, Epoch: epoch}, seen: m.at[origin], since: time.Now(), wait: firstWait}
		m.claims[origin] = c
	}
	return c
}

// bare tells whether layers of a batch did not find their nodes. A member lays layers on what it said before, so a
// batch of another origin of its was lost.
func bare(b *graph.Batch, result graph.Result) bool {
	return slices.ContainsFunc(result.Rejected, func(r graph.Rejection) bool {
		return b.Events[r.Index].Op == graph.PutLayer && errors.Is(r.Err, graph.ErrUnknown)
	})
}

// settle drops the claim on an origin that has caught up.
func (m *peer) settle(origin string) {
	c, have := m.claims[origin], m.at[origin]
	if c == nil {
		return
	}
	// A member whose epoch is lower than what is known must be told: it is not heard.
	heard := have.Epoch == c.said.Epoch && have.Seq >= c.said.Seq || c.said.Seq == 0 && have.Epoch <= c.said.Epoch
	if have.Epoch > c.gap.Epoch || have.Epoch == c.gap.Epoch && have.Seq >= c.gap.Seq {
		c.gap = bus.Position{}
	}
	if heard && c.gap.Seq == 0 && !c.bare {
		delete(m.claims, origin)
	}
}

// applied notes where an origin of another member stands.
func (a *Analyzer) applied(member string, b *graph.Batch, result graph.Result) {
	if member == a.member || b.Epoch == 0 {
		return
	}
	a.members.mu.Lock()
	defer a.members.mu.Unlock()
	m := a.members.get(member)
	m.at[b.Origin] = bus.Position{Origin: b.Origin, Epoch: b.Epoch, Seq: b.Seq}
	if bare(b, result) {
		if c := m.doubt(b.Origin, b.Epoch); !c.bare {
			c.bare, c.next = true, time.Now().Add(graceNew) // the nodes may be on their way
		}
	} else if c := m.claims[b.Origin]; c != nil && b.Snapshot {
		c.bare = false
	}
	if c := m.claims[b.Origin]; c != nil {
		// What was applied is what its member says by now.
		if b.Epoch > c.said.Epoch || b.Epoch == c.said.Epoch && b.Seq > c.said.Seq {
			c.said = m.at[b.Origin]
		}
		m.settle(b.Origin)
	}
}

func (m *peer) forget(origin string) {
	delete(m.at, origin)
	delete(m.claims, origin)
	delete(m.extra, origin)
}

// incomplete says that the batch would change what is no longer there.
func (m *members) incomplete(b *graph.Batch) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, dropped := m.dropped[b.Origin]; !dropped {
		return false
	}
	if b.Snapshot {
		delete(m.dropped, b.Origin)
	}
	return !b.Snapshot
}

// drop takes an origin out of the local graph; what it says later needs a Snapshot.
func (a *Analyzer) drop(origin string) {
	a.members.mu.Lock()
	a.members.dropped[origin] = time.Now()
	a.members.mu.Unlock()
	if _, err := a.graph.Apply(&graph.Batch{Origin: origin, Snapshot: true}); err != nil {
		a.log.Warn("origin not dropped", "origin", origin, "error", err)
	}
}

// watchMembers asks for what is missing, marks who is away, and drops who stays away.
func (a *Analyzer) watchMembers(ctx context.Context) {
	presence := a.Origin("presence", api.OriginOptions{})
	defer presence.Close()
	tick := time.NewTicker(claimTick)
	defer tick.Stop()
	var looked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.askMissing()
		if time.Since(looked) > 500*time.Millisecond {
			looked = time.Now()
			a.lookAround(ctx, presence)
		}
	}
}

func (a *Analyzer) askMissing() {
	type request struct {
		member  string
		origins []bus.Position
	}
	var requests []request
	a.members.mu.Lock()
	now := time.Now()
	for _, m := range a.members.byName {
		r := request{member: m.name}
		for name, c := range m.claims {
			have := m.at[name]
			if have != c.seen { // it moves: it is only late
				c.seen, c.since = have, now
			}
			grace := graceLate
			switch {
			case c.gap.Seq > 0:
				grace = 0
			case c.bare: // what it says meanwhile does not lay the layers that are missing
				grace = 0
			case have.Epoch != c.said.Epoch:
				grace = graceNew
			}
			if now.Sub(c.since) < grace || now.Before(c.next) {
				continue
			}
			c.next, c.wait = now.Add(c.wait), min(2*c.wait, longestWait)
			have.Origin = name
			r.origins = append(r.origins, have)
		}
		if len(r.origins) > 0 && now.Sub(m.seen) < a.opts.Away {
			requests = append(requests, r)
		}
	}
	a.members.mu.Unlock()
	for _, r := range requests {
		a.log.Debug("whole state requested", "member", r.member, "origins", len(r.origins))
		if a.conn.RequestResync(r.member, r.origins) == nil { // else the next round repeats it
			a.counters.resyncs.Add(uint64(len(r.origins)))
		}
	}
}

// lookAround finds out who is away.
func (a *Analyzer) lookAround(ctx context.Context, presence api.OriginWriter) {
	var events []graph.Event
	var expired []string
	a.members.mu.Lock()
	now := time.Now()
	if !a.conn.Connected() {
		a.members.paused = now.Add(a.opts.Away)
	}
	if now.Before(a.members.paused) {
		a.members.mu.Unlock()
		return
	}
	maps.DeleteFunc(a.members.dropped, func(_ string, at time.Time) bool { return now.Sub(at) > dropMemory })
	for name, m := range a.members.byName {
		silence := now.Sub(m.seen)
		m.away = silence > a.opts.Away
		if a.opts.Expire > 0 && silence > a.opts.Expire {
			for origin := range m.at {
				expired = append(expired, origin)
			}
			delete(a.members.byName, name)
			continue
		}
		events = a.mark(events, m)
	}
	a.members.mu.Unlock()
	for _, origin := range expired {
		a.drop(origin)
		a.counters.expired.Add(1)
	}
	if len(events) > 0 {
		_, _ = presence.Commit(ctx, events) // refused only at the end
	}
}

// The mark of a host that does not answer: a layer on its node.
const (
	keyReachable = "Reachable" // false; absent while the host answers
	keyLastSeen  = "LastSeen"  // ms
)

// mark appends what makes the marks on a member's host nodes right.
func (a *Analyzer) mark(events []graph.Event, m *peer) []graph.Event {
	if !m.away {
		for id := range m.marked {
			events = append(events, graph.Event{Op: graph.DropLayer, ID: id})
		}
		clear(m.marked)
		return events
	}
	view := a.graph.View()
	for id := range m.marked {
		if _, there := view.Node(id); !there {
			delete(m.marked, id)
		}
	}
	hosts, _, ok := view.Lookup("Type", graph.String("host"))
	if !ok {
		return events
	}
	for n := range hosts {
		if m.marked[n.ID()] || bus.MemberOf(n.Owner()) != m.name {
			continue
		}
		m.marked[n.ID()] = true
		events = append(events, graph.Event{
			Op: graph.PutLayer, ID: n.ID(), Rank: graph.RankSource,
			Metadata: graph.NewMetadata(
				graph.F(keyReachable, graph.Bool(false)),
				graph.F(keyLastSeen, graph.Int(m.lastSeen.UnixMilli())),
			),
		})
	}
	return events
}

// heartbeat says every second how far the origins of this analyzer have got.
func (a *Analyzer) heartbeat(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var told time.Time
	for {
		err := a.conn.Beat(bus.Beat{
			Instance: a.conn.Instance(), Started: a.started.UnixMilli(), Version: a.opts.Version,
			Origins: a.writers.positions(),
		})
		if err != nil && a.conn.Connected() { // else there is nobody to tell
			a.counters.beatErrors.Add(1)
			if time.Since(told) > time.Minute {
				told = time.Now()
				a.log.Warn("heartbeat not sent", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// leads says whether this analyzer is the one that executes rules: the first by name of
// those that answer.
func (a *Analyzer) leads() bool {
	a.members.mu.Lock()
	defer a.members.mu.Unlock()
	for name, m := range a.members.byName {
		if bus.IsAnalyzer(name) && !m.away && name < a.member {
			return false
		}
	}
	return true
}
