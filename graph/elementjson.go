package graph

import "strconv"

// AppendJSON appends the node as Skydive writes it, its fields in Skydive's order.
func (n Node) AppendJSON(dst []byte) []byte {
	if n.IsZero() {
		return append(dst, "null"...)
	}
	return append(n.appendFields(dst), '}')
}

// MarshalJSON implements json.Marshaler.
func (n Node) MarshalJSON() ([]byte, error) { return n.AppendJSON(nil), nil }

// AppendJSON appends the edge as Skydive writes it, its fields in Skydive's order.
func (e Edge) AppendJSON(dst []byte) []byte {
	if e.IsZero() {
		return append(dst, "null"...)
	}
	dst = e.appendFields(dst)
	dst = appendJSONString(append(dst, `,"Parent":`...), e.Parent())
	dst = appendJSONString(append(dst, `,"Child":`...), e.Child())
	return append(dst, '}')
}

// MarshalJSON implements json.Marshaler.
func (e Edge) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

func (e Element) appendFields(dst []byte) []byte {
	dst = appendJSONString(append(dst, `{"ID":`...), e.ID())
	dst = e.Metadata().AppendJSON(append(dst, `,"Metadata":`...))
	dst = appendJSONString(append(dst, `,"Host":`...), e.Host())
	dst = appendJSONString(append(dst, `,"Origin":`...), e.Origin())
	updated, revision := e.e.shown(e.v, e.asOf())
	dst = strconv.AppendInt(append(dst, `,"CreatedAt":`...), e.CreatedAt(), 10)
	dst = strconv.AppendInt(append(dst, `,"UpdatedAt":`...), updated, 10)
	dst = append(dst, `,"DeletedAt":`...)
	if at := e.DeletedAt(); at != 0 {
		dst = strconv.AppendInt(dst, at, 10)
	} else {
		dst = append(dst, "null"...)
	}
	return strconv.AppendInt(append(dst, `,"Revision":`...), revision, 10)
}
