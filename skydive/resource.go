package skydive

import "time"

// NodeRule writes metadata on the nodes that a query gives, or creates a node.
type NodeRule struct {
	UUID        string // set by the server
	Name        string
	Description string
	Metadata    Metadata
	Action      string // NodeRuleCreate or NodeRuleUpdate
	Query       string // Gremlin, of NodeRuleUpdate
}

// Actions of a NodeRule.
const (
	NodeRuleCreate = "create"
	NodeRuleUpdate = "update"
)

// EdgeRule keeps an edge from each node that Src gives to each node that Dst gives.
type EdgeRule struct {
	UUID        string // set by the server
	Name        string
	Description string
	Src         string // Gremlin
	Dst         string // Gremlin
	Metadata    Metadata
}

// Capture asks the agents to capture flows on the nodes that a query gives.
type Capture struct {
	UUID            string // set by the server
	GremlinQuery    string `json:",omitzero"`
	BPFFilter       string `json:",omitzero"`
	Name            string `json:",omitzero"`
	Description     string `json:",omitzero"`
	Type            string `json:",omitzero"` // CaptureAFPacket (default), …; Skydive has more
	Count           int    // nodes on which it is active; set by the server
	Port            int    `json:",omitzero"` // where sFlow or NetFlow datagrams come in
	SamplingRate    uint32 // packets per sample
	PollingInterval uint32 // seconds between counter samples
	RawPacketLimit  int    `json:",omitzero"` // raw packets kept a flow; -1: no limit
	HeaderSize      int    `json:",omitzero"` // bytes of each packet that are captured
	ExtraTCPMetric  bool
	IPDefrag        bool
	ReassembleTCP   bool
	LayerKeyMode    string `json:",omitzero"` // LayerKeyL2 (default) or LayerKeyL3
	ExtraLayers     int    `json:",omitzero"` // bits: ExtraLayerVRRP, ExtraLayerDNS, ExtraLayerDHCPv4
	Target          string `json:",omitzero"` // host:port that packets or flows are sent to
	TargetType      string `json:",omitzero"` // TargetNetFlowV5 or TargetERSPANV1
}

// Values of Capture's fields.
const (
	CaptureAFPacket = "afpacket"
	CapturePcap     = "pcap"    // the same by libpcap; weft takes it for CaptureAFPacket
	CaptureSFlow    = "sflow"   // a listener on Port
	CaptureNetFlow  = "netflow" // weft: a listener on Port, NetFlow v5 and v9 and IPFIX

	LayerKeyL2 = "L2"
	LayerKeyL3 = "L3"

	ExtraLayerVRRP   = 1
	ExtraLayerDNS    = 2
	ExtraLayerDHCPv4 = 4

	TargetNetFlowV5 = "netflowv5"
	TargetERSPANV1  = "erspanv1"
)

// CaptureState is a Capture as weft shows it: with what became of it on each node. Skydive's clients see the Capture.
type CaptureState struct {
	Capture
	Nodes  []CaptureNode  `json:",omitzero"` // weft
	Ledger *CaptureLedger `json:",omitzero"` // weft: the sum over the nodes, those that are gone included
}

// CaptureNode is the state of a capture on one node that its query finds, or found.
type CaptureNode struct {
	ID     string // of the node
	TID    string `json:",omitzero"`
	Host   string
	Name   string
	Type   string // of the node
	State  string // CaptureActive, CaptureWaiting, CaptureFailed or CaptureEnded
	Error  string `json:",omitzero"` // why it failed, or what it waits for
	Ledger *CaptureLedger
}

// States of a CaptureNode.
const (
	CaptureActive  = "active"
	CaptureWaiting = "waiting"
	CaptureFailed  = "failed"
	CaptureEnded   = "ended"
)

// CaptureLedger accounts for the packets of a capture: those that passed its filter are those counted in flows and
// those dropped, by cause. All are counts since the capture began, but for FlowsLive.
type CaptureLedger struct {
	Received     uint64            // packets that passed the filter
	Counted      uint64            // in flows
	CountedBytes uint64            // on the wire
	Reported     uint64            // of Counted: in reports so far
	Flows        uint64            // begun
	FlowsEvicted uint64            // reported before their time, as the table was full
	FlowsLive    uint64            // in the tables now
	Drops        map[string]uint64 `json:",omitzero"` // packets by cause: ring, decoder, table, queue, agent_down; in CaptureStats agent_down_upper, too, where it is an upper bound
	Faults       map[string]uint64 `json:",omitzero"` // what was wrong with packets that were counted all the same
}

// Dropped is the packets dropped, by whatever cause.
func (l *CaptureLedger) Dropped() (sum uint64) {
	for _, n := range l.Drops {
		sum += n
	}
	return sum
}

// Alert runs an action when the result of an expression changes to something that is not empty.
type Alert struct {
	UUID        string    // set by the server
	Name        string    `json:",omitzero"`
	Description string    `json:",omitzero"`
	Expression  string    `json:",omitzero"` // Gremlin, else JavaScript
	Action      string    // "" or a URL: http, https, file (a script); shown even when empty, as clients need it
	Trigger     string    `json:",omitzero"` // TriggerGraph (default) or "duration:5s"
	CreateTime  time.Time // RFC 3339; set by the server
}

// TriggerGraph evaluates an alert at each change of the graph.
const TriggerGraph = "graph"

// AlertReport is what a fired alert sends to its action and to subscribers.
type AlertReport struct {
	UUID       string
	Timestamp  time.Time
	ReasonData RawJSON // the result of the expression
}

// PacketInjection asks for packets to be sent from the node that a query gives.
type PacketInjection struct {
	UUID             string // set by the server
	Src              string // Gremlin
	Dst              string // Gremlin
	SrcIP            string
	DstIP            string
	SrcMAC           string
	DstMAC           string
	SrcPort          uint16
	DstPort          uint16
	Type             string // icmp4 icmp6 tcp4 tcp6 udp4 udp6
	Payload          string
	ICMPID           uint16
	Count            uint64
	Interval         uint64 // milliseconds between packets
	Mode             string // unique or random
	IncrementPayload int64
	StartTime        time.Time
	Pcap             []byte // base64 in JSON
	TTL              uint8
}

// Workflow is a JavaScript function that users call by name.
type Workflow struct {
	UUID        string // set by the server
	Name        string
	Title       string
	Abstract    string
	Description string
	Parameters  []WorkflowParam
	Source      string // JavaScript
}

// WorkflowParam is a parameter of a Workflow.
type WorkflowParam struct {
	Name        string
	Description string
	Type        string
	Default     any
	Values      []WorkflowChoice
}

// WorkflowChoice is a value that a WorkflowParam may take.
type WorkflowChoice struct {
	Value       any
	Description string
}

// WorkflowCall is the body of a call of a Workflow.
type WorkflowCall struct{ Params []any }

// CaptureStats are the counters of one capture on one node, in NamespaceStats. All are counts since the capture began, but
// for FlowCount.
type CaptureStats struct {
	CaptureID         string
	FlowCount         int64 // in the table now
	FlowDropped       int64 // reported before their time, as the table was full
	KernelFlowDropped int64 // 0 in weft
	PacketsDropped    int64 // by whatever cause
	PacketsReceived   int64 // those dropped included

	NodeTID string         `json:",omitzero"` // weft: the node that they are of
	Ledger  *CaptureLedger `json:",omitzero"` // weft: what became of the packets, by cause
}

// FlowsLost tells a flow subscriber what it did not get, as it did not read fast enough.
type FlowsLost struct{ Flows uint64 }
