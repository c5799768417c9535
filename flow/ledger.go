package flow

import (
	"strconv"
)

// Cause says where packets were lost. Its String is the name used everywhere: API, metrics, command line.
type Cause uint8

// The causes of a loss.
const (
	CauseRing    Cause = iota // the kernel's ring was full
	CauseDecoder              // the link header could not be read
	CauseTable                // the table had no room
	CauseQueue                // reports left the agent's bounded queue unsent
	CauseDown                 // the agent did not run

	NumCauses = 5
)

// String returns the name of a cause: "ring", "decoder", "table", "queue" or "agent_down".
func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "cause_" + strconv.Itoa(int(c))
}

var causeNames = [NumCauses]string{"ring", "decoder", "table", "queue", "agent_down"}

// Fault says what was wrong with a packet that was counted all the same.
type Fault uint8

// The faults of packets.
const (
	FaultTruncated  Fault = iota // a header runs past what was captured
	FaultHeader                  // a header contradicts itself: a version or a length that cannot be
	FaultLength                  // a length that runs past the end of the packet
	FaultDepth                   // more headers or tunnels than the decoder follows
	FaultFragment                // a fragment that overlaps or contradicts others of its datagram
	FaultTime                    // a timestamp before that of the packet before, by more than a second
	FaultLink                    // a link type the decoder does not know
	FaultIncomplete              // a datagram whose fragments did not all come; found with IPDefrag only
	FaultMessage                 // a DNS, DHCPv4 or VRRP message that could not be read; found with ExtraLayers only
	FaultOrphan                  // a fragment whose first came later, not at all, or too long ago: in a flow of the addresses alone
	FaultNotKept                 // a packet or message that RawPacketLimit or ExtraLayers asks for, and that found no room

	NumFaults = 11
)

// String returns the name of a fault.
func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return "fault_" + strconv.Itoa(int(f))
}

var faultNames = [NumFaults]string{"truncated", "header", "length", "depth", "fragment", "time", "link", "incomplete", "message", "orphan", "not_kept"}

// Ledger accounts for packets: those that passed the filter of a capture equal those counted in flows plus those dropped, by
// cause, exactly. A packet in a tunnel counts once, in its outermost flow, however many child flows it also moves.
type Ledger struct {
	Received     uint64            // packets that passed the capture's filter
	Counted      uint64            // in flows, reported or still in the table
	CountedBytes uint64            //
	Reported     uint64            // of Counted: in flow reports so far
	Drops        [NumCauses]uint64 // by Cause
	Flows        uint64            // flows begun
	FlowsEvicted uint64            // of those, evicted before their time
	FlowsLive    uint64            // in the table now
	Faults       [NumFaults]uint64 // by Fault, of packets that were counted
}

// Add returns the sum of two ledgers.
func (l Ledger) Add(o Ledger) Ledger {
	l.Received += o.Received
	l.Counted += o.Counted
	l.CountedBytes += o.CountedBytes
	l.Reported += o.Reported
	l.Flows += o.Flows
	l.FlowsEvicted += o.FlowsEvicted
	l.FlowsLive += o.FlowsLive
	for i := range l.Drops {
		l.Drops[i] += o.Drops[i]
	}
	for i := range l.Faults {
		l.Faults[i] += o.Faults[i]
	}
	return l
}

// Dropped returns the packets dropped, by whatever cause.
func (l Ledger) Dropped() uint64 {
	var sum uint64
	for _, n := range l.Drops {
		sum += n
	}
	return sum
}

// Balanced reports whether every packet received is accounted for.
func (l Ledger) Balanced() bool { return l.Received == l.Counted+l.Dropped() }

// MarshalJSON writes a ledger with the names of causes and faults; those that did not happen are left out.
func (l Ledger) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 256)
	number := func(name string, n uint64) {
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, `":`...)
		b = strconv.AppendUint(b, n, 10)
		b = append(b, ',')
	}
	b = append(b, '{')
	number("Received", l.Received)
	number("Counted", l.Counted)
	number("CountedBytes", l.CountedBytes)
	number("Reported", l.Reported)
	number("Flows", l.Flows)
	number("FlowsEvicted", l.FlowsEvicted)
	number("FlowsLive", l.FlowsLive)
	object := func(name string, n int, value func(i int) (string, uint64)) {
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, `":{`...)
		for i := range n {
			if key, v := value(i); v != 0 {
				number(key, v)
			}
		}
		if b[len(b)-1] == ',' {
			b = b[:len(b)-1]
		}
		b = append(b, '}', ',')
	}
	object("Drops", NumCauses, func(i int) (string, uint64) { return Cause(i).String(), l.Drops[i] })
	object("Faults", NumFaults, func(i int) (string, uint64) { return Fault(i).String(), l.Faults[i] })
	b[len(b)-1] = '}'
	return b, nil
}
