package flow

import "google.golang.org/protobuf/encoding/protowire"

// appendProto of each part appends the part as an embedded message, and nothing if it is nil.

func (l *Layer) appendProto(dst []byte, num protowire.Number) []byte {
	if l == nil {
		return dst
	}
	dst, start := openMessage(dst, num)
	dst = appendInt(dst, 1, int64(l.Protocol))
	dst = appendText(dst, 3, l.A)
	dst = appendText(dst, 4, l.B)
	dst = appendInt(dst, 5, l.ID)
	return closeMessage(dst, start)
}

func (l *Layer) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | varintField:
			l.Protocol = Protocol(r.enum())
		case 3<<3 | bytesField:
			l.A = r.text()
		case 4<<3 | bytesField:
			l.B = r.text()
		case 5<<3 | varintField:
			l.ID = r.int()
		}
	}
}

func (l *TransportLayer) appendProto(dst []byte, num protowire.Number) []byte {
	if l == nil {
		return dst
	}
	dst, start := openMessage(dst, num)
	dst = appendInt(dst, 1, int64(l.Protocol))
	dst = appendInt(dst, 2, l.A)
	dst = appendInt(dst, 3, l.B)
	dst = appendInt(dst, 4, l.ID)
	return closeMessage(dst, start)
}

func (l *TransportLayer) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | varintField:
			l.Protocol = Protocol(r.enum())
		case 2<<3 | varintField:
			l.A = r.int()
		case 3<<3 | varintField:
			l.B = r.int()
		case 4<<3 | varintField:
			l.ID = r.int()
		}
	}
}

func (l *ICMP) appendProto(dst []byte, num protowire.Number) []byte {
	if l == nil {
		return dst
	}
	dst, start := openMessage(dst, num)
	dst = appendInt(dst, 1, int64(l.Type))
	dst = appendInt(dst, 2, int64(l.Code))
	dst = appendInt(dst, 3, int64(l.ID))
	return closeMessage(dst, start)
}

func (l *ICMP) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | varintField:
			l.Type = ICMPType(r.enum())
		case 2<<3 | varintField:
			l.Code = r.uint32()
		case 3<<3 | varintField:
			l.ID = r.uint32()
		}
	}
}

// values gives the fields in order of their numbers, 2 to 8.
func (m *Metric) values() [7]int64 {
	return [...]int64{m.ABPackets, m.ABBytes, m.BAPackets, m.BABytes, m.Start, m.Last, m.RTT}
}

func (m *Metric) pointers() [7]*int64 {
	return [...]*int64{&m.ABPackets, &m.ABBytes, &m.BAPackets, &m.BABytes, &m.Start, &m.Last, &m.RTT}
}

func (m *Metric) appendProto(dst []byte, num protowire.Number) []byte {
	if m == nil {
		return dst
	}
	dst, start := openMessage(dst, num)
	for i, v := range m.values() {
		dst = appendInt(dst, protowire.Number(i+2), v) //nolint:gosec // below 9
	}
	return closeMessage(dst, start)
}

func (m *Metric) decodeProto(r *wireReader) {
	fields := m.pointers()
	for r.next() {
		if num := r.tag >> 3; r.tag&7 == varintField && num >= 2 && num < 2+uint64(len(fields)) {
			*fields[num-2] = r.int()
		}
	}
}

// values gives the fields in order of their numbers, 1 to 22.
func (m *TCPMetric) values() [22]int64 {
	return [...]int64{
		m.ABSynStart, m.BASynStart, int64(m.ABSynTTL), int64(m.BASynTTL), m.ABFinStart, m.BAFinStart, m.ABRstStart, m.BARstStart,
		m.ABSegmentOutOfOrder, m.ABSegmentSkipped, m.ABSegmentSkippedBytes, m.ABPackets, m.ABBytes, m.ABSawStart, m.ABSawEnd,
		m.BASegmentOutOfOrder, m.BASegmentSkipped, m.BASegmentSkippedBytes, m.BAPackets, m.BABytes, m.BASawStart, m.BASawEnd,
	}
}

// setValues is the inverse of values.
func (m *TCPMetric) setValues(v [22]int64) {
	*m = TCPMetric{
		ABSynStart: v[0], BASynStart: v[1], ABSynTTL: uint32(v[2]), BASynTTL: uint32(v[3]), //nolint:gosec // uint32 on the wire
		ABFinStart: v[4], BAFinStart: v[5], ABRstStart: v[6], BARstStart: v[7],
		ABSegmentOutOfOrder: v[8], ABSegmentSkipped: v[9], ABSegmentSkippedBytes: v[10],
		ABPackets: v[11], ABBytes: v[12], ABSawStart: v[13], ABSawEnd: v[14],
		BASegmentOutOfOrder: v[15], BASegmentSkipped: v[16], BASegmentSkippedBytes: v[17],
		BAPackets: v[18], BABytes: v[19], BASawStart: v[20], BASawEnd: v[21],
	}
}

func (m *TCPMetric) appendProto(dst []byte, num protowire.Number) []byte {
	if m == nil {
		return dst
	}
	dst, start := openMessage(dst, num)
	for i, v := range m.values() {
		dst = appendInt(dst, protowire.Number(i+1), v) //nolint:gosec // below 23
	}
	return closeMessage(dst, start)
}

func (m *TCPMetric) decodeProto(r *wireReader) {
	values := m.values()
	for r.next() {
		if num := r.tag >> 3; r.tag&7 == varintField && num >= 1 && num <= uint64(len(values)) {
			values[num-1] = r.int()
		}
	}
	m.setValues(values)
}

func (m *IPMetric) appendProto(dst []byte, num protowire.Number) []byte {
	if m == nil {
		return dst
	}
	dst, start := openMessage(dst, num)
	dst = appendInt(dst, 1, m.Fragments)
	dst = appendInt(dst, 2, m.FragmentErrors)
	return closeMessage(dst, start)
}

func (m *IPMetric) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | varintField:
			m.Fragments = r.int()
		case 2<<3 | varintField:
			m.FragmentErrors = r.int()
		}
	}
}

const fieldPacketNanos = 100 // weft's own

func (p *RawPacket) appendProto(dst []byte, num protowire.Number) []byte {
	dst, start := openMessage(dst, num)
	dst = appendInt(dst, 1, p.Timestamp)
	dst = appendInt(dst, 2, p.Index)
	dst = appendData(dst, 3, p.Data)
	dst = appendInt(dst, 4, int64(p.LinkType))
	dst = appendInt(dst, fieldPacketNanos, p.Nanos)
	return closeMessage(dst, start)
}

func (p *RawPacket) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | varintField:
			p.Timestamp = r.int()
		case 2<<3 | varintField:
			p.Index = r.int()
		case 3<<3 | bytesField:
			p.Data = r.bytes()
		case 4<<3 | varintField:
			p.LinkType = LinkType(r.n) //nolint:gosec // 16 bits in all files
		case fieldPacketNanos<<3 | varintField:
			p.Nanos = r.int()
		}
	}
}
