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
	Type            string `json:",omitzero"` // afpacket (default), pcap, ebpf, sflow, ovssflow, …
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
	LayerKeyL2 = "L2"
	LayerKeyL3 = "L3"

	ExtraLayerVRRP   = 1
	ExtraLayerDNS    = 2
	ExtraLayerDHCPv4 = 4

	TargetNetFlowV5 = "netflowv5"
	TargetERSPANV1  = "erspanv1"
)

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

// CaptureStats is the ledger of one capture, in NamespaceStats. All are counts since the capture began.
type CaptureStats struct {
	CaptureID         string
	FlowCount         int64
	FlowDropped       int64
	KernelFlowDropped int64
	PacketsDropped    int64
	PacketsReceived   int64
}
