package netflow

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/netsampler/goflow2/v2/decoders/netflow"
	"github.com/netsampler/goflow2/v2/decoders/netflowlegacy"

	"github.com/weft-net/weft/flow"
)

// Bounds on what exporters can make a listener remember.
const (
	mostTemplates = 1 << 14
	mostFields    = 512
	mostExporters = 1 << 14
)

// stream is what numbers its datagrams on its own: a version, an exporter and its observation domain.
type stream struct {
	version  uint16
	exporter netip.AddrPort // NetFlow names an exporter by its address alone: the port is 0
	domain   uint32
}

// decoder turns datagrams into records.
type decoder struct {
	faults    Faults
	templates map[template]any
	next      map[stream]uint32 // the sequence number that should come
	records   []flow.Record
}

type template struct {
	stream
	id uint16
}

func newDecoder() decoder {
	return decoder{templates: map[template]any{}, next: map[stream]uint32{}}
}

func (d *decoder) decode(from netip.AddrPort, data []byte) []flow.Record {
	d.records = d.records[:0]
	if len(data) < 2 {
		d.faults.Malformed++
		return nil
	}
	payload := bytes.NewBuffer(data[2:])
	switch version := binary.BigEndian.Uint16(data); version {
	case 5:
		d.version5(from, payload)
	case 9:
		var p netflow.NFv9Packet
		s := stream{version, netip.AddrPortFrom(from.Addr(), 0), 0}
		if len(data) >= 20 {
			s.domain = binary.BigEndian.Uint32(data[16:])
		}
		if len(data) >= 4 {
			// The header counts records (RFC 3954, 5.1), some exporters leave templates out, and the decoder takes it as
			// the number of sets: all that are there are read.
			payload = bytes.NewBuffer(append([]byte{0xff, 0xff}, data[4:]...))
		}
		err := netflow.DecodeMessageNetFlow(payload, &templates{d, s}, &p)
		d.failed(err)
		if p.Version == version && len(data) >= 20 {
			if gap := d.follow(s, p.SequenceNumber, 1); gap > 0 {
				d.faults.MissingDatagrams += gap
			}
		}
		d.sets(p.FlowSets, clock{now: int64(p.UnixSeconds) * 1e9, uptime: p.SystemUptime})
	case 10:
		d.ipfix(from, data, payload)
	default:
		d.faults.Version++
	}
	return d.records
}

func (d *decoder) ipfix(from netip.AddrPort, data []byte, payload *bytes.Buffer) {
	if len(data) < 16 || int(binary.BigEndian.Uint16(data[2:])) > len(data) || binary.BigEndian.Uint16(data[2:]) < 16 {
		d.faults.Malformed++
		return
	}
	s := stream{10, from, binary.BigEndian.Uint32(data[12:])}
	var p netflow.IPFIXPacket
	err := netflow.DecodeMessageIPFIX(payload, &templates{d, s}, &p)
	whole := !d.failed(err)
	count := uint32(0)
	for _, set := range p.FlowSets {
		switch set := set.(type) {
		case netflow.DataFlowSet:
			count += uint32(len(set.Records)) //nolint:gosec // bounded by the datagram
		case netflow.OptionsDataFlowSet:
			count += uint32(len(set.Records)) //nolint:gosec // likewise
		}
	}
	d.faults.MissingRecords += d.follow(s, p.SequenceNumber, count)
	if err != nil || !whole {
		delete(d.next, s) // how many records it held is not known
	}
	d.sets(p.FlowSets, clock{now: int64(p.ExportTime) * 1e9})
}

// failed counts what is wrong with a message, but for templates that did not come yet, which are counted one by one.
func (d *decoder) failed(err error) bool {
	if err == nil || onlyUnknown(err) {
		return false
	}
	d.faults.Malformed++
	return true
}

// onlyUnknown looks through an error that may be several: all must be of unknown templates.
func onlyUnknown(err error) bool {
	switch e := err.(type) { //nolint:errorlint // this is the walk itself
	case interface{ Unwrap() []error }:
		for _, each := range e.Unwrap() {
			if !onlyUnknown(each) {
				return false
			}
		}
		return true
	case interface{ Unwrap() error }:
		return onlyUnknown(e.Unwrap())
	}
	return err == netflow.ErrorTemplateNotFound //nolint:errorlint // likewise
}

