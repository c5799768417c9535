package skydive

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// RawJSON is one JSON value as text. Empty stands for null.
type RawJSON []byte

// MarshalJSON gives the text itself.
func (r RawJSON) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

// UnmarshalJSON keeps a copy of the text.
func (r *RawJSON) UnmarshalJSON(data []byte) error {
	*r = append((*r)[:0], data...)
	return nil
}

// IsNull says whether there is no value, or null.
func (r RawJSON) IsNull() bool { return len(r) == 0 || string(r) == "null" }

// Decode decodes the value into v as the types of this package need it: unknown members are ignored, names are
// case-sensitive, and a repeated name is an error.
func (r RawJSON) Decode(v any) error {
	if len(r) == 0 {
		r = RawJSON("null")
	}
	return json.Unmarshal(r, v)
}

// Raw encodes a value as RawJSON: members in the order of their fields, keys of maps in order, nil lists and maps as
// null, which is what Skydive writes.
func Raw(v any) (RawJSON, error) {
	return json.Marshal(v, json.Deterministic(true), json.FormatNilSliceAsNull(true), json.FormatNilMapAsNull(true))
}

// Format says how Message.Obj is encoded in a protobuf envelope.
type Format int32

// Formats of Message.Obj.
const (
	FormatJSON     Format = 0
	FormatProtobuf Format = 1 // flow messages only; Obj is then not JSON
)

// Message is the envelope of everything on a WebSocket: text frames carry its JSON, binary frames its protobuf.
type Message struct {
	Namespace string
	Type      string
	UUID      string // an answer carries that of its request
	Status    int    // an HTTP status
	Format    Format // protobuf envelope only
	Obj       RawJSON
}

// NewMessage makes a message with StatusOK about obj; a nil obj is null.
func NewMessage(namespace, typ, uuid string, obj any) (*Message, error) {
	m := &Message{Namespace: namespace, Type: typ, UUID: uuid, Status: StatusOK}
	if obj == nil {
		return m, nil
	}
	raw, err := Raw(obj)
	if err != nil {
		return nil, fmt.Errorf("object of %s: %w", typ, err)
	}
	m.Obj = raw
	return m, nil
}

// Append appends the message as frames of the protocol carry it; ProtocolProtobuf gives protobuf, all else JSON.
func (m *Message) Append(dst []byte, protocol string) ([]byte, error) {
	if protocol == ProtocolProtobuf {
		return m.AppendProto(dst), nil
	}
	return m.AppendJSON(dst)
}

// DecodeMessage decodes a frame of the protocol; ProtocolProtobuf means protobuf, all else JSON. The message keeps
// no reference to data.
func DecodeMessage(data []byte, protocol string) (*Message, error) {
	m := new(Message)
	var err error
	if protocol == ProtocolProtobuf {
		err = m.UnmarshalProto(data)
	} else {
		err = m.UnmarshalJSON(data)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// AppendJSON appends the JSON envelope. Obj is written as it is: it must be valid JSON.
func (m *Message) AppendJSON(dst []byte) ([]byte, error) {
	if m.Format != FormatJSON {
		return dst, errNotJSON
	}
	var err error
	if dst, err = AppendEnvelope(dst, m.Namespace, m.Type, m.UUID, m.Status); err != nil {
		return dst, err
	}
	if len(m.Obj) == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, m.Obj...)
	}
	return append(dst, '}'), nil
}

// AppendEnvelope appends the JSON envelope up to where the object stands, so that a writer in a hurry can append the
// object and the closing brace itself.
func AppendEnvelope(dst []byte, namespace, typ, uuid string, status int) ([]byte, error) {
	var err error
	dst = append(dst, `{"Namespace":`...)
	if dst, err = appendString(dst, namespace); err != nil {
		return dst, fmt.Errorf("namespace: %w", err)
	}
	dst = append(dst, `,"Type":`...)
	if dst, err = appendString(dst, typ); err != nil {
		return dst, fmt.Errorf("type: %w", err)
	}
	dst = append(dst, `,"UUID":`...)
	if dst, err = appendString(dst, uuid); err != nil {
		return dst, fmt.Errorf("UUID: %w", err)
	}
	dst = append(dst, `,"Status":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	return append(dst, `,"Obj":`...), nil
}

// MarshalJSON gives the JSON envelope.
func (m *Message) MarshalJSON() ([]byte, error) { return m.AppendJSON(nil) }

// envelope is what a JSON envelope decodes into.
type envelope struct {
	Namespace string
	Type      string
	UUID      string
	Status    int
	Obj       jsontext.Value
}

// UnmarshalJSON decodes a JSON envelope. Obj keeps the text, checked to be JSON; of a name that is repeated the last
// counts. Errors give the offset in data.
func (m *Message) UnmarshalJSON(data []byte) error {
	var e envelope
	if err := json.Unmarshal(data, &e, jsontext.AllowDuplicateNames(true)); err != nil {
		return fmt.Errorf("message: %w", err)
	}
	*m = Message{Namespace: e.Namespace, Type: e.Type, UUID: e.UUID, Status: e.Status, Obj: RawJSON(e.Obj)}
	if m.Obj.IsNull() {
		m.Obj = nil
	}
	return nil
}

var errNotJSON = errors.New("message: object is protobuf, not JSON; send it in a protobuf envelope")
