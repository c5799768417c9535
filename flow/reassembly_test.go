package flow_test

import (
	"math/rand/v2"
	"testing"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/flowtest"
)

func TestReassembly(t *testing.T) {
	type segment struct{ seq, length uint32 }
	for _, test := range []struct {
		name     string
		segments []segment
		want     flow.TCPMetric
	}{
		{"in order", []segment{{101, 10}, {111, 10}}, flow.TCPMetric{ABPackets: 2, ABBytes: 20}},
		{"one late", []segment{{111, 10}, {101, 10}, {121, 5}}, flow.TCPMetric{ABPackets: 3, ABBytes: 25, ABSegmentOutOfOrder: 1}},
		{"two late", []segment{{121, 10}, {111, 10}, {101, 10}}, flow.TCPMetric{ABPackets: 3, ABBytes: 30, ABSegmentOutOfOrder: 2}},
		{"lost", []segment{{101, 10}, {131, 10}}, flow.TCPMetric{ABPackets: 2, ABBytes: 20, ABSegmentOutOfOrder: 1, ABSegmentSkipped: 1, ABSegmentSkippedBytes: 20}},
		{"again", []segment{{101, 10}, {101, 10}}, flow.TCPMetric{ABPackets: 2, ABBytes: 20}},
		{"overlapping", []segment{{101, 10}, {106, 10}, {116, 4}}, flow.TCPMetric{ABPackets: 3, ABBytes: 24}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var r flow.Reassembly
			r.Add(false, 100, flowtest.SYN, 0)
			for _, s := range test.segments {
				r.Add(false, s.seq, flowtest.ACK, s.length)
			}
			r.Add(true, 7, flowtest.SYN|flowtest.ACK, 0)
			r.Add(true, 8, flowtest.FIN|flowtest.ACK, 0)
			r.Close()
			var got flow.TCPMetric
			r.Fill(&got)
			test.want.ABSawStart, test.want.BASawStart, test.want.BASawEnd = 1, 1, 1
			if got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

// Segments that swap places near each other, around the end of the sequence numbers too, leave no gap.
func TestReassemblyShuffled(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 1))
		start := uint32(0xffffffff) - rng.Uint32N(2000)
		var r flow.Reassembly
		r.Add(false, start, flowtest.SYN, 0)
		for block := range uint32(20) {
			for _, i := range rng.Perm(8) {
				r.Add(false, start+1+(block*8+uint32(i))*100, flowtest.ACK, 100)
			}
		}
		r.Close()
		var got flow.TCPMetric
		r.Fill(&got)
		if got.ABSegmentSkipped != 0 || got.ABBytes != 16000 || got.ABSegmentOutOfOrder == 0 {
			t.Fatalf("seed %d: %+v", seed, got)
		}
	}
}

// Every other segment lost, without end: what is kept stays bounded and the gaps are counted.
func TestReassemblySkipsWhatDoesNotCome(t *testing.T) {
	var r flow.Reassembly
	r.Add(false, 0, flowtest.SYN, 0)
	for i := range uint32(1000) {
		r.Add(false, 1+i*200+100, flowtest.ACK, 100)
	}
	r.Close()
	var got flow.TCPMetric
	r.Fill(&got)
	if got.ABSegmentSkipped != 1000 || got.ABSegmentSkippedBytes != 100000 {
		t.Errorf("%+v", got)
	}
}
