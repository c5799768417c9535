package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/auth"
)

// Committer brings events into the graph on behalf of origins. An implementation may
// send them through a stream first; the graph that the server reads is the judge of
// when they are visible.
type Committer interface {
	// Origin opens a numbered writer for the origin of that name. Two writers of one
	// name are not used at once.
	Origin(name string, opts OriginOptions) OriginWriter
	// OriginName is the name under which what such a writer says stands in the graph, in
	// Element.Owner, Layer.Origin and Commit.Origin. It may tell more than the name does,
	// such as which of several analyzers the writer is in.
	OriginName(name string) string
}

// OriginOptions are what a writer says of its origin when it opens.
type OriginOptions struct {
	// Persist asks that what the origin said survives a restart of the program.
	Persist bool
}

// OriginWriter commits the batches of one origin, in call order. It is used by one
// goroutine at a time.
type OriginWriter interface {
	// Commit hands over one atomic batch. It blocks while too much is in flight, which
	// is the back-pressure that a publisher feels, and returns before the batch is
	// visible: wait on the Pending for that.
	Commit(ctx context.Context, events []graph.Event) (Pending, error)
	// Snapshot replaces the whole state of the origin; no events drops it.
	Snapshot(ctx context.Context, events []graph.Event) (Pending, error)
	// Close ends the writer. What was committed stays.
	Close()
}

// Pending is a batch on its way.
type Pending interface {
	// Wait returns when the batch is visible in the local graph, with what came of it.
	Wait(ctx context.Context) (graph.Result, error)
}

// What a Store answers.
var (
	// ErrNotFound says that there is no resource of that kind and id.
	ErrNotFound = errors.New("resource not found")
	// ErrExists says that a resource of that kind and id is there already.
	ErrExists = errors.New("duplicated resource")
	// ErrFull says that there is no room to keep the resource.
	ErrFull = errors.New("no room")
	// ErrAway says that what keeps resources does not answer at the moment.
	ErrAway = errors.New("storage does not answer")
)

// The kinds of resources that a Store keeps.
const (
	KindNode     = "node"
	KindEdge     = "edge"
	KindNodeRule = "noderule"
	KindEdgeRule = "edgerule"
	KindCapture  = "capture" // each a skydive.Capture in JSON
)

// Store keeps what REST clients create: bytes by kind and id. Any goroutine may call it.
type Store interface {
	// Get returns the resource, or an error that wraps ErrNotFound.
	Get(ctx context.Context, kind, id string) ([]byte, error)
	// List returns all resources of the kind by id.
	List(ctx context.Context, kind string) (map[string][]byte, error)
	// Create keeps a new resource, or returns an error that wraps ErrExists. A positive
	// ttl removes it after that time.
	Create(ctx context.Context, kind, id string, data []byte, ttl time.Duration) error
	// Put keeps a resource whether it was there or not; the time to live of one that
	// was there goes on.
	Put(ctx context.Context, kind, id string, data []byte) error
	// Delete removes a resource, or returns an error that wraps ErrNotFound.
	Delete(ctx context.Context, kind, id string) error
	// Watch reports each resource of the kind, first those that are there, then every
	// change, until the context ends; then the channel is closed.
	Watch(ctx context.Context, kind string) (<-chan StoreEvent, error)
}

// StoreEvent is one change of a Store.
type StoreEvent struct {
	ID   string
	Data []byte // nil when the resource is gone
}

// FlowHub is where flow reports come together, and go on from to whoever follows them.
// Any goroutine may call it.
type FlowHub interface {
	// Subscribe opens a place in the stream of reports, behind the last one.
	Subscribe() FlowSubscription
	// Import adds flows that did not come from an agent, such as those of a capture file.
	// They are the hub's from then on. It blocks while there is no room for them.
	Import(ctx context.Context, flows []*flow.Flow) error
}

// FlowSubscription is a place in the stream of flow reports. One goroutine at a time calls
// Next; Close may be called from any, and ends a Next that waits.
type FlowSubscription interface {
	// Next waits for the next reports. A *FlowsLaggedError says that the place was lost, as
	// the reader was too slow; the call after that goes on with what is there.
	Next(ctx context.Context) (*FlowBatch, error)
	// Close gives the place up.
	Close()
}

