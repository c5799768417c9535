// Package graph is a property graph that remembers: nodes and edges with typed metadata, and what they were at every
// moment within a window in memory.
//
// # Time
//
// An element is a chain of immutable versions, each valid from the Moment at which its batch was committed until the
// Moment of the next one. Moments are strictly monotone in one graph, even when the clock jumps back, and come from
// the stream with ApplyAt, so that every graph on one stream has the same past. CreatedAt, UpdatedAt and DeletedAt
// are the owner's data and order nothing.
//
// A View is the graph at a moment; the live view is the last one committed. Between gives a View over an interval,
// with each element that lived in it once, in its last version there. What is older than Options.Window, or beyond
// Options.WindowBytes, is let go bit by bit; asking for it is a *WindowError that names the earliest moment known.
// A View that was made before may be passed by the window while it is read: check View.Err after reading.
//
// # Origins and layers
//
// Everything is said by an origin, such as a probe of a host. The origin that creates an element owns it: others can
// neither replace nor delete it, but for an operator's deletion (RankUser). They speak about it with layers: an
// element's metadata is its owner's, and over it one layer for each other origin, by rank (RankSource, RankStitch,
// RankCapture, RankRule, RankUser) and within a rank by the origin's name. Objects merge key by key; a Removed value
// masks what is below. Each Put replaces one layer and no other. A layer goes with DropLayer, when a Snapshot of its
// origin does not name it, or with the element.
//
// # Order
//
// A batch is applied whole, and seen whole or not at all; an event in it that is refused is in Result.Rejected and
// stops nothing. Origins number their batches 1, 2, 3… within an epoch: what was applied before is a Duplicate, what
// belongs to an older epoch is Stale, and a gap is a *GapError, after which the origin should send a Snapshot: its
// whole state, at which everything else of it goes. What says nothing new makes no version, no revision and no
// event. Edges may come before their nodes: they wait for them for Options.OrphanAge.
//
// An origin without an element, a layer or a waiting edge is forgotten when it was silent for Options.OriginAge, or
// somewhat longer, by the moments of the batches that come and of Trim. The positions of the last 10,000 that numbered
// their batches are remembered, and one that comes back goes on where it was: its old batches are Duplicate or Stale,
// and what the graph shows does not depend on when it was forgotten. Beyond those an origin starts anew: its old
// batches are applied again where they are a snapshot or the first of an epoch, and are a *GapError else.
//
// # Counters
//
// Samples of counters make no versions. They go to bounded series beside them, and show in Metadata and Field as of
// the view's moment: the counters under their prefix ("Metric"), the difference to the sample before under
// "LastUpdateMetric". They count as changes: UpdatedAt and Revision move.
//
// # Indexes
//
// Options.Index is indexed from the start. When a Lookup asks for another key often, in a graph of some size, an
// index is built for it while writers go on. An index also serves the past.
//
// # Concurrency
//
// Any goroutine may call any method of Graph, View, Element and Metadata. Writers take turns. Readers take no locks
// and never wait: they read the versions that are valid at their moment, whatever is written meanwhile. Nodes, edges
// and metadata are immutable values, valid for ever. A Subscription belongs to one goroutine. Batches and what is in
// them must not be changed after they were applied.
//
// A Graph starts no goroutine but the one that builds an index on demand, which ends when that is done; it needs no
// closing. Call Trim now and then, such as once a second, for a graph that nobody writes to.
package graph
