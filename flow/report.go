package flow

import (
	"encoding/binary"
	"net/netip"
)

// report is the flow that a table shows, and the memory for its parts. All of it is used again for the next flow but the
// text, which is made anew, in one piece.
type report struct {
	flow      Flow
	link      Layer
	network   Layer
	transport TransportLayer
	icmp      ICMP
	update    Metric
	metric    Metric
	tcp       TCPMetric
	ip        IPMetric
	text      []byte
	paths     map[uint64]pathNames
}

// pathNames are the names of a path.
type pathNames struct{ path, last string }

// maxPaths bounds the paths whose names are kept.
const maxPaths = 4096

func (r *report) init(o Options) {
	r.flow.NodeTID, r.flow.CaptureID = o.NodeTID, o.CaptureID
	r.paths = map[uint64]pathNames{}
	r.text = make([]byte, 0, 256)
}

// names returns the names of a path and of its last layer.
func (r *report) names(path uint64) pathNames {
	n, ok := r.paths[path]
	if !ok {
		n = pathNames{path: pathString(path), last: layerNames[pathLast(path)]}
		if len(r.paths) < maxPaths {
			r.paths[path] = n
		}
	}
	return n
}

// report hands a flow to Options.Report and takes what it told as told.
func (t *Table) report(slot uint32, why Reason, finish FinishType) {
	if t.options.EndsOnly && (why == Started || why == Updated) {
		t.hotAt(slot).flags |= hotReported
		return
	}
	t.spill(slot)
	h, c := t.hotAt(slot), t.coldAt(slot)
	var e *extra
	if len(t.extras) > 0 {
		if e = t.extras[slot]; e != nil && e.stream != nil && (why == Ended || why == Evicted) {
			e.stream.Close()
		}
	}
	if h.flags&hotChild == 0 {
		t.ledger.Reported += c.packets[0] + c.packets[1] - c.told[0] - c.told[2]
	}
	switch {
	case t.options.Report == nil:
	case e != nil && len(e.raw) > e.told:
		t.tell(slot, e, why, finish)
	default:
		t.options.Report(t.show(slot, finish), why)
	}
	c.told = [4]uint64{c.packets[0], c.bytes[0], c.packets[1], c.bytes[1]}
	c.since = h.last
	h.flags |= hotReported
}

// show returns a flow as of now, in memory that the next call uses again.
func (t *Table) show(slot uint32, finish FinishType) *Flow {
	h, c, r := t.hotAt(slot), t.coldAt(slot), &t.out
	f := &r.flow
	names := r.names(c.path)
	*f = Flow{
		LayersPath: names.path, Application: names.last, NodeTID: f.NodeTID, CaptureID: f.CaptureID,
		Start: milliseconds(c.start), Last: milliseconds(h.last), FinishType: finish, Metric: &r.metric, LastUpdateMetric: &r.update,
	}
	t.showText(f, h, c)
	t.showMetric(h, c)
	kind := h.key[keyKind]
	switch {
	case kind&kindTunnel != 0:
		// The key has the destination port in place of both; the source port varies with what the tunnel carries.
		r.transport = TransportLayer{Protocol: UDP, A: int64(h.key[keyLowLink] & 0xffff), B: int64(h.key[keyLowLink] & 0xffff)}
		f.Transport = &r.transport
	case kind&kindPorts != 0:
		a, b := int64(h.key[keyLowLink]&0xffff), int64(h.key[keyHighLink]&0xffff)
		if c.direction&segPortSwapped != 0 {
			a, b = b, a
		}
		var protocol Protocol
		switch kind & kindProtocol {
		case 6:
			protocol = TCP
		case 132:
			protocol = SCTP
		default:
			protocol = UDP
		}
		r.transport = TransportLayer{Protocol: protocol, A: a, B: b}
		f.Transport = &r.transport
	case kind&kindICMP != 0:
		n := uint32(h.key[keyApp] >> 32)
		r.icmp = ICMP{Type: ICMPType(n >> 24), Code: n >> 16 & 0xff, ID: n & 0xffff}
		f.ICMP = &r.icmp
	}
	if f.Transport != nil && t.options.Applications != nil {
		if name, ok := t.options.Applications.Name(r.transport.Protocol, uint16(r.transport.A), uint16(r.transport.B)); ok {
			f.Application = name
		}
	}
	if (t.options.ExtraTCPMetric || t.options.ReassembleTCP) && kind&kindPorts != 0 && kind&kindProtocol == 6 {
		r.showTCP(c)
		f.TCPMetric = &r.tcp
	}
	if c.fragments > 0 {
		r.ip = IPMetric{Fragments: int64(c.fragments)}
		f.IPMetric = &r.ip
	}
	if len(t.extras) > 0 {
		t.extras[slot].show(f)
	}
	return f
}

