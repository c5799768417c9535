package skydive

// RawJSON is one JSON value as text. Empty stands for null.
type RawJSON []byte

// Format says how Message.Obj is encoded in a protobuf envelope.
type Format int32

// Formats of Message.Obj.
const (
	FormatJSON     Format = 0
	FormatProtobuf Format = 1 // flow messages only; Obj is then not JSON
)

// Message is the envelope of everything on a WebSocket.
type Message struct {
	Namespace string
	Type      string
	UUID      string // an answer carries that of its request
	Status    int    // an HTTP status
	Format    Format // protobuf envelope only
	Obj       RawJSON
}
