package skydive

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of the protobuf envelope, proto3.
const (
	fieldNamespace protowire.Number = 1 // string
	fieldType      protowire.Number = 2 // string
	fieldUUID      protowire.Number = 3 // string
	fieldStatus    protowire.Number = 4 // int64
	fieldFormat    protowire.Number = 5 // enum: 0 Json, 1 Protobuf
	fieldObj       protowire.Number = 6 // bytes
)

var (
	errInvalidUTF8   = errors.New("invalid UTF-8")
	errFieldNumber   = errors.New("field number out of range")
	errStatusTooBig  = errors.New("status does not fit")
	errUnexpectedEnd = errors.New("end of a group that was not begun")
)

// AppendProto appends the protobuf envelope: fields in the order of their numbers, zero values left out, as
// deterministic protobuf encoders do.
func (m *Message) AppendProto(dst []byte) []byte {
	dst = appendProtoString(dst, fieldNamespace, m.Namespace)
	dst = appendProtoString(dst, fieldType, m.Type)
	dst = appendProtoString(dst, fieldUUID, m.UUID)
	if m.Status != 0 {
		dst = protowire.AppendTag(dst, fieldStatus, protowire.VarintType)
		dst = protowire.AppendVarint(dst, uint64(int64(m.Status)))
	}
	if m.Format != 0 {
		dst = protowire.AppendTag(dst, fieldFormat, protowire.VarintType)
		dst = protowire.AppendVarint(dst, uint64(int64(m.Format)))
	}
	if len(m.Obj) != 0 {
		dst = protowire.AppendTag(dst, fieldObj, protowire.BytesType)
		dst = protowire.AppendBytes(dst, m.Obj)
	}
	return dst
}

func appendProtoString(dst []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendString(dst, s)
}

// UnmarshalProto decodes a protobuf envelope. Unknown fields are skipped, of a repeated field the last counts. Obj is
// copied and not looked into. Errors give the offset in data.
func (m *Message) UnmarshalProto(data []byte) error {
	*m = Message{}
	rest := data
	for len(rest) > 0 {
		offset := len(data) - len(rest)
		n, err := m.consumeField(rest)
		if err != nil {
			return fmt.Errorf("message: byte %d: %w", offset, err)
		}
		rest = rest[n:]
	}
	return nil
}

// consumeField decodes the field that b begins with and gives its length.
func (m *Message) consumeField(b []byte) (int, error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, protowire.ParseError(n)
	}
	if num > protowire.MaxValidNumber {
		return 0, errFieldNumber
	}
	if typ == protowire.EndGroupType {
		return 0, errUnexpectedEnd
	}
	v := b[n:]
	var size int
	switch {
	case typ == protowire.BytesType && num <= fieldUUID:
		var s []byte
		if s, size = protowire.ConsumeBytes(v); size >= 0 {
			if !utf8.Valid(s) {
				return 0, errInvalidUTF8
			}
			switch num {
			case fieldNamespace:
				m.Namespace = intern(s)
			case fieldType:
				m.Type = intern(s)
			default:
				m.UUID = string(s)
			}
		}
	case typ == protowire.BytesType && num == fieldObj:
		var s []byte
		if s, size = protowire.ConsumeBytes(v); size >= 0 {
			m.Obj = append(RawJSON(nil), s...)
		}
	case typ == protowire.VarintType && (num == fieldStatus || num == fieldFormat):
		var u uint64
		if u, size = protowire.ConsumeVarint(v); size >= 0 {
			if num == fieldFormat {
				m.Format = Format(int32(u))
			} else if m.Status = int(int64(u)); int64(m.Status) != int64(u) {
				return 0, errStatusTooBig
			}
		}
	default:
		size = protowire.ConsumeFieldValue(num, typ, v)
	}
	if size < 0 {
		return 0, protowire.ParseError(size)
	}
	return n + size, nil
}

// intern gives the constant for the names that nearly all messages have, so that decoding allocates none.
func intern(b []byte) string {
	switch string(b) {
	case NamespaceGraph:
		return NamespaceGraph
	case MsgNodeAdded:
		return MsgNodeAdded
	case MsgNodeUpdated:
		return MsgNodeUpdated
	case MsgNodeDeleted:
		return MsgNodeDeleted
	case MsgNodePartiallyUpdated:
		return MsgNodePartiallyUpdated
	case MsgEdgeAdded:
		return MsgEdgeAdded
	case MsgEdgeUpdated:
		return MsgEdgeUpdated
	case MsgEdgeDeleted:
		return MsgEdgeDeleted
	case MsgEdgePartiallyUpdated:
		return MsgEdgePartiallyUpdated
	}
	return string(b)
}
