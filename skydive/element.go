package skydive

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func sortMany(keys []string) { slices.Sort(keys) }

// MarshalJSON gives a number, or null for zero.
func (m Millis) MarshalJSON() ([]byte, error) { return appendMillis(nil, m), nil }

// UnmarshalJSON takes a number, of which a fraction of a millisecond is cut, or null.
func (m *Millis) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*m = 0
		return nil
	}
	v, err := parseNumber(data)
	if err != nil {
		return fmt.Errorf("time: %w", err)
	}
	switch v := v.(type) {
	case int64:
		*m = Millis(v)
	case float64:
		if v < -maxInt || v >= maxInt {
			return fmt.Errorf("time: %s milliseconds are out of range", data)
		}
		*m = Millis(v)
	}
	return nil
}

func appendMillis(dst []byte, m Millis) []byte {
	if m == 0 {
		return append(dst, "null"...)
	}
	return strconv.AppendInt(dst, int64(m), 10)
}

// AppendJSON appends the node with its members in Skydive's order. CreatedAt and UpdatedAt are left out when zero, so
// that a server takes its own time; DeletedAt is then null.
func (n *Node) AppendJSON(dst []byte) ([]byte, error) {
	dst, err := appendElement(dst, n.ID, n.Metadata, n.Host, n.Origin, n.CreatedAt, n.UpdatedAt, n.DeletedAt, n.Revision)
	if err != nil {
		return dst, fmt.Errorf("node %q: %w", clip(n.ID), err)
	}
	return append(dst, '}'), nil
}

// MarshalJSON gives what AppendJSON appends.
func (n *Node) MarshalJSON() ([]byte, error) { return n.AppendJSON(nil) }

// AppendJSON appends the edge with its members in Skydive's order; times are as in Node.AppendJSON.
func (e *Edge) AppendJSON(dst []byte) ([]byte, error) {
	dst, err := appendElement(dst, e.ID, e.Metadata, e.Host, e.Origin, e.CreatedAt, e.UpdatedAt, e.DeletedAt, e.Revision)
	if err == nil {
		dst = append(dst, `,"Parent":`...)
		dst, err = appendString(dst, e.Parent)
	}
	if err == nil {
		dst = append(dst, `,"Child":`...)
		dst, err = appendString(dst, e.Child)
	}
	if err != nil {
		return dst, fmt.Errorf("edge %q: %w", clip(e.ID), err)
	}
	return append(dst, '}'), nil
}

// MarshalJSON gives what AppendJSON appends.
func (e *Edge) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil) }

func appendElement(dst []byte, id string, meta Metadata, host, origin string, created, updated, deleted Millis, revision int64) ([]byte, error) {
	var err error
	dst = append(dst, `{"ID":`...)
	if dst, err = appendString(dst, id); err != nil {
		return dst, err
	}
	dst = append(dst, `,"Metadata":`...)
	if dst, err = appendObject(dst, meta, 1); err != nil {
		return dst, err
	}
	dst = append(dst, `,"Host":`...)
	if dst, err = appendString(dst, host); err != nil {
		return dst, err
	}
	dst = append(dst, `,"Origin":`...)
	if dst, err = appendString(dst, origin); err != nil {
		return dst, err
	}
	if created != 0 {
		dst = append(dst, `,"CreatedAt":`...)
		dst = appendMillis(dst, created)
	}
	if updated != 0 {
		dst = append(dst, `,"UpdatedAt":`...)
		dst = appendMillis(dst, updated)
	}
	dst = append(dst, `,"DeletedAt":`...)
	dst = appendMillis(dst, deleted)
	dst = append(dst, `,"Revision":`...)
	return strconv.AppendInt(dst, revision, 10), nil
}

// AppendJSON appends the graph; an empty list is null.
func (g *Graph) AppendJSON(dst []byte) ([]byte, error) {
	var err error
	dst = append(dst, `{"Nodes":`...)
	if len(g.Nodes) == 0 {
		dst = append(dst, "null"...)
	} else if dst, err = appendList(dst, g.Nodes, func(dst []byte, n *Node) ([]byte, error) { return n.AppendJSON(dst) }); err != nil {
		return dst, err
	}
	dst = append(dst, `,"Edges":`...)
	if len(g.Edges) == 0 {
		dst = append(dst, "null"...)
	} else if dst, err = appendList(dst, g.Edges, func(dst []byte, e *Edge) ([]byte, error) { return e.AppendJSON(dst) }); err != nil {
		return dst, err
	}
	return append(dst, '}'), nil
}

// MarshalJSON gives what AppendJSON appends.
func (g *Graph) MarshalJSON() ([]byte, error) { return g.AppendJSON(nil) }

// The wire types decode an element in one pass; the exported types wrap them, so that no type of the JSON library
// shows in their methods.
type (
	wireMeta map[string]any
	wireNode struct {
		ID                              string
		Metadata                        wireMeta
		Host                            string
		Origin                          string
		CreatedAt, UpdatedAt, DeletedAt wireMillis
		Revision                        int64
		Parent                          string
		Child                           string
	}
	wireGraph struct{ Nodes, Edges []*wireNode }
)

func (w *wireNode) node() *Node {
	return &Node{
		ID: w.ID, Metadata: Metadata(w.Metadata), Host: w.Host, Origin: w.Origin, CreatedAt: Millis(w.CreatedAt),
		UpdatedAt: Millis(w.UpdatedAt), DeletedAt: Millis(w.DeletedAt), Revision: w.Revision,
	}
}

func (w *wireNode) edge() *Edge {
	return &Edge{
		ID: w.ID, Metadata: Metadata(w.Metadata), Host: w.Host, Origin: w.Origin, CreatedAt: Millis(w.CreatedAt),
		UpdatedAt: Millis(w.UpdatedAt), DeletedAt: Millis(w.DeletedAt), Revision: w.Revision, Parent: w.Parent, Child: w.Child,
	}
}

// UnmarshalJSON decodes a node; unknown members are ignored.
func (n *Node) UnmarshalJSON(data []byte) error {
	var w wireNode
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	*n = *w.node()
	return nil
}

// UnmarshalJSON decodes an edge; unknown members are ignored.
func (e *Edge) UnmarshalJSON(data []byte) error {
	var w wireNode
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	*e = *w.edge()
	return nil
}

// UnmarshalJSON decodes a graph; unknown members are ignored, and so are elements that are null.
func (g *Graph) UnmarshalJSON(data []byte) error {
	var w wireGraph
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("graph: %w", err)
	}
	*g = Graph{}
	for _, n := range w.Nodes {
		if n != nil {
			g.Nodes = append(g.Nodes, n.node())
		}
	}
	for _, e := range w.Edges {
		if e != nil {
			g.Edges = append(g.Edges, e.edge())
		}
	}
	return nil
}

// UnmarshalJSON decodes an object; numbers that are equal to an integer become int64.
func (m *Metadata) UnmarshalJSON(data []byte) error {
	var w wireMeta
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	*m = Metadata(w)
	return nil
}

type wireMillis Millis

func (m *wireMillis) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	return (*Millis)(m).UnmarshalJSON(v)
}
