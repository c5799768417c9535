package graph

// Op says what an Event does.
type Op uint8

// The operations. Put carries the origin's whole say, Patch a part of it.
const (
	PutNode Op = iota + 1
	PutEdge
	DeleteNode
	DeleteEdge
	PatchNode
	PatchEdge
	PutLayer
	DropLayer
	PutSample
	opEnd
)

// Rank orders the layers of an element: a higher rank wins, and within a rank the later origin name.
type Rank uint8

// The ranks, lowest first.
const (
	RankOwner   Rank = 0
	RankSource  Rank = 10
	RankStitch  Rank = 20
	RankCapture Rank = 30
	RankRule    Rank = 40
	RankUser    Rank = 50
)

// PathOp changes one value of an origin's own layer. The path is dotted; a removed Value deletes it.
type PathOp struct {
	Path  string
	Value Value
}

// Counters is one sample of cumulative counters of an element, shown under Prefix ("Metric", "Ovs.Metric") and, as
// the difference to the sample before, under the same name with LastUpdate in front of its last part.
type Counters struct {
	Prefix string
	Names  []string // sorted; shared between samples, never changed
	Values []int64  // cumulative, in the order of Names
	Start  int64    // ms
	Last   int64    // ms
}

// Event is what an origin says of one element. It is the one event type of probes, bus, history and API.
type Event struct {
	Op           Op
	ID           string
	Edge         bool   // PutLayer, DropLayer, PutSample: the element is an edge
	Host, Origin string // display fields of PutNode and PutEdge

	Parent, Child string // PutEdge

	Metadata Metadata // PutNode, PutEdge, PutLayer: the origin's whole say
	Patch    []PathOp // PatchNode, PatchEdge: on the origin's own layer
	Rank     Rank     // PutLayer; RankUser on a deletion makes it an operator's

	CreatedAt, UpdatedAt, DeletedAt int64 // ms, the owner's data; 0 = the commit's millisecond
	Revision                        int64 // 0 = stored+1; else it must be newer than the stored one

	Counters *Counters // PutSample
}

// Batch is what one origin commits at once: it is seen whole or not at all.
type Batch struct {
	Origin     string
	Epoch, Seq uint64 // Epoch 0 = unnumbered
	Snapshot   bool   // Events are the origin's whole state: what they do not name goes, a node with all its edges
	Events     []Event

	aliases bool // texts point into the message that the batch was decoded from
}

// Status says what became of a batch.
type Status uint8

const (
	// Applied: the batch was taken, even when it changed nothing.
	Applied Status = iota
	// Duplicate: the batch had been applied before.
	Duplicate
	// Stale: the batch belongs to an epoch of its origin that is over.
	Stale
)

// Result is the outcome of a batch.
type Result struct {
	Moment   Moment // of the commit; the last commit when nothing changed
	Status   Status
	Changes  int // elements changed, cascades included
	Rejected []Rejection
	Parked   int // edges that wait for their nodes
}

// Rejection is one event that was refused; the rest of its batch was applied.
type Rejection struct {
	Index int // in Batch.Events
	ID    string
	Err   error
}
