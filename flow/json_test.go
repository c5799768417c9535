package flow_test

import (
	"bytes"
	stdjson "encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weft-net/weft/flow"
)

// The names, their order and what is left out are those of section 5 of the description of Skydive's API.
func TestJSONIsSkydives(t *testing.T) {
	want := `{"UUID":"5b2f8b2ad8d43a6c","LayersPath":"Ethernet/IPv4/TCP","Application":"HTTPS",
"Link":{"Protocol":"ETHERNET","A":"02:00:00:00:00:01","B":"02:00:00:00:00:02","ID":8},
"Network":{"Protocol":"IPV4","A":"10.0.0.1","B":"10.0.0.2","ID":9},
"Transport":{"Protocol":"TCP","A":40000,"B":443,"ID":300},
"ICMP":{"Type":"ECHO","Code":3,"ID":70000},
"DHCPv4":{"contents":"AQ==","payload":"Ag==","hardware_len":6,"hardware_opts":1,"xid":4000000000,"secs":5,"flags":32768,"server_name":"c3J2","file":"cHhl"},
"DNS":{"ID":4711,"QR":true,"op_code":"Query","AA":true,"TC":true,"RD":true,"RA":true,"z":1,"response_code":"No Error",
"QDCount":1,"ANCount":2,"NSCount":3,"ARCount":4,"questions":[{"name":"example.org","type":"A","class":"IN"}],
"answers":[{"name":"example.org","type":"A","class":"IN","TTL":300,"data_length":4,"IP":"192.0.2.1"},
{"name":"example.org","type":"CNAME","class":"IN","TTL":300,"data_length":4,"CName":"www.example.org"},
{"name":"example.org","type":"PTR","class":"IN","TTL":300,"data_length":4,"PTR":"host.example.org"},
{"name":"example.org","type":"TXT","class":"IN","TTL":300,"data_length":4,"TXTs":["v=spf1",""]},
{"name":"example.org","type":"SRV","class":"IN","TTL":300,"data_length":4,"SRV":{"priority":1,"weight":2,"port":3,"name":"sip.example.org"}},
{"name":"example.org","type":"MX","class":"IN","TTL":300,"data_length":4,"MX":{"preference":10,"name":"mail.example.org"}}],
"authorities":[{"name":"example.org","type":"NS","class":"IN","TTL":300,"data_length":4,"NS":"ns.example.org"},
{"name":"example.org","type":"SOA","class":"IN","TTL":300,"data_length":4,"SOA":{"MName":"ns.example.org","RName":"admin.example.org","serial":1,"refresh":2,"retry":3,"expire":4,"minimum":5}}],
"additionals":[{"name":"example.org","type":"OPT","class":"IN","TTL":300,"data_length":4,"OPT":[{"Code":"Cookie","Data":"abc"}]}],
"timestamp":"2023-11-14T22:13:20.000000005Z"},
"VRRPv2":{"contents":"Aw==","payload":"BA==","version":2,"VirtualRtrID":51,"priority":100,"CountIPAddr":1,"adver_int":1,"checksum":47698},
"LastUpdateMetric":{"ABPackets":11,"ABBytes":12,"BAPackets":13,"BABytes":14,"Start":15,"Last":16,"RTT":17},
"Metric":{"ABPackets":21,"ABBytes":22,"BAPackets":23,"BABytes":24,"Start":25,"Last":26,"RTT":27},
"TCPMetric":{"ABSynStart":101,"BASynStart":102,"ABSynTTL":103,"BASynTTL":104,"ABFinStart":105,"BAFinStart":106,"ABRstStart":107,"BARstStart":108,
"ABSegmentOutOfOrder":109,"ABSegmentSkipped":110,"ABSegmentSkippedBytes":111,"ABPackets":112,"ABBytes":113,"ABSawStart":114,"ABSawEnd":115,
"BASegmentOutOfOrder":116,"BASegmentSkipped":117,"BASegmentSkippedBytes":118,"BAPackets":119,"BABytes":120,"BASawStart":121,"BASawEnd":122},
"IPMetric":{"Fragments":31,"FragmentErrors":32},
"Start":1700000000000,"Last":1700000001000,"TrackingID":"a1b2c3d4e5f60718","L3TrackingID":"8f7e6d5c4b3a2918","ParentUUID":"1122334455667788",
"NodeTID":"1e4fc503-312c-4e4f-4bf5-26263ce82e0b","CaptureID":"b6d3bcde-b5a8-4c54-6c3e-8c2d0e2e1c3b","RawPacketsCaptured":2,"FinishType":2}`
	if diff := cmp.Diff(strings.ReplaceAll(want, "\n", ""), string(fullFlow().AppendJSON(nil))); diff != "" {
		t.Error(diff)
	}
}

