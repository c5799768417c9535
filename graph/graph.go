package graph

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options tune a Graph; the zero value is fit for use.
type Options struct {
	Now         func() time.Time
	Window      time.Duration // age of past versions that are kept; 0 = 1 h
	WindowBytes int64         // bytes of past versions that are kept; 0 = 256 MiB
	Index       []string      // node fields indexed from the start, "@Host" among them; nil = DefaultIndex
	LogSize     int           // commits kept for subscribers; 0 = 4096
	LogBytes    int64         // bytes of commits kept for subscribers; 0 = 64 MiB
	OrphanAge   time.Duration // how long an edge waits for its nodes; 0 = 10 s
	OrphanMax   int           // how many edges wait; 0 = 100,000
	// OnOrphan is told of an edge that was given up, outside any lock but on the goroutine of Apply or Trim.
	OnOrphan    func(origin string, ev Event, err error)
	SamplesKept int // about how many samples of one series are kept; 0 = 120
	// OriginAge is how long an origin that has nothing in the graph is known after its last batch; 0 = 10 min.
	OriginAge time.Duration
}

// DefaultIndex is what is indexed when Options do not say.
func DefaultIndex() []string {
	return []string{"@Host", "Name", "Type", "TID", "MAC", "IPV4", "IPV6"}
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Window <= 0 {
		o.Window = time.Hour
	}
	if o.WindowBytes <= 0 {
		o.WindowBytes = 256 << 20
	}
	if o.Index == nil {
		o.Index = DefaultIndex()
	}
	if o.LogSize <= 0 {
		o.LogSize = 4096
	}
	if o.LogBytes <= 0 {
		o.LogBytes = 64 << 20
	}
	if o.OrphanAge <= 0 {
		o.OrphanAge = 10 * time.Second
	}
	if o.OrphanMax <= 0 {
		o.OrphanMax = 100_000
	}
	if o.SamplesKept <= 0 {
		o.SamplesKept = 120
	}
	if o.OriginAge <= 0 {
		o.OriginAge = 10 * time.Minute
	}
	return o
}

// Graph is a property graph with its recent past. Any goroutine may call any method.
type Graph struct {
	opts Options
	seed maphash.Seed
	born Moment

	// What readers take without locks.
	state       atomic.Pointer[state]
	earliest    atomic.Int64
	nodes       elements
	edges       elements
	nodeIDs     table
	edgeIDs     table
	nodeIndexes atomic.Pointer[[]*index]
	edgeIndexes atomic.Pointer[[]*index]
	samplePaths atomic.Pointer[[]string] // prefixes under which samples show
	log         commitLog
	unindexed   atomic.Uint64

	askedMu sync.Mutex
	asked   map[bool]map[string]int
	built   map[bool]int

	// What the writer holds.
	mu        sync.Mutex
	last      Moment
	origins   map[string]*origin
	known     originList         // the same, longest silent first
	forgotten map[string]*origin // for their positions
	positions originList         // the same, longest forgotten first
	places    map[place]*place
	marks     uint32
	ended     endedQueue
	pastBytes int64
	parked    parking
	touches   []touch
	counts    counts

	counterNames []Counters // shared prefixes and names of series
}

// state is what a commit publishes, at once.
type state struct {
	moment       Moment
	nodes, edges int
	logged       uint64 // commits in the log up to it
}

// counts are the writer's.
type counts struct {
	nodes, edges, layers, versions                     int
	commits, changes, rejected, trimmed, orphans, lost uint64
	forgotten                                          uint64
}

// New makes an empty graph.
func New(opts Options) *Graph {
	opts = opts.withDefaults()
	g := &Graph{
		opts:      opts,
		seed:      maphash.MakeSeed(),
		born:      MomentOf(opts.Now()),
		origins:   make(map[string]*origin),
		forgotten: make(map[string]*origin),
		places:    make(map[place]*place),
		asked:     make(map[bool]map[string]int),
		built:     make(map[bool]int),
	}
	g.state.Store(&state{})
	var indexes []*index
	for _, key := range opts.Index {
		if findIndex(indexes, key) == nil {
			x := &index{key: key}
			x.ready.Store(true)
			indexes = append(indexes, x)
		}
	}
	g.nodeIndexes.Store(&indexes)
	g.edgeIndexes.Store(new([]*index))
	g.samplePaths.Store(new([]string))
	g.log.init(opts.LogSize, opts.LogBytes)
	return g
}

// Now is the moment of the last commit, 0 before the first.
func (g *Graph) Now() Moment { return g.state.Load().moment }

// Earliest is the earliest moment that At answers.
func (g *Graph) Earliest() Moment {
	if m := Moment(g.earliest.Load()); m != 0 {
		return m
	}
	return g.born
}

// Stats counts what a Graph holds and did.
type Stats struct {
	Nodes, Edges     int
	Versions         int   // live and past
	PastVersions     int   // that wait to leave the window
	PastBytes        int64 // that they occupy, about
	Origins          int
	ForgottenOrigins uint64
	Layers           int // beside the owners'
	Parked           int // edges that wait for their nodes
	Commits          uint64
	Changes          uint64
	Rejected         uint64 // events
	Orphans          uint64 // edges given up
	TrimmedVersions  uint64
	DroppedSamples   uint64
	Subscribers      int
	Lagged           uint64 // times that a subscriber lost its place
	LogCommits       int
	LogBytes         int64
	UnindexedLookups uint64
	NodeIndexes      []string
	EdgeIndexes      []string
	Now, Earliest    Moment
}

// Stats gives the counters as of now. It waits for the batch that is being applied.
func (g *Graph) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := &g.counts
	s := Stats{
		Nodes: c.nodes, Edges: c.edges, Versions: c.versions, PastVersions: g.ended.len(), PastBytes: g.pastBytes,
		Origins: len(g.origins), ForgottenOrigins: c.forgotten, Layers: c.layers, Parked: g.parked.len(), Commits: c.commits, Changes: c.changes,
		Rejected: c.rejected, Orphans: c.orphans, TrimmedVersions: c.trimmed, DroppedSamples: c.lost,
		UnindexedLookups: g.unindexed.Load(), Now: g.Now(), Earliest: g.Earliest(),
	}
	s.Subscribers, s.Lagged, s.LogCommits, s.LogBytes = g.log.stats()
	for _, x := range *g.nodeIndexes.Load() {
		s.NodeIndexes = append(s.NodeIndexes, x.key)
	}
	for _, x := range *g.edgeIndexes.Load() {
		s.EdgeIndexes = append(s.EdgeIndexes, x.key)
	}
	return s
}

// place interns a display host and origin.
func (g *Graph) place(host, origin string) *place {
	key := place{host, origin}
	if p := g.places[key]; p != nil {
		return p
	}
	if len(g.places) >= 1<<16 {
		clear(g.places) // elements hold theirs; what comes next is interned anew
	}
	p := &place{cloneString(host), cloneString(origin)}
	g.places[*p] = p
	return p
}

func sortBy[T any](s []T, compare func(a, b T) int) { slices.SortStableFunc(s, compare) }
