package graph

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrOwned rejects a Put or a Delete of an element of another origin: use PutLayer to speak about it.
	ErrOwned = errors.New("element owned by another origin")
	// ErrStale rejects an event whose Revision is not newer than the stored one.
	ErrStale = errors.New("revision not newer than the stored one")
	// ErrUnknown rejects an event about an element that does not exist.
	ErrUnknown = errors.New("unknown element")
	// ErrOrphan is told to OnOrphan: the edge's parent or child did not come in time.
	ErrOrphan = errors.New("parent or child of the edge never came")
	// ErrInvalid rejects an event that makes no sense, such as one without an id.
	ErrInvalid = errors.New("invalid event")
	// ErrLagged tells a subscriber that it lost its place: call Resync.
	ErrLagged = errors.New("subscriber lagged behind the log of commits: resynchronise")
	// ErrClosed is returned by a Subscription after Close.
	ErrClosed = errors.New("subscription closed")
)

// GapError says that batches of an origin are missing: ask the origin for a Snapshot.
type GapError struct {
	Origin    string
	Epoch     uint64
	Want, Got uint64
}

// Error implements error.
func (e *GapError) Error() string {
	return fmt.Sprintf("gap in the batches of %q: want %d, got %d of epoch %d", e.Origin, e.Want, e.Got, e.Epoch)
}

// WindowError says that a moment lies before what the graph still holds.
type WindowError struct {
	Asked, Earliest Moment
}

// Error implements error.
func (e *WindowError) Error() string {
	return fmt.Sprintf("moment %s is before the window in memory: the earliest known moment is %s",
		e.Asked.Time().UTC().Format(time.RFC3339Nano), e.Earliest.Time().UTC().Format(time.RFC3339Nano))
}
