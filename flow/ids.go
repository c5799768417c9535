package flow

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// ids are the numbers that name a flow. Their hexadecimal form is what people see.
type ids struct {
	flow, tracking, tracking3 uint64
}

// Types of endpoints, written into the ids as 8 bytes.
const (
	endpointNone = 0
	endpointIPv4 = 1
	endpointIPv6 = 2
	endpointMAC  = 3
	endpointTCP  = 4
	endpointUDP  = 5
	endpointSCTP = 6
	endpointLite = 8
)

// namer computes ids. It keeps a buffer and a digest, so that it allocates nothing.
type namer struct {
	buffer [160]byte
	digest xxhash.Digest
	node   []byte // the NodeTID
}

// name returns the ids of a flow that began at start (ms).
//
// L3TrackingID is xxHash64 with seed 0 over: the network addresses, raw, and the endpoint type as 8 bytes, most significant
// first; the ports and their type, for VXLAN and Geneve the destination port in 2 bytes, the VNI in 4 and the type 0; for
// ICMP type<<24|code<<16|id in 4 bytes. Each pair of addresses or ports stands in ascending order of its own. TrackingID goes on
// with the MAC addresses and their type (in L3 mode only where there is no network layer), the key of the flow with
// ParentUUID as text. UUID is xxHash64 seeded with that key over the start, 8 bytes, and NodeTID.
//
// Where that leaves flows alike that the table tells apart (other ethertypes and protocols between the same addresses),
// the last word of the key goes into the UUID's seed, but not into the tracking ids.
func (n *namer) name(k *key, parent uint64, start int64) ids {
	b := n.buffer[:0]
	kind := k[keyKind]
	switch {
	case kind&kindIPv4 != 0:
		b = binary.BigEndian.AppendUint32(b, uint32(k[keyLow+1]))
		b = binary.BigEndian.AppendUint32(b, uint32(k[keyHigh+1]))
		b = binary.BigEndian.AppendUint64(b, endpointIPv4)
	case kind&kindIPv6 != 0:
		for _, word := range k[keyLow:keyLowLink] {
			b = binary.BigEndian.AppendUint64(b, word)
		}
		b = binary.BigEndian.AppendUint64(b, endpointIPv6)
	}
	switch {
	case kind&kindTunnel != 0:
		b = binary.BigEndian.AppendUint16(b, uint16(k[keyLowLink]))
		b = binary.BigEndian.AppendUint32(b, uint32(k[keyApp]>>32))
		b = binary.BigEndian.AppendUint64(b, endpointNone)
	case kind&kindPorts != 0:
		b = binary.BigEndian.AppendUint16(b, uint16(k[keyLowLink]))
		b = binary.BigEndian.AppendUint16(b, uint16(k[keyHighLink]))
		b = binary.BigEndian.AppendUint64(b, endpointOf(kind))
	}
	if kind&kindICMP != 0 {
		b = binary.BigEndian.AppendUint32(b, uint32(k[keyApp]>>32))
	}
	var out ids
	out.tracking3 = xxhash.Sum64(b)
	if kind&kindMACs != 0 {
		low, high := k[keyLowLink]>>16, k[keyHighLink]>>16
		b = binary.BigEndian.AppendUint16(b, uint16(low>>32))
		b = binary.BigEndian.AppendUint32(b, uint32(low))
		b = binary.BigEndian.AppendUint16(b, uint16(high>>32))
		b = binary.BigEndian.AppendUint32(b, uint32(high))
		b = binary.BigEndian.AppendUint64(b, endpointMAC)
		out.tracking = xxhash.Sum64(b)
	} else {
		out.tracking = out.tracking3
	}
	seed := out.tracking
	if parent != 0 {
		b = appendID(b, parent)
		seed = xxhash.Sum64(b)
	}
	if kind&(kindPorts|kindICMP|kindTunnel) == 0 {
		seed ^= (kind &^ kindLive) * 0x9e3779b97f4a7c15
	}
	n.digest.ResetWithSeed(seed)
	_, _ = n.digest.Write(binary.BigEndian.AppendUint64(n.buffer[:0], uint64(start)))
	_, _ = n.digest.Write(n.node)
	out.flow = n.digest.Sum64()
	return out
}

// endpointOf returns the type of the ports of a key.
func endpointOf(kind uint64) uint64 {
	switch kind & kindProtocol {
	case 6:
		return endpointTCP
	case 17:
		return endpointUDP
	case 132:
		return endpointSCTP
	}
	return endpointLite
}

const hexDigits = "0123456789abcdef"

// appendID appends an id as 16 hexadecimal digits.
func appendID(b []byte, id uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, hexDigits[id>>shift&15])
	}
	return b
}
