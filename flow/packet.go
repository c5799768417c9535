package flow

// LinkType says how a frame begins: the LINKTYPE_ numbers of pcap files (https://www.tcpdump.org/linktypes.html).
type LinkType uint16

// The link types that the decoder reads.
const (
	LinkNull      LinkType = 0   // BSD loopback: the family in the byte order of the machine that captured
	LinkEthernet  LinkType = 1   //
	LinkRaw       LinkType = 101 // IPv4 or IPv6, told apart by the version
	LinkLoop      LinkType = 108 // OpenBSD loopback: the family in network byte order
	LinkLinuxSLL  LinkType = 113 // Linux cooked capture
	LinkIPv4      LinkType = 228
	LinkIPv6      LinkType = 229
	LinkLinuxSLL2 LinkType = 276 // Linux cooked capture v2
	// LinkRawBSD and LinkRawOpenBSD are DLT_RAW of systems that write it to files as it is.
	LinkRawBSD     LinkType = 12
	LinkRawOpenBSD LinkType = 14
)

// Known says whether the decoder reads packets of this type; others are dropped by [CauseDecoder].
func (l LinkType) Known() bool { return contentOf(l) != contentBad }

// Packet is one packet as it was captured. A table reads Data during Add and copies what it keeps, so the memory may be used
// again as soon as Add has returned.
type Packet struct {
	Data      []byte // what was captured, from the link header on
	Length    int    // bytes on the wire; less than len(Data) counts as len(Data)
	Time      int64  // ns since the epoch
	VLAN      uint16 // the tag control information that the driver stripped
	VLANProto uint16 // its protocol, 0x8100 or 0x88a8; 0 is 0x8100
	HasVLAN   bool
}
