package gremlintest

import (
	"fmt"
	"slices"
	"time"

	"github.com/weft-net/weft/graph"
)

// world is the graph of a script and its clock.
type world struct {
	graph *graph.Graph
	clock time.Duration
	edges map[string]bool // known elements: whether they are edges
	flows *flowTable
}

func newWorld() *world {
	w := &world{edges: map[string]bool{}, flows: &flowTable{}}
	w.graph = graph.New(graph.Options{Now: w.now, Window: 24 * time.Hour})
	return w
}

func (w *world) now() time.Time { return Start.Add(w.clock) }

// apply commits the lines of a block as one batch.
func (w *world) apply(lines []bodyLine) error {
	b := &graph.Batch{Origin: "script"}
	for _, l := range lines {
		ev, err := w.event(split(l.text))
		if err != nil {
			return fmt.Errorf("line %d: %w", l.line, err)
		}
		if ev.Op != 0 {
			b.Events = append(b.Events, ev)
		}
	}
	return w.commit(b)
}

func (w *world) commit(b *graph.Batch) error {
	r, err := w.graph.ApplyAt(graph.MomentOf(w.now()), b)
	if err != nil {
		return err
	}
	for _, rejected := range r.Rejected {
		return fmt.Errorf("%s: %w", rejected.ID, rejected.Err)
	}
	if r.Parked > 0 {
		return fmt.Errorf("an edge has no node to stand on")
	}
	return nil
}

// wipe deletes everything, a minute later.
func (w *world) wipe() error {
	w.clock += time.Minute
	var ids []string
	for id := range w.edges {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	b := &graph.Batch{Origin: "script", Snapshot: true}
	return w.commit(b)
}

// event reads one line of a block; a flow makes no event.
func (w *world) event(words []string) (ev graph.Event, err error) {
	if len(words) < 2 {
		return ev, fmt.Errorf("expected a verb and an id")
	}
	verb, id, rest := words[0], words[1], words[2:]
	ev.ID = id
	isEdge := w.edges[id]
	switch verb {
	case "node":
		ev.Op = graph.PutNode
		w.edges[id] = false
	case "edge":
		if len(rest) < 3 || rest[1] != "->" {
			return ev, fmt.Errorf("expected edge ID PARENT -> CHILD")
		}
		ev.Op, ev.Parent, ev.Child = graph.PutEdge, rest[0], rest[2]
		rest = rest[3:]
		w.edges[id] = true
	case "delete":
		ev.Op = graph.DeleteNode
		if isEdge {
			ev.Op = graph.DeleteEdge
		}
		return ev, nil
	case "unset":
		for _, key := range rest {
			ev.Patch = append(ev.Patch, graph.PathOp{Path: key, Value: graph.Removed()})
		}
		ev.Op = patchOp(isEdge)
		return ev, nil
	case "set":
		fields, err := parseFields(rest)
		for _, f := range fields {
			ev.Patch = append(ev.Patch, graph.PathOp{Path: f.key, Value: f.value})
		}
		ev.Op = patchOp(isEdge)
		return ev, err
	case "sample":
		if len(rest) < 2 {
			return ev, fmt.Errorf("expected sample ID PREFIX NAME=VALUE…")
		}
		ev.Op, ev.Edge = graph.PutSample, isEdge
		ev.Counters, err = parseCounters(rest[0], rest[1:])
		return ev, err
	case "flow":
		fields, err := parseFields(rest)
		if err != nil {
			return ev, err
		}
		return graph.Event{}, w.flows.put(id, fields)
	default:
		return ev, fmt.Errorf("unknown verb %q: expected node, edge, set, unset, sample, delete or flow", verb)
	}
	fields, err := parseFields(rest)
	if err != nil {
		return ev, err
	}
	return ev, putFields(&ev, fields)
}

func patchOp(edge bool) graph.Op {
	if edge {
		return graph.PatchEdge
	}
	return graph.PatchNode
}

// putFields fills in a PutNode or PutEdge.
func putFields(ev *graph.Event, fields []field) error {
	var metadata []graph.Field
	for _, f := range fields {
		switch f.key {
		case "@Host":
			ev.Host = f.value.Str()
		case "@Origin":
			ev.Origin = f.value.Str()
		case "@CreatedAt":
			ev.CreatedAt = f.value.Int()
		case "@UpdatedAt":
			ev.UpdatedAt = f.value.Int()
		case "@Revision":
			ev.Revision = f.value.Int()
		default:
			if f.key[0] == '@' {
				return fmt.Errorf("unknown field %s", f.key)
			}
			metadata = append(metadata, graph.F(f.key, f.value))
		}
	}
	ev.Metadata = graph.NewMetadata(metadata...)
	return nil
}

func parseCounters(prefix string, words []string) (*graph.Counters, error) {
	fields, err := parseFields(words)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(fields, func(a, b field) int {
		if a.key < b.key {
			return -1
		}
		return 1
	})
	c := &graph.Counters{Prefix: prefix}
	for _, f := range fields {
		if f.key == "Start" || f.key == "Last" {
			d, err := clockTime(f.value.Str())
			if err != nil {
				return nil, err
			}
			at := &c.Start
			if f.key == "Last" {
				at = &c.Last
			}
			*at = Start.Add(d).UnixMilli()
			continue
		}
		c.Names = append(c.Names, f.key)
		c.Values = append(c.Values, f.value.Int())
	}
	return c, nil
}
