package runner

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/flowtest"
	"github.com/weft-net/weft/flow/pcapfile"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/capture/sflow"
	"github.com/weft-net/weft/internal/testenv"
	"github.com/weft-net/weft/skydive"
)

// udp is a packet of a flow that only exporters see.
func udp(port uint16) []byte {
	return flowtest.Packet(flowtest.Ethernet{Src: "02:00:00:00:00:01", Dst: "02:00:00:00:00:02"},
		flowtest.IPv4{Src: "192.0.2.1", Dst: "192.0.2.2"}, flowtest.UDP{Src: port, Dst: 53}, flowtest.Payload("hello"))
}

// flows are those that are live and named by their UDP port A.
func flows(t *testing.T, r *Runner) map[int64]*flow.Flow {
	t.Helper()
	found := map[int64]*flow.Flow{}
	for f, err := range r.Flows(t.Context(), &gremlin.FlowQuery{AllNodes: true, Limit: -1}) {
		if err != nil {
			t.Fatal(err)
		}
		found[f.Transport.A] = f.Clone()
	}
	return found
}

// softflowd is a real exporter: its flows come to the node in whose namespace it sends.
func TestNetFlowOfAnExporter(t *testing.T) {
	for _, version := range []string{"5", "9", "10"} {
		t.Run("version "+version, func(t *testing.T) {
			w, taker := newWire(t), newTaker()
			r, stop := start(t, Options{Graph: w.graph, Sink: w, Publish: taker})
			if err := r.SetOrders(orders(skydive.Capture{UUID: "c1", Type: skydive.CaptureNetFlow}, "v0")); err != nil {
				t.Fatal(err)
			}
			port := awaitState(t, r, Active).Port
			if port != netflowFirst {
				t.Errorf("port %d, want the first, %d", port, netflowFirst)
			}
			export(t, w, version, port)
			eventually(t, "the records are counted", func() string {
				if l := only(r).Ledger; l.Counted != 60 || l.Received != 60 || l.Dropped() != 0 {
					return fmt.Sprintf("%+v", l)
				}
				return ""
			})
			found := flows(t, r)
			for i := range uint16(3) {
				f := found[int64(1000+i)]
				if f == nil || f.Metric.ABPackets != 10*int64(i+1) || f.Network.A != "192.0.2.1" || f.NodeTID != "tid-v0" || f.CaptureID != "c1" {
					t.Errorf("flow of port %d: %+v", 1000+i, f)
					continue
				}
				if age := time.Since(time.UnixMilli(f.Start)); age < 0 || age > 10*time.Second {
					t.Errorf("flow of port %d began %v ago", 1000+i, age)
				}
			}
			stop()
			if got := taker.reported(); got != 60 {
				t.Errorf("%d packets in reports, want 60", got)
			}
		})
	}
}

