package linux

import (
	"encoding/binary"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
)

// counterNames are Skydive's names in the order of struct rtnl_link_stats64.
func counterNames() []string {
	return []string{
		"RxPackets", "TxPackets", "RxBytes", "TxBytes", "RxErrors", "TxErrors", "RxDropped", "TxDropped",
		"Multicast", "Collisions",
		"RxLengthErrors", "RxOverErrors", "RxCrcErrors", "RxFrameErrors", "RxFifoErrors", "RxMissedErrors",
		"TxAbortedErrors", "TxCarrierErrors", "TxFifoErrors", "TxHeartbeatErrors", "TxWindowErrors",
		"RxCompressed", "TxCompressed",
	}
}

const counterCount = 23

// counters are the values of a link, in the order of counterNames.
type counters [counterCount]uint64

// decodeCounters reads the value of IFLA_STATS64.
func decodeCounters(b []byte) (c counters) {
	for i := range c {
		if len(b) < 8*(i+1) {
			break
		}
		c[i] = binary.NativeEndian.Uint64(b[8*i:])
	}
	return c
}

// decodeStats takes the index and the counters out of RTM_NEWLINK.
func decodeStats(b []byte) (index int, c counters, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return 0, c, false
	}
	for kind, value := range attributes(b[unix.SizeofIfInfomsg:]) {
		if kind == unix.IFLA_STATS64 {
			return int(int32(u32(b[4:]))), decodeCounters(value), true
		}
	}
	return 0, c, false
}

// samplers make samples whose names are shared: only counters that are not zero are named,
// as in Skydive's metadata, and links that use the same ones share one list.
type samplers struct {
	names []string // in the kernel's order
	order []int    // the kernel's positions in the order of names
	lists map[uint32][]string
}

func newSamplers() *samplers {
	s := &samplers{names: counterNames(), lists: make(map[uint32][]string)}
	s.order = sortedOrder(s.names)
	return s
}

// sample makes a sample of the counters, nil when all are zero.
func (s *samplers) sample(c counters, start, last int64) *graph.Counters {
	var set uint32
	n := 0
	for i, v := range c {
		if v != 0 {
			set |= 1 << i
			n++
		}
	}
	if n == 0 {
		return nil
	}
	names, ok := s.lists[set]
	if !ok {
		names = make([]string, 0, n)
		for _, i := range s.order {
			if set&(1<<i) != 0 {
				names = append(names, s.names[i])
			}
		}
		s.lists[set] = names
	}
	values := make([]int64, 0, n)
	for _, i := range s.order {
		if set&(1<<i) != 0 {
			values = append(values, int64(c[i]))
		}
	}
	return &graph.Counters{Prefix: "Metric", Names: names, Values: values, Start: start, Last: last}
}

// sortedOrder returns the positions of the names in alphabetical order.
func sortedOrder(names []string) []int {
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(names[a], names[b]) })
	return order
}
