package runner

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/capture"
	"github.com/weft-net/weft/internal/capture/filter"
	"github.com/weft-net/weft/internal/capture/netflow"
	"github.com/weft-net/weft/internal/capture/sflow"
	"github.com/weft-net/weft/skydive"
)

// Ports of captures that name none: the first one that is free, as in Skydive.
const (
	sflowFirst, sflowLast     = 6345, 6355
	netflowFirst, netflowLast = 6365, 6375
)

// metricNames are those of Skydive, sorted.
var metricNames = [...]string{
	"IfInBroadcastPkts", "IfInDiscards", "IfInErrors", "IfInMulticastPkts", "IfInOctets", "IfInUcastPkts", "IfInUnknownProtos",
	"IfOutBroadcastPkts", "IfOutDiscards", "IfOutErrors", "IfOutMulticastPkts", "IfOutOctets", "IfOutUcastPkts",
}

// listens tells whether a capture receives from exporters, and does not read an interface.
func listens(c *skydive.Capture) bool {
	return c.Type == skydive.CaptureSFlow || c.Type == skydive.CaptureNetFlow
}

// portOf is where a source listens, 0 if it does not.
func portOf(source capture.Source) int {
	if l, ok := source.(interface{ Addr() netip.AddrPort }); ok {
		return int(l.Addr().Port())
	}
	return 0
}

// faulty is a source that counts what of its exporters it could not use.
type faulty interface{ counts() []Count }

// listenerFaults are those of the rings that are open, nil unless the capture listens.
func (t *tap) listenerFaults() (counts []Count) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rings {
		if s, ok := r.source.(faulty); ok {
			counts = append(counts, s.counts()...)
		}
	}
	return counts
}

// recorder is a source whose exporter counts flows itself.
type recorder interface {
	capture.Source
	Records() []flow.Record // of the last Read, valid until the next
}

// OpenSources opens what a capture's type asks for: a listener for sFlow or NetFlow, else packet rings.
func OpenSources(t Target) ([]capture.Source, error) {
	var source capture.Source
	var err error
	switch t.Capture.Type {
	case skydive.CaptureSFlow:
		source, err = listenSFlow(t)
	case skydive.CaptureNetFlow:
		source, err = listenAt(&t.Capture, netflowFirst, netflowLast, func(at netip.AddrPort) (*records, error) {
			l, err := netflow.Listen(netflow.Options{Namespace: t.Namespace, Address: at})
			return &records{Listener: l}, err
		})
	default:
		return OpenRings(t)
	}
	if err != nil {
		return nil, err
	}
	return []capture.Source{source}, nil
}

// listenAt opens a listener on the port of a capture, or on the first that is free of those for captures without one.
func listenAt[S capture.Source](c *skydive.Capture, first, last int, listen func(netip.AddrPort) (S, error)) (s S, err error) {
	if c.Port != 0 {
		first, last = c.Port, c.Port
	}
	for port := first; port <= last; port++ {
		s, err = listen(netip.AddrPortFrom(netip.Addr{}, uint16(port))) //nolint:gosec // the API takes 16 bits
		if !errors.Is(err, unix.EADDRINUSE) {
			return s, err
		}
	}
	if c.Port != 0 {
		return s, fmt.Errorf("another program or capture uses UDP port %d in this network namespace: choose another Port: %w", c.Port, err)
	}
	return s, fmt.Errorf("the UDP ports %d to %d are all in use in this network namespace: choose a Port: %w", first, last, err)
}

// records is a NetFlow listener as a source without packets.
type records struct {
	*netflow.Listener
	last []flow.Record
}

// LinkType implements capture.Source.
func (r *records) LinkType() flow.LinkType { return flow.LinkEthernet }

// Read waits for records; it gives no packets.
func (r *records) Read(wait time.Duration) (_ []flow.Packet, err error) {
	r.last, err = r.Listener.Read(wait)
	return nil, err
}

func (r *records) counts() []Count {
	f := r.Faults()
	return []Count{
		{"malformed", f.Malformed},
		{"version", f.Version},
		{"unknown_template", f.UnknownTemplate},
		{"refused_template", f.RefusedTemplate},
		{"no_flow", f.NoFlow},
		{"missing_records", f.MissingRecords},
		{"missing_datagrams", f.MissingDatagrams},
		{"unread", f.Unread},
	}
}

// Records implements recorder.
func (r *records) Records() []flow.Record { return r.last }

// Stats implements capture.Source: what an exporter lost is in no unit of packets.
func (r *records) Stats() (capture.SourceStats, error) { return capture.SourceStats{}, nil }

