package flow

// Flow is one flow as Skydive's API shows it. Times are milliseconds since the epoch. A is the side that sent the first
// packet. A part that is nil is left out of JSON and protobuf, as Skydive does. Skydive's names, order and numbers of
// the fields are in the page docs/flow-library.md.
//
// A Flow is plain data: whoever holds one may read it from any goroutine, and nobody may write to one that is shared.
type Flow struct {
	UUID        string // this flow, as one node saw it
	LayersPath  string // "Ethernet/IPv4/TCP": the names of its layers, outermost first
	Application string // "TCP", "DNS", or a name given to a port

	Link      *Layer // MAC addresses
	Network   *Layer // IP addresses; ID is a tunnel's or VLAN's number where there is one
	Transport *TransportLayer
	ICMP      *ICMP
	DHCPv4    *DHCPv4
	DNS       *DNS
	VRRPv2    *VRRPv2

	LastUpdateMetric *Metric // since the last report
	Metric           *Metric // since the start
	TCPMetric        *TCPMetric
	IPMetric         *IPMetric

	Start, Last int64 // ms: first and last packet

	TrackingID   string // the same at every node that sees these packets
	L3TrackingID string // likewise, without the link layer: also across routers
	ParentUUID   string // the flow of the tunnel that carries this one; "" = none
	NodeTID      string // of the node where it was captured
	CaptureID    string

	LastRawPackets     []RawPacket `json:"-"` // never in JSON
	RawPacketsCaptured int64
	FinishType         FinishType
}

// Layer is the link or the network layer of a flow.
type Layer struct {
	Protocol Protocol
	A, B     string // addresses as text
	ID       int64
}

// TransportLayer is the transport layer of a flow: ports, and a tunnel's number.
type TransportLayer struct {
	Protocol Protocol
	A, B     int64
	ID       int64
}

// ICMP is what identifies an ICMP flow. Types of both versions share one list.
type ICMP struct {
	Type     ICMPType
	Code, ID uint32
}

// Metric counts packets and bytes (on the wire) in both directions over [Start, Last], in ms. RTT is in ns; 0 = not known.
type Metric struct {
	ABPackets, ABBytes int64
	BAPackets, BABytes int64
	Start, Last        int64
	RTT                int64
}

// Add adds what another metric counted. The interval grows over both, and the newer round trip time stays.
func (m *Metric) Add(o Metric) {
	m.ABPackets += o.ABPackets
	m.ABBytes += o.ABBytes
	m.BAPackets += o.BAPackets
	m.BABytes += o.BABytes
	if m.Start == 0 || o.Start != 0 && o.Start < m.Start {
		m.Start = o.Start
	}
	m.Last = max(m.Last, o.Last)
	if o.RTT != 0 {
		m.RTT = o.RTT
	}
}

// TCPMetric follows a connection's life. The Start fields are ms since the epoch, 0 = not seen. With Options.ReassembleTCP the
// segment counters are those of Reassembly. Without it Packets, Bytes, SawStart and SawEnd stay 0, and OutOfOrder counts
// segments that begin below the number expected, again sent ones too.
type TCPMetric struct {
	ABSynStart, BASynStart int64
	ABSynTTL, BASynTTL     uint32
	ABFinStart, BAFinStart int64
	ABRstStart, BARstStart int64

	ABSegmentOutOfOrder, ABSegmentSkipped, ABSegmentSkippedBytes int64
	ABPackets, ABBytes, ABSawStart, ABSawEnd                     int64

	BASegmentOutOfOrder, BASegmentSkipped, BASegmentSkippedBytes int64
	BAPackets, BABytes, BASawStart, BASawEnd                     int64
}

// IPMetric counts fragments, and with Options.IPDefrag those that ended their datagram badly or came too late for it.
type IPMetric struct {
	Fragments, FragmentErrors int64
}

// RawPacket is one packet kept of a flow. Index counts from 0 within the flow.
type RawPacket struct {
	Timestamp int64 // ms since the epoch
	Index     int64
	Data      []byte
	LinkType  LinkType
	Nanos     int64 // since Timestamp, 0 to 999,999: what Skydive's packets have not
}

// Time returns when the packet was seen, in ns since the epoch.
func (p *RawPacket) Time() int64 { return p.Timestamp*1e6 + p.Nanos }

// Stats are the counters of one capture, as the namespace "stats" of the flow subscriber shows them.
type Stats struct {
	CaptureID         string
	FlowCount         int64 // flows in the table
	FlowDropped       int64 // flows that the table evicted
	KernelFlowDropped int64 // always 0: weft keeps no flows in the kernel
	PacketsDropped    int64
	PacketsReceived   int64

	// What Skydive's have not: of which node the counters are, and by what cause packets were dropped.
	NodeTID   string
	Ledger    *Ledger // nil: the sender has none
	DownUpper bool    // of the ledger: the packets that passed while no agent ran are an upper bound
}

// Message is what travels in one go: flows and counters.
type Message struct {
	Flows []*Flow
	Stats []Stats
}

// Clone gives a copy that shares nothing with the original that may change; strings and packet data are shared.
func (f *Flow) Clone() *Flow {
	c := *f
	c.Link, c.Network, c.Transport, c.ICMP = clone(f.Link), clone(f.Network), clone(f.Transport), clone(f.ICMP)
	c.DHCPv4, c.DNS, c.VRRPv2 = clone(f.DHCPv4), clone(f.DNS), clone(f.VRRPv2)
	c.LastUpdateMetric, c.Metric = clone(f.LastUpdateMetric), clone(f.Metric)
	c.TCPMetric, c.IPMetric = clone(f.TCPMetric), clone(f.IPMetric)
	if f.LastRawPackets != nil {
		c.LastRawPackets = append([]RawPacket(nil), f.LastRawPackets...)
	}
	return &c
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
