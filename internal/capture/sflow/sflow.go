// Package sflow receives sFlow version 5 (https://sflow.org/sflow_version_5.txt): the sampled packets of switches as
// a [capture.Source], and the counters of their interfaces.
//
// One goroutine calls Read and Close; Wake, Stats and Faults may be called from any. Counters are handed to the
// function in [Options] within Read, but for those that come after newer ones. A sample counts as one packet, whatever the sampling rate.
//
// What the exporter says it could not sample for lack of resources counts as dropped. Datagrams that were lost on the
// way, or that nobody can read, are counted as [Faults]: they are datagrams, and how many packets they held is not known.
package sflow

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	decoder "github.com/netsampler/goflow2/v2/decoders/sflow"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture"
	"github.com/weft-net/weft/internal/capture/datagram"
)

// Bounds on what exporters can make a source remember and do.
const (
	mostSources = 1 << 14
	mostRecords = 1000 // of a sample, as in the decoder
)

// Values of header_protocol that are read.
const (
	headerEthernet = 1
	headerIPv4     = 11
	headerIPv6     = 12
)

// Options says where to listen.
type Options struct {
	Namespace string         // the path of a network namespace; "" is that of the process
	Address   netip.AddrPort // port 0: any free one
	// Counters takes the counters of an interface. It is called within Read, and may be nil.
	Counters func(Counters)
	Now      func() time.Time // nil: the clock
}

// Counters are those of one interface of an exporter, since the exporter started.
type Counters struct {
	Agent  netip.Addr
	Metric Metric
}

// Metric holds interface counters under Skydive's names (metadata SFlow.Metric).
type Metric struct {
	IfIndex                                                                       int64
	IfInOctets, IfInUcastPkts, IfInMulticastPkts, IfInBroadcastPkts, IfInDiscards int64
	IfInErrors, IfInUnknownProtos                                                 int64
	IfOutOctets, IfOutUcastPkts, IfOutMulticastPkts, IfOutBroadcastPkts           int64
	IfOutDiscards, IfOutErrors                                                    int64
}

// Faults count datagrams and samples that gave no packet, by cause.
type Faults struct {
	Malformed   uint64 // datagrams and samples that contradict themselves or are cut off
	Version     uint64 // datagrams of another version than 5
	Unsupported uint64 // samples without the header of a packet that can be read
	Missing     uint64 // datagrams that never came, by their sequence numbers
	Late        uint64 // datagrams out of order: Missing counted them, and no longer does
	Unread      uint64 // datagrams that the kernel dropped because they were not read in time
	Untracked   uint64 // datagrams and samples whose sequence was not followed: too many exporters
}

// Source is a listener.
type Source struct {
	socket   *datagram.Socket
	counters func(Counters)
	now      func() time.Time
	buffer   []byte
	packets  []flow.Packet
	agents   map[agentKey]mark    // of the last datagram
	late     bool                 // the datagram at hand came after newer ones: its counters are old
	drops    map[sourceKey]uint32 // the last count of packets that were not sampled

	mu     sync.Mutex // of what follows
	stats  capture.SourceStats
	faults Faults
}

type agentKey struct {
	agent netip.Addr
	sub   uint32
}

// mark is where an exporter is.
type mark struct {
	number uint32 // of the datagram
	uptime uint32 // ms
}

type sourceKey struct {
	agentKey
	kind, index uint32
}

var _ capture.Source = (*Source)(nil)

// Listen opens a source.
func Listen(o Options) (*Source, error) {
	socket, err := datagram.Listen(o.Namespace, o.Address)
	if err != nil {
		return nil, err
	}
	s := newSource(o)
	s.socket = socket
	return s, nil
}

func newSource(o Options) *Source {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Source{
		counters: o.Counters, now: o.Now, buffer: make([]byte, datagram.Largest),
		agents: map[agentKey]mark{}, drops: map[sourceKey]uint32{},
	}
}

// Addr is where the source listens.
func (s *Source) Addr() netip.AddrPort { return s.socket.Addr() }

// LinkType is Ethernet. Samples that begin with IP get a header whose addresses are zero.
func (s *Source) LinkType() flow.LinkType { return flow.LinkEthernet }

