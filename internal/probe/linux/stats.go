package linux

import (
	"encoding/binary"
	"hash/maphash"
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

// A measurement is what a reading of the counters says of a link: the counters, and a hash
// of all else, because the kernel does not announce every change (the alias of a link that
// is down is one).
type measurement struct {
	counters counters
	hash     uint64
}

// decodeStats takes the index and the measurement out of RTM_NEWLINK.
func decodeStats(b []byte, seed maphash.Seed) (index int, m measurement, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return 0, m, false
	}
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.Write(b[:unix.SizeofIfInfomsg])
	for kind, value := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_STATS64:
			m.counters, ok = decodeCounters(value), true
		case unix.IFLA_STATS, unix.IFLA_AF_SPEC: // the latter has IPv6's counters
		case unix.IFLA_LINK_NETNSID: // depends on who asks
		default:
			_, _ = h.Write(value)
		}
	}
	m.hash = h.Sum64()
	return int(int32(u32(b[4:]))), m, ok
}

// usual is the set of the counters that every sample names: packets, bytes, errors, drops
// and multicast. A set that seldom changes keeps a link's samples in one series.
const usual = 1<<9 - 1

// samplers make samples whose names are shared: beside the usual ones only counters that
// are not zero are named, and links that use the same ones share one list.
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

// sample makes a sample of the counters.
func (s *samplers) sample(c counters, start, last int64) *graph.Counters {
	set := uint32(usual)
	for i, v := range c {
		if v != 0 {
			set |= 1 << i
		}
	}
	names, known := s.lists[set]
	values := make([]int64, 0, counterCount)
	for _, i := range s.order {
		if set&(1<<i) == 0 {
			continue
		}
		values = append(values, int64(c[i]))
		if !known {
			names = append(names, s.names[i])
		}
	}
	s.lists[set] = names
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
