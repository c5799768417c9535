package pcapfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/weft-net/weft/flow"
)

// Block types, lengths and options of pcapng (draft-ietf-opsawg-pcapng, sections 3 and 4).
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockOldPacket  = 2
	blockSimple     = 3
	blockStatistics = 5
	blockPacket     = 6

	byteOrderMagic = 0x1a2b3c4d

	optionResolution = 9  // of an interface: if_tsresol
	optionOffset     = 14 // of an interface: if_tsoffset
	optionLost       = 5  // of statistics: isb_ifdrop
	optionLostBySys  = 7  // of statistics: isb_osdrop

	blockFrame = 12 // type, length, and the length again at the end
	// largestDescription bounds a section header and an interface description.
	largestDescription = 1 << 20
	// mostInterfaces bounds what a file can make the reader remember.
	mostInterfaces = 1 << 16
)

// pcapng decodes the blocks of a pcapng file.
type pcapng struct {
	swapped    bool // the section is big-endian
	section    bool // a section has begun
	interfaces []ngInterface
	last       int64  // time of the last packet, for the next that has none
	lostBefore uint64 // in the sections before
}

// ngInterface is what an interface description says.
type ngInterface struct {
	link  flow.LinkType
	snap  uint32
	clock clock
	lost  uint64
}

func (f *pcapng) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if f.swapped {
		v = bits.ReverseBytes16(v)
	}
	return v
}