// export sends what softflowd makes of 10, 20 and 30 packets of three flows.
func export(t *testing.T, w *wire, version string, port int) {
	t.Helper()
	var file bytes.Buffer
	out := pcapfile.NewWriter(&file, pcapfile.Pcap, flow.LinkEthernet)
	at := time.Now().Add(-time.Second).UnixNano()
	for i := range uint16(3) {
		for range 10 * (i + 1) {
			at += int64(time.Millisecond)
			data := udp(1000 + i)
			if err := out.Write(flow.LinkEthernet, flow.Packet{Data: data, Length: len(data), Time: at}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "packets.pcap")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	exporter := testenv.Command(ctx, t, "softflowd", "-r", path, "-d", "-c", "none", "-p", filepath.Join(dir, "pid"),
		"-v", version, "-n", fmt.Sprintf("127.0.0.1:%d", port))
	w.near.Do(func() error {
		if text, err := exporter.CombinedOutput(); err != nil {
			return fmt.Errorf("softflowd: %w\n%s", err, text)
		}
		return nil
	})
}

// What a NetFlow listener cannot use is on the node and in the metrics, by cause.
func TestFaultsOfNetFlow(t *testing.T) {
	w, registry := newWire(t), prometheus.NewRegistry()
	r, _ := start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker(), Registry: registry})
	if err := r.SetOrders(orders(skydive.Capture{UUID: "c1", Type: skydive.CaptureNetFlow, Port: 7345}, "v0")); err != nil {
		t.Fatal(err)
	}
	awaitState(t, r, Active)
	data := func(sequence uint32) []byte { // IPFIX with a set of the template 300, which nobody sent
		b := binary.BigEndian.AppendUint16(nil, 10)
		b = binary.BigEndian.AppendUint16(b, 24)
		for _, v := range []uint32{1_000_000, sequence, 1, 300<<16 | 8, 7} {
			b = binary.BigEndian.AppendUint32(b, v)
		}
		return b
	}
	w.tell(7345, []byte("x"), []byte("no version is like this"), data(0), data(0))
	for _, want := range []string{`{"malformed":1,"unknown_template":2,"version":1}`} {
		eventually(t, "the node tells", func() string {
			node, _ := w.graph.View().Node("v0")
			list, _ := node.Field("Captures")
			for item := range list.All() {
				if n, _ := item.Object().Get("ListenerFaults"); n.String() == want {
					return ""
				}
			}
			return list.String()
		})
	}
	for _, want := range []string{`cause="malformed",node="tid-v0"} 1`, `cause="unknown_template",node="tid-v0"} 2`, `cause="version",node="tid-v0"} 1`, `cause="missing_records",node="tid-v0"} 0`} {
		if text := metricIs(registry, `weft_capture_listener_faults_total{capture="c1",`+want); text != "" {
			t.Error(text)
		}
	}
}

// sample is a datagram of sFlow (sflow_version_5.txt) with a sample of each packet and the counters of an interface,
// whose octets are given.
func sample(sequence, octets uint32, packets ...[]byte) []byte {
	words := func(n ...uint32) (b []byte) {
		for _, v := range n {
			b = binary.BigEndian.AppendUint32(b, v)
		}
		return b
	}
	sized := func(kind uint32, body []byte) []byte { return append(words(kind, uint32(len(body))), body...) }
	b := words(5, 1, 0xc0000209, 0, sequence, 1000, uint32(len(packets)+1))
	for _, p := range packets {
		record := append(words(1, uint32(len(p)+4), 4, uint32(len(p))), p...)
		record = append(record, make([]byte, -len(p)&3)...)
		b = append(b, sized(1, append(words(1, 7, 100, 1000, 0, 3, 4, 1), sized(1, record)...))...)
	}
	counters := words(3, 6, 0, 1000, 1, 3, 0, octets, 12, 13, 14, 15, 16, 17, 0, 211, 22, 23, 24, 25, 26, 0)
	return append(b, sized(2, append(words(1, 3, 1), sized(1, counters)...))...)
}

// tell sends datagrams to a port of the near namespace.
func (w *wire) tell(port int, datagrams ...[]byte) {
	w.t.Helper()
	w.near.Do(func() error {
		conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		defer conn.Close()
		for _, d := range datagrams {
			if _, err := conn.Write(d); err != nil {
				return err
			}
		}
		return nil
	})
}

// metricIs says what is wrong with a line of the metrics, "" for nothing.
func metricIs(registry *prometheus.Registry, want string) string {
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := answer.Body.String()
	if strings.Contains("\n"+text, "\n"+want+"\n") {
		return ""
	}
	return fmt.Sprintf("no %s in\n%s", want, text)
}