func TestJSONLeavesOut(t *testing.T) {
	f := flow.Flow{ICMP: &flow.ICMP{}, Metric: &flow.Metric{}, TCPMetric: &flow.TCPMetric{}, IPMetric: &flow.IPMetric{}}
	want := `{"UUID":"","LayersPath":"","Application":"","ICMP":{"Type":"UNKNOWN"},
"Metric":{"ABPackets":0,"ABBytes":0,"BAPackets":0,"BABytes":0,"Start":0,"Last":0},
"TCPMetric":{"ABSynStart":0,"BASynStart":0,"ABFinStart":0,"BAFinStart":0,"ABRstStart":0,"BARstStart":0,
"ABSegmentOutOfOrder":0,"ABSegmentSkipped":0,"ABSegmentSkippedBytes":0,"ABPackets":0,"ABBytes":0,"ABSawStart":0,"ABSawEnd":0,
"BASegmentOutOfOrder":0,"BASegmentSkipped":0,"BASegmentSkippedBytes":0,"BAPackets":0,"BABytes":0,"BASawStart":0,"BASawEnd":0},
"IPMetric":{"Fragments":0,"FragmentErrors":0},
"Start":0,"Last":0,"TrackingID":"","L3TrackingID":"","ParentUUID":"","NodeTID":"","CaptureID":"","RawPacketsCaptured":0}`
	if diff := cmp.Diff(strings.ReplaceAll(want, "\n", ""), string(f.AppendJSON(nil))); diff != "" {
		t.Error(diff)
	}
	stats := flow.Stats{CaptureID: "c", FlowCount: 1, PacketsReceived: 9}
	if got, want := string(stats.AppendJSON(nil)), `{"CaptureID":"c","FlowCount":1,"FlowDropped":0,"KernelFlowDropped":0,"PacketsDropped":0,"PacketsReceived":9}`; got != want {
		t.Errorf("stats %s, want %s", got, want)
	}
	stats = flow.Stats{CaptureID: "c", NodeTID: "n", DownUpper: true, Ledger: &flow.Ledger{Received: 9, Counted: 7, Drops: [flow.NumCauses]uint64{flow.CauseDown: 2}}}
	if got, want := string(stats.AppendJSON(nil)), `{"CaptureID":"c","FlowCount":0,"FlowDropped":0,"KernelFlowDropped":0,"PacketsDropped":0,"PacketsReceived":0,"NodeTID":"n",`+
		`"Ledger":{"Received":9,"Counted":7,"CountedBytes":0,"Reported":0,"Flows":0,"FlowsEvicted":0,"FlowsLive":0,"Drops":{"agent_down":2},"Faults":{}},"DownUpper":true}`; got != want {
		t.Errorf("stats %s, want %s", got, want)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFlow().Draw(t, "flow")
		b, err := stdjson.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if compact := f.AppendJSON([]byte("before")); !stdjson.Valid(compact[len("before"):]) {
			t.Fatalf("not JSON: %s", compact)
		}
		var back flow.Flow
		if err := stdjson.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		want := f.Clone()
		want.LastRawPackets = nil
		if diff := cmp.Diff(want, &back, sameFlow); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestJSONText(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"plain", `"plain"`},
		{`a"b\c`, `"a\"b\\c"`},
		{"a\x00\n\x1f", `"a\u0000\u000a\u001f"`},
		{"é", `"é"`},
		{"a\xffb", "\"a\uFFFDb\""},
	} {
		f := flow.Flow{UUID: test.text}
		if got := f.AppendJSON(nil); !bytes.HasPrefix(got, []byte(`{"UUID":`+test.want+`,`)) {
			t.Errorf("%q gives %s, want %s", test.text, got, test.want)
		}
	}
}

