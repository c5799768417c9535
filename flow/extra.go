package flow

import "time"

// extra is what few flows have, or all when an option asks for it: packets kept, layers decoded on demand, a stream followed.
type extra struct {
	raw    []RawPacket
	told   int // of raw: in reports
	cost   int // bytes of raw and the messages, about
	broken int64
	dns    *DNS
	dhcp   *DHCPv4
	vrrp   *VRRPv2
	stream *Reassembly
}

const (
	extraRoom      = 64 << 20 // bytes of packets and messages that the flows of a table keep
	extraFootprint = 768      // bytes that a stream takes, about
)

// show puts what a flow has into its report, but for its packets: see tell. A nil extra has nothing.
func (e *extra) show(f *Flow) {
	if e == nil {
		return
	}
	f.RawPacketsCaptured = int64(len(e.raw))
	f.DNS, f.DHCPv4, f.VRRPv2 = e.dns, e.dhcp, e.vrrp
	if f.IPMetric != nil {
		f.IPMetric.FragmentErrors = e.broken
	}
	if e.stream != nil && f.TCPMetric != nil {
		e.stream.Fill(f.TCPMetric)
	}
}

// extraOf returns the extra of a flow, made if there is none.
func (t *Table) extraOf(slot uint32) *extra {
	e := t.extras[slot]
	if e == nil {
		e = new(extra)
		t.extras[slot] = e
	}
	return e
}

// hold takes room for bytes of a flow's extra, and reports whether there was as much. What finds none is counted.
func (t *Table) hold(e *extra, bytes int) bool {
	if t.held+bytes > extraRoom {
		t.decoder.faults[FaultNotKept]++
		return false
	}
	t.held += bytes
	e.cost += bytes
	return true
}

// forget drops the extra of a flow.
func (t *Table) forget(slot uint32) {
	if e := t.extras[slot]; e != nil {
		t.held -= e.cost
		delete(t.extras, slot)
	}
}

// keep does what options ask for with a packet of a flow. It allocates.
func (t *Table) keep(slot uint32, s *segment, link LinkType, p *Packet) {
	if t.options.RawPacketLimit != 0 {
		t.keepRaw(slot, s, link, p)
	}
	t.look(slot, s, p.Data)
}

// look reads what options ask for in a packet, or in a datagram put together.
func (t *Table) look(slot uint32, s *segment, data []byte) {
	if t.options.ReassembleTCP && s.flags&segTCP != 0 {
		e := t.extraOf(slot)
		if e.stream == nil {
			e.stream = new(Reassembly)
		}
		e.stream.Add((t.hotAt(slot).flags^uint32(s.flags))>>3&1 == 1, s.seq, s.tcp, s.payload)
	}
	if t.options.ExtraLayers != 0 {
		t.message(slot, s, data)
	}
}

// message decodes the layer above the transport. Of DNS a flow shows the message seen last, of the others the first, as Skydive does.
func (t *Table) message(slot uint32, s *segment, data []byte) {
	last := pathLast(s.path)
	if last != layerDNS && last != layerDHCPv4 && last != layerVRRP || s.flags&segLater != 0 {
		return
	}
	body := data[min(int(s.body), len(data)):]
	body = body[:min(len(body), int(s.payload))]
	var err error
	switch {
	case len(body) == 0:
	case last == layerDNS && t.options.ExtraLayers&ExtraDNS != 0:
		var d *DNS
		if d, err = DecodeDNS(body); d != nil {
			d.Timestamp = time.Unix(0, s.time).UTC()
			t.keepDNS(slot, d)
		}
	case last == layerDHCPv4 && t.options.ExtraLayers&ExtraDHCPv4 != 0:
		if e := t.extras[slot]; e != nil && e.dhcp != nil {
			return
		}
		var d *DHCPv4
		if d, err = DecodeDHCPv4(body); err == nil {
			if e := t.extraOf(slot); t.hold(e, len(body)+512) {
				e.dhcp = d
			}
		}
	case last == layerVRRP && t.options.ExtraLayers&ExtraVRRP != 0 && body[0]>>4 == 2: // version 3 has no layer of its own
		if e := t.extras[slot]; e != nil && e.vrrp != nil {
			return
		}
		var v *VRRPv2
		if v, err = DecodeVRRPv2(body); err == nil {
			if e := t.extraOf(slot); t.hold(e, len(body)+256) {
				e.vrrp = v
			}
		}
	}
	if err != nil {
		t.decoder.faults[FaultMessage]++
	}
}

// keepDNS puts a message in the place of the one before. Where there is no room for it, the one before stays.
func (t *Table) keepDNS(slot uint32, d *DNS) {
	e := t.extraOf(slot)
	before := 0
	if e.dns != nil {
		before = e.dns.cost()
	}
	if t.hold(e, d.cost()-before) {
		e.dns = d
	}
}

// cost returns the bytes that a message takes, about.
func (d *DNS) cost() int {
	const head, each = 512, 256
	sum := head + each*len(d.Questions)
	for _, section := range [][]DNSRecord{d.Answers, d.Authorities, d.Additionals} {
		for i := range section {
			r := &section[i]
			sum += 2*each + len(r.Name) + int(r.DataLength&0xffff)
		}
	}
	return sum
}

// lostOwner is a flow that ended while its tunnel's flows were still to be made.
type lostOwner struct {
	serial uint32
	id     uint64
}

// ownerID returns the id of a flow that this batch found, whether it still lives or not.
func (t *Table) ownerID(o owner) uint64 {
	if t.hotAt(o.slot).serial == o.serial {
		return t.coldAt(o.slot).ids.flow
	}
	for _, l := range t.lost {
		if l.serial == o.serial {
			return l.id
		}
	}
	return 0
}