func TestSFlowOfAnExporter(t *testing.T) {
	w, taker, registry := newWire(t), newTaker(), prometheus.NewRegistry()
	r, stop := start(t, Options{Graph: w.graph, Sink: w, Publish: taker, Registry: registry})
	c := skydive.Capture{UUID: "c1", Type: skydive.CaptureSFlow, Port: 7343, BPFFilter: "udp port 2000 or udp port 2001"}
	// A namespace has no packets of its own, but exporters can send to it.
	if err := r.SetOrders(orders(c, "ns")); err != nil {
		t.Fatal(err)
	}
	if s := awaitState(t, r, Active); s.Port != 7343 {
		t.Errorf("port %d", s.Port)
	}
	w.tell(7343, sample(1, 1000, udp(2000), udp(2001), udp(9999)), []byte("nobody can read this"), sample(2, 1500, udp(2000)))
	eventually(t, "the samples that pass the filter are counted", func() string {
		if l := only(r).Ledger; l.Received != 3 || l.Counted != 3 {
			return fmt.Sprintf("%+v", l)
		}
		return ""
	})
	found := flows(t, r)
	if len(found) != 2 || found[2000] == nil || found[2000].Metric.ABPackets != 2 || found[2001] == nil || found[2000].NodeTID != "tid-ns" {
		t.Errorf("flows %+v", found)
	}

	w.tell(7343, sample(3, 4500))
	eventually(t, "the exporter's counters are on the node", func() string {
		node, _ := w.graph.View().Node("ns")
		octets, _ := node.Field("SFlow.Metric.IfInOctets")
		moved, _ := node.Field("SFlow.LastUpdateMetric.IfInOctets")
		discards, _ := node.Field("SFlow.Metric.IfInDiscards")
		if octets.Int() != 3500 || moved.Int() == 0 || moved.Int() > 3500 || discards.Int() != 0 {
			return fmt.Sprint(octets, moved, discards)
		}
		return ""
	})
	eventually(t, "the node says what could not be read, and so do the metrics", func() string {
		node, _ := w.graph.View().Node("ns")
		list, _ := node.Field("Captures")
		for item := range list.All() {
			if n, _ := item.Object().Get("ListenerFaults"); n.String() != `{"version":1}` {
				return list.String()
			}
		}
		return metricIs(registry, `weft_capture_listener_faults_total{capture="c1",cause="version",node="tid-ns"} 1`)
	})
	eventually(t, "the node says where the capture listens", func() string {
		node, _ := w.graph.View().Node("ns")
		list, _ := node.Field("Captures")
		for item := range list.All() {
			if port, _ := item.Object().Get("Port"); port.Int() == 7343 {
				return ""
			}
		}
		return list.String()
	})
	stop()
	if got := taker.reported(); got != 3 {
		t.Errorf("%d packets in reports, want 3", got)
	}
}

func TestPortInUse(t *testing.T) {
	for _, kind := range []string{skydive.CaptureSFlow, skydive.CaptureNetFlow} {
		t.Run(kind, func(t *testing.T) {
			w := newWire(t)
			var other net.PacketConn
			w.near.Do(func() (err error) {
				other, err = net.ListenPacket("udp", ":7344")
				return err
			})
			defer other.Close()
			r, _ := start(t, Options{Graph: w.graph, Sink: w, Publish: newTaker()})
			if err := r.SetOrders(orders(skydive.Capture{UUID: "c1", Type: kind, Port: 7344}, "v0")); err != nil {
				t.Fatal(err)
			}
			if s := awaitState(t, r, Failed); !strings.Contains(s.Error, "uses UDP port 7344 in this network namespace: choose another Port") {
				t.Errorf("reason %q", s.Error)
			}
			other.Close()
			awaitState(t, r, Active) // it is tried again

			// A capture that names no port takes the next that is free.
			all := orders(skydive.Capture{UUID: "c1", Type: kind}, "ns", "v0")
			if err := r.SetOrders(all); err != nil {
				t.Fatal(err)
			}
			eventually(t, "both listen", func() string {
				list := r.Captures()
				if len(list) != 2 || list[0].State != Active || list[1].State != Active || max(list[0].Port, list[1].Port) != min(list[0].Port, list[1].Port)+1 {
					return fmt.Sprintf("%+v", list)
				}
				return ""
			})
		})
	}
}

