package gremlin

import (
	"encoding/base64"
	"io"
	"slices"

	"github.com/weft-net/weft/graph"
)

// Result is the answer to a query. It belongs to one caller; what is in it never changes.
type Result struct {
	kind        kind
	query       *Query
	nodes       []graph.Node
	edges       []graph.Edge
	values      []graph.Value
	paths       [][]graph.Node
	flows       []Flow
	scalar      graph.Value
	table       *table
	warnings    []string
	explanation func() Explanation
}

// collect runs a stream to its end.
func (r *Result) collect(x *exec, s stream) {
	switch s.kind {
	case kindGraph:
		r.nodes = collect(x, s.scope.Nodes())
		r.edges = collect(x, s.scope.Edges())
	case kindNodes:
		r.nodes = collect(x, s.nodes)
	case kindEdges:
		r.edges = collect(x, s.edges)
	case kindValues:
		r.values = collect(x, s.values)
	case kindPaths:
		total := 0
		for path := range s.paths {
			if total += len(path); !x.mayHold(total) {
				return
			}
			r.paths = append(r.paths, path)
		}
	case kindFlows:
		r.flows = collect(x, s.flows)
	case kindScalar:
		r.scalar = s.scalar
	default:
		r.table = s.table
	}
}

// Kind names what the result holds: one of the Kind constants.
func (r *Result) Kind() string { return r.kind.tag() }

// IsGraph reports whether the result is a graph: of G or SubGraph.
func (r *Result) IsGraph() bool { return r.kind == kindGraph }

// Graph gives the nodes and edges of a result that has any: a graph, nodes, edges or paths.
func (r *Result) Graph() (nodes []graph.Node, edges []graph.Edge) {
	if r.kind == kindPaths {
		return slices.Concat(r.paths...), nil
	}
	return r.nodes, r.edges
}

// Paths gives the paths of ShortestPathTo.
func (r *Result) Paths() [][]graph.Node { return r.paths }

// Len is the number of rows.
func (r *Result) Len() int {
	switch r.kind {
	case kindScalar:
		return 1
	case kindMetrics, kindHops, kindSockets, kindPackets, kindGroups:
		return len(r.table.ids)
	}
	return len(r.nodes) + len(r.edges) + len(r.values) + len(r.paths) + len(r.flows)
}

// Values gives the rows as plain values: those of Values, ValueMap and Keys, the number of Count and Sum, and for
// metrics, next hops and sockets one object with an id for each key.
func (r *Result) Values() []graph.Value {
	switch r.kind {
	case kindValues:
		return r.values
	case kindScalar:
		return []graph.Value{r.scalar}
	case kindMetrics, kindHops, kindSockets, kindPackets:
		if len(r.table.ids) == 0 {
			return nil
		}
		fields := make([]graph.Field, 0, len(r.table.ids))
		for _, id := range r.table.ids {
			fields = append(fields, graph.F(id, r.table.value(id)))
		}
		return []graph.Value{graph.Object(graph.NewMetadata(fields...))}
	}
	return nil
}

// Flows gives the flows of a result of flows.
func (r *Result) Flows() []Flow { return r.flows }

// Packets gives the packets of a result of raw packets, flow by flow, with all of their times. Values has them by flow.
func (r *Result) Packets() []RawPacket {
	if r.kind != kindPackets {
		return nil
	}
	return r.table.packets
}

// Warnings tells what a reader of the result should know, such as an interval that was cut.
func (r *Result) Warnings() []string { return r.warnings }

// Explain tells how the result came about.
func (r *Result) Explain() Explanation { return r.explanation() }

// AppendJSON appends the result in Skydive's shape.
func (r *Result) AppendJSON(dst []byte) ([]byte, error) {
	e := encoder{buf: dst}
	err := r.encode(&e)
	return e.buf, err
}

// WriteJSON writes the result in Skydive's shape, in pieces, without holding the whole text.
func (r *Result) WriteJSON(w io.Writer) error {
	e := encoder{w: w, buf: make([]byte, 0, 4<<10)}
	if r.Len() > 64 {
		e.buf = make([]byte, 0, flushAt+8<<10)
	}
	if err := r.encode(&e); err != nil {
		return err
	}
	return e.flush()
}

// flushAt is the size of the pieces that are written.
const flushAt = 64 << 10

