package flow

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind says what a Value holds.
type Kind uint8

// The kinds of values.
const (
	KindInt    Kind = iota + 1 // Num
	KindString                 // Str
	KindBool                   // Num is 1 or 0
	KindJSON                   // Str is the JSON of an object or a list
)

// Value is one field of a flow.
type Value struct {
	Kind Kind
	Num  int64
	Str  string
}

func number(n int64) (Value, bool) { return Value{Kind: KindInt, Num: n}, true }
func text(s string) (Value, bool)  { return Value{Kind: KindString, Str: s}, true }

// object gives a part as JSON, if there is one.
func object(is bool, part func([]byte) []byte) (Value, bool) {
	if !is {
		return Value{}, false
	}
	return Value{Kind: KindJSON, Str: string(part(nil))}, true
}

// Field gives a field by its name in JSON, dotted: "Network.A", "Metric.ABBytes", "NodeTID", "DNS.ID", "DNS.questions". Names of
// parts, such as "Network", give the whole part as JSON. A part that the flow lacks has no fields; the fields of a part that
// it has are all there, those too that JSON leaves out when zero. Reading a number or a text of a flow does not
// allocate, except for those of DHCPv4, DNS and VRRPv2.
func (f *Flow) Field(path string) (Value, bool) {
	part, rest, dotted := strings.Cut(path, ".")
	if !dotted {
		return f.top(path)
	}
	switch part {
	case "Link":
		return f.Link.field(rest)
	case "Network":
		return f.Network.field(rest)
	case "Transport":
		return f.Transport.field(rest)
	case "ICMP":
		return f.ICMP.field(rest)
	case "LastUpdateMetric":
		return f.LastUpdateMetric.field(rest)
	case "Metric":
		return f.Metric.field(rest)
	case "TCPMetric":
		return f.TCPMetric.field(rest)
	case "IPMetric":
		return f.IPMetric.field(rest)
	}
	whole, ok := f.extra(part)
	if !ok {
		return Value{}, false
	}
	return lookup(jsontext.Value(whole.Str), rest)
}

// top gives a field of the flow itself.
func (f *Flow) top(name string) (Value, bool) {
	switch name {
	case "UUID":
		return text(f.UUID)
	case "LayersPath":
		return text(f.LayersPath)
	case "Application":
		return text(f.Application)
	case "Start":
		return number(f.Start)
	case "Last":
		return number(f.Last)
	case "TrackingID":
		return text(f.TrackingID)
	case "L3TrackingID":
		return text(f.L3TrackingID)
	case "ParentUUID":
		return text(f.ParentUUID)
	case "NodeTID":
		return text(f.NodeTID)
	case "CaptureID":
		return text(f.CaptureID)
	case "RawPacketsCaptured":
		return number(f.RawPacketsCaptured)
	case "FinishType":
		return number(int64(f.FinishType))
	case "Link":
		return object(f.Link != nil, f.Link.appendJSON)
	case "Network":
		return object(f.Network != nil, f.Network.appendJSON)
	case "Transport":
		return object(f.Transport != nil, f.Transport.appendJSON)
	case "ICMP":
		return object(f.ICMP != nil, f.ICMP.appendJSON)
	case "LastUpdateMetric":
		return object(f.LastUpdateMetric != nil, f.LastUpdateMetric.AppendJSON)
	case "Metric":
		return object(f.Metric != nil, f.Metric.AppendJSON)
	case "TCPMetric":
		return object(f.TCPMetric != nil, f.TCPMetric.appendJSON)
	case "IPMetric":
		return object(f.IPMetric != nil, f.IPMetric.appendJSON)
	}
	return f.extra(name)
}

// extra gives one of the layers above transport as JSON.
func (f *Flow) extra(name string) (Value, bool) {
	switch name {
	case "DHCPv4":
		return object(f.DHCPv4 != nil, f.DHCPv4.appendJSON)
	case "DNS":
		return object(f.DNS != nil, f.DNS.appendJSON)
	case "VRRPv2":
		return object(f.VRRPv2 != nil, f.VRRPv2.appendJSON)
	}
	return Value{}, false
}

