package flow

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers in this file are those of messages DHCPv4, DNS and VRRPv2 of Skydive's package layers.

func (d *DHCPv4) appendProto(dst []byte, num protowire.Number) []byte {
	if d == nil {
		return dst
	}
	dst, start := openMessage(dst, num)
	dst = appendData(dst, 1, d.Contents)
	dst = appendData(dst, 2, d.Payload)
	for i, v := range [...]uint32{d.HardwareLen, d.HardwareOpts, d.Xid, d.Secs, d.Flags} {
		dst = appendInt(dst, protowire.Number(i+3), int64(v)) //nolint:gosec // below 8
	}
	dst = appendData(dst, 8, d.ServerName)
	dst = appendData(dst, 9, d.File)
	return closeMessage(dst, start)
}

func (d *DHCPv4) decodeProto(r *wireReader) {
	numbers := [...]*uint32{&d.HardwareLen, &d.HardwareOpts, &d.Xid, &d.Secs, &d.Flags}
	for r.next() {
		switch num := r.tag >> 3; {
		case r.tag == 1<<3|bytesField:
			d.Contents = r.bytes()
		case r.tag == 2<<3|bytesField:
			d.Payload = r.bytes()
		case r.tag == 8<<3|bytesField:
			d.ServerName = r.bytes()
		case r.tag == 9<<3|bytesField:
			d.File = r.bytes()
		case r.tag&7 == varintField && num >= 3 && num <= 7:
			*numbers[num-3] = r.uint32()
		}
	}
}

func (v *VRRPv2) appendProto(dst []byte, num protowire.Number) []byte {
	if v == nil {
		return dst
	}
	dst, start := openMessage(dst, num)
	dst = appendData(dst, 1, v.Contents)
	dst = appendData(dst, 2, v.Payload)
	for i, n := range [...]uint32{v.Version, v.VirtualRtrID, v.Priority, v.CountIPAddr, v.AdverInt, v.Checksum} {
		dst = appendInt(dst, protowire.Number(i+3), int64(n)) //nolint:gosec // below 9
	}
	return closeMessage(dst, start)
}

func (v *VRRPv2) decodeProto(r *wireReader) {
	numbers := [...]*uint32{&v.Version, &v.VirtualRtrID, &v.Priority, &v.CountIPAddr, &v.AdverInt, &v.Checksum}
	for r.next() {
		switch num := r.tag >> 3; {
		case r.tag == 1<<3|bytesField:
			v.Contents = r.bytes()
		case r.tag == 2<<3|bytesField:
			v.Payload = r.bytes()
		case r.tag&7 == varintField && num >= 3 && num <= 8:
			*numbers[num-3] = r.uint32()
		}
	}
}

func (d *DNS) appendProto(dst []byte, num protowire.Number) []byte {
	if d == nil {
		return dst
	}
	dst, start := openMessage(dst, num)
	dst = appendInt(dst, 1, int64(d.ID))
	dst = appendBool(dst, 2, d.QR)
	dst = appendText(dst, 3, d.OpCode)
	dst = appendBool(dst, 4, d.AA)
	dst = appendBool(dst, 5, d.TC)
	dst = appendBool(dst, 6, d.RD)
	dst = appendBool(dst, 7, d.RA)
	dst = appendInt(dst, 8, int64(d.Z))
	dst = appendText(dst, 9, d.ResponseCode)
	dst = appendInt(dst, 10, int64(d.QDCount))
	dst = appendInt(dst, 11, int64(d.ANCount))
	dst = appendInt(dst, 12, int64(d.NSCount))
	dst = appendInt(dst, 13, int64(d.ARCount))
	for i := range d.Questions {
		dst = d.Questions[i].appendProto(dst, 14)
	}
	for i, section := range [...][]DNSRecord{d.Answers, d.Authorities, d.Additionals} {
		for j := range section {
			dst = section[j].appendProto(dst, protowire.Number(15+i)) //nolint:gosec // below 18
		}
	}
	if !d.Timestamp.IsZero() { // google.protobuf.Timestamp
		var at int
		dst, at = openMessage(dst, 18)
		dst = appendInt(dst, 1, d.Timestamp.Unix())
		dst = appendInt(dst, 2, int64(d.Timestamp.Nanosecond()))
		dst = closeMessage(dst, at)
	}
	return closeMessage(dst, start)
}

func (d *DNS) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | varintField:
			d.ID = r.uint32()
		case 2<<3 | varintField:
			d.QR = r.bool()
		case 3<<3 | bytesField:
			d.OpCode = r.text()
		case 4<<3 | varintField:
			d.AA = r.bool()
		case 5<<3 | varintField:
			d.TC = r.bool()
		case 6<<3 | varintField:
			d.RD = r.bool()
		case 7<<3 | varintField:
			d.RA = r.bool()
		case 8<<3 | varintField:
			d.Z = r.uint32()
		case 9<<3 | bytesField:
			d.ResponseCode = r.text()
		case 10<<3 | varintField:
			d.QDCount = r.uint32()
		case 11<<3 | varintField:
			d.ANCount = r.uint32()
		case 12<<3 | varintField:
			d.NSCount = r.uint32()
		case 13<<3 | varintField:
			d.ARCount = r.uint32()
		case 14<<3 | bytesField:
			repeated(r, &d.Questions, (*DNSQuestion).decodeProto)
		case 15<<3 | bytesField:
			repeated(r, &d.Answers, (*DNSRecord).decodeProto)
		case 16<<3 | bytesField:
			repeated(r, &d.Authorities, (*DNSRecord).decodeProto)
		case 17<<3 | bytesField:
			repeated(r, &d.Additionals, (*DNSRecord).decodeProto)
		case 18<<3 | bytesField:
			element(r, &d.Timestamp, decodeTimestamp)
		}
	}
}

