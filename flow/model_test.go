package flow_test

import (
	"time"

	"pgregory.net/rapid"

	"github.com/weft-net/weft/flow"
)

// fullFlow has a value of its own in every field.
func fullFlow() *flow.Flow {
	return &flow.Flow{
		UUID: "5b2f8b2ad8d43a6c", LayersPath: "Ethernet/IPv4/TCP", Application: "HTTPS",
		Link:      &flow.Layer{Protocol: flow.Ethernet, A: "02:00:00:00:00:01", B: "02:00:00:00:00:02", ID: 8},
		Network:   &flow.Layer{Protocol: flow.IPv4, A: "10.0.0.1", B: "10.0.0.2", ID: 9},
		Transport: &flow.TransportLayer{Protocol: flow.TCP, A: 40000, B: 443, ID: 300},
		ICMP:      &flow.ICMP{Type: flow.ICMPEcho, Code: 3, ID: 70000},
		DHCPv4: &flow.DHCPv4{
			Contents: []byte{1}, Payload: []byte{2}, HardwareLen: 6, HardwareOpts: 1, Xid: 4000000000, Secs: 5, Flags: 32768,
			ServerName: []byte("srv"), File: []byte("pxe"),
		},
		DNS: fullDNS(),
		VRRPv2: &flow.VRRPv2{
			Contents: []byte{3}, Payload: []byte{4}, Version: 2, VirtualRtrID: 51, Priority: 100, CountIPAddr: 1, AdverInt: 1, Checksum: 47698,
		},
		LastUpdateMetric: &flow.Metric{ABPackets: 11, ABBytes: 12, BAPackets: 13, BABytes: 14, Start: 15, Last: 16, RTT: 17},
		Metric:           &flow.Metric{ABPackets: 21, ABBytes: 22, BAPackets: 23, BABytes: 24, Start: 25, Last: 26, RTT: 27},
		TCPMetric: &flow.TCPMetric{
			ABSynStart: 101, BASynStart: 102, ABSynTTL: 103, BASynTTL: 104, ABFinStart: 105, BAFinStart: 106, ABRstStart: 107, BARstStart: 108,
			ABSegmentOutOfOrder: 109, ABSegmentSkipped: 110, ABSegmentSkippedBytes: 111, ABPackets: 112, ABBytes: 113, ABSawStart: 114, ABSawEnd: 115,
			BASegmentOutOfOrder: 116, BASegmentSkipped: 117, BASegmentSkippedBytes: 118, BAPackets: 119, BABytes: 120, BASawStart: 121, BASawEnd: 122,
		},
		IPMetric: &flow.IPMetric{Fragments: 31, FragmentErrors: 32},
		Start:    1700000000000, Last: 1700000001000,
		TrackingID: "a1b2c3d4e5f60718", L3TrackingID: "8f7e6d5c4b3a2918", ParentUUID: "1122334455667788",
		NodeTID: "1e4fc503-312c-4e4f-4bf5-26263ce82e0b", CaptureID: "b6d3bcde-b5a8-4c54-6c3e-8c2d0e2e1c3b",
		LastRawPackets: []flow.RawPacket{
			{Timestamp: 1700000000000, Index: 0, Data: []byte{0xde, 0xad}, LinkType: flow.LinkEthernet},
			{Timestamp: 1700000000500, Index: 1, Data: []byte{0xbe, 0xef}, LinkType: flow.LinkRaw},
		},
		RawPacketsCaptured: 2, FinishType: flow.FinishFIN,
	}
}

