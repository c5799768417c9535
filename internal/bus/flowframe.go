package bus

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// A flow batch is one message: a byte with the version, the number of the spool that keeps the batch until it is
// acknowledged, the batch's number in that spool (both of eight bytes, big endian), and what the agent encoded.
const (
	flowVersion = 1
	flowHeader  = 1 + 8 + 8
	flowPrefix  = "weft.flow."
)

var errFlowFrame = errors.New("no flow batch of this version")

// FlowSubject is where the member's flow batches go.
func FlowSubject(member string) string { return flowPrefix + Token(member) }

type flowFrame struct {
	spool, seq uint64
	data       []byte
}

func appendFlowFrame(dst []byte, f flowFrame) []byte {
	dst = append(dst, flowVersion)
	dst = binary.BigEndian.AppendUint64(dst, f.spool)
	dst = binary.BigEndian.AppendUint64(dst, f.seq)
	return append(dst, f.data...)
}

func parseFlowFrame(data []byte) (flowFrame, error) {
	if len(data) < flowHeader || data[0] != flowVersion {
		return flowFrame{}, errFlowFrame
	}
	return flowFrame{
		spool: binary.BigEndian.Uint64(data[1:]), seq: binary.BigEndian.Uint64(data[9:]), data: data[flowHeader:],
	}, nil
}

// seen remembers which batches of a spool were taken: all up to low, and those in above.
type seen struct {
	low   uint64
	above map[uint64]struct{}
}

// mostAhead is how many batches of a spool may be remembered beyond a gap. A sender's window is smaller.
const mostAhead = 1 << 14

// add notes a batch; false when it was there already.
func (s *seen) add(seq uint64) bool {
	if _, again := s.above[seq]; again || seq <= s.low && s.low > 0 {
		return false
	}
	if s.above == nil {
		s.above = map[uint64]struct{}{}
	}
	s.above[seq] = struct{}{}
	if len(s.above) > mostAhead { // what is missing before them was given up by its sender
		s.low = slices.Min(slices.Collect(maps.Keys(s.above))) - 1
	}
	for {
		if _, ok := s.above[s.low+1]; !ok {
			return true
		}
		s.low++
		delete(s.above, s.low)
	}
}
