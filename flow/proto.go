package flow

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The field numbers of message flow.Flow in Skydive's flow.proto. They are the wire format of the flow socket and of
// everything that weft stores or sends: a number never changes its meaning.
const (
	fieldUUID               protowire.Number = 1
	fieldLayersPath         protowire.Number = 2
	fieldApplication        protowire.Number = 3
	fieldParentUUID         protowire.Number = 6
	fieldStart              protowire.Number = 10
	fieldLast               protowire.Number = 11
	fieldLink               protowire.Number = 20
	fieldNetwork            protowire.Number = 21
	fieldTransport          protowire.Number = 22
	fieldICMP               protowire.Number = 23
	fieldLastUpdateMetric   protowire.Number = 31
	fieldMetric             protowire.Number = 32
	fieldNodeTID            protowire.Number = 33
	fieldCaptureID          protowire.Number = 34
	fieldLastRawPackets     protowire.Number = 36
	fieldRawPacketsCaptured protowire.Number = 37
	fieldTCPMetric          protowire.Number = 38
	fieldIPMetric           protowire.Number = 39
	fieldTrackingID         protowire.Number = 50
	fieldL3TrackingID       protowire.Number = 51
	fieldFinishType         protowire.Number = 60
	fieldDHCPv4             protowire.Number = 1000
	fieldDNS                protowire.Number = 1001
	fieldVRRPv2             protowire.Number = 1002
)

// AppendProto appends the flow as the protobuf message flow.Flow. Fields are in order of their numbers, zero values are left
// out, so that equal flows give equal bytes.
func (f *Flow) AppendProto(dst []byte) []byte {
	dst = appendText(dst, fieldUUID, f.UUID)
	dst = appendText(dst, fieldLayersPath, f.LayersPath)
	dst = appendText(dst, fieldApplication, f.Application)
	dst = appendText(dst, fieldParentUUID, f.ParentUUID)
	dst = appendInt(dst, fieldStart, f.Start)
	dst = appendInt(dst, fieldLast, f.Last)
	dst = f.Link.appendProto(dst, fieldLink)
	dst = f.Network.appendProto(dst, fieldNetwork)
	dst = f.Transport.appendProto(dst, fieldTransport)
	dst = f.ICMP.appendProto(dst, fieldICMP)
	dst = f.LastUpdateMetric.appendProto(dst, fieldLastUpdateMetric)
	dst = f.Metric.appendProto(dst, fieldMetric)
	dst = appendText(dst, fieldNodeTID, f.NodeTID)
	dst = appendText(dst, fieldCaptureID, f.CaptureID)
	for i := range f.LastRawPackets {
		dst = f.LastRawPackets[i].appendProto(dst, fieldLastRawPackets)
	}
	dst = appendInt(dst, fieldRawPacketsCaptured, f.RawPacketsCaptured)
	dst = f.TCPMetric.appendProto(dst, fieldTCPMetric)
	dst = f.IPMetric.appendProto(dst, fieldIPMetric)
	dst = appendText(dst, fieldTrackingID, f.TrackingID)
	dst = appendText(dst, fieldL3TrackingID, f.L3TrackingID)
	dst = appendInt(dst, fieldFinishType, int64(f.FinishType))
	dst = f.DHCPv4.appendProto(dst, fieldDHCPv4)
	dst = f.DNS.appendProto(dst, fieldDNS)
	return f.VRRPv2.appendProto(dst, fieldVRRPv2)
}

// DecodeProto makes the flow what the protobuf message flow.Flow in b says. Unknown fields are skipped. Nothing of b is kept.
// After an error the flow holds what was read before it.
func (f *Flow) DecodeProto(b []byte) error {
	*f = Flow{}
	r := wireReader{rest: b}
	f.decodeProto(&r)
	if r.err != nil {
		return fmt.Errorf("flow: %w", r.err)
	}
	return nil
}

