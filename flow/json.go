package flow

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// AppendJSON appends the flow as Skydive's JSON, with its order of keys. Parts that are nil are left out, and so are those
// zero values that Skydive leaves out; raw packets are never in it.
func (f *Flow) AppendJSON(dst []byte) []byte {
	dst = appendString(append(dst, `{"UUID":`...), f.UUID)
	dst = appendString(append(dst, `,"LayersPath":`...), f.LayersPath)
	dst = appendString(append(dst, `,"Application":`...), f.Application)
	for _, part := range [...]struct {
		is   bool
		name string
		json func([]byte) []byte
	}{
		{f.Link != nil, "Link", f.Link.appendJSON},
		{f.Network != nil, "Network", f.Network.appendJSON},
		{f.Transport != nil, "Transport", f.Transport.appendJSON},
		{f.ICMP != nil, "ICMP", f.ICMP.appendJSON},
		{f.DHCPv4 != nil, "DHCPv4", f.DHCPv4.appendJSON},
		{f.DNS != nil, "DNS", f.DNS.appendJSON},
		{f.VRRPv2 != nil, "VRRPv2", f.VRRPv2.appendJSON},
		{f.LastUpdateMetric != nil, "LastUpdateMetric", f.LastUpdateMetric.AppendJSON},
		{f.Metric != nil, "Metric", f.Metric.AppendJSON},
		{f.TCPMetric != nil, "TCPMetric", f.TCPMetric.appendJSON},
		{f.IPMetric != nil, "IPMetric", f.IPMetric.appendJSON},
	} {
		if part.is {
			dst = append(append(append(dst, `,"`...), part.name...), `":`...)
			dst = part.json(dst)
		}
	}
	dst = appendNumber(dst, `,"Start":`, f.Start)
	dst = appendNumber(dst, `,"Last":`, f.Last)
	dst = appendString(append(dst, `,"TrackingID":`...), f.TrackingID)
	dst = appendString(append(dst, `,"L3TrackingID":`...), f.L3TrackingID)
	dst = appendString(append(dst, `,"ParentUUID":`...), f.ParentUUID)
	dst = appendString(append(dst, `,"NodeTID":`...), f.NodeTID)
	dst = appendString(append(dst, `,"CaptureID":`...), f.CaptureID)
	dst = appendNumber(dst, `,"RawPacketsCaptured":`, f.RawPacketsCaptured)
	if f.FinishType != NotFinished {
		dst = appendNumber(dst, `,"FinishType":`, int64(f.FinishType))
	}
	return append(dst, '}')
}

// MarshalJSON is AppendJSON for encoding/json.
func (f *Flow) MarshalJSON() ([]byte, error) { return f.AppendJSON(nil), nil }

// Bounds of a flow's JSON: more than the longest DNS message makes.
const (
	mostJSON    = 8 << 20  // bytes
	mostRecords = 64 << 10 // of DNS, questions included
	shortJSON   = mostRecords * len("{},")
)

// UnmarshalJSON makes the flow what the JSON says. Unknown names are skipped. JSON longer than 8 MiB, with more than 65,536
// records of DNS or nested deeper than 10,000 levels is an error.
func (f *Flow) UnmarshalJSON(b []byte) error {
	type plain Flow // without this method
	*f = Flow{}
	if len(b) > mostJSON {
		return fmt.Errorf("flow: JSON of %d bytes, more than %d", len(b), mostJSON)
	}
	var options []json.Options
	if len(b) > shortJSON {
		options = append(options, boundRecords())
	}
	if err := json.Unmarshal(b, (*plain)(f), options...); err != nil {
		*f = Flow{}
		return fmt.Errorf("flow: %w", err)
	}
	return nil
}

// boundRecords refuses DNS records that are too many: written as {}, they take a hundred times as much memory.
func boundRecords() json.Options {
	left := mostRecords
	one := func() error {
		if left--; left < 0 {
			return fmt.Errorf("more than %d DNS records", mostRecords)
		}
		return errors.ErrUnsupported // read as ever
	}
	return json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(func(*jsontext.Decoder, *DNSRecord) error { return one() }),
		json.UnmarshalFromFunc(func(*jsontext.Decoder, *DNSQuestion) error { return one() }),
	))
}

func (l *Layer) appendJSON(dst []byte) []byte {
	dst = appendString(append(dst, `{"Protocol":`...), l.Protocol.String())
	dst = appendString(append(dst, `,"A":`...), l.A)
	dst = appendString(append(dst, `,"B":`...), l.B)
	return append(appendNumber(dst, `,"ID":`, l.ID), '}')
}

func (l *TransportLayer) appendJSON(dst []byte) []byte {
	dst = appendString(append(dst, `{"Protocol":`...), l.Protocol.String())
	dst = appendNumber(dst, `,"A":`, l.A)
	dst = appendNumber(dst, `,"B":`, l.B)
	return append(appendNumber(dst, `,"ID":`, l.ID), '}')
}

func (l *ICMP) appendJSON(dst []byte) []byte {
	dst = appendString(append(dst, `{"Type":`...), l.Type.String())
	if l.Code != 0 {
		dst = appendNumber(dst, `,"Code":`, int64(l.Code))
	}
	if l.ID != 0 {
		dst = appendNumber(dst, `,"ID":`, int64(l.ID))
	}
	return append(dst, '}')
}

