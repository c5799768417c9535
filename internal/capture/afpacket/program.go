package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// maxInstructions is what the kernel takes (BPF_MAXINSNS).
const maxInstructions = 4096

// kernelProgram is the filter with what the options add to it: sampling, the snap length, and on a
// loopback interface, which shows each packet as it leaves and as it comes, one sight of each.
func kernelProgram(options Options, device device) ([]bpf.RawInstruction, error) {
	var prelude []bpf.Instruction
	if device.loopback() {
		prelude = append(prelude,
			bpf.LoadExtension{Num: bpf.ExtType},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 1},
			bpf.RetConstant{Val: 0})
	}
	if options.Sample > 1 {
		prelude = append(prelude,
			bpf.LoadExtension{Num: bpf.ExtRand},
			bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: uint32(options.Sample)},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
			bpf.RetConstant{Val: 0})
	}
	program, err := bpf.Assemble(prelude)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	keep := uint32(maxSnapLen)
	if options.SnapLen > 0 {
		keep = min(keep, uint32(options.SnapLen))
	}
	// A filter may leave what it does not set to the kernel; one that reads A or X first would be
	// refused by it, and jumps are relative, so a prelude changes nothing.
	for _, instruction := range options.Filter {
		if instruction.Op == unix.BPF_RET|unix.BPF_K {
			instruction.K = min(instruction.K, keep)
		}
		program = append(program, instruction)
	}
	if len(options.Filter) == 0 {
		program = append(program, bpf.RawInstruction{Op: unix.BPF_RET | unix.BPF_K, K: keep})
	}
	if len(program) > maxInstructions {
		return nil, fmt.Errorf("filter of %d instructions: the kernel takes %d; shorten the expression", len(program), maxInstructions)
	}
	return program, nil
}

func refuseAll() []bpf.RawInstruction {
	return []bpf.RawInstruction{{Op: unix.BPF_RET | unix.BPF_K, K: 0}}
}

// attach makes a program the filter of a socket, in place of the one it had, in one step.
func attach(fd int, program []bpf.RawInstruction) error {
	filter := make([]unix.SockFilter, len(program))
	for i, instruction := range program {
		filter[i] = unix.SockFilter{Code: instruction.Op, Jt: instruction.Jt, Jf: instruction.Jf, K: instruction.K}
	}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: unsafe.SliceData(filter)})
	if errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("%d instructions: %w: shorten the expression or raise net.core.optmem_max", len(program), err)
	}
	return err
}

// bigEndian is htons.
func bigEndian(value uint16) uint16 {
	var bytes [2]byte
	binary.BigEndian.PutUint16(bytes[:], value)
	return binary.NativeEndian.Uint16(bytes[:])
}
