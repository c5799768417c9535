package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/graphjson"
)

// elements are the nodes or the edges of the graph as a resource. Reading shows all of
// them. What a client creates belongs to the origin "api.<host>" and is kept in the
// store; what it changes of others' elements is a layer of the origin "user".
type elements struct {
	s    *Server
	kind resourceKind

	put, remover graph.Op
	edge         bool
	valid        func(*graphjson.Element) error
}

func openNodes(s *Server, k resourceKind) resource {
	return &elements{s: s, kind: k, put: graph.PutNode, remover: graph.DeleteNode, valid: checkNode}
}

func openEdges(s *Server, k resourceKind) resource {
	return &elements{s: s, kind: k, put: graph.PutEdge, remover: graph.DeleteEdge, edge: true, valid: checkEdge}
}

// ready waits until what the store holds is in the graph: what is written before would be
// taken for a leftover.
func (k *elements) ready(ctx context.Context) error {
	select {
	case <-k.s.restored:
		return nil
	case <-ctx.Done():
		return failf(http.StatusServiceUnavailable, "stored elements are not restored yet: %w", ctx.Err())
	}
}

// find looks an element up and encodes it.
func (k *elements) find(id string) (graph.Element, []byte, error) {
	view := k.s.deps.Graph.View()
	if k.edge {
		if edge, ok := view.Edge(id); ok {
			return edge.Element, edge.AppendJSON(nil), nil
		}
	} else if node, ok := view.Node(id); ok {
		return node.Element, node.AppendJSON(nil), nil
	}
	return graph.Element{}, nil, fmt.Errorf("%s %q: %w", k.kind.kind, clip(id), ErrNotFound)
}

func (k *elements) get(_ context.Context, id string) ([]byte, error) {
	_, text, err := k.find(id)
	return text, err
}

// list streams all elements keyed by id.
func (k *elements) list(_ context.Context, w http.ResponseWriter) error {
	buf := k.s.spare.buffer()
	defer k.s.spare.give(buf)
	buf.data = append(buf.data, '{')
	first := true
	one := func(id string, encode func([]byte) []byte) (err error) {
		if !first {
			buf.data = append(buf.data, ',')
		}
		first = false
		if buf.data, err = jsontext.AppendQuote(buf.data, id); err != nil {
			return fmt.Errorf("id %q: %w", id, err)
		}
		buf.data = encode(append(buf.data, ':'))
		if len(buf.data) >= bufferFull {
			_, err = w.Write(buf.data)
			buf.data = buf.data[:0]
		}
		return err
	}
	view := k.s.deps.Graph.View()
	if k.edge {
		for edge := range view.Edges() {
			if err := one(edge.ID(), edge.AppendJSON); err != nil {
				return err
			}
		}
	} else {
		for node := range view.Nodes() {
			if err := one(node.ID(), node.AppendJSON); err != nil {
				return err
			}
		}
	}
	if err := view.Err(); err != nil {
		return err
	}
	_, err := w.Write(append(buf.data, "}\n"...))
	return err
}

func (k *elements) create(ctx context.Context, body []byte, ttl time.Duration) ([]byte, error) {
	if err := k.ready(ctx); err != nil {
		return nil, err
	}
	decoder := graphjson.Decoder{MaxDepth: k.s.limits.MaxDepth}
	element, err := decoder.Element(body)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	if err := k.valid(&element); err != nil {
		return nil, failf(http.StatusBadRequest, "invalid schema: %w", err)
	}
	for _, field := range []struct {
		name  string
		value int64
	}{{"CreatedAt", element.CreatedAt}, {"UpdatedAt", element.UpdatedAt}, {"DeletedAt", element.DeletedAt}, {"Revision", element.Revision}} {
		if field.value < 0 {
			return nil, failf(http.StatusBadRequest, "invalid schema: %s is negative: leave it out, or give milliseconds since the epoch (of Revision, a count)", field.name)
		}
	}
	if _, _, err := k.find(element.ID); err == nil {
		return nil, failf(http.StatusBadRequest, "%s ID conflict", k.kind.title)
	}
	if err := k.ends(&element); err != nil {
		return nil, err
	}
	if element.Origin == "" {
		element.Origin = k.s.created.name
	}
	event := element.Put(k.put)
	if err := k.s.created.commit(ctx, event); err != nil {
		return nil, k.rejected(err)
	}
	_, text, err := k.find(element.ID)
	if err != nil {
		return nil, fmt.Errorf("%s %q was deleted at once by somebody else: %w", k.kind.title, element.ID, err)
	}
	err = k.s.deps.Store.Create(ctx, k.kind.kind, element.ID, text, ttl)
	if errors.Is(err, ErrExists) {
		// A leftover: the graph did not have the element, so nobody misses it.
		if err = k.s.deps.Store.Delete(ctx, k.kind.kind, element.ID); err == nil {
			err = k.s.deps.Store.Create(ctx, k.kind.kind, element.ID, text, ttl)
		}
	}
	if err != nil {
		undo := k.s.created.commit(context.WithoutCancel(ctx), graph.Event{Op: k.remover, ID: element.ID, Edge: k.edge})
		return nil, errors.Join(err, undo)
	}
	return text, nil
}

