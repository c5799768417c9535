package runner

import (
	"cmp"
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
	DownUpper      bool   // what was lost while the agent was down is an upper bound
	InterfaceDrops uint64 // by the interface, before any capture
	Drifted        uint64 // packets by which interface and rings did not agree in quiet moments
	Zero           int64  // what the interface's counter showed when the ledger was empty
}

// Captures says how each capture fares on each node of the orders, sorted by capture and node.
func (r *Runner) Captures() []Status {
	r.mu.Lock()
	list := slices.Clone(r.absent)
	for _, t := range r.taps {
		state := t.state.Load()
		s := Status{Capture: t.capture, NodeID: t.node.ID, NodeTID: t.node.TID, State: state.State, Error: state.Error, Port: state.Port}
		a := t.account
		a.mu.Lock()
		s.Ledger, s.DownUpper, s.InterfaceDrops, s.Drifted, s.Zero = a.sum(), a.upper, a.observed.Dropped, a.drifted, a.zero
		a.mu.Unlock()
		list = append(list, s)
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Capture.UUID, b.Capture.UUID), cmp.Compare(a.NodeID, b.NodeID))
	})
	return list
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
	var drops []graph.Field
	for i, n := range s.Ledger.Drops {
		if name := flow.Cause(i).String(); n > 0 {
			if flow.Cause(i) == flow.CauseDown && s.DownUpper {
				name = downUpper
			}
			drops = append(drops, graph.F(name, graph.Int(int64(n))))
		}
	}
	fields = append(fields,
		graph.F("PacketsReceived", graph.Int(int64(s.Ledger.Received))),
		graph.F("PacketsDropped", graph.Int(int64(s.Ledger.Dropped()))),
		graph.F("PacketsIfDropped", graph.Int(int64(s.InterfaceDrops))),
		graph.F("Ledger", graph.Object(graph.NewMetadata(
			graph.F("Received", graph.Int(int64(s.Ledger.Received))),
			graph.F("Counted", graph.Int(int64(s.Ledger.Counted))),
			graph.F("Drops", graph.Object(graph.NewMetadata(drops...))),
		))),
	)
	return graph.Object(graph.NewMetadata(fields...))
}

// say puts the captures of each node into its metadata, where that does not say so already.
func (r *Runner) say() {
	byNode := map[string][]graph.Value{}
	var nodes []string
	for _, s := range r.Captures() {
		if byNode[s.NodeID] == nil {
			nodes = append(nodes, s.NodeID)
		}
		byNode[s.NodeID] = append(byNode[s.NodeID], s.layer())
	}
	r.mu.Lock()
	given, said, last := r.given, r.said, r.layers
	r.mu.Unlock()
	if !said && (!given && len(nodes) == 0) {
		return // nothing to say, and nothing known yet that would be wrong to keep
	}
	view := r.opts.Graph.View()
	var events []graph.Event
	layers := map[string]bool{}
	for _, id := range nodes {
		node, ok := view.Node(id)
		if !ok {
			continue
		}
		layers[id] = true
		value := graph.List(byNode[id]...)
		if shown, ok := node.Field(layerKey); said && ok && shown.Equal(value) {
			continue
		}
		events = append(events, graph.Event{
			Op: graph.PutLayer, ID: id, Rank: graph.RankCapture, Metadata: graph.NewMetadata(graph.F(layerKey, value)),
		})
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

// collector shows the ledgers to Prometheus.
type collector Runner

// Describe implements prometheus.Collector: the metrics come and go with the captures.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	r := (*Runner)(c)
	labels := []string{"capture", "node"}
	received := prometheus.NewDesc("weft_capture_packets_received_total", "Packets that passed the filter of a capture on a node.", labels, nil)
	counted := prometheus.NewDesc("weft_capture_packets_counted_total", "Of these: counted in flows.", labels, nil)
	dropped := prometheus.NewDesc("weft_capture_packets_dropped_total", "Of these: lost, by cause.", append(labels, "cause"), nil)
	flows := prometheus.NewDesc("weft_capture_flows_live", "Flows in the tables of a capture on a node.", labels, nil)
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, n uint64, values ...string) {
		if m, err := prometheus.NewConstMetric(desc, kind, float64(n), values...); err == nil {
			out <- m
		}
	}
	seen := map[[2]string]bool{}
	for _, s := range r.Captures() {
		if key := [2]string{s.Capture.UUID, s.NodeTID}; seen[key] {
			continue
		} else {
			seen[key] = true
		}
		send(received, prometheus.CounterValue, s.Ledger.Received, s.Capture.UUID, s.NodeTID)
		send(counted, prometheus.CounterValue, s.Ledger.Counted, s.Capture.UUID, s.NodeTID)
		send(flows, prometheus.GaugeValue, s.Ledger.FlowsLive, s.Capture.UUID, s.NodeTID)
		for i, n := range s.Ledger.Drops {
			send(dropped, prometheus.CounterValue, n, s.Capture.UUID, s.NodeTID, flow.Cause(i).String())
		}
	}
	r.out.mu.Lock()
	kept := r.out.spool
	r.out.mu.Unlock()
	if kept == nil {
		return
	}
	stats := kept.Stats()
	send(prometheus.NewDesc("weft_flow_spool_bytes", "Bytes of flow reports that wait for an analyzer.", nil, nil), prometheus.GaugeValue, uint64(stats.Bytes))
	send(prometheus.NewDesc("weft_flow_spool_batches", "Flow batches that wait for an analyzer.", nil, nil), prometheus.GaugeValue, uint64(stats.Batches))
	send(prometheus.NewDesc("weft_flow_spool_dropped_total", "Flow batches dropped because the spool was full.", nil, nil), prometheus.CounterValue, stats.Dropped)
	send(prometheus.NewDesc("weft_flow_spool_damaged_total", "Parts of the spool that could not be read.", nil, nil), prometheus.CounterValue, stats.Damaged)
}