func fullDNS() *flow.DNS {
	record := func(kind string) flow.DNSRecord {
		return flow.DNSRecord{Name: "example.org", Type: kind, Class: "IN", TTL: 300, DataLength: 4}
	}
	a, ns, cname, ptr, txt, soa, srv, mx, opt := record("A"), record("NS"), record("CNAME"), record("PTR"), record("TXT"), record("SOA"), record("SRV"), record("MX"), record("OPT")
	a.IP, ns.NS, cname.CName, ptr.PTR, txt.TXTs = "192.0.2.1", "ns.example.org", "www.example.org", "host.example.org", []string{"v=spf1", ""}
	soa.SOA = &flow.DNSSOA{MName: "ns.example.org", RName: "admin.example.org", Serial: 1, Refresh: 2, Retry: 3, Expire: 4, Minimum: 5}
	srv.SRV = &flow.DNSSRV{Priority: 1, Weight: 2, Port: 3, Name: "sip.example.org"}
	mx.MX = &flow.DNSMX{Preference: 10, Name: "mail.example.org"}
	opt.OPT = []flow.DNSOption{{Code: "Cookie", Data: "abc"}}
	return &flow.DNS{
		ID: 4711, QR: true, OpCode: "Query", AA: true, TC: true, RD: true, RA: true, Z: 1, ResponseCode: "No Error",
		QDCount: 1, ANCount: 2, NSCount: 3, ARCount: 4,
		Questions:   []flow.DNSQuestion{{Name: "example.org", Type: "A", Class: "IN"}},
		Answers:     []flow.DNSRecord{a, cname, ptr, txt, srv, mx},
		Authorities: []flow.DNSRecord{ns, soa}, Additionals: []flow.DNSRecord{opt},
		Timestamp: time.Unix(1700000000, 5).UTC(),
	}
}

// anyFlow draws a flow of anything.
func anyFlow() *rapid.Generator[*flow.Flow] {
	return rapid.Custom(func(t *rapid.T) *flow.Flow {
		f := &flow.Flow{
			UUID: draw(t, rapid.String()), LayersPath: draw(t, rapid.String()), Application: draw(t, rapid.String()),
			Start: draw(t, rapid.Int64()), Last: draw(t, rapid.Int64()),
			TrackingID: draw(t, rapid.String()), L3TrackingID: draw(t, rapid.String()), ParentUUID: draw(t, rapid.String()),
			NodeTID: draw(t, rapid.String()), CaptureID: draw(t, rapid.String()),
			RawPacketsCaptured: draw(t, rapid.Int64()), FinishType: flow.FinishType(draw(t, rapid.IntRange(0, 3))),
			Link: maybe[flow.Layer](t), Network: maybe[flow.Layer](t), Transport: maybe[flow.TransportLayer](t), ICMP: maybe[flow.ICMP](t),
			LastUpdateMetric: maybe[flow.Metric](t), Metric: maybe[flow.Metric](t), TCPMetric: maybe[flow.TCPMetric](t), IPMetric: maybe[flow.IPMetric](t),
			VRRPv2: maybe[flow.VRRPv2](t), DHCPv4: maybe[flow.DHCPv4](t),
		}
		for _, l := range []*flow.Layer{f.Link, f.Network} {
			if l != nil {
				l.Protocol %= 8
			}
		}
		if f.Transport != nil {
			f.Transport.Protocol %= 8
		}
		if f.ICMP != nil {
			f.ICMP.Type %= 13
		}
		if draw(t, rapid.Bool()) {
			f.DNS = fullDNS()
			f.DNS.Answers = f.DNS.Answers[draw(t, rapid.IntRange(0, 5)):]
			f.DNS.ID = draw(t, rapid.Uint32())
			f.DNS.Questions[0] = draw(t, rapid.Make[flow.DNSQuestion]())
		}
		for range draw(t, rapid.IntRange(0, 3)) {
			f.LastRawPackets = append(f.LastRawPackets, draw(t, rapid.Make[flow.RawPacket]()))
		}
		return f
	})
}

func draw[T any](t *rapid.T, g *rapid.Generator[T]) T { return g.Draw(t, "") }

func maybe[T any](t *rapid.T) *T {
	if !draw(t, rapid.Bool()) {
		return nil
	}
	v := draw(t, rapid.Make[T]())
	return &v
}
