package flow

import "strconv"

// Protocol is the protocol of a layer of a flow, numbered as in Skydive's FlowProtocol.
type Protocol uint8

// The protocols of layers.
const (
	Ethernet Protocol = iota
	IPv4
	TCP
	UDP
	SCTP
	IPv6
	ICMPv4
	ICMPv6
)

var protocolNames = [...]string{"ETHERNET", "IPV4", "TCP", "UDP", "SCTP", "IPV6", "ICMPV4", "ICMPV6"}

// String gives Skydive's name, the one in JSON.
func (p Protocol) String() string { return enumName(protocolNames[:], uint64(p)) }

// ICMPType is what an ICMP message is about, numbered as in Skydive's ICMPType: requests and their answers share one,
// and so do both versions of ICMP.
type ICMPType uint8

// The ICMP types.
const (
	ICMPUnknown ICMPType = iota
	ICMPDestinationUnreachable
	ICMPEcho
	ICMPNeighbor
	ICMPAddressMask
	ICMPInfo
	ICMPParameterProblem
	ICMPRedirect
	ICMPRouter
	ICMPSourceQuench
	ICMPTimeExceeded
	ICMPTimestamp
	ICMPPacketTooBig
)

var icmpNames = [...]string{
	"UNKNOWN", "DESTINATION_UNREACHABLE", "ECHO", "NEIGHBOR", "ADDRESS_MASK", "INFO", "PARAMETER_PROBLEM",
	"REDIRECT", "ROUTER", "SOURCE_QUENCH", "TIME_EXCEEDED", "TIMESTAMP", "PACKET_TOO_BIG",
}

// String gives Skydive's name, the one in JSON.
func (t ICMPType) String() string { return enumName(icmpNames[:], uint64(t)) }

// FinishType says how a flow ended, numbered as in Skydive; JSON shows the number.
type FinishType uint8

// The ways a flow ends.
const (
	NotFinished FinishType = iota
	FinishTimeout
	FinishFIN
	FinishRST
)

var finishNames = [...]string{"NOT_FINISHED", "TIMEOUT", "TCP_FIN", "TCP_RST"}

// String gives Skydive's name.
func (t FinishType) String() string { return enumName(finishNames[:], uint64(t)) }

// enumName gives a name, or the number where there is none (a newer peer may send one).
func enumName(names []string, n uint64) string {
	if n < uint64(len(names)) {
		return names[n]
	}
	return strconv.FormatUint(n, 10)
}
