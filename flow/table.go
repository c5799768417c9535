package flow

import "time"

// LayerMode says what makes two packets the same flow.
type LayerMode uint8

// The layer modes of a capture's LayerKeyMode.
const (
	LayerModeL2 LayerMode = iota // link addresses are part of the key
	LayerModeL3                  // they are not
)

// ExtraLayers is the bit mask of a capture's ExtraLayers.
type ExtraLayers uint8

// The layers that are decoded on demand.
const (
	ExtraVRRP   ExtraLayers = 1
	ExtraDNS    ExtraLayers = 2
	ExtraDHCPv4 ExtraLayers = 4
)

// Reason says why a flow is reported.
type Reason uint8

// The reasons of a report.
const (
	Started Reason = iota // the first report of a flow
	Updated               // something was counted since the last report
	Ended                 // it is over: TCP closed it, it expired, or the table closes
	Evicted               // it made room for another
)

// String returns the name of a reason.
func (r Reason) String() string {
	return [...]string{"started", "updated", "ended", "evicted"}[r&3]
}

// Options says how a table counts and reports. The zero value of each field is a default.
type Options struct {
	NodeTID, CaptureID string
	MaxFlows           int           // the most flows live; 0 is sized from the machine's memory
	Update             time.Duration // between updates of a flow; 0 is 60 s, less than 0 never
	Expire             time.Duration // without a packet; 0 is 600 s
	ExpireShort        time.Duration // for ARP and DNS; 0 is 10 s
	LayerMode          LayerMode
	RawPacketLimit     int // packets kept per flow; 0 keeps none
	HeaderSize         int // bytes kept of each; 0 keeps what was captured
	ExtraTCPMetric     bool
	IPDefrag           bool
	ReassembleTCP      bool
	ExtraLayers        ExtraLayers
	Applications       *Applications // nil: the last layer names the application
	// Report is called by the table's owner, within Add, Advance, Record and Close. f is reused after the call.
	Report func(f *Flow, why Reason)
}

// Table holds the live flows of one ring or file. It belongs to one goroutine.
type Table struct {
	options Options
	ledger  Ledger
}

// NewTable returns an empty table.
func NewTable(o Options) *Table { return &Table{options: o} }

// Add decodes and counts packets of one link type.
func (t *Table) Add(link LinkType, packets []Packet) {}

// Advance reports what is new, due or over at the time now, in ns since the epoch. The work of one call is bounded.
func (t *Table) Advance(now int64) {}

// Close reports all live flows as Ended.
func (t *Table) Close() {}

// Scan yields live flows that pass the prefilter, from the cursor on, and looks at no more than budget flows.
func (t *Table) Scan(cursor uint64, budget int, pre *Prefilter, yield func(*Flow) bool) (next uint64, done bool) {
	return 0, true
}

// RawPackets returns the packets kept of a live flow.
func (t *Table) RawPackets(uuid string) []RawPacket { return nil }

// Ledger returns what was counted so far.
func (t *Table) Ledger() Ledger { return t.ledger }

// Record counts a flow record of an exporter like packets.
func (t *Table) Record(r Record) {}
