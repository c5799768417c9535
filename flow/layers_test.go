package flow_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/flowtest"
)

func serialize(t testing.TB, layer gopacket.SerializableLayer) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	if err := layer.SerializeTo(buffer, gopacket.SerializeOptions{FixLengths: true}); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func dnsMessage(t testing.TB) []byte {
	record := func(kind layers.DNSType, set func(*layers.DNSResourceRecord)) layers.DNSResourceRecord {
		r := layers.DNSResourceRecord{Name: []byte("example.org"), Type: kind, Class: layers.DNSClassIN, TTL: 300}
		set(&r)
		return r
	}
	return serialize(t, &layers.DNS{
		ID: 4711, QR: true, RD: true, RA: true, ResponseCode: layers.DNSResponseCodeNoErr,
		Questions: []layers.DNSQuestion{{Name: []byte("example.org"), Type: layers.DNSTypeMX, Class: layers.DNSClassIN}},
		Answers: []layers.DNSResourceRecord{
			record(layers.DNSTypeA, func(r *layers.DNSResourceRecord) { r.IP = net.IPv4(192, 0, 2, 1) }),
			record(layers.DNSTypeAAAA, func(r *layers.DNSResourceRecord) { r.IP = net.ParseIP("2001:db8::1") }),
			record(layers.DNSTypeCNAME, func(r *layers.DNSResourceRecord) { r.CNAME = []byte("www.example.org") }),
			record(layers.DNSTypePTR, func(r *layers.DNSResourceRecord) { r.PTR = []byte("host.example.org") }),
			record(layers.DNSTypeTXT, func(r *layers.DNSResourceRecord) { r.TXTs = [][]byte{[]byte("v=spf1")} }),
			record(layers.DNSTypeMX, func(r *layers.DNSResourceRecord) {
				r.MX = layers.DNSMX{Preference: 10, Name: []byte("mail.example.org")}
			}),
			record(layers.DNSTypeSRV, func(r *layers.DNSResourceRecord) {
				r.SRV = layers.DNSSRV{Priority: 1, Weight: 2, Port: 5060, Name: []byte("sip.example.org")}
			}),
		},
		Authorities: []layers.DNSResourceRecord{
			record(layers.DNSTypeNS, func(r *layers.DNSResourceRecord) { r.NS = []byte("ns.example.org") }),
			record(layers.DNSTypeSOA, func(r *layers.DNSResourceRecord) {
				r.SOA = layers.DNSSOA{MName: []byte("ns.example.org"), RName: []byte("admin.example.org"), Serial: 1, Refresh: 2, Retry: 3, Expire: 4, Minimum: 5}
			}),
		},
	})
}

func TestDecodeDNS(t *testing.T) {
	d, err := flow.DecodeDNS(dnsMessage(t))
	if err != nil {
		t.Fatal(err)
	}
	f := flow.Flow{DNS: d}
	want := `{"ID":4711,"QR":true,"op_code":"Query","RD":true,"RA":true,"response_code":"No Error","QDCount":1,"ANCount":7,"NSCount":2,
"questions":[{"name":"example.org","type":"MX","class":"IN"}],
"answers":[{"name":"example.org","type":"A","class":"IN","TTL":300,"data_length":4,"IP":"192.0.2.1"},
{"name":"example.org","type":"AAAA","class":"IN","TTL":300,"data_length":16,"IP":"2001:db8::1"},
{"name":"example.org","type":"CNAME","class":"IN","TTL":300,"data_length":17,"CName":"www.example.org"},
{"name":"example.org","type":"PTR","class":"IN","TTL":300,"data_length":18,"PTR":"host.example.org"},
{"name":"example.org","type":"TXT","class":"IN","TTL":300,"data_length":7,"TXTs":["v=spf1"]},
{"name":"example.org","type":"MX","class":"IN","TTL":300,"data_length":20,"MX":{"preference":10,"name":"mail.example.org"}},
{"name":"example.org","type":"SRV","class":"IN","TTL":300,"data_length":23,"SRV":{"priority":1,"weight":2,"port":5060,"name":"sip.example.org"}}],
"authorities":[{"name":"example.org","type":"NS","class":"IN","TTL":300,"data_length":16,"NS":"ns.example.org"},
{"name":"example.org","type":"SOA","class":"IN","TTL":300,"data_length":55,"SOA":{"MName":"ns.example.org","RName":"admin.example.org","serial":1,"refresh":2,"retry":3,"expire":4,"minimum":5}}],
"timestamp":"0001-01-01T00:00:00Z"}`
	got, _ := f.Field("DNS")
	if diff := cmp.Diff(strings.ReplaceAll(want, "\n", ""), got.Str); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeDNSCutShort(t *testing.T) {
	whole := dnsMessage(t)
	for n := range whole {
		d, err := flow.DecodeDNS(whole[:n])
		if !errors.Is(err, flow.ErrLayer) {
			t.Fatalf("%d bytes: error %v", n, err)
		}
		if (d != nil) != (n >= 12) {
			t.Fatalf("%d bytes: message %v", n, d)
		}
		if n > 60 && (d.ID != 4711 || len(d.Questions) != 1 || d.Questions[0].Name != "example.org" || len(d.Answers) == 0) {
			t.Fatalf("%d bytes: message %+v", n, d)
		}
	}
}

func TestDecodeDHCPv4(t *testing.T) {
	message := serialize(t, &layers.DHCPv4{
		Operation: layers.DHCPOpRequest, HardwareType: layers.LinkTypeEthernet, HardwareLen: 6, RelayHops: 2, Xid: 0xcafe, Secs: 3, Flags: 0x8000,
		ClientHWAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}, ServerName: []byte("srv"), File: []byte("pxe"),
		Options: layers.DHCPOptions{layers.NewDHCPOption(layers.DHCPOptMessageType, []byte{byte(layers.DHCPMsgTypeDiscover)})},
	})
	d, err := flow.DecodeDHCPv4(message)
	if err != nil {
		t.Fatal(err)
	}
	if d.HardwareLen != 6 || d.HardwareOpts != 2 || d.Xid != 0xcafe || d.Secs != 3 || d.Flags != 0x8000 ||
		string(d.ServerName[:4]) != "srv\x00" || string(d.File[:4]) != "pxe\x00" || len(d.Contents) != len(message) {
		t.Errorf("%+v", d)
	}
	message[4] = 9
	if d.Xid != 0xcafe || d.Contents[4] != 0 {
		t.Error("the message changed with its packet")
	}
	if _, err := flow.DecodeDHCPv4(message[:100]); !errors.Is(err, flow.ErrLayer) {
		t.Errorf("cut short: %v", err)
	}
}