// flowParts is one piece of memory for the parts that most flows have.
type flowParts struct {
	link, network  Layer
	transport      TransportLayer
	update, metric Metric
}

// mostShared is the size of a flow up to which its texts are parts of one string.
const mostShared = 2 << 10

func (f *Flow) decodeProto(r *wireReader) {
	f.decodeInto(r, new(flowParts))
}

// decodeInto decodes a flow whose parts get the memory given.
func (f *Flow) decodeInto(r *wireReader, parts *flowParts) {
	if len(r.rest) <= mostShared {
		r.share()
	}
	for r.next() {
		switch r.tag {
		case uint64(fieldUUID)<<3 | bytesField:
			f.UUID = r.text()
		case uint64(fieldLayersPath)<<3 | bytesField:
			f.LayersPath = r.text()
		case uint64(fieldApplication)<<3 | bytesField:
			f.Application = r.text()
		case uint64(fieldParentUUID)<<3 | bytesField:
			f.ParentUUID = r.text()
		case uint64(fieldStart)<<3 | varintField:
			f.Start = r.int()
		case uint64(fieldLast)<<3 | varintField:
			f.Last = r.int()
		case uint64(fieldLink)<<3 | bytesField:
			embeddedIn(r, &f.Link, &parts.link, (*Layer).decodeProto)
		case uint64(fieldNetwork)<<3 | bytesField:
			embeddedIn(r, &f.Network, &parts.network, (*Layer).decodeProto)
		case uint64(fieldTransport)<<3 | bytesField:
			embeddedIn(r, &f.Transport, &parts.transport, (*TransportLayer).decodeProto)
		case uint64(fieldICMP)<<3 | bytesField:
			embedded(r, &f.ICMP, (*ICMP).decodeProto)
		case uint64(fieldLastUpdateMetric)<<3 | bytesField:
			embeddedIn(r, &f.LastUpdateMetric, &parts.update, (*Metric).decodeProto)
		case uint64(fieldMetric)<<3 | bytesField:
			embeddedIn(r, &f.Metric, &parts.metric, (*Metric).decodeProto)
		case uint64(fieldNodeTID)<<3 | bytesField:
			f.NodeTID = r.text()
		case uint64(fieldCaptureID)<<3 | bytesField:
			f.CaptureID = r.text()
		case uint64(fieldLastRawPackets)<<3 | bytesField:
			repeated(r, &f.LastRawPackets, (*RawPacket).decodeProto)
		case uint64(fieldRawPacketsCaptured)<<3 | varintField:
			f.RawPacketsCaptured = r.int()
		case uint64(fieldTCPMetric)<<3 | bytesField:
			embedded(r, &f.TCPMetric, (*TCPMetric).decodeProto)
		case uint64(fieldIPMetric)<<3 | bytesField:
			embedded(r, &f.IPMetric, (*IPMetric).decodeProto)
		case uint64(fieldTrackingID)<<3 | bytesField:
			f.TrackingID = r.text()
		case uint64(fieldL3TrackingID)<<3 | bytesField:
			f.L3TrackingID = r.text()
		case uint64(fieldFinishType)<<3 | varintField:
			f.FinishType = FinishType(r.enum())
		case uint64(fieldDHCPv4)<<3 | bytesField:
			embedded(r, &f.DHCPv4, (*DHCPv4).decodeProto)
		case uint64(fieldDNS)<<3 | bytesField:
			embedded(r, &f.DNS, (*DNS).decodeProto)
		case uint64(fieldVRRPv2)<<3 | bytesField:
			embedded(r, &f.VRRPv2, (*VRRPv2).decodeProto)
		}
	}
}

// AppendProto appends the message as the protobuf message flow.Message: Flows 1, Stats 2.
func (m *Message) AppendProto(dst []byte) []byte {
	for _, f := range m.Flows {
		dst = AppendMessageFlow(dst, f)
	}
	for i := range m.Stats {
		var start int
		dst, start = openMessage(dst, 2)
		dst = m.Stats[i].AppendProto(dst)
		dst = closeMessage(dst, start)
	}
	return dst
}