// follow gives how many are missing before this number, and expects the one after count more. A jump that is far too
// large, or back, is a restart.
func (d *decoder) follow(s stream, number, count uint32) (missing uint64) {
	expected, known := d.next[s]
	if !known && len(d.next) >= mostExporters {
		return 0
	}
	const largestGap = 1 << 20
	gap := int32(number - expected) //nolint:gosec // the difference wraps, as the numbers do
	if known && gap > 0 && gap < largestGap {
		missing = uint64(gap)
	}
	if !known || gap >= 0 || gap < -largestGap/64 {
		d.next[s] = number + count
	}
	return missing
}

// templates are those of one stream, as goflow2 asks for them.
type templates struct {
	decoder *decoder
	stream  stream
}

// AddTemplate keeps a template when it can be decoded in bounded memory: each of its fields takes at least a byte of a
// record. A template without fields takes one back (RFC 7011, section 8.1).
func (t *templates) AddTemplate(_ uint16, _ uint32, id uint16, record any) error {
	var fields []netflow.Field
	switch r := record.(type) {
	case netflow.TemplateRecord:
		fields = r.Fields
	case netflow.NFv9OptionsTemplateRecord:
		fields = append(append(fields, r.Scopes...), r.Options...)
	case netflow.IPFIXOptionsTemplateRecord:
		fields = append(append(fields, r.Scopes...), r.Options...)
	}
	key := template{t.stream, id}
	_, known := t.decoder.templates[key]
	bad := id < 256 || len(fields) > mostFields || !known && len(t.decoder.templates) >= mostTemplates
	for _, f := range fields {
		bad = bad || f.Length == 0
	}
	switch {
	case bad:
		t.decoder.faults.RefusedTemplate++
	case len(fields) == 0:
		delete(t.decoder.templates, key)
	default:
		t.decoder.templates[key] = record
	}
	return nil
}

// GetTemplate gives a template or [netflow.ErrorTemplateNotFound].
func (t *templates) GetTemplate(_ uint16, _ uint32, id uint16) (any, error) {
	if record, ok := t.decoder.templates[template{t.stream, id}]; ok {
		return record, nil
	}
	t.decoder.faults.UnknownTemplate++
	return nil, netflow.ErrorTemplateNotFound
}

// RemoveTemplate forgets a template.
func (t *templates) RemoveTemplate(version uint16, domain uint32, id uint16) (any, error) {
	record, err := t.GetTemplate(version, domain, id)
	delete(t.decoder.templates, template{t.stream, id})
	return record, err
}

// GetTemplates is of no use here.
func (t *templates) GetTemplates() netflow.FlowBaseTemplateSet { return nil }

// version5 reads the records of version 5, which are all alike.
func (d *decoder) version5(from netip.AddrPort, payload *bytes.Buffer) {
	const header, length = 22, 48
	whole := (payload.Len() - header) / length
	var p netflowlegacy.PacketNetFlowV5
	if err := netflowlegacy.DecodeMessage(payload, &p); err != nil {
		d.faults.Malformed++
		return
	}
	if int(p.Count) > whole {
		d.faults.Malformed++ // what is there is read
		p.Records = p.Records[:whole]
	}
	s := stream{5, netip.AddrPortFrom(from.Addr(), 0), uint32(p.EngineType)<<8 | uint32(p.EngineId)}
	d.faults.MissingRecords += d.follow(s, p.FlowSequence, uint32(p.Count))
	c := clock{now: int64(p.UnixSecs)*1e9 + int64(p.UnixNSecs), uptime: p.SysUptime}
	for _, r := range p.Records {
		record := flow.Record{
			Source: ipv4(uint32(r.SrcAddr)), Destination: ipv4(uint32(r.DstAddr)),
			SourcePort: r.SrcPort, DestinationPort: r.DstPort, Protocol: r.Proto, TCPFlags: r.TCPFlags,
			Packets: uint64(r.DPkts), Bytes: uint64(r.DOctets), Start: c.booted(r.First), End: c.booted(r.Last),
		}
		if record.Protocol == protocolICMP { // type and code stand in the port
			record.ICMPType, record.ICMPCode = uint8(r.DstPort>>8), uint8(r.DstPort)
			record.SourcePort, record.DestinationPort = 0, 0
		}
		d.records = append(d.records, record)
	}
}

func ipv4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func (d *decoder) sets(sets []any, c clock) {
	for _, set := range sets {
		data, ok := set.(netflow.DataFlowSet)
		if !ok {
			continue
		}
		for _, r := range data.Records {
			if record, ok := c.record(r.Values); ok {
				d.records = append(d.records, record)
			} else {
				d.faults.NoFlow++
			}
		}
	}
}