// showMetric fills both metrics.
func (t *Table) showMetric(h *hot, c *cold) {
	r := &t.out
	ab, abBytes := int64(c.packets[0]+uint64(h.packets[0])), int64(c.bytes[0]+uint64(h.bytes[0]))
	ba, baBytes := int64(c.packets[1]+uint64(h.packets[1])), int64(c.bytes[1]+uint64(h.bytes[1]))
	r.metric = Metric{
		ABPackets: ab, ABBytes: abBytes, BAPackets: ba, BABytes: baBytes,
		Start: milliseconds(c.start), Last: milliseconds(h.last), RTT: c.rtt,
	}
	r.update = Metric{
		ABPackets: ab - int64(c.told[0]), ABBytes: abBytes - int64(c.told[1]), BAPackets: ba - int64(c.told[2]), BABytes: baBytes - int64(c.told[3]),
		Start: milliseconds(c.since), Last: milliseconds(h.last), RTT: runningRTT(h, c),
	}
}

// runningRTT returns what the acknowledgements of both directions took, added up: from A to B and back, wherever between them
// the packets were seen. It is the handshake's, or the echo's, until both are known.
func runningRTT(h *hot, c *cold) int64 {
	if h.smooth[0] == 0 || h.smooth[1] == 0 {
		return c.rtt
	}
	return int64(h.smooth[0])<<tickBits + int64(h.smooth[1])<<tickBits
}

// showTCP fills the life of a connection, with what its sequence numbers tell as they come.
func (r *report) showTCP(c *cold) {
	r.tcp = TCPMetric{
		ABSynStart: milliseconds(c.syn[0]), BASynStart: milliseconds(c.syn[1]), ABSynTTL: uint32(c.synTTL[0]), BASynTTL: uint32(c.synTTL[1]),
		ABFinStart: milliseconds(c.fin[0]), BAFinStart: milliseconds(c.fin[1]), ABRstStart: milliseconds(c.rst[0]), BARstStart: milliseconds(c.rst[1]),
		ABSegmentOutOfOrder: int64(c.outOfOrder[0]), ABSegmentSkipped: int64(c.skipped[0]), ABSegmentSkippedBytes: int64(c.gap[0]),
		BASegmentOutOfOrder: int64(c.outOfOrder[1]), BASegmentSkipped: int64(c.skipped[1]), BASegmentSkippedBytes: int64(c.gap[1]),
	}
}

// showText makes the ids and addresses: one piece of memory, cut into strings.
func (t *Table) showText(f *Flow, h *hot, c *cold) {
	r := &t.out
	b := r.text[:0]
	b = appendID(b, c.ids.flow)
	b = appendID(b, c.ids.tracking)
	b = appendID(b, c.ids.tracking3)
	if c.parent != 0 {
		b = appendID(b, c.parent)
	}
	ends := [5]int{len(b)}
	if h.flags&hotLink != 0 {
		b = appendMAC(b, c.macs[6:])
		ends[1] = len(b)
		b = appendMAC(b, c.macs[:6])
	} else {
		ends[1] = len(b)
	}
	ends[2] = len(b)
	kind := h.key[keyKind]
	if kind&kindNetwork != 0 {
		low, high := addresses(&h.key)
		if c.direction&segNetSwapped != 0 {
			low, high = high, low
		}
		b = low.AppendTo(b)
		ends[3] = len(b)
		b = high.AppendTo(b)
	}
	r.text = b
	text := string(b)
	f.UUID, f.TrackingID, f.L3TrackingID = text[:16], text[16:32], text[32:48]
	f.ParentUUID = text[48:ends[0]]
	if h.flags&hotLink != 0 {
		r.link = Layer{Protocol: Ethernet, A: text[ends[0]:ends[1]], B: text[ends[1]:ends[2]], ID: int64(c.linkID)}
		f.Link = &r.link
	}
	if kind&kindNetwork != 0 {
		r.network = Layer{Protocol: IPv4, A: text[ends[2]:ends[3]], B: text[ends[3]:], ID: int64(c.netID)}
		if kind&kindIPv6 != 0 {
			r.network.Protocol = IPv6
		}
		f.Network = &r.network
	}
}

// addresses returns the network addresses of a key, the lower one first.
func addresses(k *key) (low, high netip.Addr) {
	if k[keyKind]&kindIPv4 != 0 {
		var l, h [4]byte
		binary.BigEndian.PutUint32(l[:], uint32(k[keyLow+1]))
		binary.BigEndian.PutUint32(h[:], uint32(k[keyHigh+1]))
		return netip.AddrFrom4(l), netip.AddrFrom4(h)
	}
	var l, h [16]byte
	binary.BigEndian.PutUint64(l[:], k[keyLow])
	binary.BigEndian.PutUint64(l[8:], k[keyLow+1])
	binary.BigEndian.PutUint64(h[:], k[keyHigh])
	binary.BigEndian.PutUint64(h[8:], k[keyHigh+1])
	return netip.AddrFrom16(l), netip.AddrFrom16(h)
}

// appendMAC appends a MAC address as text.
func appendMAC(b, mac []byte) []byte {
	for i, x := range mac[:6] {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hexDigits[x>>4], hexDigits[x&15])
	}
	return b
}