func TestJSONOfOthers(t *testing.T) {
	var f flow.Flow
	if err := f.UnmarshalJSON([]byte(`{"UUID":"u","Later":{"x":1},"Link":{"Protocol":"9"}}`)); err != nil {
		t.Fatal(err)
	}
	if f.UUID != "u" || f.Link.Protocol != 9 || f.Link.Protocol.String() != "9" {
		t.Errorf("%+v %+v", f, f.Link)
	}
	err := f.UnmarshalJSON([]byte(`{"Network":{"Protocol":"IPX"}}`))
	if err == nil || !strings.Contains(err.Error(), `unknown name "IPX": use one of ETHERNET, IPV4`) {
		t.Errorf("error %v", err)
	}
}

// JSON that is made to take time or memory takes little of either.
func TestHostileJSON(t *testing.T) {
	const long = 2 << 20
	for name, test := range map[string]struct {
		text, err string
	}{
		"nested lists":      {`{"Later":` + strings.Repeat("[", long), "exceeded max depth"},
		"nested objects":    {`{"Later":` + strings.Repeat(`{"a":`, long/5), "exceeded max depth"},
		"a long number":     {`{"Start":` + strings.Repeat("9", long) + `}`, "value out of range"},
		"a long exponent":   {`{"Start":1e` + strings.Repeat("9", long) + `}`, "invalid syntax"},
		"many records":      {`{"DNS":{"answers":[{}` + strings.Repeat(",{}", long/3) + `]}}`, "more than 65536 DNS records"},
		"many questions":    {`{"DNS":{"questions":[{}` + strings.Repeat(",{}", long/3) + `]}}`, "more than 65536 DNS records"},
		"records as before": {`{"DNS":{"answers":[{}` + strings.Repeat(`,{"TTL":1}`, 1<<16-1) + `]}}`, ""},
		"a long name":       {`{"UUID":"` + strings.Repeat("\\u0041", long/6) + `"}`, ""},
		"many names":        {`{"Later":[0` + strings.Repeat(",0", long/2) + `]}`, ""},
		"too long":          {`{"UUID":"` + strings.Repeat("a", 8<<20) + `"}`, "JSON of 8388619 bytes, more than 8388608"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var f flow.Flow
		err := f.UnmarshalJSON([]byte(test.text))
		runtime.ReadMemStats(&after)
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || len(err.Error()) > 1000) {
			t.Errorf("%s: error %.300v, want %q", name, err, test.err)
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 128<<20 {
			t.Errorf("%s: %d MiB allocated for %d bytes", name, taken>>20, len(test.text))
		}
	}
}

func FuzzUnmarshalJSON(f *testing.F) {
	f.Add(fullFlow().AppendJSON(nil))
	f.Add([]byte(`{"ICMP":{"Type":"ECHO"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var one, back flow.Flow
		if one.UnmarshalJSON(b) != nil {
			return
		}
		again := one.AppendJSON(nil)
		if err := back.UnmarshalJSON(again); err != nil {
			t.Fatalf("%v of %s", err, again)
		}
		if diff := cmp.Diff(one, back, sameFlow); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	f := typicalFlow()
	b.ReportAllocs()
	buf := make([]byte, 0, 4096)
	for b.Loop() {
		buf = f.AppendJSON(buf[:0])
	}
}
