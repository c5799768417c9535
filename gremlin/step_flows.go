package gremlin

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/weft-net/weft/graph"
)

// ErrNoWorkflow is what a WorkflowSource says of a name that it does not know.
var ErrNoWorkflow = errors.New("workflow does not exist")

// capturable are the types of nodes that flows can be captured on.
var capturable = [...]string{
	"bond", "bridge", "can", "device", "dpdkport", "dummy", "geneve", "gre", "gretap", "hsr", "ifb", "internal",
	"ip6gre", "ip6gretap", "ip6tnl", "ipip", "ipoib", "ipvlan", "lowpan", "macvlan", "macvtap", "ovsbridge", "ovsport",
	"sit", "tun", "vcan", "veth", "vlan", "vxlan",
}

// runFlows asks the source for flows: all, or those captured on the nodes before it. What follows, up to the first
// step that is not a filter, an order or a range, is offered to the source.
func runFlows(x *exec, i int, s *planStep, in stream) stream {
	q := &FlowQuery{Live: in.scope.live, From: in.scope.from, To: in.scope.to, AllNodes: in.kind == kindGraph, Limit: -1}
	if in.scope.flowsFrom != 0 {
		q.From = in.scope.flowsFrom
	}
	q.Warn = func(text string) { x.warnings = append(x.warnings, text) }
	cond := pushDown(x.steps[i+1:], q)
	q.Filter = s.cond.and(cond).flowFilter()
	out := stream{kind: kindFlows, scope: in.scope, query: q}
	source := x.engine.opts.Flows
	// somewhere finds the nodes; false when there are none that flows can be of.
	somewhere := func(q *FlowQuery) bool {
		if !q.AllNodes {
			q.NodeTIDs = captureTIDs(x, nodesOf(in))
		}
		return (q.AllNodes || len(q.NodeTIDs) > 0) && x.err == nil
	}
	if reducer, ok := source.(FlowReducer); ok && q.Live {
		out.reduction = planReduction(x.steps, i+1)
		if r := out.reduction; r != nil {
			r.q = FlowQuery{Live: true, AllNodes: q.AllNodes, Limit: -1, Warn: q.Warn, From: q.From, To: q.To}
			r.q.Filter = s.cond.and(r.cond).flowFilter()
			x.stats[i].index = "reduced where the flows are"
			r.run = func(what FlowReduction, q *FlowQuery) (*FlowTotal, error) {
				if !somewhere(q) {
					return what.New(), nil
				}
				total, err := reducer.Reduce(x.ctx, *q, what)
				if err != nil {
					return nil, fmt.Errorf("flows: %w", err)
				}
				return total, nil
			}
		}
	}
	out.flows = func(yield func(Flow) bool) {
		if !somewhere(q) || source == nil {
			return
		}
		for f, err := range source.Flows(x.ctx, *q) {
			if err != nil {
				x.fail(i, fmt.Errorf("flows: %w", err))
				return
			}
			x.stats[i].in++
			if !x.tick() || s.cond.fields(f.Field) && !yield(f) {
				return
			}
		}
	}
	if x.engine.opts.Flows == nil {
		x.stats[i].index = "no flow source"
		x.warnings = append(x.warnings, "there is no source of flows: the answer is empty")
	}
	return out
}

// pushDown describes to a source the steps that follow Flows.
func pushDown(next []planStep, q *FlowQuery) (cond *condition) {
	for n := range next {
		s := &next[n]
		if s.in != kindFlows {
			return cond
		}
		switch {
		case s.role == roleFilter && q.SortBy == "" && !q.HasDedup:
			cond = cond.and(s.cond)
		case s.role == roleSort && q.SortBy == "" && !q.HasDedup:
			q.SortBy, q.SortDesc = s.keys[0], s.desc
		case s.call.spec.name == "Dedup" && !q.HasDedup:
			q.HasDedup, q.Dedup = true, s.keys
		case s.role == roleRange:
			q.Offset, q.Limit = s.from, max(s.to-s.from, 0)
			return cond
		default:
			return cond
		}
	}
	return cond
}

