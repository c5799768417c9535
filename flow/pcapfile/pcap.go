package pcapfile

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/weft-net/weft/flow"
)

// Lengths and magic numbers of pcap (draft-ietf-opsawg-pcap, section 4).
const (
	pcapFileHeader   = 24
	pcapRecordHeader = 16
	// patchedRecordHeader is that of Kuznetzov's patch of libpcap, with an interface and a protocol behind the lengths.
	patchedRecordHeader = 24

	magicMicro   = 0xa1b2c3d4
	magicNano    = 0xa1b23c4d
	magicPatched = 0xa1b2cd34
)

// pcap decodes the records of a pcap file.
type pcap struct {
	swapped bool // the file is big-endian
	record  int  // length of a record's header
	unit    int64
	link    flow.LinkType
	largest uint32
}

// magic reports whether a file of this format begins so.
func (f *pcap) magic(head []byte) bool {
	first := binary.LittleEndian.Uint32(head)
	switch first {
	case bits.ReverseBytes32(magicMicro), bits.ReverseBytes32(magicNano), bits.ReverseBytes32(magicPatched):
		f.swapped = true
		first = bits.ReverseBytes32(first)
	}
	f.record, f.unit = pcapRecordHeader, 1000
	switch first {
	case magicMicro:
	case magicNano:
		f.unit = 1
	case magicPatched:
		f.record = patchedRecordHeader
	default:
		return false
	}
	return true
}

func (f *pcap) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if f.swapped {
		v = bits.ReverseBytes32(v)
	}
	return v
}

// header reads the file's header, after magic.
func (f *pcap) header(head []byte) error {
	major := binary.LittleEndian.Uint16(head[4:])
	if f.swapped {
		major = bits.ReverseBytes16(major)
	}
	if major != 2 {
		return fmt.Errorf("%w: pcap version %d, where 2 is known", ErrFormat, major)
	}
	f.largest = max(usualPacket, min(f.u32(head[16:]), largestPacket))
	f.link = linkType(f.u32(head[20:]) & 0xffff) // above: the length of the FCS
	return nil
}

// linkType gives one number to what systems write in several ways.
func linkType(number uint32) flow.LinkType {
	switch link := flow.LinkType(number); link {
	case flow.LinkRawBSD, flow.LinkRawOpenBSD:
		return flow.LinkRaw
	default:
		return link
	}
}

func (f *pcap) parse(r *Reader, b *Batch, data []byte, offset int64) (used, need int, err error) {
	for {
		rest := data[used:]
		if len(rest) < f.record {
			return used, f.record, nil
		}
		captured := f.u32(rest[8:12])
		if captured > f.largest {
			return used, 0, r.stop(offset+int64(used), fmt.Sprintf("a packet of %d bytes, where %d is the most", captured, f.largest))
		}
		end := f.record + int(captured)
		if len(rest) < end {
			return used, end, nil
		}
		b.add(f.link, flow.Packet{
			Data:   rest[f.record:end:end],
			Length: int(max(f.u32(rest[12:16]), captured)),
			Time:   int64(f.u32(rest))*1e9 + int64(f.u32(rest[4:8]))*f.unit,
		})
		used += end
	}
}