// decodeTimestamp reads a google.protobuf.Timestamp.
func decodeTimestamp(t *time.Time, r *wireReader) {
	var seconds, nanos int64
	for r.next() {
		switch r.tag {
		case 1<<3 | varintField:
			seconds = r.int()
		case 2<<3 | varintField:
			nanos = r.int()
		}
	}
	// The format allows the years 1 to 9999, and JSON no more.
	const first, last = -62135596800, 253402300799
	if seconds < first || seconds > last || nanos < 0 || nanos >= 1e9 {
		return
	}
	*t = time.Unix(seconds, nanos).UTC()
}

func (q *DNSQuestion) appendProto(dst []byte, num protowire.Number) []byte {
	dst, start := openMessage(dst, num)
	dst = appendText(dst, 1, q.Name)
	dst = appendText(dst, 2, q.Type)
	dst = appendText(dst, 3, q.Class)
	return closeMessage(dst, start)
}

func (q *DNSQuestion) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | bytesField:
			q.Name = r.text()
		case 2<<3 | bytesField:
			q.Type = r.text()
		case 3<<3 | bytesField:
			q.Class = r.text()
		}
	}
}

func (d *DNSRecord) appendProto(dst []byte, num protowire.Number) []byte {
	dst, start := openMessage(dst, num)
	dst = appendText(dst, 1, d.Name)
	dst = appendText(dst, 2, d.Type)
	dst = appendText(dst, 3, d.Class)
	dst = appendInt(dst, 4, int64(d.TTL))
	dst = appendInt(dst, 5, int64(d.DataLength))
	dst = appendText(dst, 6, d.IP)
	dst = appendText(dst, 7, d.NS)
	dst = appendText(dst, 8, d.CName)
	dst = appendText(dst, 9, d.PTR)
	for _, s := range d.TXTs {
		dst = appendElement(dst, 10, s)
	}
	dst = d.SOA.appendProto(dst, 11)
	if d.SRV != nil {
		var at int
		dst, at = openMessage(dst, 12)
		dst = appendInt(dst, 1, int64(d.SRV.Priority))
		dst = appendInt(dst, 2, int64(d.SRV.Weight))
		dst = appendInt(dst, 3, int64(d.SRV.Port))
		dst = appendText(dst, 4, d.SRV.Name)
		dst = closeMessage(dst, at)
	}
	if d.MX != nil {
		var at int
		dst, at = openMessage(dst, 13)
		dst = appendInt(dst, 1, int64(d.MX.Preference))
		dst = appendText(dst, 2, d.MX.Name)
		dst = closeMessage(dst, at)
	}
	for _, o := range d.OPT {
		var at int
		dst, at = openMessage(dst, 14)
		dst = appendText(dst, 1, o.Code)
		dst = appendText(dst, 2, o.Data)
		dst = closeMessage(dst, at)
	}
	return closeMessage(dst, start)
}

func (d *DNSRecord) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | bytesField:
			d.Name = r.text()
		case 2<<3 | bytesField:
			d.Type = r.text()
		case 3<<3 | bytesField:
			d.Class = r.text()
		case 4<<3 | varintField:
			d.TTL = r.uint32()
		case 5<<3 | varintField:
			d.DataLength = r.uint32()
		case 6<<3 | bytesField:
			d.IP = r.text()
		case 7<<3 | bytesField:
			d.NS = r.text()
		case 8<<3 | bytesField:
			d.CName = r.text()
		case 9<<3 | bytesField:
			d.PTR = r.text()
		case 10<<3 | bytesField:
			d.TXTs = append(d.TXTs, r.text())
		case 11<<3 | bytesField:
			embedded(r, &d.SOA, (*DNSSOA).decodeProto)
		case 12<<3 | bytesField:
			embedded(r, &d.SRV, (*DNSSRV).decodeProto)
		case 13<<3 | bytesField:
			embedded(r, &d.MX, (*DNSMX).decodeProto)
		case 14<<3 | bytesField:
			repeated(r, &d.OPT, (*DNSOption).decodeProto)
		}
	}
}

func (s *DNSSOA) appendProto(dst []byte, num protowire.Number) []byte {
	if s == nil {
		return dst
	}
	dst, start := openMessage(dst, num)
	dst = appendText(dst, 1, s.MName)
	dst = appendText(dst, 2, s.RName)
	for i, v := range [...]uint32{s.Serial, s.Refresh, s.Retry, s.Expire, s.Minimum} {
		dst = appendInt(dst, protowire.Number(i+3), int64(v)) //nolint:gosec // below 8
	}
	return closeMessage(dst, start)
}

func (s *DNSSOA) decodeProto(r *wireReader) {
	numbers := [...]*uint32{&s.Serial, &s.Refresh, &s.Retry, &s.Expire, &s.Minimum}
	for r.next() {
		switch num := r.tag >> 3; {
		case r.tag == 1<<3|bytesField:
			s.MName = r.text()
		case r.tag == 2<<3|bytesField:
			s.RName = r.text()
		case r.tag&7 == varintField && num >= 3 && num <= 7:
			*numbers[num-3] = r.uint32()
		}
	}
}

func (s *DNSSRV) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | varintField:
			s.Priority = r.uint32()
		case 2<<3 | varintField:
			s.Weight = r.uint32()
		case 3<<3 | varintField:
			s.Port = r.uint32()
		case 4<<3 | bytesField:
			s.Name = r.text()
		}
	}
}

func (m *DNSMX) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | varintField:
			m.Preference = r.uint32()
		case 2<<3 | bytesField:
			m.Name = r.text()
		}
	}
}

func (o *DNSOption) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | bytesField:
			o.Code = r.text()
		case 2<<3 | bytesField:
			o.Data = r.text()
		}
	}
}