// ends checks that the nodes of an edge exist.
func (k *elements) ends(e *graphjson.Element) error {
	if !k.edge {
		return nil
	}
	view := k.s.deps.Graph.View()
	for _, end := range []struct{ role, id string }{{"parent", e.Parent}, {"child", e.Child}} {
		if _, ok := view.Node(end.id); !ok {
			return failf(http.StatusBadRequest, "%s node '%s' does not exist: create it first", end.role, clip(end.id))
		}
	}
	return nil
}

// rejected gives the graph's refusal a status.
func (k *elements) rejected(err error) error {
	switch {
	case errors.Is(err, graph.ErrOwned):
		return failf(http.StatusBadRequest, "%s ID conflict: %w", k.kind.title, err)
	case errors.Is(err, graph.ErrUnknown):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, graph.ErrStale), errors.Is(err, graph.ErrInvalid):
		return &httpError{http.StatusBadRequest, err}
	}
	return err
}

// replace puts what a patch made of an element's metadata. Name, Type and TID stay.
func (k *elements) replace(ctx context.Context, id string, _, patched []byte) ([]byte, error) {
	if err := k.ready(ctx); err != nil {
		return nil, err
	}
	decoder := graphjson.Decoder{MaxDepth: k.s.limits.MaxDepth}
	wanted, err := decoder.Element(patched)
	if err != nil {
		return nil, failf(http.StatusBadRequest, "patched %s: %w", k.kind.kind, err)
	}
	stored, _, err := k.find(id)
	if err != nil {
		return nil, err
	}
	old := stored.Metadata()
	metadata := wanted.Metadata
	for _, key := range []string{"Name", "Type", "TID"} {
		if v, ok := old.Get(key); ok {
			metadata = metadata.With(graph.F(key, v))
		} else {
			metadata = metadata.Without(key)
		}
	}
	change := overlay(old, metadata)
	if change.Len() == 0 {
		return nil, errUnchanged
	}
	own := stored.Owner() == k.s.created.full
	if own {
		layer, _ := layerOf(stored, k.s.created.full)
		err = k.s.created.commit(ctx, k.repeat(stored, layer.Merge(change)))
	} else {
		layer, _ := layerOf(stored, k.s.patched.full)
		err = k.s.patched.commit(ctx, graph.Event{
			Op: graph.PutLayer, ID: id, Edge: k.edge, Rank: graph.RankUser, Metadata: addOverlay(layer, change),
		})
	}
	if err != nil {
		return nil, k.rejected(err)
	}
	_, text, err := k.find(id)
	if err == nil && own {
		err = k.s.deps.Store.Put(ctx, k.kind.kind, id, text)
	}
	return text, err
}

// repeat is the event that puts a stored element again with other metadata.
func (k *elements) repeat(e graph.Element, m graph.Metadata) graph.Event {
	event := graph.Event{Op: k.put, ID: e.ID(), Edge: k.edge, Host: e.Host(), Origin: e.Origin(), Metadata: m, CreatedAt: e.CreatedAt()}
	if k.edge {
		if edge, ok := k.s.deps.Graph.View().Edge(e.ID()); ok {
			event.Parent, event.Child = edge.Parent(), edge.Child()
		}
	}
	return event
}

func layerOf(e graph.Element, origin string) (graph.Metadata, bool) {
	for layer := range e.Layers() {
		if layer.Origin == origin {
			return layer.Metadata, true
		}
	}
	return graph.Metadata{}, false
}

// remove deletes an element, as an operator wants it, whoever said it; but not what a
// probe sees at this moment.
func (k *elements) remove(ctx context.Context, id string) error {
	if err := k.ready(ctx); err != nil {
		return err
	}
	stored, _, err := k.find(id)
	if err != nil {
		return err
	}
	if speaks := k.s.deps.Speaks; speaks != nil && speaks(stored.Owner()) {
		return failf(http.StatusConflict, "%s %q is there, as %s sees it: remove the thing itself, and it goes from the graph", k.kind.kind, clip(id), stored.Owner())
	}
	event := graph.Event{Op: k.remover, ID: id, Edge: k.edge, Rank: graph.RankUser}
	writer := k.s.patched
	if stored.Owner() == k.s.created.full {
		writer = k.s.created
	}
	if err := writer.commit(ctx, event); err != nil {
		return k.rejected(err)
	}
	if err := k.s.deps.Store.Delete(ctx, k.kind.kind, id); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}