func (f *pcapng) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if f.swapped {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func (f *pcapng) u64(b []byte) uint64 {
	v := binary.LittleEndian.Uint64(b)
	if f.swapped {
		v = bits.ReverseBytes64(v)
	}
	return v
}

// stamp reads a time stamp, which has its high half first in both byte orders.
func (f *pcapng) stamp(b []byte) uint64 { return uint64(f.u32(b))<<32 | uint64(f.u32(b[4:])) }

func (f *pcapng) parse(r *Reader, b *Batch, data []byte, offset int64) (used, need int, err error) {
	for {
		rest, at := data[used:], offset+int64(used)
		if len(rest) < blockFrame {
			return used, blockFrame, nil
		}
		kind := f.u32(rest)
		if kind == blockSection {
			if err := f.order(r, rest[8:], at); err != nil {
				return used, 0, err
			}
		}
		length := f.u32(rest[4:])
		if length < blockFrame || length%4 != 0 {
			return used, 0, r.stop(at, fmt.Sprintf("a block of %d bytes", length))
		}
		if !f.section {
			return used, 0, r.stop(at, "no section header")
		}
		if uint64(length) > f.largest(kind) {
			if kind == blockSection || kind == blockInterface {
				return used, 0, r.stop(at, fmt.Sprintf("a description of %d bytes", length))
			}
			if f.packets(kind) {
				r.wrong(at, fmt.Sprintf("a packet block of %d bytes", length))
			}
			r.skip, r.skipFrom = int64(length), at
			return used, 0, nil
		}
		if uint64(len(rest)) < uint64(length) {
			return used, int(length), nil
		}
		block := rest[:length]
		if f.u32(block[length-4:]) != length {
			return used, 0, r.stop(at, "the length at the end of a block is not the one at its beginning")
		}
		if text := f.block(b, kind, block[8:length-4]); text != "" {
			if kind == blockInterface || kind == blockSection {
				return used, 0, r.stop(at, text) // every packet behind it would be read wrongly
			}
			r.wrong(at, text)
		}
		used += int(length)
	}
}

// order finds the byte order of a section that begins.
func (f *pcapng) order(r *Reader, magic []byte, at int64) error {
	switch binary.LittleEndian.Uint32(magic) {
	case byteOrderMagic:
		f.swapped = false
	case bits.ReverseBytes32(byteOrderMagic):
		f.swapped = true
	default:
		return r.stop(at, "a section header without the byte order")
	}
	f.section = true
	return nil
}

func (f *pcapng) packets(kind uint32) bool {
	return kind == blockPacket || kind == blockSimple || kind == blockOldPacket
}

// largest is how long a block may be that is looked into; others are skipped whatever they hold.
func (f *pcapng) largest(kind uint32) uint64 {
	switch {
	case f.packets(kind):
		return largestPacket
	case kind == blockSection, kind == blockInterface, kind == blockStatistics:
		return largestDescription
	}
	return chunk // skipped as it is read, when it fits
}

// block reads the body of a block and says what is wrong with it, or "".
func (f *pcapng) block(b *Batch, kind uint32, body []byte) string {
	switch kind {
	case blockPacket:
		if len(body) < 20 {
			return "a packet block that is too short"
		}
		return f.packet(b, f.u32(body), f.stamp(body[4:]), f.u32(body[12:]), f.u32(body[16:]), body[20:])
	case blockOldPacket:
		if len(body) < 20 {
			return "a packet block that is too short"
		}
		return f.packet(b, uint32(f.u16(body)), f.stamp(body[4:]), f.u32(body[12:]), f.u32(body[16:]), body[20:])
	case blockSimple:
		return f.simple(b, body)
	case blockInterface:
		return f.describe(body)
	case blockStatistics:
		f.statistics(body)
	case blockSection:
		if len(body) < 16 {
			return "a section header that is too short"
		}
		if major := f.u16(body[4:]); major != 1 {
			return fmt.Sprintf("pcapng version %d, where 1 is known", major)
		}
		f.lostBefore = f.lost()
		f.interfaces = f.interfaces[:0]
	}
	return ""
}

func (f *pcapng) packet(b *Batch, on uint32, stamp uint64, captured, length uint32, data []byte) string {
	if uint64(on) >= uint64(len(f.interfaces)) {
		return fmt.Sprintf("a packet of interface %d, which is not described", on)
	}
	if uint64(captured) > uint64(len(data)) {
		return fmt.Sprintf("a packet of %d bytes in a block with room for %d", captured, len(data))
	}
	i := &f.interfaces[on]
	f.last = i.clock.time(stamp)
	b.add(i.link, flow.Packet{Data: data[:captured:captured], Length: int(max(length, captured)), Time: f.last})
	return ""
}

// simple reads a packet without a time of its own: it gets that of the packet before it.
func (f *pcapng) simple(b *Batch, body []byte) string {
	if len(f.interfaces) == 0 {
		return "a packet without a described interface"
	}
	if len(body) < 4 {
		return "a packet block that is too short"
	}
	i := &f.interfaces[0]
	length, data := f.u32(body), body[4:]
	captured := length
	if i.snap > 0 {
		captured = min(captured, i.snap)
	}
	if uint64(captured) > uint64(len(data)) {
		return fmt.Sprintf("a packet of %d bytes in a block with room for %d", captured, len(data))
	}
	b.add(i.link, flow.Packet{Data: data[:captured:captured], Length: int(length), Time: f.last})
	return ""
}

// describe reads an interface description.
func (f *pcapng) describe(body []byte) string {
	if len(body) < 8 {
		return "an interface description that is too short"
	}
	if len(f.interfaces) == mostInterfaces {
		return fmt.Sprintf("more than %d interfaces", mostInterfaces)
	}
	i := ngInterface{link: linkType(uint32(f.u16(body))), snap: f.u32(body[4:]), clock: clockOf(6, 0)}
	resolution, offset := byte(6), int64(0)
	f.options(body[8:], func(code uint16, value []byte) {
		switch {
		case code == optionResolution && len(value) == 1:
			resolution = value[0]
		case code == optionOffset && len(value) == 8:
			offset = int64(f.u64(value))
		}
	})
	i.clock = clockOf(resolution, offset)
	f.interfaces = append(f.interfaces, i)
	return ""
}

// statistics reads what the capturing program lost. What it cannot read tells nothing.
func (f *pcapng) statistics(body []byte) {
	if len(body) < 12 || uint64(f.u32(body)) >= uint64(len(f.interfaces)) {
		return
	}
	lost := uint64(0)
	f.options(body[12:], func(code uint16, value []byte) {
		if (code == optionLost || code == optionLostBySys) && len(value) == 8 {
			lost += f.u64(value)
		}
	})
	f.interfaces[f.u32(body)].lost = lost // counted since the capture began: the last block says it all
}

func (f *pcapng) lost() uint64 {
	sum := f.lostBefore
	for i := range f.interfaces {
		sum += f.interfaces[i].lost
	}
	return sum
}

// options walks a list of options until its end or until it makes no sense.
func (f *pcapng) options(list []byte, each func(code uint16, value []byte)) {
	for len(list) >= 4 {
		code, length := f.u16(list), int(f.u16(list[2:]))
		padded := 4 + (length+3)&^3
		if code == 0 || padded > len(list) {
			return
		}
		each(code, list[4:4+length])
		list = list[padded:]
	}
}

// clock turns time stamps of an interface into nanoseconds since the epoch.
type clock struct {
	times, by uint64 // multiply, divide; by 0: every time is 0
	shift     uint   // then shift right
	offset    int64  // then add, in ns
}

// clockOf reads if_tsresol (a negative power of 10, or of 2 when the highest bit is set) and if_tsoffset (seconds).
func clockOf(resolution byte, offset int64) clock {
	c := clock{times: 1, by: 1}
	switch {
	case offset > math.MaxInt64/1_000_000_000:
		c.offset = math.MaxInt64
	case offset < math.MinInt64/1_000_000_000:
		c.offset = math.MinInt64
	default:
		c.offset = offset * 1e9
	}
	power := int(resolution & 0x7f)
	switch {
	case resolution&0x80 != 0:
		c.times, c.shift = 1e9, uint(power)
	case power <= 9:
		c.times = tenTo(9 - power)
	case power <= 28:
		c.by = tenTo(power - 9)
	default:
		c.by = 0
	}
	return c
}

func tenTo(power int) uint64 {
	n := uint64(1)
	for range power {
		n *= 10
	}
	return n
}

// time gives the nearest time that can be told for a stamp beyond it.
func (c *clock) time(stamp uint64) int64 {
	if c.by == 0 {
		return c.offset
	}
	high, low := bits.Mul64(stamp, c.times)
	if c.shift > 0 {
		low = low>>c.shift | high<<(64-c.shift)
		if c.shift >= 64 {
			low = high >> (c.shift - 64)
		}
		high >>= c.shift
	}
	if c.by > 1 {
		low /= c.by // times is 1 then
	}
	if high != 0 || low > math.MaxInt64 {
		low = math.MaxInt64
	}
	sum := int64(low) + c.offset
	if c.offset > 0 && sum < 0 {
		return math.MaxInt64
	}
	return sum
}
