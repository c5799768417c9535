package runner

import (
	"cmp"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/skydive"
)

// Status is how one capture fares on one node.
type Status struct {
	Capture        skydive.Capture
	NodeID         string
	NodeTID        string
	State          State
	Error          string // why it is not active
	Port           int    // where it listens for exporters, 0 if it does not
	Ledger         flow.Ledger
	DownUpper      bool    // what was lost while the agent was down is an upper bound
	InterfaceDrops uint64  // by the interface, before any capture
	Drifted        uint64  // packets by which interface and rings did not agree in quiet moments
	Zero           int64   // what the interface's counter showed when the ledger was empty
	ListenerFaults []Count // of a capture that listens: what gave no packet or record, since it began to listen
}

// Count is a number with the name of what it counts.
type Count struct {
	Name string
	N    uint64
}

// Captures says how each capture fares on each node of the orders, sorted by capture and node.
func (r *Runner) Captures() []Status {
	list, _ := r.survey()
	return list
}

// stats is the message that tells subscribers how the capture fares on the node.
func (t *tap) stats() []byte {
	l, upper := t.account.ledger()
	m := flow.Message{Stats: []flow.Stats{{
		CaptureID: t.capture.UUID, NodeTID: t.node.TID, FlowCount: int64(l.FlowsLive), FlowDropped: int64(l.FlowsEvicted),
		PacketsDropped: int64(l.Dropped()), PacketsReceived: int64(l.Received), Ledger: &l, DownUpper: upper,
	}}}
	return m.AppendProto(nil)
}

// layerKey is where the metadata of a node has its captures.
const layerKey = "Captures"

// downUpper is the name of what was lost while the agent was down, where it is an upper bound.
const downUpper = "agent_down_upper"

// layer is a capture as the metadata of its node shows it.
func (s *Status) layer() graph.Value {
	fields := []graph.Field{graph.F("ID", graph.String(s.Capture.UUID))}
	text := func(key, value string) {
		if value != "" {
			fields = append(fields, graph.F(key, graph.String(value)))
		}
	}
	text("Name", s.Capture.Name)
	text("Description", s.Capture.Description)
	text("BPFFilter", s.Capture.BPFFilter)
	text("Type", cmp.Or(s.Capture.Type, "afpacket"))
	text("State", string(s.State))
	text("Error", s.Error)
	if s.Port != 0 {
		fields = append(fields, graph.F("Port", graph.Int(int64(s.Port))))
	}
	fields = append(fields,
		graph.F("PacketsReceived", graph.Int(int64(s.Ledger.Received))),
		graph.F("PacketsDropped", graph.Int(int64(s.Ledger.Dropped()))),
		graph.F("PacketsIfDropped", graph.Int(int64(s.InterfaceDrops))),
		graph.F("Ledger", ledgerValue(&s.Ledger, s.DownUpper)),
	)
	if faults := listed(s.ListenerFaults); faults.Len() > 0 {
		fields = append(fields, graph.F("ListenerFaults", graph.Object(faults)))
	}
	return graph.Object(graph.NewMetadata(fields...))
}

// ledgerValue is a ledger with the names of causes and faults, those that happened. upper says that what was lost while
// the agent was down is an upper bound.
func ledgerValue(l *flow.Ledger, upper bool) graph.Value {
	number := func(key string, n uint64) graph.Field { return graph.F(key, graph.Int(int64(n))) }
	fields := []graph.Field{
		number("Received", l.Received), number("Counted", l.Counted), number("CountedBytes", l.CountedBytes), number("Reported", l.Reported),
		number("Flows", l.Flows), number("FlowsEvicted", l.FlowsEvicted), number("FlowsLive", l.FlowsLive),
	}
	var drops, faults []Count
	for i, n := range l.Drops {
		name := flow.Cause(i).String()
		if flow.Cause(i) == flow.CauseDown && upper {
			name = downUpper
		}
		drops = append(drops, Count{name, n})
	}
	for i, n := range l.Faults {
		faults = append(faults, Count{flow.Fault(i).String(), n})
	}
	fields = append(fields, graph.F("Drops", graph.Object(listed(drops))))
	if some := listed(faults); some.Len() > 0 {
		fields = append(fields, graph.F("Faults", graph.Object(some)))
	}
	return graph.Object(graph.NewMetadata(fields...))
}

// listed are the counts that are not zero.
func listed(counts []Count) graph.Metadata {
	var fields []graph.Field
	for _, c := range counts {
		if c.N > 0 {
			fields = append(fields, graph.F(c.Name, graph.Int(int64(c.N))))
		}
	}
	return graph.NewMetadata(fields...)
}

// say puts the captures of each node into its metadata, and the sums into that of the host, where that does not say so
// already.
func (r *Runner) say() {
	list, sums := r.survey()
	byNode := map[string][]graph.Value{}
	for _, s := range list {
		byNode[s.NodeID] = append(byNode[s.NodeID], s.layer())
	}
	r.mu.Lock()
	given, said, last := r.given, r.said, r.layers
	r.mu.Unlock()
	if !said && (!given && len(byNode) == 0) {
		return // nothing to say, and nothing known yet that would be wrong to keep
	}
	view := r.opts.Graph.View()
	total := r.sumsValue(sums)
	host, there := r.hostNode(view)
	fields := map[string][]graph.Field{}
	for id, captures := range byNode {
		fields[id] = append(fields[id], graph.F(layerKey, graph.List(captures...)))
	}
	if there && !total.IsZero() {
		fields[host] = append(fields[host], graph.F(sumsKey, total))
	}
	var events []graph.Event
	layers := map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(fields)) {
		node, ok := view.Node(id)
		if !ok {
			continue
		}
		layers[id] = true
		if said && shows(node, fields[id]) {
			continue
		}
		events = append(events, graph.Event{Op: graph.PutLayer, ID: id, Rank: graph.RankCapture, Metadata: graph.NewMetadata(fields[id]...)})
	}
	for id := range last {
		if _, alive := view.Node(id); alive && !layers[id] {
			events = append(events, graph.Event{Op: graph.DropLayer, ID: id})
		}
	}
	switch {
	case !said:
		r.opts.Sink.Replace(events)
	case len(events) > 0:
		r.opts.Sink.Commit(events...)
	}
	r.mu.Lock()
	r.said, r.layers = true, layers
	r.mu.Unlock()
}