func (l *Layer) field(name string) (Value, bool) {
	if l == nil {
		return Value{}, false
	}
	switch name {
	case "Protocol":
		return text(l.Protocol.String())
	case "A":
		return text(l.A)
	case "B":
		return text(l.B)
	case "ID":
		return number(l.ID)
	}
	return Value{}, false
}

func (l *TransportLayer) field(name string) (Value, bool) {
	if l == nil {
		return Value{}, false
	}
	switch name {
	case "Protocol":
		return text(l.Protocol.String())
	case "A":
		return number(l.A)
	case "B":
		return number(l.B)
	case "ID":
		return number(l.ID)
	}
	return Value{}, false
}

func (l *ICMP) field(name string) (Value, bool) {
	if l == nil {
		return Value{}, false
	}
	switch name {
	case "Type":
		return text(l.Type.String())
	case "Code":
		return number(int64(l.Code))
	case "ID":
		return number(int64(l.ID))
	}
	return Value{}, false
}

func (m *Metric) field(name string) (Value, bool) {
	if m == nil {
		return Value{}, false
	}
	for i, key := range metricNames {
		if key == name {
			return number(m.values()[i])
		}
	}
	return Value{}, false
}

// metricNames are the fields of a Metric in the order of its values.
var metricNames = [...]string{"ABPackets", "ABBytes", "BAPackets", "BABytes", "Start", "Last", "RTT"}

func (m *TCPMetric) field(name string) (Value, bool) {
	if m == nil {
		return Value{}, false
	}
	for i, key := range tcpMetricKeys {
		if tcpMetricName(key) == name {
			return number(m.values()[i])
		}
	}
	return Value{}, false
}

// tcpMetricName takes the name out of a key as it stands in JSON.
func tcpMetricName(key string) string { return key[len(`,"`) : len(key)-len(`":`)] }

func (m *IPMetric) field(name string) (Value, bool) {
	if m == nil {
		return Value{}, false
	}
	switch name {
	case "Fragments":
		return number(m.Fragments)
	case "FragmentErrors":
		return number(m.FragmentErrors)
	}
	return Value{}, false
}

// Keys lists the names that Field knows in this flow: those of its own fields and parts, and the dotted ones of the
// parts that it has, in the order of JSON.
func (f *Flow) Keys() []string {
	keys := make([]string, 0, 64)
	for _, name := range [...]string{"UUID", "LayersPath", "Application"} {
		keys = append(keys, name)
	}
	part := func(is bool, name string, fields ...string) {
		if !is {
			return
		}
		keys = append(keys, name)
		for _, field := range fields {
			keys = append(keys, name+"."+field)
		}
	}
	part(f.Link != nil, "Link", "Protocol", "A", "B", "ID")
	part(f.Network != nil, "Network", "Protocol", "A", "B", "ID")
	part(f.Transport != nil, "Transport", "Protocol", "A", "B", "ID")
	part(f.ICMP != nil, "ICMP", "Type", "Code", "ID")
	for _, name := range [...]string{"DHCPv4", "DNS", "VRRPv2"} {
		if whole, ok := f.extra(name); ok {
			part(true, name, members(jsontext.Value(whole.Str))...)
		}
	}
	part(f.LastUpdateMetric != nil, "LastUpdateMetric", metricNames[:]...)
	part(f.Metric != nil, "Metric", metricNames[:]...)
	tcp := make([]string, len(tcpMetricKeys))
	for i, key := range tcpMetricKeys {
		tcp[i] = tcpMetricName(key)
	}
	part(f.TCPMetric != nil, "TCPMetric", tcp...)
	part(f.IPMetric != nil, "IPMetric", "Fragments", "FragmentErrors")
	return append(keys, "Start", "Last", "TrackingID", "L3TrackingID", "ParentUUID", "NodeTID", "CaptureID", "RawPacketsCaptured", "FinishType")
}
