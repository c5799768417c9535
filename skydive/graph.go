package skydive

import "time"

// Millis is a time in milliseconds since the epoch; zero is "not set" and is null in JSON.
type Millis int64

// MillisOf converts a time; the zero time gives zero.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time converts to a time in UTC; zero gives the zero time.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// Metadata is an element's metadata: JSON values as nil, bool, int64, float64, string, []any and map[string]any.
// A number that is equal to an integer is an int64, as in Skydive.
type Metadata map[string]any

// Node is a node of the graph. Decoding fills it; a field that is absent or null is zero.
type Node struct {
	ID        string
	Metadata  Metadata
	Host      string
	Origin    string // "<client type>.<host id>" of who made it
	CreatedAt Millis // zero: not sent, the server takes its own time
	UpdatedAt Millis // zero: not sent, the server takes its own time
	DeletedAt Millis // zero: it lives
	Revision  int64  // grows with each change
}

// Edge is a directed edge of the graph, from Parent to Child.
type Edge struct {
	ID        string
	Metadata  Metadata
	Host      string
	Origin    string // "<client type>.<host id>" of who made it
	CreatedAt Millis // zero: not sent, the server takes its own time
	UpdatedAt Millis // zero: not sent, the server takes its own time
	DeletedAt Millis // zero: it lives
	Revision  int64  // grows with each change
	Parent    string // id of a node
	Child     string // id of a node
}

// Graph is a whole graph: what GET PathTopology, Sync and SyncReply carry. Empty lists are null in JSON.
type Graph struct {
	Nodes []*Node
	Edges []*Edge
}

// ErrorReport is weft's answer to a publisher's message that failed; the envelope has the message's UUID and a
// status.
type ErrorReport struct {
	Reason string
	ID     string // of the element, when known
}

// FlushReply is weft's answer to FlushRequest: everything that the publisher sent before is committed and visible.
type FlushReply struct {
	Committed int64 // events committed since the connection began
	Rejected  int64 // events rejected since the connection began
}