// AppendMessageFlow appends one flow to what is, or becomes, the bytes of a Message: a batch can be written flow by flow, and
// batches can be joined.
func AppendMessageFlow(dst []byte, f *Flow) []byte {
	dst, start := openMessage(dst, 1)
	dst = f.AppendProto(dst)
	return closeMessage(dst, start)
}

// DecodeProto makes the message what b says. Unknown fields are skipped. Nothing of b is kept. After an error the
// message holds what was read before it.
func (m *Message) DecodeProto(b []byte) error {
	return m.decodeProto(b, nil)
}

// DecodeProtoParts is DecodeProto, and gives the bytes within b that are those of each flow.
func (m *Message) DecodeProtoParts(b []byte) (flows [][]byte, err error) {
	err = m.decodeProto(b, func(flow []byte) { flows = append(flows, flow) })
	return flows, err
}

func (m *Message) decodeProto(b []byte, part func(flow []byte)) error {
	*m = Message{}
	r := wireReader{rest: b}
	for r.next() {
		switch r.tag {
		case 1<<3 | bytesField:
			one := new(struct {
				flow  Flow
				parts flowParts
			})
			element(&r, &one.flow, func(f *Flow, r *wireReader) { f.decodeInto(r, &one.parts) })
			m.Flows = append(m.Flows, &one.flow)
			if part != nil {
				part(r.data)
			}
		case 2<<3 | bytesField:
			repeated(&r, &m.Stats, (*Stats).decodeProto)
		}
	}
	if r.err != nil {
		return fmt.Errorf("flow message: %w", r.err)
	}
	return nil
}

// AppendProto appends the counters as the protobuf message flow.Stats, for the namespace "stats" of the flow socket.
func (s *Stats) AppendProto(dst []byte) []byte {
	dst = appendText(dst, 1, s.CaptureID)
	dst = appendInt(dst, 2, s.FlowCount)
	dst = appendInt(dst, 3, s.FlowDropped)
	dst = appendInt(dst, 4, s.KernelFlowDropped)
	dst = appendInt(dst, 5, s.PacketsDropped)
	dst = appendInt(dst, 6, s.PacketsReceived)
	dst = appendText(dst, fieldStatsNode, s.NodeTID)
	if s.Ledger != nil {
		var start int
		dst, start = openMessage(dst, fieldStatsLedger)
		dst = s.Ledger.AppendProto(dst)
		dst = closeMessage(dst, start)
	}
	return appendBool(dst, fieldStatsUpper, s.DownUpper)
}

// Fields of flow.Stats that Skydive's does not have.
const (
	fieldStatsNode   = 100
	fieldStatsLedger = 101
	fieldStatsUpper  = 102
)

// DecodeProto makes the counters what b says.
func (s *Stats) DecodeProto(b []byte) error {
	*s = Stats{}
	r := wireReader{rest: b}
	s.decodeProto(&r)
	if r.err != nil {
		return fmt.Errorf("flow stats: %w", r.err)
	}
	return nil
}

func (s *Stats) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | bytesField:
			s.CaptureID = r.text()
		case 2<<3 | varintField:
			s.FlowCount = r.int()
		case 3<<3 | varintField:
			s.FlowDropped = r.int()
		case 4<<3 | varintField:
			s.KernelFlowDropped = r.int()
		case 5<<3 | varintField:
			s.PacketsDropped = r.int()
		case 6<<3 | varintField:
			s.PacketsReceived = r.int()
		case fieldStatsNode<<3 | bytesField:
			s.NodeTID = r.text()
		case fieldStatsLedger<<3 | bytesField:
			embedded(r, &s.Ledger, (*Ledger).decodeProto)
		case fieldStatsUpper<<3 | varintField:
			s.DownUpper = r.bool()
		}
	}
}
