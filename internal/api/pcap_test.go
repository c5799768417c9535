package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/pcapfile"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/internal/testenv"
)

// udp is an Ethernet frame of a UDP packet from 10.0.0.1 to 10.0.0.2.
func udp(from, to byte) []byte {
	return []byte{
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
		0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
		0x40, from, 0x20, to, 0, 12, 0, 0, 1, 2, 3, 4,
	}
}

// pcapOf writes a capture file of packets a millisecond apart.
func pcapOf(t testing.TB, packets ...[]byte) []byte {
	t.Helper()
	var file bytes.Buffer
	w := pcapfile.NewWriter(&file, pcapfile.Pcap, flow.LinkEthernet)
	for i, data := range packets {
		if err := w.Write(flow.LinkEthernet, flow.Packet{Data: data, Length: len(data), Time: int64(1_700_000_000_000+i) * 1e6}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestPcapBecomesFlows(t *testing.T) {
	s, hub := withFlows(t)
	w := dial(t, s, "/ws/subscriber/flow")
	file := pcapOf(t, udp(1, 1), udp(2, 1), udp(1, 1), udp(3, 1))
	if text := expect(t, s, 202, "POST", "/api/pcap", string(file), "Content-Type", "application/octet-stream"); text != "" {
		t.Errorf("got %q", text)
	}
	packets := int64(0)
	seen := map[string]bool{}
	for _, f := range hub.Imported() {
		seen[f.UUID] = true
		packets += f.LastUpdateMetric.ABPackets + f.LastUpdateMetric.BAPackets
	}
	if len(seen) != 3 || packets != 4 {
		t.Errorf("%d flows, %d packets", len(seen), packets)
	}
	w.next("store") // the subscribers see them too
}

// As in Skydive the flows of a file are of no capture and no node, unless the client says of which.
func TestPcapSaysWhereItsFlowsAreFrom(t *testing.T) {
	file := string(pcapOf(t, udp(1, 1), udp(2, 1)))
	for _, c := range []struct{ query, capture, node string }{
		{"", "", ""},
		{"?CaptureID=c1", "c1", ""},
		{"?CaptureID=c1&NodeTID=t1", "c1", "t1"},
	} {
		s, hub := withFlows(t)
		w := dial(t, s, "/ws/subscriber/flow", "X-Websocket-Namespace", "flow/c1")
		expect(t, s, 202, "POST", "/api/pcap"+c.query, file)
		if len(hub.Imported()) == 0 {
			t.Error("no flows")
		}
		for _, f := range hub.Imported() {
			if f.CaptureID != c.capture || f.NodeTID != c.node {
				t.Errorf("%s: flow of capture %q on node %q", c.query, f.CaptureID, f.NodeTID)
			}
		}
		if c.capture != "" {
			w.next("store")
		}
	}
	s, _ := withFlows(t)
	if text := expect(t, s, 400, "POST", "/api/pcap?CaptureID="+strings.Repeat("x", 300), file); !strings.Contains(text, "CaptureID: longer than 256 bytes") {
		t.Errorf("got %s", text)
	}
}

func TestDamagedPcapIsTakenAsFarAsItGoes(t *testing.T) {
	s, hub := withFlows(t)
	file := pcapOf(t, udp(1, 1), udp(2, 1), udp(3, 1))
	text := expect(t, s, 400, "POST", "/api/pcap", string(file[:len(file)-10]))
	if !strings.Contains(text, "damaged at offset") || !strings.Contains(text, "the flows of the 2 packets that could be read were taken") {
		t.Errorf("got %s", text)
	}
	if n := len(hub.Imported()); n < 2 {
		t.Errorf("%d reports", n)
	}
	text = expect(t, s, 400, "POST", "/api/pcap", "GET me a file")
	if !strings.Contains(text, "neither a pcap nor a pcapng file: send pcap or pcapng, plain or compressed") {
		t.Errorf("got %s", text)
	}
}

func TestPcapMayBeLargerThanABody(t *testing.T) {
	s, hub := withFlows(t, func(d *api.Deps) { d.Limits.MaxBody = 4 << 10 })
	var packets [][]byte
	for i := range 1000 {
		packets = append(packets, udp(byte(i), byte(i>>8)))
	}
	file := pcapOf(t, packets...)
	if len(file) < 16<<10 {
		t.Fatalf("a file of %d bytes", len(file))
	}
	expect(t, s, 202, "POST", "/api/pcap", string(file))
	seen := map[string]bool{}
	for _, f := range hub.Imported() {
		seen[f.UUID] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d flows", len(seen))
	}
}

func TestStalledPcapIsGivenUp(t *testing.T) {
	s, _ := withFlows(t, func(d *api.Deps) { d.Limits.RequestTimeout = 100 * time.Millisecond })
	reader, writer := io.Pipe()
	defer writer.Close()
	go func() { _, _ = writer.Write(pcapOf(t, udp(1, 1))) }() // and then nothing
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/api/pcap", reader)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	res, err := client.Do(req)
	if err == nil {
		defer res.Body.Close()
		if res.StatusCode < 400 {
			t.Errorf("status %d", res.StatusCode)
		}
	}
}

func TestPcapWithoutFlows(t *testing.T) {
	s := apitest.Start(t)
	if text := expect(t, s, 404, "POST", "/api/pcap", "x"); !strings.Contains(text, "send the file to an analyzer") {
		t.Errorf("got %s", text)
	}
}

// packetSource is a source of two flows with packets.
type packetSource struct {
	links [2]int64 // of their packets
}

type namedFlow string

func (f namedFlow) UUID() string                       { return string(f) }
func (f namedFlow) Field(k string) (graph.Value, bool) { return graph.String(string(f)), k == "UUID" }
func (f namedFlow) Keys() []string                     { return []string{"UUID"} }
func (f namedFlow) AppendJSON(dst []byte) []byte       { return fmt.Appendf(dst, `{"UUID":%q}`, string(f)) }

func (p packetSource) Flows(context.Context, gremlin.FlowQuery) iter.Seq2[gremlin.Flow, error] {
	return func(yield func(gremlin.Flow, error) bool) {
		_ = yield(namedFlow("f1"), nil) && yield(namedFlow("f2"), nil)
	}
}

func (p packetSource) Metrics(context.Context, gremlin.FlowQuery, gremlin.Flow) ([]gremlin.FlowMetric, error) {
	return nil, nil
}

func (p packetSource) packets(f gremlin.Flow) []gremlin.RawPacket {
	if f.UUID() == "f1" {
		return []gremlin.RawPacket{{Timestamp: 1000, Nanos: 1, Data: udp(1, 1), LinkType: p.links[0]}, {Timestamp: 3000, Nanos: 999_999, Index: 1, Data: udp(1, 2), LinkType: p.links[0]}}
	}
	return []gremlin.RawPacket{{Timestamp: 2000, Nanos: 123_456, Data: udp(2, 1), LinkType: p.links[1]}}
}

func (p packetSource) RawPackets(_ context.Context, _ gremlin.FlowQuery, flows []gremlin.Flow, _ string) (map[gremlin.FlowID][]gremlin.RawPacket, error) {
	byFlow := make(map[gremlin.FlowID][]gremlin.RawPacket)
	for _, f := range flows {
		byFlow[gremlin.FlowIDOf(f)] = p.packets(f)
	}
	return byFlow, nil
}

// withPackets starts a server whose flows have packets.
func withPackets(t testing.TB, links [2]int64) *apitest.Server {
	return apitest.Start(t, func(d *api.Deps) {
		d.Engine = gremlin.New(d.Graph, gremlin.Options{Deadline: 10 * time.Second, MaxResults: 1000, Flows: packetSource{links}})
	})
}

const rawPackets = `{"GremlinQuery":"G.Flows().RawPackets()"}`

func TestRawPacketsAsACaptureFile(t *testing.T) {
	for _, c := range []struct {
		links [2]int64
		magic string
	}{
		{[2]int64{1, 1}, "\x4d\x3c\xb2\xa1"},   // pcap, in ns
		{[2]int64{1, 101}, "\x0a\x0d\x0d\x0a"}, // pcapng, as one pcap has one link type
	} {
		s := withPackets(t, c.links)
		res, file := call(t, s, "POST", "/api/topology", rawPackets, "Accept", "application/vnd.tcpdump.pcap")
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/vnd.tcpdump.pcap" || !strings.HasPrefix(file, c.magic) {
			t.Fatalf("%d as %s: %.100q", res.StatusCode, res.Header.Get("Content-Type"), file)
		}
		reader, err := pcapfile.Open(strings.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		var got []string
		for {
			link, packets, err := reader.Read()
			for _, p := range packets {
				got = append(got, fmt.Sprint(link, "@", p.Time/1e9, ":", p.Data[35], p.Data[37]))
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		want := fmt.Sprintf("1@1:1 1 %d@2:2 1 1@3:1 2", c.links[1]) // in the order of time
		if strings.Join(got, " ") != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// An answer of more packets than a query may give is refused, and not cut: a file that looks whole and is not misleads.
func TestTooManyPacketsAreNoFile(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Engine = gremlin.New(d.Graph, gremlin.Options{Deadline: 10 * time.Second, MaxResults: 2, Flows: packetSource{[2]int64{1, 1}}})
	})
	text := expect(t, s, 400, "POST", "/api/topology", rawPackets, "Accept", "application/vnd.tcpdump.pcap")
	if !strings.Contains(text, "rows over the limit of 2: narrow the query with Has or Limit") {
		t.Errorf("got %s", text)
	}
	if file := expect(t, s, 200, "POST", "/api/topology", `{"GremlinQuery":"G.Flows().Limit(1).RawPackets()"}`, "Accept", "application/vnd.tcpdump.pcap"); len(file) < 24+16 {
		t.Errorf("%d bytes", len(file))
	}
}

// tshark reads every answer, with times to the nanosecond: with one link type, with several, and with none.
func TestTsharkReadsAnswers(t *testing.T) {
	for _, c := range []struct {
		name, query string
		links       [2]int64
		want        string
	}{
		{"one link type", "G.Flows().RawPackets()", [2]int64{1, 1}, "1.000000001\teth:ethertype:ip:udp:data\t46\n2.000123456\teth:ethertype:ip:udp:data\t46\n3.000999999\teth:ethertype:ip:udp:data\t46\n"},
		// As IP, which the packet of the test is not.
		{"several", "G.Flows().RawPackets()", [2]int64{1, 228}, "1.000000001\teth:ethertype:ip:udp:data\t46\n2.000123456\tip\t46\n3.000999999\teth:ethertype:ip:udp:data\t46\n"},
		{"none", "G.Flows().Has('UUID','none').RawPackets()", [2]int64{1, 1}, ""},
		{"none of no flows", "G.Flows().Limit(0).RawPackets()", [2]int64{1, 1}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := withPackets(t, c.links)
			body, err := json.Marshal(map[string]string{"GremlinQuery": c.query})
			if err != nil {
				t.Fatal(err)
			}
			file := expect(t, s, 200, "POST", "/api/topology", string(body), "Accept", "application/vnd.tcpdump.pcap")
			path := filepath.Join(t.TempDir(), "answer.pcap")
			if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var complaints bytes.Buffer
			cmd := testenv.Command(ctx, t, "tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.protocols", "-e", "frame.len")
			cmd.Stderr = &complaints
			text, err := cmd.Output()
			if err != nil || string(text) != c.want {
				t.Errorf("%v: got %q, want %q\n%s", err, text, c.want, complaints.String())
			}
		})
	}
}

func TestOnlyPacketsMakeACaptureFile(t *testing.T) {
	s := withPackets(t, [2]int64{1, 1})
	text := expect(t, s, 406, "POST", "/api/topology", `{"GremlinQuery":"G.Flows()"}`, "Accept", "application/vnd.tcpdump.pcap")
	if !strings.Contains(text, "only packets make a capture file, and this gives flows: end the query with RawPackets()") {
		t.Errorf("got %s", text)
	}
	// No packets are a file without packets.
	res, file := call(t, s, "POST", "/api/topology", `{"GremlinQuery":"G.Flows().Has('UUID','none').RawPackets()"}`, "Accept", "application/vnd.tcpdump.pcap")
	if res.StatusCode != 200 || len(file) != 24 {
		t.Errorf("%d, %d bytes", res.StatusCode, len(file))
	}
}
