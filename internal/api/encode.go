package api

import (
	"math/rand/v2"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/skydive"
)

// appendMessage encodes a message of the namespace Graph.
func appendMessage(dst []byte, protobuf bool, kind, uuid string, status int, obj []byte) []byte {
	m := skydive.Message{Namespace: skydive.NamespaceGraph, Type: kind, UUID: uuid, Status: status, Obj: obj}
	if protobuf {
		return m.AppendProto(dst)
	}
	// A UUID that came from a client may not be text; then it is left out.
	out, err := m.AppendJSON(dst)
	if err != nil {
		m.UUID = ""
		out, _ = m.AppendJSON(dst)
	}
	return out
}

// appendComplaint encodes the object of an Error message.
func appendComplaint(dst []byte, reason, id string) []byte {
	fields := []graph.Field{graph.F("Reason", graph.String(clip(reason)))}
	if id != "" {
		fields = append(fields, graph.F("ID", graph.String(clip(id))))
	}
	return graph.NewMetadata(fields...).AppendJSON(dst)
}

// event is a change as a group of subscribers sees it.
type event struct {
	kind   graph.ChangeKind
	node   graph.Node
	edge   graph.Edge
	before graph.Element
	direct bool // what the commit says itself, not what follows from it for a filter
}

// class is a way of encoding: subscribers of one class share the bytes.
type class uint8

const (
	classPartial  class = 1 << iota // updates as differences
	classProtobuf                   // protobuf envelopes
	classes       = 4
)

// encoder encodes events. It belongs to one goroutine.
type encoder struct {
	random *rand.ChaCha8
	obj    []byte
}

func newEncoder() *encoder {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	return &encoder{random: rand.NewChaCha8(seed)}
}

// uuid makes a random UUID (version 4), fit to tell messages apart.
func (e *encoder) uuid() string {
	var raw [16]byte
	_, _ = e.random.Read(raw[:]) // never fails
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	const digits = "0123456789abcdef"
	text := make([]byte, 0, 36)
	for i, b := range raw {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text = append(text, '-')
		}
		text = append(text, digits[b>>4], digits[b&0xf])
	}
	return string(text)
}

// encode makes the frame of an event for a class.
func (e *encoder) encode(ev *event, c class) frame {
	kind := ev.kind.String()
	e.obj = e.obj[:0]
	partial := false
	if c&classPartial != 0 && !ev.before.IsZero() {
		switch ev.kind {
		case graph.NodeUpdated:
			kind, partial = skydive.MsgNodePartiallyUpdated, e.appendPartial(ev.before, ev.node.Element)
		case graph.EdgeUpdated:
			kind, partial = skydive.MsgEdgePartiallyUpdated, e.appendPartial(ev.before, ev.edge.Element)
		}
		if !partial {
			kind = ev.kind.String()
		}
	}
	if !partial {
		e.obj = ev.appendJSON(e.obj[:0])
	}
	return appendMessage(make([]byte, 0, len(e.obj)+128), c&classProtobuf != 0, kind, e.uuid(), skydive.StatusOK, e.obj)
}

func (ev *event) appendJSON(dst []byte) []byte {
	if ev.kind >= graph.EdgeAdded {
		return ev.edge.AppendJSON(dst)
	}
	return ev.node.AppendJSON(dst)
}

// appendPartial encodes what changed between two versions of an element. It returns
// false when that cannot be said in operations on metadata.
func (e *encoder) appendPartial(before, after graph.Element) bool {
	if before.Host() != after.Host() || before.Origin() != after.Origin() || before.CreatedAt() != after.CreatedAt() {
		return false
	}
	ops, ok := difference(before.Metadata(), after.Metadata())
	if !ok {
		return false
	}
	dst := append(e.obj[:0], `{"ID":`...)
	dst = graph.String(after.ID()).AppendJSON(dst)
	dst = append(dst, `,"UpdatedAt":`...)
	dst = graph.Int(after.UpdatedAt()).AppendJSON(dst)
	dst = append(dst, `,"Revision":`...)
	dst = graph.Int(after.Revision()).AppendJSON(dst)
	dst = append(dst, `,"Ops":[`...)
	for i, op := range ops {
		if i > 0 {
			dst = append(dst, ',')
		}
		removed := op.Value.Kind() == graph.KindRemoved
		if removed {
			dst = append(dst, `{"Type":2,"Key":`...)
		} else {
			dst = append(dst, `{"Type":1,"Key":`...)
		}
		dst = graph.String(op.Path).AppendJSON(dst)
		dst = append(dst, `,"Value":`...)
		if removed {
			dst = append(dst, "null"...)
		} else {
			dst = op.Value.AppendJSON(dst)
		}
		dst = append(dst, '}')
	}
	e.obj = append(dst, "]}"...)
	return true
}