// shows tells whether a node has these fields, and neither of the two keys beside them.
func shows(node graph.Node, fields []graph.Field) bool {
	n := 0
	for _, key := range []string{layerKey, sumsKey} {
		if _, has := node.Field(key); has {
			n++
		}
	}
	return n == len(fields) && !slices.ContainsFunc(fields, func(f graph.Field) bool {
		shown, ok := node.Field(f.Key)
		return !ok || !shown.Equal(f.Value)
	})
}

// collector shows the ledgers to Prometheus.
type collector Runner

// goneNodes is the label of all nodes that are not captured any more.
const goneNodes = "gone"

// Describe implements prometheus.Collector: the metrics come and go with the captures.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	r := (*Runner)(c)
	labels := []string{"capture", "node"}
	received := prometheus.NewDesc("weft_capture_packets_received_total", "Packets that passed the filter of a capture on a node.", labels, nil)
	counted := prometheus.NewDesc("weft_capture_packets_counted_total", "Of these: counted in flows.", labels, nil)
	dropped := prometheus.NewDesc("weft_capture_packets_dropped_total", "Of these: lost, by cause.", append(labels, "cause"), nil)
	faults := prometheus.NewDesc("weft_capture_packet_faults_total", "Of those counted: what was wrong with them, by fault.", append(labels[:2:2], "fault"), nil)
	heard := prometheus.NewDesc("weft_capture_listener_faults_total", "Datagrams, samples, records and templates of exporters that gave nothing, by cause, since the capture began to listen.", append(labels[:2:2], "cause"), nil)
	flows := prometheus.NewDesc("weft_capture_flows_live", "Flows in the tables of a capture on a node.", labels, nil)
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, n uint64, values ...string) {
		if m, err := prometheus.NewConstMetric(desc, kind, float64(n), values...); err == nil {
			out <- m
		}
	}
	ledger := func(l *flow.Ledger, capture, node string) {
		send(received, prometheus.CounterValue, l.Received, capture, node)
		send(counted, prometheus.CounterValue, l.Counted, capture, node)
		for i, n := range l.Drops {
			send(dropped, prometheus.CounterValue, n, capture, node, flow.Cause(i).String())
		}
		for i, n := range l.Faults {
			send(faults, prometheus.CounterValue, n, capture, node, flow.Fault(i).String())
		}
	}
	list, sums := r.survey()
	seen := map[[2]string]bool{}
	for _, s := range list {
		if key := [2]string{s.Capture.UUID, s.NodeTID}; seen[key] {
			continue
		} else {
			seen[key] = true
		}
		ledger(&s.Ledger, s.Capture.UUID, s.NodeTID)
		send(flows, prometheus.GaugeValue, s.Ledger.FlowsLive, s.Capture.UUID, s.NodeTID)
		for _, c := range s.ListenerFaults {
			send(heard, prometheus.CounterValue, c.N, s.Capture.UUID, s.NodeTID, c.Name)
		}
	}
	for _, s := range sums {
		if s.Gone != (flow.Ledger{}) {
			ledger(&s.Gone, s.Capture, goneNodes)
		}
	}
	r.out.mu.Lock()
	kept := r.out.spool
	r.out.mu.Unlock()
	if kept == nil {
		return
	}
	t := &r.out.transit
	t.mu.Lock()
	cut, without, lost := t.cut, t.kept, t.flows
	t.mu.Unlock()
	send(prometheus.NewDesc("weft_flow_spool_cut_total", "Flow batches that were too large for the bus and went in parts.", nil, nil), prometheus.CounterValue, cut)
	oversized := prometheus.NewDesc("weft_flow_oversized_total", "What fits into no message of the bus: packets kept of flows, which went without them, and flows.", []string{"what"}, nil)
	send(oversized, prometheus.CounterValue, without, "packets")
	send(oversized, prometheus.CounterValue, lost, "flows")
	stats := kept.Stats()
	send(prometheus.NewDesc("weft_flow_spool_bytes", "Bytes of flow reports that wait for an analyzer.", nil, nil), prometheus.GaugeValue, uint64(stats.Bytes))
	send(prometheus.NewDesc("weft_flow_spool_batches", "Flow batches that wait for an analyzer.", nil, nil), prometheus.GaugeValue, uint64(stats.Batches))
	send(prometheus.NewDesc("weft_flow_spool_dropped_total", "Flow batches dropped because the spool was full.", nil, nil), prometheus.CounterValue, stats.Dropped)
	send(prometheus.NewDesc("weft_flow_spool_damaged_total", "Parts of the spool that could not be read.", nil, nil), prometheus.CounterValue, stats.Damaged)
}