// FlowBatch is what an agent reported at once. It is shared by all who follow the stream:
// nobody writes to it or to what it points at.
type FlowBatch struct {
	Host  string // of the agent; "" for imported flows
	Flows []*flow.Flow
	Stats []flow.Stats
}

// FlowsLaggedError says that reports were overwritten before a subscription came to them.
type FlowsLaggedError struct {
	Lost uint64 // flows
}

// Error tells how many flows were lost.
func (e *FlowsLaggedError) Error() string {
	return fmt.Sprintf("subscription too slow: %d flows lost", e.Lost)
}

// CaptureInfo is what became of one capture, over all nodes that its query finds.
type CaptureInfo struct {
	ID     string // of the capture
	Active int    // nodes on which it counts
	Nodes  []CaptureNode
	Ledger flow.Ledger // the sum over the nodes, those that are gone included
}

// CaptureNode is the state of a capture on one node.
type CaptureNode struct {
	ID     string // of the node
	TID    string `json:",omitzero"`
	Host   string
	Name   string
	Type   string // of the node
	State  string // "active", "waiting", "failed" or "ended"
	Error  string `json:",omitzero"` // why it failed, or what it waits for
	Ledger flow.Ledger
}

// Limits bound what one client can make the server do. Zero fields take the defaults
// of DefaultLimits.
type Limits struct {
	MaxBody        int64         // bytes of a REST request's body and of a WebSocket message
	MaxDepth       int           // nesting of JSON
	QueueBytes     int64         // bytes queued for one subscriber
	RequestTimeout time.Duration // arrival of one REST request; queries have the engine's deadline
	BodyRate       int64         // bytes a second at which a body has to come, on average
	BodyGrace      time.Duration // waiting for a body before BodyRate has to hold
	HeaderTimeout  time.Duration // arrival of a request's head
	IdleTimeout    time.Duration // silence between two requests of a connection
	WriteTimeout   time.Duration // one write towards a client
	PingDelay      time.Duration // between pings to a WebSocket client
	PongTimeout    time.Duration // silence after which a WebSocket client is gone
	RefilterDelay  time.Duration // between evaluations of a filter that is not incremental
	MaxConns       int           // open connections
	MaxWebSockets  int           // open WebSocket connections
	MaxFilters     int           // different filters of subscribers at once
	Queries        int           // evaluated at once; others wait a little, then get 503
}

// Deps is what a Server needs. Graph, Engine, Committer and Store are required.
type Deps struct {
	Graph     *graph.Graph
	Engine    *gremlin.Engine
	Committer Committer
	Store     Store
	Auth      *auth.Auth // nil: no users, any credentials are taken

	Logger   *slog.Logger
	Clock    func() time.Time
	Registry *prometheus.Registry // served at /metrics; nil: a registry of its own

	// Status returns what /api/status shows beside the server's own connections; a
	// map[string]any is merged with them key by key.
	Status func() any
	// Ready returns nil when /readyz shall answer 200, else why not.
	Ready func() error
	// Notes are what /readyz says beside "ok", such as that nothing is kept on disk.
	Notes func() []string
	// Speaks says whether an origin still watches what its elements stand for. They
	// cannot be deleted by others then; nil: none does.
	Speaks func(origin string) bool
	// Config looks up a dotted key for /api/config, "" for the tree of all; values of secret keys come back
	// hidden.
	Config func(key string) (any, bool)

	// Flows is where /ws/subscriber/flow takes flows from, and /api/pcap puts those of a
	// file; nil: both say that they are not there.
	Flows FlowHub
	// Captures returns the state of each capture; nil: none is known.
	Captures func() []CaptureInfo

	// Listen is the address the server will be reached at, Hosts further names that
	// requests may give as Host, Origins the web origins that may call beside its own.
	Listen  string
	Hosts   []string
	Origins []string

	Version string
	Host    string
	Service string // "analyzer" when empty
	Limits  Limits
}
