package api_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/skydive/skydivetest"
)

const onEth0 = `{"GremlinQuery":"G.V().Has('Name','eth0')"}`

func TestCaptureIsKeptWithEveryField(t *testing.T) {
	s := apitest.Start(t)
	whole := `{"UUID":"c1","GremlinQuery":"G.V().Has('Type','veth')","Name":"n","Description":"d","Type":"afpacket",` +
		`"Count":0,"SamplingRate":10,"PollingInterval":5,"RawPacketLimit":-1,"HeaderSize":128,"ExtraTCPMetric":true,` +
		`"IPDefrag":true,"ReassembleTCP":true,"LayerKeyMode":"L3","ExtraLayers":7}`
	if got := expect(t, s, 200, "POST", "/api/capture", whole); got != whole {
		t.Errorf("created\n%s, want\n%s", got, whole)
	}
	if got := expect(t, s, 200, "GET", "/api/capture/c1", ""); got != whole+"\n" {
		t.Errorf("got\n%s, want\n%s", got, whole)
	}
	if got := expect(t, s, 200, "GET", "/api/capture", ""); got != `{"c1":`+whole+"}\n" {
		t.Errorf("list %s", got)
	}
	stored, err := s.Store.Get(t.Context(), api.KindCapture, "c1")
	if err != nil || string(stored) != whole {
		t.Errorf("stored %s, %v", stored, err)
	}
	expect(t, s, 200, "DELETE", "/api/capture/c1", "")
	if got := expect(t, s, 404, "GET", "/api/capture/c1", ""); got != "Capture 'c1' not found\n" {
		t.Errorf("got %q", got)
	}
	expect(t, s, 404, "DELETE", "/api/capture/c1", "")
	if got := expect(t, s, 200, "GET", "/api/capture", ""); got != "{}\n" {
		t.Errorf("empty list %q", got)
	}
}

func TestCaptureGetsAnID(t *testing.T) {
	s := apitest.Start(t)
	m := parse(t, expect(t, s, 200, "POST", "/api/capture", onEth0))
	if id, _ := m["UUID"].(string); len(id) != 36 {
		t.Errorf("got %v", m)
	}
	// YAML, and libpcap's type, which stands for the same packets.
	m = parse(t, expect(t, s, 200, "POST", "/api/capture", "GremlinQuery: G.V()\nType: pcap\n", "Content-Type", "application/yaml"))
	if m["Type"] != "afpacket" {
		t.Errorf("got %v", m)
	}
}