// What a node shows is what moved since the last sample: not what an interface counted before anybody listened, not when
// there are more of them, and not when an exporter begins anew.
func TestCountersOfExportersAddUp(t *testing.T) {
	const unknown = 1<<32 - 1
	for _, c := range []struct {
		name   string
		values []sflow.Metric
		index  int
		want   []int64
	}{
		{"two interfaces", []sflow.Metric{
			{IfIndex: 1, IfInOctets: 100}, {IfIndex: 1, IfInOctets: 150}, {IfIndex: 2, IfInOctets: 1000}, {IfIndex: 2, IfInOctets: 1001},
		}, inOctets, []int64{0, 50, 50, 51}},
		{"made anew", []sflow.Metric{
			{IfIndex: 1, IfOutOctets: 100, IfInUcastPkts: 10}, {IfIndex: 1, IfOutOctets: 20, IfInUcastPkts: 2}, {IfIndex: 1, IfOutOctets: 30, IfInUcastPkts: 3},
		}, outOctets, []int64{0, 20, 30}},
		{"packets of one made anew", []sflow.Metric{
			{IfIndex: 1, IfOutOctets: 100, IfInUcastPkts: 10}, {IfIndex: 1, IfOutOctets: 20, IfInUcastPkts: 2}, {IfIndex: 1, IfOutOctets: 30, IfInUcastPkts: 3},
		}, 5, []int64{0, 2, 3}},
		{"32 bits that went round", []sflow.Metric{
			{IfIndex: 1, IfInOctets: 1, IfInUcastPkts: unknown - 9}, {IfIndex: 1, IfInOctets: 2, IfInUcastPkts: 5}, {IfIndex: 1, IfInOctets: 3, IfInUcastPkts: 6},
		}, 5, []int64{0, 15, 16}},
		{"a counter that the exporter has not", []sflow.Metric{
			{IfIndex: 1, IfInUcastPkts: unknown}, {IfIndex: 1, IfInUcastPkts: unknown}, {IfIndex: 1, IfInUcastPkts: 7}, {IfIndex: 1, IfInUcastPkts: 9},
		}, 5, []int64{0, 0, 0, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &sampled{interfaces: map[exported][len(metricNames)]int64{}}
			var got []int64
			for _, m := range c.values {
				s.count(sflow.Counters{Metric: m})
				got = append(got, s.sum[c.index])
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s %v, want %v", metricNames[c.index], got, c.want)
			}
		})
	}
}

// In the graph the difference to the sample before never jumps, over a restart of the agent neither.
func TestLastUpdateOfExportersIsADifference(t *testing.T) {
	g := graph.New(graph.Options{})
	apply := func(events ...graph.Event) {
		t.Helper()
		if _, err := g.Apply(&graph.Batch{Origin: "captures@h1", Events: events}); err != nil {
			t.Fatal(err)
		}
	}
	apply(graph.Event{Op: graph.PutNode, ID: "n"})
	now := time.UnixMilli(1_000_000)
	var got []string
	for range 2 { // processes of the agent, one after the other
		s, err := listenSFlow(Target{
			Capture: skydive.Capture{Type: skydive.CaptureSFlow}, Now: func() time.Time { return now },
			Counters: func(c *graph.Counters) { apply(graph.Event{Op: graph.PutSample, ID: "n", Counters: c}) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", portOf(s)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for i, octets := range []uint32{1_000_000, 1_000_500, 1_000_700} {
			now = now.Add(2 * sampleEvery)
			if _, err := conn.Write(sample(uint32(i+1), octets)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the sample is on the node", func() string {
				if _, err := s.Read(time.Second); err != nil {
					return err.Error()
				}
				if s.news {
					return "not yet"
				}
				return ""
			})
			node, _ := g.View().Node("n")
			all, _ := node.Field("SFlow.Metric.IfInOctets")
			moved, _ := node.Field("SFlow.LastUpdateMetric.IfInOctets")
			got = append(got, fmt.Sprint(all, " ", moved.Int()))
		}
	}
	if want := "[0 0 500 500 700 200 0 0 500 500 700 200]"; fmt.Sprint(got) != want {
		t.Errorf("sums and differences %v, want %s", got, want)
	}
}
