package afpacket

import (
	"testing"
	"time"
)

// BenchmarkRing is what a ring gives of 64-byte packets that a thread of its own sends as fast as it can: ns a packet
// that was received, and which part of them the ring dropped.
func BenchmarkRing(b *testing.B) {
	w := newWire(b)
	ring := w.open(Options{RingBytes: 64 << 20, SnapLen: 96})[0]
	frame := udp(1000, 2000, 1, 0)
	done := make(chan struct{})
	b.ResetTimer()
	go func() {
		defer close(done)
		for range b.N {
			w.send(frame)
		}
	}()
	given := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		packets, err := ring.Read(10 * time.Millisecond)
		if err != nil {
			b.Fatal(err)
		}
		given += len(packets)
	}
	given += rest(b, ring)
	b.StopTimer()
	total := stats(b, ring)
	if total.Received != uint64(b.N) || total.Received-total.Dropped != uint64(given) {
		b.Fatalf("%+v of %d sent and %d given", total, b.N, given)
	}
	b.ReportMetric(100*float64(total.Dropped)/float64(total.Received), "%dropped")
}

// BenchmarkBlocks is the cost of the reader alone: a full block of 64-byte packets again and again.
func BenchmarkBlocks(b *testing.B) {
	w := newWire(b)
	ring := w.open(Options{SnapLen: 64})[0]
	w.send(numbers(5000, 1000, 2000)...)
	if _, err := ring.Read(time.Second); err != nil {
		b.Fatal(err)
	}
	header := ring.header()
	block := ring.memory[ring.at*ring.block : (ring.at+1)*ring.block]
	b.ReportAllocs()
	packets := 0
	for b.Loop() {
		ring.packets = slicePackets(ring.packets[:0], block, header.Offset_to_first_pkt, header.Num_pkts)
		packets += len(ring.packets)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
}
