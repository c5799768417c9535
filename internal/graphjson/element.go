package graphjson

import (
	"strings"

	"github.com/weft-net/weft/graph"
)

// Element is a node or an edge as a client wrote it. Times are milliseconds; what was
// absent or null is zero.
type Element struct {
	ID           string
	Metadata     graph.Metadata
	HasMetadata  bool // Metadata was there and not null
	Host, Origin string
	CreatedAt    int64
	UpdatedAt    int64
	DeletedAt    int64
	Revision     int64
	Parent       string // edges
	Child        string // edges
}

// Partial is a change of an element's metadata: what NodePartiallyUpdated and
// EdgePartiallyUpdated carry.
type Partial struct {
	ID        string
	UpdatedAt int64
	Revision  int64
	Ops       []graph.PathOp
}

// Put makes the event that puts the element, as a node or as an edge.
func (e *Element) Put(op graph.Op) graph.Event {
	return graph.Event{
		Op: op, ID: e.ID, Edge: op == graph.PutEdge,
		Host: e.Host, Origin: e.Origin, Parent: e.Parent, Child: e.Child, Metadata: e.Metadata,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, DeletedAt: e.DeletedAt, Revision: e.Revision,
	}
}

// Element reads a node or an edge.
func (d *Decoder) Element(data []byte) (Element, error) {
	var e Element
	err := d.whole(data, func() error { return d.element(&e) })
	return e, err
}

// Partial reads a partial update.
func (d *Decoder) Partial(data []byte) (Partial, error) {
	var p Partial
	err := d.whole(data, func() error { return d.partial(&p) })
	return p, err
}

// Graph reads a whole graph, {"Nodes": list or null, "Edges": list or null}, and hands
// over each element.
func (d *Decoder) Graph(data []byte, node, edge func(*Element)) error {
	return d.whole(data, func() error {
		return d.object("a graph (an object with Nodes and Edges)", func(key string) error {
			switch key {
			case "Nodes":
				return d.elements(node)
			case "Edges":
				return d.elements(edge)
			}
			return d.tokens.SkipValue()
		})
	})
}

func (d *Decoder) elements(each func(*Element)) error {
	return d.each("a list of elements", func() error {
		var e Element
		if err := d.element(&e); err != nil {
			return err
		}
		each(&e)
		return nil
	})
}

func (d *Decoder) element(e *Element) error {
	if d.tokens.PeekKind() != '{' {
		return d.wrong("an element (an object with ID and Metadata)")
	}
	if err := d.open(); err != nil {
		return err
	}
	for d.tokens.PeekKind() != '}' {
		key, err := d.string()
		if err != nil {
			return err
		}
		switch key {
		case "ID":
			err = d.identifier(&e.ID)
		case "Metadata":
			e.HasMetadata = d.tokens.PeekKind() == '{'
			e.Metadata, err = d.metadata()
		case "Host":
			err = d.shared(&e.Host)
		case "Origin":
			err = d.identifier(&e.Origin)
		case "CreatedAt":
			err = d.integer(&e.CreatedAt)
		case "UpdatedAt":
			err = d.integer(&e.UpdatedAt)
		case "DeletedAt":
			err = d.integer(&e.DeletedAt)
		case "Revision":
			err = d.integer(&e.Revision)
		case "Parent":
			err = d.identifier(&e.Parent)
		case "Child":
			err = d.identifier(&e.Child)
		default:
			err = d.tokens.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	_, err := d.tokens.ReadToken()
	return err
}

func (d *Decoder) partial(p *Partial) error {
	return d.object("a partial update (an object with ID and Ops)", func(key string) error {
		switch key {
		case "ID":
			return d.identifier(&p.ID)
		case "UpdatedAt":
			return d.integer(&p.UpdatedAt)
		case "Revision":
			return d.integer(&p.Revision)
		case "Ops":
			return d.each("a list of operations", func() error {
				op, err := d.operation()
				p.Ops = append(p.Ops, op)
				return err
			})
		}
		return d.tokens.SkipValue()
	})
}

// The types of operations in a partial update.
const (
	opAdd = 1
	opDel = 2
)

// maxKey bounds the dotted key of an operation, in bytes.
const maxKey = 4096

func (d *Decoder) operation() (graph.PathOp, error) {
	var (
		op   graph.PathOp
		kind int64
	)
	err := d.object("an operation (an object with Type, Key and Value)", func(key string) (err error) {
		switch key {
		case "Type":
			return d.integer(&kind)
		case "Key":
			return d.identifier(&op.Path)
		case "Value":
			op.Value, err = d.value()
			return err
		}
		return d.tokens.SkipValue()
	})
	switch {
	case err != nil:
		return op, err
	case op.Path == "":
		return op, d.fail("the operation has no Key")
	case len(op.Path) > maxKey:
		return op, d.fail("the operation's Key has %d bytes, more than %d: use a shorter one", len(op.Path), maxKey)
	case op.Value.DeeperThan(d.maxDepth() - 1 - strings.Count(op.Path, ".")):
		return op, d.fail("the operation's Key and Value make more than %d levels: flatten them", d.maxDepth())
	case kind == opDel:
		op.Value = graph.Removed()
	case kind != opAdd:
		return op, d.fail("unknown operation type %d: use %d to set, %d to remove", kind, opAdd, opDel)
	case op.Value.IsZero():
		op.Value = graph.Null()
	}
	return op, nil
}

// object reads an object; field is called after each key and reads the value.
func (d *Decoder) object(want string, field func(key string) error) error {
	if d.tokens.PeekKind() != '{' {
		return d.wrong(want)
	}
	if err := d.open(); err != nil {
		return err
	}
	for d.tokens.PeekKind() != '}' {
		key, err := d.string()
		if err == nil {
			err = field(key)
		}
		if err != nil {
			return err
		}
	}
	_, err := d.tokens.ReadToken()
	return err
}

// each reads a list, or null for an empty one; item reads one entry.
func (d *Decoder) each(want string, item func() error) error {
	switch d.tokens.PeekKind() {
	case 'n':
		_, err := d.tokens.ReadToken()
		return err
	case '[':
	default:
		return d.wrong(want)
	}
	if err := d.open(); err != nil {
		return err
	}
	for d.tokens.PeekKind() != ']' {
		if err := item(); err != nil {
			return err
		}
	}
	_, err := d.tokens.ReadToken()
	return err
}

// identifier reads a string or null into a string of its own, as the graph keeps it for long.
func (d *Decoder) identifier(into *string) error {
	if d.tokens.PeekKind() == 'n' {
		_, err := d.tokens.ReadToken()
		return err
	}
	s, err := d.string()
	*into = strings.Clone(s)
	return err
}

// shared is identifier for a string that is mostly the same as in the element before.
func (d *Decoder) shared(into *string) error {
	if d.tokens.PeekKind() == 'n' {
		_, err := d.tokens.ReadToken()
		return err
	}
	s, err := d.string()
	if s != d.host {
		d.host = strings.Clone(s)
	}
	*into = d.host
	return err
}

// integer reads a whole number or null.
func (d *Decoder) integer(into *int64) error {
	switch d.tokens.PeekKind() {
	case 'n':
		_, err := d.tokens.ReadToken()
		return err
	case '0':
	default:
		return d.wrong("a number")
	}
	v, err := d.number()
	if err != nil {
		return err
	}
	if v.Kind() != graph.KindInt {
		return d.fail("want a whole number")
	}
	*into = v.Int()
	return nil
}
