package api_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
)

// A client that stops reading costs its queue and no more, whatever comes meanwhile; what it does not get is counted, others
// lose nothing, and in the end it is taken for gone: nothing of it stays.
func TestFlowSubscriberThatStopsReading(t *testing.T) {
	const queue, most = 256 << 10, 16 << 20
	s, hub := withFlows(t, func(d *api.Deps) {
		d.Limits.QueueBytes, d.Limits.PingDelay, d.Limits.PongTimeout = queue, 100*time.Millisecond, 5*time.Second
	})
	fast := dial(t, s, "/ws/subscriber/flow", "X-Host-ID", "fast")
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	batch := &api.FlowBatch{}
	for i := range 1000 {
		batch.Flows = append(batch.Flows, apitest.Flow(fmt.Sprint("f", i), "c1"))
	}
	silentAt(t, s, "/ws/subscriber/flow", "json")
	before := heap()
	sent, grown := 0, uint64(0)
	for deadline := time.Now().Add(30 * time.Second); metric(t, s, "weft_websocket_silent_total") == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the client that does not read is still there")
		}
		for range 10 {
			hub.Publish(batch)
			sent += len(batch.Flows)
			for got := 0; got < len(batch.Flows); {
				m := fast.next("store", "lost")
				if m.Type == "lost" {
					t.Fatal("the client that reads lost flows")
				}
				got += bytes.Count(m.Obj, []byte(`{"UUID":`))
			}
		}
		if lostFlows(t, s) > 0 {
			grown = max(grown, heap()-min(before, heap()))
		}
	}
	lost := lostFlows(t, s)
	if lost == 0 || lost > sent {
		t.Errorf("%d flows lost of %d", lost, sent)
	}
	if grown > most {
		t.Errorf("%d bytes held for a client with a queue of %d", grown, queue)
	}
	eventually(t, "nothing of it stays", func() bool {
		return metric(t, s, `weft_websockets{endpoint="/ws/subscriber/flow"}`) == 1
	})
}