const (
	mostInterfaces = 1 << 12     // of all exporters of a capture
	sampleEvery    = time.Second // the counters on a node, at most
)

// sampled is an sFlow listener that filters packets and sums up the counters of the exporters' interfaces.
type sampled struct {
	*sflow.Source
	program *filter.Program // nil: all pass
	refused atomic.Uint64   // packets that do not pass
	put     func(*graph.Counters)
	now     func() time.Time

	interfaces map[exported][len(metricNames)]int64
	sum        [len(metricNames)]int64
	news       bool
	start      int64 // ms: when the counters were put last
}

// exported names an interface of an exporter.
type exported struct {
	agent netip.Addr
	index int64
}

func listenSFlow(t Target) (*sampled, error) {
	s := &sampled{put: t.Counters, now: t.Now, interfaces: map[exported][len(metricNames)]int64{}}
	if s.now == nil {
		s.now = time.Now
	}
	if text := t.Capture.BPFFilter; text != "" {
		program, err := filter.Compile(text, flow.LinkEthernet, 0)
		if err != nil {
			return nil, fmt.Errorf("filter: %w", err)
		}
		s.program = program
	}
	return listenAt(&t.Capture, sflowFirst, sflowLast, func(at netip.AddrPort) (_ *sampled, err error) {
		s.Source, err = sflow.Listen(sflow.Options{Namespace: t.Namespace, Address: at, Counters: s.count, Now: s.now})
		return s, err
	})
}

// Read implements capture.Source.
func (s *sampled) Read(wait time.Duration) ([]flow.Packet, error) {
	packets, err := s.Source.Read(wait)
	if s.program != nil {
		passed := packets[:0]
		for _, p := range packets {
			if s.program.Match(p.Data, p.Length) {
				passed = append(passed, p)
			}
		}
		s.refused.Add(uint64(len(packets) - len(passed)))
		packets = passed
	}
	if now := s.now().UnixMilli(); s.news && s.put != nil && now-s.start >= sampleEvery.Milliseconds() {
		s.put(&graph.Counters{Prefix: "SFlow.Metric", Names: metricNames[:], Values: append([]int64(nil), s.sum[:]...), Start: cmp.Or(s.start, now), Last: now})
		s.news, s.start = false, now
	}
	return packets, err
}

func (s *sampled) counts() []Count {
	f := s.Faults()
	return []Count{
		{"malformed", f.Malformed},
		{"version", f.Version},
		{"unsupported", f.Unsupported},
		{"missing_datagrams", f.Missing},
		{"late", f.Late},
		{"unread", f.Unread},
		{"untracked", f.Untracked},
	}
}

// Stats implements capture.Source.
func (s *sampled) Stats() (capture.SourceStats, error) {
	refused := s.refused.Load() // before: what it holds is in the other count too
	stats, err := s.Source.Stats()
	stats.Received -= refused
	return stats, err
}

// Where the counters of 64 bits stand in metricNames; the others have 32 (sflow_version_5.txt, if_counters).
const (
	inOctets  = 4
	outOctets = 11
)

// count takes the counters of one interface. What it counted before it was first heard of is nobody's, so that the sum
// says what moved since the capture listens: it never jumps, whichever interfaces come later. An interface whose octets
// went back was made anew; packets that went back alone went round.
func (s *sampled) count(c sflow.Counters) {
	const unknown = 1<<32 - 1
	key := exported{c.Agent, c.Metric.IfIndex}
	before, known := s.interfaces[key]
	if !known && len(s.interfaces) >= mostInterfaces {
		return
	}
	m := &c.Metric
	values := [...]int64{
		m.IfInBroadcastPkts, m.IfInDiscards, m.IfInErrors, m.IfInMulticastPkts, m.IfInOctets, m.IfInUcastPkts, m.IfInUnknownProtos,
		m.IfOutBroadcastPkts, m.IfOutDiscards, m.IfOutErrors, m.IfOutMulticastPkts, m.IfOutOctets, m.IfOutUcastPkts,
	}
	s.interfaces[key], s.news = values, true
	if !known {
		return
	}
	anew := values[inOctets] < before[inOctets] || values[outOctets] < before[outOctets]
	for i, v := range values {
		switch wide := i == inOctets || i == outOctets; {
		case !wide && (v == unknown || before[i] == unknown):
		case v >= before[i]:
			s.sum[i] += v - before[i]
		case anew:
			s.sum[i] += v
		default:
			s.sum[i] += v - before[i] + 1<<32
		}
	}
}