func TestDecodeVRRPv2(t *testing.T) {
	message := flowtest.Packet(flowtest.VRRP{Router: 51, Priority: 100, Addrs: []string{"10.0.0.9"}})
	v, err := flow.DecodeVRRPv2(message)
	if err != nil {
		t.Fatal(err)
	}
	if v.Version != 2 || v.VirtualRtrID != 51 || v.Priority != 100 || v.CountIPAddr != 1 || v.AdverInt != 1 || v.Checksum == 0 {
		t.Errorf("%+v", v)
	}
	message[0] = 0x31
	for _, bad := range [][]byte{nil, message[:7], message} {
		if _, err := flow.DecodeVRRPv2(bad); !errors.Is(err, flow.ErrLayer) {
			t.Errorf("% x: error %v", bad, err)
		}
	}
}

func FuzzDecodeLayers(f *testing.F) {
	f.Add(dnsMessage(f))
	f.Add(flowtest.Packet(flowtest.VRRP{Router: 51, Addrs: []string{"10.0.0.9"}}))
	f.Add(serialize(f, &layers.DHCPv4{HardwareLen: 6, ClientHWAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		one := &flow.Flow{}
		one.DNS, _ = flow.DecodeDNS(b)
		one.DHCPv4, _ = flow.DecodeDHCPv4(b)
		one.VRRPv2, _ = flow.DecodeVRRPv2(b)
		var back flow.Flow
		if err := back.DecodeProto(one.AppendProto(nil)); err != nil {
			t.Fatal(err)
		}
		if err := back.UnmarshalJSON(one.AppendJSON(nil)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestApplications(t *testing.T) {
	a, err := flow.NewApplications([]string{"tcp:443:https", "UDP: 53:DNS", "TCP:8080:proxy", "SCTP:36412:s1ap"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		protocol flow.Protocol
		a, b     uint16
		want     string
	}{
		{flow.TCP, 40000, 443, "HTTPS"},
		{flow.TCP, 443, 40000, "HTTPS"},
		{flow.TCP, 8080, 443, "PROXY"},
		{flow.UDP, 40000, 53, "DNS"},
		{flow.SCTP, 36412, 36412, "S1AP"},
		{flow.UDP, 40000, 443, ""},
	} {
		if got, _ := a.Name(test.protocol, test.a, test.b); got != test.want {
			t.Errorf("%v %d %d is %q, want %q", test.protocol, test.a, test.b, got, test.want)
		}
	}
	var none *flow.Applications
	if name, ok := none.Name(flow.TCP, 1, 2); ok {
		t.Errorf("nil names %q", name)
	}
	for _, entry := range []string{"", "443", "icmp:1:X", "tcp:0:X", "tcp:65536:X", "tcp:x:X", "tcp", "tcp:1", "tcp:1: "} {
		if _, err := flow.NewApplications([]string{entry}); err == nil || !strings.Contains(err.Error(), "such as TCP:443:HTTPS") {
			t.Errorf("%q: error %v", entry, err)
		}
	}
}