// AppendJSON appends the metric as Skydive's JSON; a round trip time that is not known is left out.
func (m *Metric) AppendJSON(dst []byte) []byte {
	dst = appendNumber(dst, `{"ABPackets":`, m.ABPackets)
	dst = appendNumber(dst, `,"ABBytes":`, m.ABBytes)
	dst = appendNumber(dst, `,"BAPackets":`, m.BAPackets)
	dst = appendNumber(dst, `,"BABytes":`, m.BABytes)
	dst = appendNumber(dst, `,"Start":`, m.Start)
	dst = appendNumber(dst, `,"Last":`, m.Last)
	if m.RTT != 0 {
		dst = appendNumber(dst, `,"RTT":`, m.RTT)
	}
	return append(dst, '}')
}

// MarshalJSON is AppendJSON for encoding/json.
func (m *Metric) MarshalJSON() ([]byte, error) { return m.AppendJSON(nil), nil }

// tcpMetricKeys are the keys of a TCPMetric as they stand in JSON, in the order of its values.
var tcpMetricKeys = [...]string{
	`,"ABSynStart":`, `,"BASynStart":`, `,"ABSynTTL":`, `,"BASynTTL":`, `,"ABFinStart":`, `,"BAFinStart":`, `,"ABRstStart":`, `,"BARstStart":`,
	`,"ABSegmentOutOfOrder":`, `,"ABSegmentSkipped":`, `,"ABSegmentSkippedBytes":`, `,"ABPackets":`, `,"ABBytes":`, `,"ABSawStart":`, `,"ABSawEnd":`,
	`,"BASegmentOutOfOrder":`, `,"BASegmentSkipped":`, `,"BASegmentSkippedBytes":`, `,"BAPackets":`, `,"BABytes":`, `,"BASawStart":`, `,"BASawEnd":`,
}

func (m *TCPMetric) appendJSON(dst []byte) []byte {
	at := len(dst)
	for i, v := range m.values() {
		if ttl := i == 2 || i == 3; ttl && v == 0 {
			continue
		}
		dst = appendNumber(dst, tcpMetricKeys[i], v)
	}
	dst[at] = '{'
	return append(dst, '}')
}

func (m *IPMetric) appendJSON(dst []byte) []byte {
	dst = appendNumber(dst, `{"Fragments":`, m.Fragments)
	return append(appendNumber(dst, `,"FragmentErrors":`, m.FragmentErrors), '}')
}

func (d *DNS) appendJSON(dst []byte) []byte    { return appendAny(dst, d) }
func (d *DHCPv4) appendJSON(dst []byte) []byte { return appendAny(dst, d) }
func (v *VRRPv2) appendJSON(dst []byte) []byte { return appendAny(dst, v) }

// appendAny appends what is seldom in a flow by its tags. An object that cannot be written becomes an empty one, so that
// the flow around it stays whole; the types it is used for can always be written, but for a time out of bounds.
func appendAny(dst []byte, v any) []byte {
	b, err := json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return append(dst, "{}"...)
	}
	return append(dst, b...)
}

// AppendJSON appends the counters as Skydive's JSON, and behind them what weft has beside.
func (s *Stats) AppendJSON(dst []byte) []byte {
	dst = appendString(append(dst, `{"CaptureID":`...), s.CaptureID)
	dst = appendNumber(dst, `,"FlowCount":`, s.FlowCount)
	dst = appendNumber(dst, `,"FlowDropped":`, s.FlowDropped)
	dst = appendNumber(dst, `,"KernelFlowDropped":`, s.KernelFlowDropped)
	dst = appendNumber(dst, `,"PacketsDropped":`, s.PacketsDropped)
	dst = appendNumber(dst, `,"PacketsReceived":`, s.PacketsReceived)
	if s.NodeTID != "" {
		dst = appendString(append(dst, `,"NodeTID":`...), s.NodeTID)
	}
	if s.Ledger != nil {
		text, _ := s.Ledger.MarshalJSON() // numbers do not fail
		dst = append(append(dst, `,"Ledger":`...), text...)
	}
	if s.DownUpper {
		dst = append(dst, `,"DownUpper":true`...)
	}
	return append(dst, '}')
}

// MarshalJSON is AppendJSON for encoding/json.
func (s Stats) MarshalJSON() ([]byte, error) { return s.AppendJSON(nil), nil }

func appendNumber(dst []byte, key string, n int64) []byte {
	return strconv.AppendInt(append(dst, key...), n, 10)
}

// appendString appends a JSON string; what is not UTF-8 is replaced.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return appendEscaped(dst, s)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = utf8.AppendRune(dst, c)
		}
	}
	return append(dst, '"')
}

// UnmarshalText reads the name of a protocol, or its number.
func (p *Protocol) UnmarshalText(b []byte) error {
	n, err := enumValue(protocolNames[:], b)
	*p = Protocol(n)
	return err
}

// MarshalText gives the name of the protocol.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the name of an ICMP type, or its number.
func (t *ICMPType) UnmarshalText(b []byte) error {
	n, err := enumValue(icmpNames[:], b)
	*t = ICMPType(n)
	return err
}

// MarshalText gives the name of the ICMP type.
func (t ICMPType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// enumValue is the inverse of enumName.
func enumValue(names []string, b []byte) (uint8, error) {
	for i, name := range names {
		if name == string(b) {
			return uint8(i), nil //nolint:gosec // there are few names
		}
	}
	n, err := strconv.ParseUint(string(b), 10, 8)
	if err != nil {
		return 0, fmt.Errorf("unknown name %q: use one of %s", b, strings.Join(names, ", "))
	}
	return uint8(n), nil
}
