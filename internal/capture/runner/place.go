package runner

import (
	"errors"
	"fmt"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/capture"
	"github.com/weft-net/weft/internal/capture/afpacket"
	"github.com/weft-net/weft/internal/capture/filter"
	"github.com/weft-net/weft/skydive"
)

type captureOrder = skydive.Capture

// place is where packets of a node pass. Names are not part of it: an interface that is renamed is the same.
type place struct {
	Namespace string // path; "" = the host's
	Index     int    // of the interface; 0 = the capture listens for exporters
}

var errNoNode = errors.New("the node is not there")

// locate finds where to capture for a node, or says in which state a capture on it is, and why. A capture that listens
// needs the node's namespace only, any other an interface.
func locate(view *graph.View, id string, listens bool) (place, State, error) {
	node, ok := view.Node(id)
	if !ok {
		return place{}, Waiting, errNoNode
	}
	var where place
	if !listens {
		index, ok := node.Field("IfIndex")
		if !ok || index.Int() <= 0 {
			kind, _ := node.Field("Type")
			return place{}, Failed, fmt.Errorf("a node of type %q has no packets: capture on a network interface", kind.Str())
		}
		where.Index = int(index.Int())
	}
	const deepest = 16
	for range deepest {
		switch kind, _ := node.Field("Type"); kind.Str() {
		case "netns":
			path, _ := node.Field("Path")
			if path.Str() == "" {
				return place{}, Failed, errors.New("the network namespace has no path")
			}
			where.Namespace = path.Str()
			return where, Active, nil
		case "host":
			return where, Active, nil
		}
		if node, ok = owner(view, node); !ok {
			return place{}, Waiting, errors.New("the network namespace of the node is not known yet")
		}
	}
	return place{}, Failed, errors.New("the node belongs to no host")
}

func owner(view *graph.View, node graph.Node) (graph.Node, bool) {
	for edge, parent := range view.In(node) {
		if relation, _ := edge.Field("RelationType"); relation.Str() == "ownership" {
			return parent, true
		}
	}
	return graph.Node{}, false
}

// Target is what a source is to be opened for.
type Target struct {
	Namespace string // path of the network namespace; "" = the host's
	IfIndex   int    // 0 for a capture that listens
	Capture   skydive.Capture
	RingBytes int // 0 = chosen
	Rings     int
	Counters  func(*graph.Counters) // takes those that exporters send of the node, within Read; may be nil
	Now       func() time.Time      // nil: the clock
}

// OpenFunc opens the sources of a capture on a node. They are all open, or none is.
type OpenFunc func(Target) ([]capture.Source, error)

// Counters are what an interface counted since it was made.
type Counters struct {
	Packets uint64 // received and sent
	Dropped uint64 // by the interface; they are not in Packets
}

// CountersFunc reads the counters of an interface.
type CountersFunc func(namespace string, index int) (Counters, error)

// enough is what the headers of almost any packet fit in: more need not be copied when nothing looks at payload.
const enough = 512

// snapLength returns how many bytes of a packet a capture must see, 0 for all: messages and fragments are read whole, and so are packets
// that are kept whole.
func snapLength(c *skydive.Capture) int {
	if c.ExtraLayers != 0 || c.IPDefrag || c.RawPacketLimit != 0 && c.HeaderSize == 0 {
		return 0
	}
	return max(c.HeaderSize, enough)
}

// OpenRings opens packet rings of the kernel.
func OpenRings(t Target) ([]capture.Source, error) {
	c := &t.Capture
	switch c.Type {
	case "", "afpacket", "pcap":
	default:
		return nil, fmt.Errorf("captures of type %q do not run here: choose afpacket, sflow or netflow", c.Type)
	}
	snap := snapLength(c)
	opts := afpacket.Options{
		Namespace: t.Namespace, IfIndex: t.IfIndex, SnapLen: snap, RingBytes: t.RingBytes, Fanout: t.Rings, Sample: int(c.SamplingRate),
	}
	if c.BPFFilter != "" {
		link, err := afpacket.LinkTypeOf(t.Namespace, "", t.IfIndex)
		if err != nil {
			return nil, err
		}
		program, err := filter.Compile(c.BPFFilter, link, snap)
		if err != nil {
			return nil, fmt.Errorf("filter: %w", err)
		}
		opts.Filter = program.Raw()
	}
	rings, err := afpacket.Open(opts)
	if err != nil {
		return nil, err
	}
	sources := make([]capture.Source, len(rings))
	for i, ring := range rings {
		sources[i] = ring
	}
	return sources, nil
}

// InterfaceCounters reads the kernel's counters of an interface.
func InterfaceCounters(namespace string, index int) (Counters, error) {
	c, err := afpacket.InterfaceCounters(namespace, index)
	return Counters{Packets: c.Packets(), Dropped: c.RxDropped + c.TxDropped}, err
}

// tableOptions are those of the flow table of a capture on a node.
func (r *Runner) tableOptions(c *skydive.Capture, tid string) flow.Options {
	set := &r.opts.Settings
	o := flow.Options{
		NodeTID: tid, CaptureID: c.UUID, MaxFlows: set.MaxFlows, Budget: r.budget,
		Update: set.Update, Expire: set.Expire, ExpireShort: set.ExpireShort,
		RawPacketLimit: c.RawPacketLimit, HeaderSize: c.HeaderSize, ExtraTCPMetric: c.ExtraTCPMetric,
		IPDefrag: c.IPDefrag, ReassembleTCP: c.ReassembleTCP, ExtraLayers: flow.ExtraLayers(c.ExtraLayers), Applications: set.Applications,
	}
	if c.LayerKeyMode == skydive.LayerKeyL3 {
		o.LayerMode = flow.LayerModeL3
	}
	return o
}
