package flow

import "net/netip"

// Record is a flow as an exporter of NetFlow or IPFIX tells it: one direction, or both when the reverse counts are given.
type Record struct {
	Source, Destination         netip.Addr
	SourcePort, DestinationPort uint16
	Protocol                    uint8 // the IP protocol number
	ICMPType, ICMPCode          uint8
	TCPFlags                    uint8 // all flags seen, as in the TCP header

	// SourceMAC and DestinationMAC are zero when the exporter does not tell them.
	SourceMAC, DestinationMAC [6]byte
	VLAN                      uint16 // 0: none

	Packets, Bytes               uint64 // from the source to the destination
	ReversePackets, ReverseBytes uint64 // and back
	Start, End                   int64  // ns since the epoch
}
