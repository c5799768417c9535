package flow_test

import (
	"slices"
	"testing"

	"github.com/weft-net/weft/flow"
)

func TestField(t *testing.T) {
	f := fullFlow()
	num := func(n int64) flow.Value { return flow.Value{Kind: flow.KindInt, Num: n} }
	str := func(s string) flow.Value { return flow.Value{Kind: flow.KindString, Str: s} }
	raw := func(s string) flow.Value { return flow.Value{Kind: flow.KindJSON, Str: s} }
	for path, want := range map[string]flow.Value{
		"UUID":                          str("5b2f8b2ad8d43a6c"),
		"Application":                   str("HTTPS"),
		"NodeTID":                       str("1e4fc503-312c-4e4f-4bf5-26263ce82e0b"),
		"Last":                          num(1700000001000),
		"FinishType":                    num(2),
		"Link.Protocol":                 str("ETHERNET"),
		"Network.A":                     str("10.0.0.1"),
		"Network":                       raw(`{"Protocol":"IPV4","A":"10.0.0.1","B":"10.0.0.2","ID":9}`),
		"Transport.B":                   num(443),
		"ICMP.Type":                     str("ECHO"),
		"Metric.ABBytes":                num(22),
		"LastUpdateMetric.RTT":          num(17),
		"TCPMetric.ABSynStart":          num(101),
		"TCPMetric.BASegmentOutOfOrder": num(116),
		"TCPMetric.BASawEnd":            num(122),
		"IPMetric.FragmentErrors":       num(32),
		"DNS.ID":                        num(4711),
		"DNS.QR":                        {Kind: flow.KindBool, Num: 1},
		"DNS.op_code":                   str("Query"),
		"DNS.questions":                 raw(`[{"name":"example.org","type":"A","class":"IN"}]`),
		"DNS.questions.name":            str("example.org"),
		"DNS.answers.type":              raw(`["A","CNAME","PTR","TXT","SRV","MX"]`),
		"DNS.answers.MX.preference":     num(10),
		"DHCPv4.xid":                    num(4000000000),
		"VRRPv2.VirtualRtrID":           num(51),
	} {
		if got, ok := f.Field(path); !ok || got != want {
			t.Errorf("%s is %+v, %t; want %+v", path, got, ok, want)
		}
	}
	for _, path := range []string{"", ".", "uuid", "Network.", "Network.C", "Network.A.B", "Metric.XY", "TCPMetric.A", "DNS.nothing", "DNS.answers.nothing", "Later.A", "LastRawPackets"} {
		if got, ok := f.Field(path); ok {
			t.Errorf("%q is %+v, want nothing", path, got)
		}
	}
	var empty flow.Flow
	for _, path := range []string{"Link.A", "Network", "Transport.A", "ICMP.ID", "Metric.ABBytes", "TCPMetric.ABSynStart", "IPMetric.Fragments", "DNS", "DNS.ID"} {
		if got, ok := empty.Field(path); ok {
			t.Errorf("%q of an empty flow is %+v, want nothing", path, got)
		}
	}
}

func TestKeysAreFields(t *testing.T) {
	full := fullFlow()
	keys := full.Keys()
	for _, key := range keys {
		if _, ok := full.Field(key); !ok {
			t.Errorf("key %s is no field", key)
		}
	}
	for _, want := range []string{"UUID", "Network.A", "TCPMetric.ABSawEnd", "DNS.questions", "VRRPv2", "FinishType"} {
		if !slices.Contains(keys, want) {
			t.Errorf("no key %s in %v", want, keys)
		}
	}
	var empty flow.Flow
	if slices.Contains(empty.Keys(), "Network.A") {
		t.Error("an empty flow has Network.A")
	}
}

func TestFieldDoesNotAllocate(t *testing.T) {
	f := fullFlow()
	if n := testing.AllocsPerRun(100, func() {
		f.Field("Network.A")
		f.Field("Metric.ABBytes")
		f.Field("TCPMetric.BASawEnd")
		f.Field("NodeTID")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCloneSharesNothingThatChanges(t *testing.T) {
	f := fullFlow()
	before := string(f.AppendProto(nil))
	c := f.Clone()
	c.Link.A, c.Metric.ABBytes, c.TCPMetric.ABPackets, c.ICMP.Code, c.DNS.ID, c.LastRawPackets[0].Index = "x", 1, 1, 1, 1, 9
	if string(f.AppendProto(nil)) != before {
		t.Error("the original changed with its clone")
	}
}

func TestMetricAdd(t *testing.T) {
	m := flow.Metric{}
	m.Add(flow.Metric{ABPackets: 1, ABBytes: 2, BAPackets: 3, BABytes: 4, Start: 50, Last: 60, RTT: 7})
	m.Add(flow.Metric{ABPackets: 1, ABBytes: 1, BAPackets: 1, BABytes: 1, Start: 40, Last: 55})
	if want := (flow.Metric{ABPackets: 2, ABBytes: 3, BAPackets: 4, BABytes: 5, Start: 40, Last: 60, RTT: 7}); m != want {
		t.Errorf("sum %+v, want %+v", m, want)
	}
}