// Read gives the packets of one datagram.
func (s *Source) Read(wait time.Duration) ([]flow.Packet, error) {
	n, _, err := s.socket.Read(s.buffer, wait)
	if err != nil || n == 0 {
		return nil, err
	}
	return s.decode(s.buffer[:n]), nil
}

// Wake implements [capture.Source].
func (s *Source) Wake() { s.socket.Wake() }

// Stats implements [capture.Source].
func (s *Source) Stats() (capture.SourceStats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats, nil
}

// Faults are counted since the source was opened.
func (s *Source) Faults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.faults
	if s.socket != nil {
		f.Unread = s.socket.Lost()
	}
	return f
}

// Close implements [capture.Source].
func (s *Source) Close() error { return s.socket.Close() }

// decode reads a datagram. Its samples are cut here, so that one that is broken does not take the others with it.
func (s *Source) decode(data []byte) []flow.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packets = s.packets[:0]
	be := binary.BigEndian
	if len(data) < 8 {
		s.faults.Malformed++
		return nil
	}
	if be.Uint32(data) != 5 {
		s.faults.Version++
		return nil
	}
	length := map[uint32]int{1: 4, 2: 16}[be.Uint32(data[4:])]
	if length == 0 || len(data) < 8+length+16 {
		s.faults.Malformed++
		return nil
	}
	address, _ := netip.AddrFromSlice(data[8 : 8+length])
	rest := data[8+length:]
	key := agentKey{address.Unmap(), be.Uint32(rest)}
	s.late = s.sequence(key, mark{be.Uint32(rest[4:]), be.Uint32(rest[8:])})
	samples := be.Uint32(rest[12:])
	rest = rest[16:]
	for range samples {
		if len(rest) < 8 || uint64(be.Uint32(rest[4:])) > uint64(len(rest)-8) {
			s.faults.Malformed++
			break
		}
		header := decoder.SampleHeader{Format: be.Uint32(rest), Length: be.Uint32(rest[4:])}
		body := rest[8 : 8+header.Length]
		rest = rest[8+header.Length:]
		s.sample(key, header, body)
	}
	s.stats.Received += uint64(len(s.packets))
	return s.packets
}

// sequence finds what is missing between two datagrams of an exporter, and says whether this one is late. A number far
// back is a restart, and so is one that goes back with the uptime.
func (s *Source) sequence(key agentKey, now mark) (late bool) {
	last, known := s.agents[key]
	if !known && len(s.agents) >= mostSources {
		s.faults.Untracked++
		return false
	}
	const (
		window  = 1 << 10
		restart = 10_000 // ms: no datagram is under way for as long
	)
	switch ahead := int32(now.number - last.number); { //nolint:gosec // the difference wraps, as the numbers do
	case !known || ahead > window || ahead < -window:
	case ahead > 1:
		s.faults.Missing += uint64(ahead - 1)
	case ahead <= 0 && int64(now.uptime) > int64(last.uptime)-restart:
		s.faults.Late++
		if s.faults.Missing > 0 {
			s.faults.Missing--
		}
		return true
	}
	s.agents[key] = now
	return false
}

func (s *Source) sample(key agentKey, header decoder.SampleHeader, body []byte) {
	const countOfExpanded = 40 // bytes before the number of records, which the decoder takes as it is
	if header.Format == decoder.SAMPLE_FORMAT_EXPANDED_FLOW &&
		(len(body) < countOfExpanded+4 || binary.BigEndian.Uint32(body[countOfExpanded:]) > mostRecords) {
		s.faults.Malformed++
		return
	}
	if header.Format < decoder.SAMPLE_FORMAT_FLOW || header.Format > decoder.SAMPLE_FORMAT_EXPANDED_COUNTER {
		s.faults.Unsupported++
		return
	}
	decoded, err := decoder.DecodeSample(&header, bytes.NewBuffer(body))
	if err != nil {
		s.faults.Malformed++
		return
	}
	source := sourceKey{key, header.SourceIdType, header.SourceIdValue}
	switch d := decoded.(type) {
	case decoder.FlowSample:
		s.dropped(source, d.Drops)
		s.records(d.Records)
	case decoder.ExpandedFlowSample:
		s.dropped(source, d.Drops)
		s.records(d.Records)
	case decoder.CounterSample:
		for _, r := range d.Records {
			if c, ok := r.Data.(decoder.IfCounters); ok && s.counters != nil && !s.late {
				s.counters(Counters{key.agent, metric(c)})
			}
		}
	}
}

