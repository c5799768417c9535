package graph

import "iter"

// View is the graph at a moment, or over an interval. It never changes, it holds nothing up, and it costs nothing to
// make or to drop. Any goroutine may use it.
//
// A view whose moment fell out of the window in memory gives less than there was: check Err after reading.
type View struct {
	g            *Graph
	lo, hi       Moment
	empty        bool // of a graph before its first commit
	counted      bool // nodes and edges are known
	nodes, edges int
}

// View is the live view: everything committed so far.
func (g *Graph) View() *View { return g.viewOf(g.state.Load()) }

func (g *Graph) viewOf(s *state) *View {
	return &View{
		g: g, lo: s.moment, hi: s.moment, empty: s.moment == 0, counted: true, nodes: s.nodes, edges: s.edges,
	}
}

// At is the graph as committed by a moment. A moment to come is now. Before the window it is a *WindowError.
func (g *Graph) At(m Moment) (*View, error) {
	s := g.state.Load()
	if m >= s.moment && s.moment != 0 {
		return g.viewOf(s), nil
	}
	if earliest := g.Earliest(); m < earliest {
		return nil, &WindowError{Asked: m, Earliest: earliest}
	}
	if s.moment == 0 {
		return g.viewOf(s), nil
	}
	return &View{g: g, lo: m, hi: m}, nil
}

// Between has each element that lived in [from,to], once, in its last version there.
func (g *Graph) Between(from, to Moment) (*View, error) {
	if from > to {
		from, to = to, from
	}
	s := g.state.Load()
	if earliest := g.Earliest(); from < earliest {
		return nil, &WindowError{Asked: from, Earliest: earliest}
	}
	if s.moment == 0 || from >= s.moment {
		return g.viewOf(s), nil
	}
	return &View{g: g, lo: from, hi: min(to, s.moment)}, nil
}

// Moment is the moment of the view, of an interval its end.
func (v *View) Moment() Moment { return v.hi }

// Interval is the interval of the view; both ends are the moment of a view at one.
func (v *View) Interval() (from, to Moment) { return v.lo, v.hi }

// Err is a *WindowError when the window passed the view. Check it after reading.
func (v *View) Err() error {
	if v.empty {
		return nil
	}
	if earliest := v.g.Earliest(); v.lo < earliest {
		return &WindowError{Asked: v.lo, Earliest: earliest}
	}
	return nil
}

// see gives an element as the view sees it.
func (v *View) see(e *element) (Element, bool) {
	ver := e.at(v.lo, v.hi)
	if ver == nil {
		return Element{}, false
	}
	if v.lo != v.hi && v.superseded(e) {
		return Element{}, false
	}
	return Element{e: e, v: ver, hi: v.hi}, true
}

// superseded tells whether a later incarnation of the id lived in the interval too.
func (v *View) superseded(e *element) bool {
	for n := e.newer.Load(); n != nil; n = n.newer.Load() {
		if n.at(v.lo, v.hi) != nil {
			return true
		}
	}
	return false
}

// lookupID finds the element of an id that the view sees.
func (v *View) lookupID(id string, edge bool) (Element, bool) {
	for e := v.g.latest(id, edge); e != nil; e = e.older.Load() {
		if ver := e.at(v.lo, v.hi); ver != nil {
			return Element{e: e, v: ver, hi: v.hi}, true
		}
	}
	return Element{}, false
}

// Node is the node of an id.
func (v *View) Node(id string) (Node, bool) {
	e, ok := v.lookupID(id, false)
	return Node{e}, ok
}

// Edge is the edge of an id.
func (v *View) Edge(id string) (Edge, bool) {
	e, ok := v.lookupID(id, true)
	return Edge{e}, ok
}

// Nodes gives every node.
func (v *View) Nodes() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		for e := range v.g.nodes.all() {
			if x, ok := v.see(e); ok && !yield(Node{x}) {
				return
			}
		}
	}
}

// Edges gives every edge.
func (v *View) Edges() iter.Seq[Edge] {
	return func(yield func(Edge) bool) {
		for e := range v.g.edges.all() {
			if x, ok := v.see(e); ok && !yield(Edge{x}) {
				return
			}
		}
	}
}

// NodeCount is the number of nodes: known of a live view, counted of another.
func (v *View) NodeCount() int {
	if v.counted {
		return v.nodes
	}
	n := 0
	for range v.Nodes() {
		n++
	}
	return n
}

// EdgeCount is the number of edges: known of a live view, counted of another.
func (v *View) EdgeCount() int {
	if v.counted {
		return v.edges
	}
	n := 0
	for range v.Edges() {
		n++
	}
	return n
}

// Parent is the node that an edge comes from.
func (v *View) Parent(e Edge) (Node, bool) { return v.end(e, false) }

// Child is the node that an edge goes to.
func (v *View) Child(e Edge) (Node, bool) { return v.end(e, true) }

func (v *View) end(e Edge, child bool) (Node, bool) {
	if e.IsZero() {
		return Node{}, false
	}
	x := e.e.asEdge()
	n := x.parent
	if child {
		n = x.child
	}
	if v.lo == v.hi {
		if ver := n.at(v.lo, v.hi); ver != nil && n.owns(v.g) {
			return Node{Element{e: &n.element, v: ver, hi: v.hi}}, true
		}
	}
	return v.Node(n.id)
}

// owns tells that the element is of the graph; the edges of another graph are looked up by id.
func (e *element) owns(g *Graph) bool { return e.graph() == g }

func (e *element) graph() *Graph { return e.owner.graph }

// Out gives the edges from a node, and the nodes that they go to: its children.
func (v *View) Out(n Node) iter.Seq2[Edge, Node] { return v.around(n, false) }

// In gives the edges to a node, and the nodes that they come from: its parents.
func (v *View) In(n Node) iter.Seq2[Edge, Node] { return v.around(n, true) }

func (v *View) around(n Node, in bool) iter.Seq2[Edge, Node] {
	return func(yield func(Edge, Node) bool) {
		if n.IsZero() {
			return
		}
		if v.lo == v.hi && n.e.owns(v.g) && n.e.at(v.lo, v.hi) != nil {
			v.eachEdge(n.e, in, yield)
			return
		}
		// Over an interval the edges of every incarnation of the node count.
		for e := v.g.latest(n.e.id, false); e != nil; e = e.older.Load() {
			if e.at(v.lo, v.hi) != nil && !v.eachEdge(e, in, yield) {
				return
			}
		}
	}
}

func (v *View) eachEdge(e *element, in bool, yield func(Edge, Node) bool) bool {
	n := e.asNode()
	list := &n.out
	if in {
		list = &n.in
	}
	for x := list.first.Load(); x != nil; {
		if seen, ok := v.see(&x.element); ok {
			other, ok := v.end(Edge{seen}, !in)
			if ok && !yield(Edge{seen}, other) {
				return false
			}
		}
		if in {
			x = x.nextIn.Load()
		} else {
			x = x.nextOut.Load()
		}
	}
	return true
}
