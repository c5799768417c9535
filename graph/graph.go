package graph

import (
	"context"
	"iter"
	"time"
)

// Options tune a Graph; the zero value is fit for use.
type Options struct {
	Now         func() time.Time
	Window      time.Duration // age of past versions that are kept, 1 h
	WindowBytes int64         // bytes of past versions that are kept, 256 MiB
	Index       []string      // metadata keys indexed from the start; nil = the default
	LogSize     int           // commits kept for subscribers
	LogBytes    int64         // bytes of commits kept for subscribers
	OrphanAge   time.Duration // how long an edge waits for its nodes, 10 s
	OrphanMax   int           // how many edges wait
	OnOrphan    func(origin string, ev Event, err error)
	SamplesKept int // samples kept of one series
}

// Stats counts what a Graph holds and did.
type Stats struct {
	Nodes, Edges     int
	Versions         int // live and past
	PastVersions     int
	PastBytes        int64
	Origins          int
	Layers           int
	Parked           int
	Commits          uint64
	Changes          uint64
	Rejected         uint64
	OrphansDropped   uint64
	VersionsTrimmed  uint64
	SamplesDropped   uint64
	Subscribers      int
	Lagged           uint64
	UnindexedLookups uint64
	Indexes          []string
	EdgeIndexes      []string
	Earliest, Now    Moment
}

type OriginState struct {
	Name                 string
	Epoch, Seq           uint64
	Nodes, Edges, Layers int
}

type Graph struct{}

func New(o Options) *Graph                                  { panic("skeleton") }
func (g *Graph) View() *View                                { panic("skeleton") }
func (g *Graph) At(m Moment) (*View, error)                 { panic("skeleton") }
func (g *Graph) Between(from, to Moment) (*View, error)     { panic("skeleton") }
func (g *Graph) Now() Moment                                { panic("skeleton") }
func (g *Graph) Earliest() Moment                           { panic("skeleton") }
func (g *Graph) Stats() Stats                               { panic("skeleton") }
func (g *Graph) Apply(b *Batch) (Result, error)             { panic("skeleton") }
func (g *Graph) ApplyAt(m Moment, b *Batch) (Result, error) { panic("skeleton") }
func (g *Graph) Trim()                                      { panic("skeleton") }
func (g *Graph) Origins() []OriginState                     { panic("skeleton") }
func (g *Graph) Subscribe() *Subscription                   { panic("skeleton") }

type View struct{}

func (v *View) Moment() Moment                   { panic("skeleton") }
func (v *View) Interval() (from, to Moment)      { panic("skeleton") }
func (v *View) Node(id string) (Node, bool)      { panic("skeleton") }
func (v *View) Edge(id string) (Edge, bool)      { panic("skeleton") }
func (v *View) Nodes() iter.Seq[Node]            { panic("skeleton") }
func (v *View) Edges() iter.Seq[Edge]            { panic("skeleton") }
func (v *View) NodeCount() int                   { panic("skeleton") }
func (v *View) EdgeCount() int                   { panic("skeleton") }
func (v *View) Parent(e Edge) (Node, bool)       { panic("skeleton") }
func (v *View) Child(e Edge) (Node, bool)        { panic("skeleton") }
func (v *View) Out(n Node) iter.Seq2[Edge, Node] { panic("skeleton") }
func (v *View) In(n Node) iter.Seq2[Edge, Node]  { panic("skeleton") }
func (v *View) Err() error                       { panic("skeleton") }
func (v *View) Lookup(key string, vals ...Value) (seq iter.Seq[Node], estimate int, ok bool) {
	panic("skeleton")
}
func (v *View) LookupEdges(key string, vals ...Value) (seq iter.Seq[Edge], estimate int, ok bool) {
	panic("skeleton")
}

type ChangeKind uint8

const (
	NodeAdded ChangeKind = iota + 1
	NodeUpdated
	NodeDeleted
	EdgeAdded
	EdgeUpdated
	EdgeDeleted
)

type Change struct {
	Kind   ChangeKind
	Node   Node
	Edge   Edge
	Before Element
	Sample bool
}

type Commit struct {
	Moment     Moment
	Origin     string
	Epoch, Seq uint64
	Changes    []Change
	Bytes      int
}

type Subscription struct{}

func (s *Subscription) View() *View                               { panic("skeleton") }
func (s *Subscription) Next(ctx context.Context) (*Commit, error) { panic("skeleton") }
func (s *Subscription) TryNext() (*Commit, bool, error)           { panic("skeleton") }
func (s *Subscription) Resync() *View                             { panic("skeleton") }
func (s *Subscription) Close()                                    { panic("skeleton") }

func AppendBatch(dst []byte, b *Batch) []byte { panic("skeleton") }
func DecodeBatch(data []byte) (*Batch, error) { panic("skeleton") }

// SplitBatch encodes a batch in parts of at most about maxBytes; JoinBatch puts them together.
func SplitBatch(b *Batch, maxBytes int) [][]byte { panic("skeleton") }

// Part describes one message of SplitBatch.
type Part struct {
	Origin       string
	Epoch, Seq   uint64
	Index, Count int
}

// ReadPart reads the header of a message of SplitBatch or AppendBatch (Count 1).
func ReadPart(data []byte) (Part, error) { panic("skeleton") }

// JoinBatch decodes the parts of one batch, in any order, each once.
func JoinBatch(parts ...[]byte) (*Batch, error) { panic("skeleton") }