func captureTIDs(x *exec, nodes iter.Seq[graph.Node]) []string {
	var tids []string
	for n := range nodes {
		typ, _ := n.Field("Type")
		tid, ok := n.Field("TID")
		if !x.tick() || !ok || typ.Kind() != graph.KindString || tid.Kind() != graph.KindString {
			continue
		}
		if _, ok := slices.BinarySearch(capturable[:], typ.Str()); !ok {
			continue
		}
		if !x.mayHold(len(tids) + 1) {
			return nil
		}
		tids = append(tids, tid.Str())
	}
	slices.Sort(tids)
	return slices.Compact(tids)
}

// runFlowNodes gives the nodes of flows: Hops and CaptureNode where a flow was captured, In and Out its ends by MAC,
// Both the two ends, Nodes all three. Arguments filter the nodes. Hops has each node once, the others one for each flow.
func runFlowNodes(x *exec, _ int, s *planStep, in stream) stream {
	capture, a, b := false, false, false
	switch s.call.spec.name {
	case "Hops", "CaptureNode":
		capture = true
	case "In":
		a = true
	case "Out":
		b = true
	case "Both":
		a, b = true, true
	case "Nodes":
		capture, a, b = true, true, true
	}
	out := stream{kind: kindNodes, scope: in.scope}
	out.nodes = func(yield func(graph.Node) bool) {
		for f := range in.flows {
			if capture {
				if n, ok := firstNode(x, in.scope, s.cond, f, "NodeTID", "TID"); ok && !yield(n) {
					return
				}
			}
			if a {
				if n, ok := firstNode(x, in.scope, s.cond, f, "Link.A", "MAC", "PeerIntfMAC"); ok && !yield(n) {
					return
				}
			}
			if b {
				if n, ok := firstNode(x, in.scope, s.cond, f, "Link.B", "MAC", "PeerIntfMAC"); ok && !yield(n) {
					return
				}
			}
			if !x.tick() {
				return
			}
		}
	}
	if s.call.spec.name == "Hops" {
		out.nodes = dedup(x, out.nodes, elementKey(nil, nodeElement))
	}
	return out
}

// firstNode finds a node by the value of a flow's field.
func firstNode(x *exec, g *scope, cond *condition, f Flow, field string, keys ...string) (graph.Node, bool) {
	v, ok := f.Field(field)
	if !ok || v.Kind() != graph.KindString || v.Str() == "" {
		return graph.Node{}, false
	}
	for _, key := range keys {
		want := &condition{key: key, pred: literalPredicate(v)}
		rows, _, indexed := g.Lookup(key, v)
		if !indexed {
			rows = g.Nodes()
		}
		for n := range rows {
			if !x.tick() {
				return graph.Node{}, false
			}
			if want.element(n.Element) && cond.element(n.Element) {
				return n, true
			}
		}
	}
	return graph.Node{}, false
}

// runFlowMetrics gives the metrics of flows.
func runFlowMetrics(x *exec, i int, _ *planStep, in stream) stream {
	out := stream{kind: kindMetrics, scope: in.scope, table: newTable()}
	if r := in.reduction; r != nil && r.at == i+1 {
		out.reduction = r
		return out
	}
	for f := range in.flows {
		rows, err := x.engine.opts.Flows.Metrics(x.ctx, *in.query, f)
		if err != nil {
			x.fail(i, fmt.Errorf("flow metrics: %w", err))
			break
		}
		x.tableRows += len(rows)
		if !x.mayHold(x.tableRows) {
			break
		}
		if len(rows) > 0 {
			out.table.add(f.UUID(), rows...)
		}
	}
	return out
}

