package netflow

import (
	"net/netip"

	"github.com/netsampler/goflow2/v2/decoders/netflow"

	"github.com/weft-net/weft/flow"
)

const (
	protocolICMP   = 1
	protocolICMPv6 = 58
	// reverseNumber marks the elements of the way back (RFC 5103, section 6.1).
	reverseNumber = 29305
	// ntpEpoch is 1970 in seconds of NTP, in which dateTimeMicroseconds and -Nanoseconds count (RFC 7011, section 6.1).
	ntpEpoch = 2_208_988_800
)

// clock is what a message says of the time.
type clock struct {
	now    int64  // of the export, ns since the epoch
	uptime uint32 // at that moment, ms
}

// booted turns a moment in ms since the exporter's boot into ns since the epoch.
func (c clock) booted(ms uint32) int64 {
	return c.now - int64(int32(c.uptime-ms))*1e6 //nolint:gosec // the difference wraps, as the uptime does
}

// record reads the fields of a record (https://www.iana.org/assignments/ipfix). It is no flow without both addresses.
func (c clock) record(fields []netflow.DataField) (flow.Record, bool) {
	var r flow.Record
	var total, totalBytes uint64
	for _, f := range fields {
		value, _ := f.Value.([]byte)
		if f.PenProvided {
			if f.Pen == reverseNumber {
				switch f.Type {
				case 1, 85:
					r.ReverseBytes = unsigned(value)
				case 2, 86:
					r.ReversePackets = unsigned(value)
				}
			}
			continue
		}
		switch n := unsigned(value); f.Type {
		case 1, 231: // octetDeltaCount, initiatorOctets
			r.Bytes = n
		case 2, 298:
			r.Packets = n
		case 85: // octetTotalCount
			totalBytes = n
		case 86:
			total = n
		case 232: // responderOctets
			r.ReverseBytes = n
		case 299:
			r.ReversePackets = n
		default:
			c.element(&r, f.Type, n, value)
		}
	}
	if r.Packets == 0 && r.Bytes == 0 {
		r.Packets, r.Bytes = total, totalBytes
	}
	if r.Start == 0 {
		r.Start = c.now
	}
	if r.End == 0 {
		r.End = max(r.Start, c.now)
	}
	return r, r.Source.IsValid() && r.Destination.IsValid()
}

// element reads a field that is no counter.
func (c clock) element(r *flow.Record, element uint16, n uint64, value []byte) {
	switch element {
	case 4:
		r.Protocol = uint8(n)
	case 6:
		r.TCPFlags = uint8(n)
	case 7:
		r.SourcePort = uint16(n)
	case 11:
		r.DestinationPort = uint16(n)
	case 8, 27:
		r.Source = address(value, r.Source)
	case 12, 28:
		r.Destination = address(value, r.Destination)
	case 32, 139: // type and code in one
		r.ICMPType, r.ICMPCode = uint8(n>>8), uint8(n)
	case 176, 178:
		r.ICMPType = uint8(n)
	case 177, 179:
		r.ICMPCode = uint8(n)
	case 56:
		copy(r.SourceMAC[:], value)
	case 80:
		copy(r.DestinationMAC[:], value)
	case 58:
		r.VLAN = uint16(n) & 0xfff
	case 22, 150, 152, 154, 156, 158:
		r.Start = c.moment(element, n)
	case 21, 151, 153, 155, 157, 159:
		r.End = c.moment(element-1, n)
		if element == 21 {
			r.End = c.booted(uint32(n))
		}
	}
}

// moment reads the start of a flow in the unit of its element; the end's number is one more.
func (c clock) moment(element uint16, n uint64) int64 {
	switch element {
	case 22: // ms since the boot
		return c.booted(uint32(n))
	case 150:
		return int64(uint32(n)) * 1e9
	case 152:
		return int64(min(n, 1<<43)) * 1e6 //nolint:gosec // bounded
	case 154, 156:
		return (int64(n>>32)-ntpEpoch)*1e9 + int64(n&0xffffffff*1e9>>32) //nolint:gosec // 32 bits each
	case 158: // µs before the export
		return c.now - int64(min(n, 1<<40))*1e3 //nolint:gosec // bounded
	}
	return 0
}

// unsigned reads a number that an exporter may have shortened (RFC 7011, section 6.2).
func unsigned(b []byte) uint64 {
	if len(b) > 8 {
		return 0
	}
	n := uint64(0)
	for _, v := range b {
		n = n<<8 | uint64(v)
	}
	return n
}

// address reads an address. A template may hold fields of both versions, of which the unused one is zero.
func address(b []byte, before netip.Addr) netip.Addr {
	a, ok := netip.AddrFromSlice(b)
	if !ok || before.IsValid() && a.IsUnspecified() {
		return before
	}
	return a
}
