package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/skydive"
)

// BenchmarkPublish is one client that publishes nodes and edges of about 300 bytes, and
// waits until all are visible. The client's own cost is in the figure.
func BenchmarkPublish(b *testing.B) {
	for _, protocol := range []string{"json", "protobuf"} {
		b.Run(protocol, func(b *testing.B) {
			s := apitest.Start(b)
			w := dial(b, s, "/ws/publisher", "X-Host-ID", "h", "X-Client-Protocol", protocol)
			frames := make([][]byte, b.N)
			for i := range frames {
				m := skydive.Message{Namespace: "Graph", Type: "NodeAdded", UUID: "6ba7b810-9dad-11d1-80b4-00c04fd430c8", Status: 200}
				if i%2 == 0 {
					m.Obj = fmt.Appendf(nil, `{"ID":"node-%d","Metadata":{"Name":"eth%d","Type":"device","MAC":"00:11:22:33:44:55","MTU":1500,"State":"UP","IfIndex":12,"Driver":"e1000","IPV4":["10.0.0.1/24"],"Speed":1000},"Host":"host-1","CreatedAt":1700000000000,"UpdatedAt":1700000000000,"DeletedAt":null,"Revision":1}`, i, i)
				} else {
					m.Type = "EdgeAdded"
					m.Obj = fmt.Appendf(nil, `{"ID":"edge-%d","Metadata":{"RelationType":"layer2"},"Host":"host-1","CreatedAt":1700000000000,"UpdatedAt":1700000000000,"DeletedAt":null,"Revision":1,"Parent":"node-0","Child":"node-%d"}`, i, i-1)
				}
				if w.protobuf {
					frames[i] = m.AppendProto(nil)
				} else {
					frames[i], _ = m.AppendJSON(nil)
				}
			}
			kind := websocket.MessageText
			if w.protobuf {
				kind = websocket.MessageBinary
			}
			b.ReportAllocs()
			b.ResetTimer()
			for _, data := range frames {
				if err := w.conn.Write(context.Background(), kind, data); err != nil {
					b.Fatal(err)
				}
			}
			w.flush()
			b.StopTimer()
			if n := s.Graph.View().NodeCount() + s.Graph.View().EdgeCount(); n != b.N {
				b.Fatalf("%d of %d elements", n, b.N)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "elements/s")
		})
	}
}

// fill puts n nodes and n edges into the graph.
func fill(b testing.TB, s *apitest.Server, n int) {
	events := make([]graph.Event, 0, 2*n)
	for i := range n {
		events = append(events, apitest.Node(fmt.Sprint("n", i), fmt.Sprint("name-", i), "device", graph.F("MTU", graph.Int(1500)), graph.F("Group", graph.String(fmt.Sprint("g", i%100)))))
	}
	for i := range n {
		events = append(events, apitest.Edge(fmt.Sprint("e", i), fmt.Sprint("n", i), fmt.Sprint("n", (i+1)%n), "layer2"))
	}
	s.Apply(b, "probe", events...)
}

// BenchmarkQuery is POST /api/topology over 10,000 nodes and edges; p50 is the median.
func BenchmarkQuery(b *testing.B) {
	for name, query := range map[string]string{"Has": "G.V().Has('Name','name-77')", "G": "G"} {
		b.Run(name, func(b *testing.B) {
			s := apitest.Start(b)
			fill(b, s, 10_000)
			client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
			defer client.CloseIdleConnections()
			var times []time.Duration
			var size int64
			for b.Loop() {
				start := time.Now()
				res, err := client.Post(s.URL+"/api/topology", "application/json", strings.NewReader(fmt.Sprintf(`{"GremlinQuery":%q}`, query)))
				if err != nil {
					b.Fatal(err)
				}
				size, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				times = append(times, time.Since(start))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "p50-ns")
			b.ReportMetric(float64(size), "bytes")
		})
	}
}

// BenchmarkFilters is 100 subscribers with 100 different filters while one node in 1,000
// a second changes: cpu is the share of one core, of server and clients together.
func BenchmarkFilters(b *testing.B) {
	s := apitest.Start(b)
	fill(b, s, 10_000)
	var clients []*wire
	for i := range 100 {
		w := dial(b, s, "/ws/subscriber", "X-Host-ID", fmt.Sprint("s", i), "X-Gremlin-Filter", fmt.Sprintf("G.V().Has('Group','g%d').SubGraph()", i))
		w.say("SyncRequest", "1", "{}")
		w.next("SyncReply")
		clients = append(clients, w)
	}
	const changes = 1000
	for b.Loop() {
		before := cpu()
		start := time.Now()
		pace := time.NewTicker(time.Millisecond)
		for i := range changes {
			<-pace.C
			s.Apply(b, "probe", apitest.Node(fmt.Sprint("n", i), fmt.Sprint("name-", i), "device", graph.F("MTU", graph.Int(time.Now().UnixNano())), graph.F("Group", graph.String(fmt.Sprint("g", i%100)))))
		}
		pace.Stop()
		for _, w := range clients {
			for range changes / 100 {
				w.next("NodeUpdated")
			}
		}
		b.ReportMetric(100*(cpu()-before).Seconds()/time.Since(start).Seconds(), "cpu-%")
	}
}

func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