// runRawPackets holds the flows whose packets are wanted: the packets are asked for when it is known whether BPF
// follows.
func runRawPackets(x *exec, i int, _ *planStep, in stream) stream {
	if i+1 < len(x.steps) && x.steps[i+1].call.spec.name == "BPF" {
		return stream{kind: kindPackets, scope: in.scope, query: in.query, flows: in.flows, table: newTable()}
	}
	return packets(x, i, in, "")
}

// runBPF gives the packets that an expression selects; a second BPF is not possible on what the first one gave.
func runBPF(x *exec, i int, s *planStep, in stream) stream {
	if in.flows == nil {
		x.fail(i, errors.New("BPF stands directly behind RawPackets, once; join the expressions with 'and'"))
		return in
	}
	return packets(x, i, in, s.text)
}

func packets(x *exec, i int, in stream, bpf string) stream {
	out := stream{kind: kindPackets, scope: in.scope, table: newTable()}
	flows := collect(x, in.flows)
	if len(flows) == 0 || x.err != nil {
		return out
	}
	byFlow, err := x.engine.opts.Flows.RawPackets(x.ctx, *in.query, flows, bpf)
	if err != nil {
		x.fail(i, fmt.Errorf("raw packets: %w", err))
		return out
	}
	for _, f := range flows {
		id := FlowIDOf(f)
		rows := byFlow[id]
		delete(byFlow, id) // of a flow that comes twice they are there once
		x.tableRows += len(rows)
		if !x.mayHold(x.tableRows) {
			break
		}
		for _, p := range rows {
			out.table.add(id.UUID, packetObject(p))
		}
		out.table.packets = append(out.table.packets, rows...)
	}
	return out
}

// runGroup collects flows by the values of keys, TrackingID unless keys are given.
func runGroup(x *exec, _ int, s *planStep, in stream) stream {
	keys := s.keys
	if len(keys) == 0 {
		keys = []string{"TrackingID"}
	}
	out := stream{kind: kindGroups, scope: in.scope, table: newTable()}
	out.table.flow = map[string][]Flow{}
	n := 0
	for f := range in.flows {
		if n++; !x.mayHold(n) {
			break
		}
		name := ""
		for k, key := range keys {
			if k > 0 {
				name += ","
			}
			if v, ok := f.Field(key); ok {
				name += v.String()
			}
		}
		out.table.add(name)
		out.table.flow[name] = append(out.table.flow[name], f)
	}
	return out
}

// runMoreThan keeps the groups that have more than so many flows.
func runMoreThan(_ *exec, _ int, s *planStep, in stream) stream {
	out := stream{kind: kindGroups, scope: in.scope, table: newTable()}
	out.table.flow = map[string][]Flow{}
	for _, id := range in.table.ids {
		if flows := in.table.flow[id]; int64(len(flows)) > s.number {
			out.table.add(id)
			out.table.flow[id] = flows
		}
	}
	return out
}

// runWorkflow runs a stored workflow on the graph and goes on with the nodes and edges that it selects.
func runWorkflow(x *exec, i int, s *planStep, in stream) stream {
	source := x.engine.opts.Workflows
	if source == nil {
		x.fail(i, fmt.Errorf("workflow '%s' does not exist", s.text))
		return in
	}
	args := make([]graph.Value, len(s.args))
	for n, a := range s.args {
		args[n] = a.value
	}
	nodes, edges, err := source.Call(x.ctx, s.text, args, in.scope.view)
	switch {
	case errors.Is(err, ErrNoWorkflow):
		x.fail(i, fmt.Errorf("workflow '%s' does not exist", s.text))
	case err != nil:
		x.fail(i, fmt.Errorf("workflow '%s': %w", s.text, err))
	}
	sub := &subgraph{nodes: map[string]int{}, edges: map[string]int{}, under: in.scope.source}
	for _, n := range nodes {
		if !sub.addNode(x, n) {
			break
		}
	}
	for _, e := range edges {
		if !sub.addEdge(x, e) {
			break
		}
	}
	g := *in.scope
	g.source = sub
	return stream{kind: kindGraph, scope: &g}
}