// dropped follows the exporter's count of packets that it should have sampled and did not. The first tells nothing,
// nor does one that went back: the exporter began anew.
func (s *Source) dropped(key sourceKey, count uint32) {
	last, known := s.drops[key]
	if !known && len(s.drops) >= mostSources {
		s.faults.Untracked++
		return
	}
	if more := int32(count - last); known && more > 0 { //nolint:gosec // the difference wraps, as the counts do
		s.stats.Received += uint64(more)
		s.stats.Dropped += uint64(more)
	}
	s.drops[key] = count
}

// records takes the packet of a sample.
func (s *Source) records(records []decoder.FlowRecord) {
	for _, r := range records {
		raw, ok := r.Data.(decoder.SampledHeader)
		if !ok {
			continue
		}
		data := raw.HeaderData[:min(int64(len(raw.HeaderData)), int64(raw.OriginalLength))]
		length := int(raw.FrameLength)
		switch raw.Protocol {
		case headerEthernet:
			length -= int(min(raw.Stripped, raw.FrameLength)) // the FCS, which no other source counts
		case headerIPv4:
			data = append([]byte{12: 0x08, 13: 0x00}, data...)
			length += 14
		case headerIPv6:
			data = append([]byte{12: 0x86, 13: 0xdd}, data...)
			length += 14
		default:
			s.faults.Unsupported++
			return
		}
		packet := flow.Packet{Data: data, Length: max(length, len(data)), Time: s.now().UnixNano()}
		if raw.Protocol == headerEthernet {
			restoreVLAN(&packet, records)
		}
		s.packets = append(s.packets, packet)
		return
	}
	s.faults.Unsupported++
}

// restoreVLAN gives a packet the tag that the exporter took off before it sampled the header, by the record of extended
// switch data (sflow_version_5.txt, extended_switch): the VLAN of the incoming frame. A switch says 0 or all ones when it
// has none to tell.
func restoreVLAN(p *flow.Packet, records []decoder.FlowRecord) {
	const (
		addresses       = 12 // bytes before the EtherType
		typeVLAN        = 0x8100
		typeQinQ        = 0x88a8
		lastVLAN        = 4094
		highestPriority = 7
	)
	if len(p.Data) >= addresses+2 {
		if kind := binary.BigEndian.Uint16(p.Data[addresses:]); kind == typeVLAN || kind == typeQinQ {
			return // it is still there
		}
	}
	for _, r := range records {
		tag, ok := r.Data.(decoder.ExtendedSwitch)
		if !ok || tag.SrcVlan == 0 || tag.SrcVlan > lastVLAN {
			continue
		}
		p.HasVLAN, p.VLANProto = true, typeVLAN
		p.VLAN = uint16(tag.SrcVlan) //nolint:gosec // compared above
		if tag.SrcPriority <= highestPriority {
			p.VLAN |= uint16(tag.SrcPriority) << 13 //nolint:gosec // likewise
		}
		return
	}
}

func metric(c decoder.IfCounters) Metric {
	return Metric{
		IfIndex:       int64(c.IfIndex),
		IfInOctets:    int64(c.IfInOctets), //nolint:gosec // wraps after 8 exabytes
		IfInUcastPkts: int64(c.IfInUcastPkts), IfInMulticastPkts: int64(c.IfInMulticastPkts),
		IfInBroadcastPkts: int64(c.IfInBroadcastPkts), IfInDiscards: int64(c.IfInDiscards),
		IfInErrors: int64(c.IfInErrors), IfInUnknownProtos: int64(c.IfInUnknownProtos),
		IfOutOctets:    int64(c.IfOutOctets), //nolint:gosec // likewise
		IfOutUcastPkts: int64(c.IfOutUcastPkts), IfOutMulticastPkts: int64(c.IfOutMulticastPkts),
		IfOutBroadcastPkts: int64(c.IfOutBroadcastPkts), IfOutDiscards: int64(c.IfOutDiscards), IfOutErrors: int64(c.IfOutErrors),
	}
}
