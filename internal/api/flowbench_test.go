package api_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
)

// BenchmarkFlowSubscriber is one client that receives flows in messages of about 128 KiB;
// the client's own cost is in the figure, but for decoding.
func BenchmarkFlowSubscriber(b *testing.B) {
	for _, protocol := range []string{"json", "protobuf"} {
		b.Run(protocol, func(b *testing.B) {
			s, hub := withFlows(b, func(d *api.Deps) { d.Limits.QueueBytes = 1 << 30 })
			const size = 1000
			batch := &api.FlowBatch{Host: "h"}
			for i := range size {
				f := apitest.Flow(fmt.Sprintf("%016x", i), "c1")
				batch.Flows = append(batch.Flows, f)
			}
			w := silentAs(b, s, protocol)
			conn := w.conn
			var buf bytes.Buffer
			var total int64
			b.ReportAllocs()
			b.ResetTimer()
			published, got := 0, 0
			last := []byte(fmt.Sprintf("%016x", size-1))
			for got < b.N {
				for published < b.N && published-got < 64*size {
					hub.Publish(batch)
					published += size
				}
				_, reader, err := conn.Reader(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				buf.Reset()
				if _, err := buf.ReadFrom(reader); err != nil {
					b.Fatal(err)
				}
				total += int64(buf.Len())
				if bytes.Contains(buf.Bytes(), last) {
					got += size
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(got)/b.Elapsed().Seconds(), "flows/s")
			b.ReportMetric(float64(total)/float64(got), "bytes/flow")
		})
	}
}
