package filter

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
)

// Instructions of the packet filter that are used here (linux/filter.h).
const (
	opLoadWord  = 0x20 // A = 4 bytes at K
	opLoadHalf  = 0x28
	opLoadByte  = 0x30
	opIndexWord = 0x40 // A = 4 bytes at X + K
	opIndexHalf = 0x48
	opIndexByte = 0x50
	opLoad      = 0x00 // A = K
	opLength    = 0x80 // A = length on the wire
	opHeader    = 0xb1 // X = 4 * (byte at K & 15), the length of an IPv4 header
	opAnd       = 0x54 // A &= K
	opJump      = 0x05
	opEqual     = 0x15
	opGreater   = 0x25
	opAtLeast   = 0x35
	opAnySet    = 0x45
	opReturn    = 0x06

	// extensions is where the kernel's own data begins (SKF_AD_OFF).
	extensions    = 0xfffff000
	extTag        = extensions + 44
	extTagPresent = extensions + 48
)

// run runs a program as the kernel does: a load from beyond the packet refuses it. The programs come from
// the generator, whose jumps go forward only and within the program.
func run(program []bpf.RawInstruction, data []byte, length uint32) uint32 {
	var a, x uint32
	for pc := 0; pc < len(program); pc++ {
		in := &program[pc]
		at, size := uint64(in.K), uint64(0)
		switch in.Op {
		case opIndexWord, opIndexHalf, opIndexByte:
			at += uint64(x)
		}
		switch in.Op {
		case opLoadWord, opIndexWord:
			size = 4
		case opLoadHalf, opIndexHalf:
			size = 2
		case opLoadByte, opIndexByte, opHeader:
			size = 1
		}
		if size != 0 && at+size > uint64(len(data)) {
			return 0
		}
		jump := false
		switch in.Op {
		case opLoadWord, opIndexWord:
			a = binary.BigEndian.Uint32(data[at:])
			continue
		case opLoadHalf, opIndexHalf:
			a = uint32(binary.BigEndian.Uint16(data[at:]))
			continue
		case opLoadByte, opIndexByte:
			a = uint32(data[at])
			continue
		case opHeader:
			x = 4 * uint32(data[at]&15)
			continue
		case opLoad:
			a = in.K
			continue
		case opLength:
			a = length
			continue
		case opAnd:
			a &= in.K
			continue
		case opJump:
			pc += int(in.K)
			continue
		case opReturn:
			return in.K
		case opEqual:
			jump = a == in.K
		case opGreater:
			jump = a > in.K
		case opAtLeast:
			jump = a >= in.K
		case opAnySet:
			jump = a&in.K != 0
		default:
			return 0
		}
		if jump {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	return 0
}