func TestCaptureThatCannotBeIsRefusedWithARemedy(t *testing.T) {
	s := apitest.Start(t)
	with := func(more string) string { return strings.TrimSuffix(onEth0, "}") + "," + more + "}" }
	for _, c := range []struct{ name, body, want string }{
		{"no query", `{}`, "invalid schema: GremlinQuery is missing: give an expression for the nodes to capture on, such as G.V().Has('Name', 'eth0')"},
		{"a query that is none", `{"GremlinQuery":"G.V("}`, "invalid schema: GremlinQuery: line 1, column"},
		{"edges", `{"GremlinQuery":"G.E()"}`, "invalid schema: GremlinQuery gives edges: a capture needs an expression that gives nodes, such as"},
		{"the past", `{"GremlinQuery":"G.At('-1m').V()"}`, "invalid schema: GremlinQuery is about the past: leave At and Context out"},
		{"an unknown type", with(`"Type":"af_packet"`), `invalid schema: Type "af_packet" is not supported: use afpacket, sflow or netflow`},
		{"OVS's sFlow", with(`"Type":"ovssflow"`), `Type "ovssflow" is not supported: use sflow with a Port, and point the bridge's sFlow at that`},
		{"a mirror", with(`"Type":"ovsmirror"`), `Type "ovsmirror" is not supported: mirror to a port of the bridge with ovs-vsctl`},
		{"DPDK", with(`"Type":"dpdk"`), `Type "dpdk" is not supported: use afpacket on an interface that the kernel knows`},
		{"a socket of pcap", with(`"Type":"pcapsocket"`), `Type "pcapsocket" is not supported: send the file to /api/pcap`},
		{"a port that is none", with(`"Type":"sflow","Port":70000`), "Port is 70000: give one from 1 to 65535"},
		{"a port without a listener", with(`"Port":6343`), "Port is 6343, but only the types sflow and netflow listen on one"},
		{"a filter of records", with(`"Type":"netflow","BPFFilter":"tcp"`), "BPFFilter with Type netflow: flow records are not packets"},
		{"NetFlow as a target", with(`"Target":"10.0.0.1:2055","TargetType":"netflowv5"`), "TargetType netflowv5 is not supported: follow the flows at /ws/subscriber/flow"},
		{"ERSPAN as a target", with(`"Target":"10.0.0.1","TargetType":"erspanv1"`), "TargetType erspanv1 is not supported: mirror the interface with"},
		{"another target", with(`"TargetType":"x"`), `TargetType "x" is unknown: leave Target and TargetType out`},
		{"a target alone", with(`"Target":"x"`), "Target is not supported: leave it out"},
		{"raw packets", with(`"RawPacketLimit":-2`), "RawPacketLimit is -2: give a number from -1 to 10000 (-1 keeps as many as there is room for)"},
		{"a header size", with(`"HeaderSize":70000`), "HeaderSize is 70000: give a number from 0 to 65535"},
		{"sampling", with(`"SamplingRate":2000000`), "SamplingRate is 2000000: give a number from 0 to 1000000"},
		{"negative sampling", with(`"SamplingRate":-1`), "SamplingRate is the number -1"},
		{"a key mode", with(`"LayerKeyMode":"L4"`), `LayerKeyMode is "L4": use L2, which tells flows apart by their MAC addresses too, or L3`},
		{"extra layers", with(`"ExtraLayers":8`), "ExtraLayers is 8: add up VRRP 1, DNS 2 and DHCPv4 4"},
		{"a name", with(`"Name":"a\u0007"`), "Name has characters that cannot be shown"},
		{"a long name", with(`"Name":"` + strings.Repeat("x", 5000) + `"`), "Name is longer than 4096 bytes"},
		{"an id", with(`"UUID":"../x"`), `UUID "../x" has characters other than letters, digits, '-' and '_'`},
		{"no object", `[]`, "the body is a list, but takes an object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := expect(t, s, 400, "POST", "/api/capture", c.body); !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	if all, _ := s.Store.List(t.Context(), api.KindCapture); len(all) != 0 {
		t.Errorf("stored all the same: %s", all)
	}
}

func TestSameCaptureTwiceIsAConflict(t *testing.T) {
	s := apitest.Start(t)
	first := parse(t, expect(t, s, 200, "POST", "/api/capture", onEth0))
	text := expect(t, s, 409, "POST", "/api/capture", onEth0)
	if !strings.HasPrefix(text, "duplicated resource: capture "+first["UUID"].(string)) {
		t.Errorf("got %s", text)
	}
	// Other packets, or another node: both are captured.
	expect(t, s, 200, "POST", "/api/capture", `{"GremlinQuery":"G.V().Has('Name','eth0')","Type":"sflow","Port":6343}`)
	expect(t, s, 200, "POST", "/api/capture", `{"GremlinQuery":"G.V().Has('Name','eth0')","Type":"sflow","Port":6344}`)
	expect(t, s, 200, "POST", "/api/capture", `{"GremlinQuery":"G.V().Has('Name','eth1')"}`)
}

func TestOnlyOneOfManyEqualCapturesIsCreated(t *testing.T) {
	s := apitest.Start(t)
	var made sync.WaitGroup
	status := make(chan int, 20)
	for range 20 {
		made.Go(func() {
			res, _ := call(t, s, "POST", "/api/capture", onEth0)
			status <- res.StatusCode
		})
	}
	made.Wait()
	close(status)
	count := map[int]int{}
	for code := range status {
		count[code]++
	}
	if count[200] != 1 || count[409] != 19 {
		t.Errorf("answers %v", count)
	}
}

func TestCaptureDoesNotChange(t *testing.T) {
	s := apitest.Start(t)
	id := parse(t, expect(t, s, 200, "POST", "/api/capture", onEth0))["UUID"].(string)
	text := expect(t, s, 400, "PATCH", "/api/capture/"+id, `[{"op":"add","path":"/Name","value":"x"}]`)
	if !strings.HasPrefix(text, "updating resource with patched version: resource not updatable") {
		t.Errorf("got %s", text)
	}
	expect(t, s, 404, "PATCH", "/api/capture/none", `[]`)
}

func TestCaptureGoesAfterItsTime(t *testing.T) {
	s := apitest.Start(t)
	expect(t, s, 400, "POST", "/api/capture", onEth0, "X-Resource-TTL", "-1s")
	expect(t, s, 200, "POST", "/api/capture", onEth0, "X-Resource-TTL", "50ms")
	eventually(t, "the capture goes", func() bool {
		return expect(t, s, 200, "GET", "/api/capture", "") == "{}\n"
	})
}

func TestCaptureShowsWhatBecameOfIt(t *testing.T) {
	infos := []api.CaptureInfo{{
		ID: "c1", Active: 1,
		Nodes: []api.CaptureNode{
			{ID: "n1", TID: "t1", Host: "h", Name: "eth0", Type: "device", State: "active", Ledger: flow.Ledger{Received: 10, Counted: 7, Drops: [flow.NumCauses]uint64{flow.CauseRing: 3}}},
			{ID: "n2", Host: "h", Name: "x", Type: "container", State: "failed", Error: "a container is no interface: capture on one of its veths"},
		},
		Ledger: flow.Ledger{Received: 10, Counted: 7, CountedBytes: 900, Drops: [flow.NumCauses]uint64{flow.CauseRing: 3}, Faults: [flow.NumFaults]uint64{flow.FaultTruncated: 2}},
	}}
	s := apitest.Start(t, func(d *api.Deps) { d.Captures = func() []api.CaptureInfo { return infos } })
	expect(t, s, 200, "POST", "/api/capture", `{"UUID":"c1","GremlinQuery":"G.V()","Count":77}`)
	const want = `{"UUID":"c1","GremlinQuery":"G.V()","Count":1,"SamplingRate":0,"PollingInterval":0,"ExtraTCPMetric":false,"IPDefrag":false,"ReassembleTCP":false,` +
		`"Nodes":[{"ID":"n1","TID":"t1","Host":"h","Name":"eth0","Type":"device","State":"active","Ledger":{"Received":10,"Counted":7,"CountedBytes":0,"Reported":0,"Flows":0,"FlowsEvicted":0,"FlowsLive":0,"Drops":{"ring":3}}},` +
		`{"ID":"n2","Host":"h","Name":"x","Type":"container","State":"failed","Error":"a container is no interface: capture on one of its veths","Ledger":{"Received":0,"Counted":0,"CountedBytes":0,"Reported":0,"Flows":0,"FlowsEvicted":0,"FlowsLive":0}}],` +
		`"Ledger":{"Received":10,"Counted":7,"CountedBytes":900,"Reported":0,"Flows":0,"FlowsEvicted":0,"FlowsLive":0,"Drops":{"ring":3},"Faults":{"truncated":2}}}`
	if got := expect(t, s, 200, "GET", "/api/capture/c1", ""); got != want+"\n" {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if got := expect(t, s, 200, "GET", "/api/capture", ""); got != `{"c1":`+want+"}\n" {
		t.Errorf("list %s", got)
	}
	// What is shown is not what is kept.
	if stored, _ := s.Store.Get(t.Context(), api.KindCapture, "c1"); strings.Contains(string(stored), "Ledger") || !strings.Contains(string(stored), `"Count":0`) {
		t.Errorf("stored %s", stored)
	}
}

func TestPythonClientCaptures(t *testing.T) {
	s := apitest.Start(t)
	client := &skydivetest.REST{Endpoint: s.Addr}
	created, err := client.Create(t.Context(), "capture", skydivetest.Object{"GremlinQuery": "G.V().Has('Name','eth0')", "Name": "n", "Type": "", "SamplingRate": 1, "ExtraTCPMetric": true, "LayerKeyMode": "L2"})
	if err != nil {
		t.Fatal(err)
	}
	if all, err := client.List(t.Context(), "capture"); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := client.Delete(t.Context(), "capture", created["UUID"].(string)); err != nil {
		t.Error(err)
	}
}
