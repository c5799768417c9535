package api

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/graphjson"
)

// restore brings the nodes and edges that clients of this host created back into the
// graph, and drops what the store no longer has.
func (s *Server) restore(ctx context.Context) error {
	var events []graph.Event
	for _, kind := range []struct {
		name string
		put  graph.Op
	}{{KindNode, graph.PutNode}, {KindEdge, graph.PutEdge}} {
		all, err := s.deps.Store.List(ctx, kind.name)
		if err != nil {
			return fmt.Errorf("stored %ss: %w", kind.name, err)
		}
		var decoder graphjson.Decoder
		for _, id := range slices.Sorted(maps.Keys(all)) {
			element, err := decoder.Element(all[id])
			if err != nil {
				s.log.Error("stored element left out", "kind", kind.name, "id", id, "error", err)
				continue
			}
			if element.Origin == s.created.name {
				events = append(events, element.Put(kind.put))
			}
		}
	}
	return s.created.snapshot(ctx, events)
}

// expire deletes from the graph what goes from the store: resources whose time to live
// is over, and those that another analyzer deleted.
func (s *Server) expire(ctx context.Context, kind string, remove graph.Op) error {
	events, err := s.deps.Store.Watch(ctx, kind)
	if err != nil {
		return fmt.Errorf("watch of stored %ss: %w", kind, err)
	}
	for event := range events {
		if event.Data != nil {
			continue
		}
		if _, err := s.deps.Store.Get(ctx, kind, event.ID); err == nil {
			continue // it was created again meanwhile
		}
		view := s.deps.Graph.View()
		var owner string
		if remove == graph.DeleteEdge {
			edge, _ := view.Edge(event.ID)
			owner = ownerOf(edge.Element)
		} else {
			node, _ := view.Node(event.ID)
			owner = ownerOf(node.Element)
		}
		if owner != s.created.full {
			continue
		}
		if err := s.created.commit(ctx, graph.Event{Op: remove, ID: event.ID, Edge: remove == graph.DeleteEdge}); err != nil && ctx.Err() == nil {
			s.log.Warn("element that left the store was not deleted", "kind", kind, "id", event.ID, "error", err)
		}
	}
	return nil
}

func ownerOf(e graph.Element) string {
	if e.IsZero() {
		return ""
	}
	return e.Owner()
}