// encoder gathers text and writes it on in pieces.
type encoder struct {
	w   io.Writer // nil = keep all in buf
	buf []byte
}

func (e *encoder) flush() error {
	if e.w == nil || len(e.buf) == 0 {
		return nil
	}
	_, err := e.w.Write(e.buf)
	e.buf = e.buf[:0]
	return err
}

func (e *encoder) text(s string) { e.buf = append(e.buf, s...) }

// array writes rows, or what stands for no rows.
func array[T any](e *encoder, rows []T, empty string, one func(dst []byte, row T) []byte) error {
	if len(rows) == 0 {
		e.text(empty)
		return nil
	}
	for i, row := range rows {
		if i == 0 {
			e.text("[")
		} else {
			e.text(",")
		}
		e.buf = one(e.buf, row)
		if len(e.buf) >= flushAt {
			if err := e.flush(); err != nil {
				return err
			}
		}
	}
	e.text("]")
	return nil
}

func appendNode(b []byte, n graph.Node) []byte    { return n.AppendJSON(b) }
func appendEdge(b []byte, n graph.Edge) []byte    { return n.AppendJSON(b) }
func appendValue(b []byte, v graph.Value) []byte  { return v.AppendJSON(b) }
func appendFlow(b []byte, f Flow) []byte          { return f.AppendJSON(b) }
func appendRow(b []byte, m graph.Metadata) []byte { return m.AppendJSON(b) }

func (r *Result) encode(e *encoder) error {
	switch r.kind {
	case kindGraph:
		e.text(`[{"Nodes":`)
		if err := array(e, r.nodes, "null", appendNode); err != nil {
			return err
		}
		e.text(`,"Edges":`)
		if err := array(e, r.edges, "null", appendEdge); err != nil {
			return err
		}
		e.text(`}]`)
		return nil
	case kindNodes:
		return array(e, r.nodes, "[]", appendNode)
	case kindEdges:
		return array(e, r.edges, "[]", appendEdge)
	case kindValues:
		return array(e, r.values, "null", appendValue)
	case kindFlows:
		return array(e, r.flows, "[]", appendFlow)
	case kindPaths:
		return array(e, r.paths, "[]", func(b []byte, path []graph.Node) []byte {
			inner := encoder{buf: b}
			_ = array(&inner, path, "[]", appendNode)
			return inner.buf
		})
	case kindScalar:
		e.buf = r.scalar.AppendJSON(e.buf)
		return nil
	}
	return r.table.encode(e, r.kind)
}

// sortedIDs lists the ids in order, as Skydive's JSON does.
func (t *table) sortedIDs() []string {
	ids := slices.Clone(t.ids)
	slices.Sort(ids)
	return ids
}

// value is what stands under an id.
func (t *table) value(id string) graph.Value {
	rows := t.rows[id]
	if t.one {
		return graph.Object(rows[0])
	}
	values := make([]graph.Value, len(rows))
	for i, row := range rows {
		values[i] = graph.Object(row)
	}
	return graph.List(values...)
}

// encode writes [{id: rows, …}], or [] when there is no id.
func (t *table) encode(e *encoder, k kind) error {
	if len(t.ids) == 0 {
		e.text("[]")
		return nil
	}
	e.text("[{")
	for i, id := range t.sortedIDs() {
		if i > 0 {
			e.text(",")
		}
		e.buf = graph.String(id).AppendJSON(e.buf)
		e.text(":")
		var err error
		switch {
		case k == kindGroups:
			err = array(e, t.flow[id], "[]", appendFlow)
		case t.one:
			e.buf = t.rows[id][0].AppendJSON(e.buf)
		default:
			err = array(e, t.rows[id], "[]", appendRow)
		}
		if err != nil {
			return err
		}
	}
	e.text("}]")
	return nil
}

// packetObject is a raw packet in Skydive's shape.
func packetObject(p RawPacket) graph.Metadata {
	return graph.NewMetadata(
		graph.F("Timestamp", graph.Int(p.Timestamp)),
		graph.F("Index", graph.Int(p.Index)),
		graph.F("Data", graph.String(base64.StdEncoding.EncodeToString(p.Data))),
		graph.F("LinkType", graph.Int(p.LinkType)),
	)
}
