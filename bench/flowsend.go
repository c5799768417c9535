package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/flow/flowtest"
)

// sent is what the sender reports: how many packets it handed to the wire, and in what time.
type sent struct {
	Packets int
	Took    time.Duration
}

// sending is what to send.
type sending struct {
	rate   int // packets a second; 0: as fast as it goes
	millis int
	flows  int // at random, of as many as the next power of two, at most 1,048,576; at most 1,024 of one address
}

// childSend sends frames of 64 bytes (60 and the checksum that a wire would add) at a rate, for so many milliseconds. A
// program in the kernel makes each frame one of a flow, when it is due, and puts it on the wire (BPF_PROG_TEST_RUN with
// live frames, Linux 5.18): the frames cross the veth 64 at a time, so that this is faster than the sockets of a
// process. It takes the last core and leaves the others to who receives.
func childSend(what sending) error {
	runtime.LockOSThread()
	var cpus unix.CPUSet
	cpus.Set(runtime.NumCPU() - 1)
	if err := unix.SchedSetaffinity(0, &cpus); err != nil {
		return fmt.Errorf("affinity: %w", err)
	}
	link, err := net.InterfaceByName(senderLink)
	if err != nil {
		return err
	}
	count, err := newCounter()
	if err != nil {
		return err
	}
	defer unix.Close(count)
	started := monotonic()
	program, err := loadXDP(paced(link.Index, count, started, what))
	if err != nil {
		return err
	}
	defer unix.Close(program)
	frame := flowtest.Pad(flowtest.Packet(
		flowtest.Ethernet{Src: "02:00:00:00:00:01", Dst: "02:00:00:00:00:02"},
		flowtest.IPv4{Src: "10.0.0.0", Dst: "10.1.255.255"},
		flowtest.UDP{Src: 10_000, Dst: 9},
		flowtest.Zeros(18),
	), 60)
	binary.BigEndian.PutUint16(frame[40:], 0) // no checksum of UDP: the port changes
	for monotonic()-started < int64(what.millis)*1e6 {
		if err := runXDP(program, frame); err != nil {
			return err
		}
	}
	s := sent{Took: time.Duration(what.millis) * time.Millisecond}
	if s.Packets, err = readCounter(count); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

func monotonic() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // it cannot fail for this clock
	return now.Nano()
}

// instruction is one of eBPF, as in linux/bpf.h.
type instruction struct {
	code      uint8
	registers uint8 // destination, and source in the high half
	offset    int16
	immediate int32
}

// paced is a program that gives a frame of UDP over IPv4 addresses and ports at random and sends it out of an interface, and counts it, or
// drops it because it is not due.
func paced(index, counter int, started int64, what sending) []instruction {
	const (
		load, load64, loadNumber   = 0x61, 0x79, 0x18 // LDX|MEM|W, LDX|MEM|DW, LD|IMM|DW
		storeHalf, store64, zero32 = 0x6b, 0x7b, 0x62 // STX|MEM|H, STX|MEM|DW, ST|MEM|W
		move, moveNumber           = 0xbf, 0xb7
		addNumber, subtract        = 0x07, 0x1f
		multiply, divide           = 0x2f, 0x3f
		and, xor, shiftRight       = 0x57, 0xa7, 0x77
		bigEndian                  = 0xdc
		ifZero, ifGreater, ifEqual = 0x15, 0x2d, 0x3d // JEQ with a number, JGT, JGE
		call, exit                 = 0x85, 0x95

		lookup, clock, prandom, redirect = 1, 5, 7, 23 // helpers
		pseudoMap                        = 1
		drop                             = 1

		sourceHost, destinationHost = 28, 32 // the low halves of the addresses
		sourcePort                  = 34
	)
	rate := what.rate
	if rate == 0 {
		rate = 100_000_000 // nothing is
	}
	mask := 1
	for mask < what.flows {
		mask *= 2
	}
	mask--
	number := func(register uint8, n int64) []instruction {
		return []instruction{{loadNumber, register, 0, int32(n)}, {0, 0, 0, int32(n >> 32)}} //nolint:gosec // both halves
	}
	var p []instruction
	var drops []int // instructions that jump to the end
	add := func(i ...instruction) { p = append(p, i...) }
	dropIf := func(i instruction) { drops = append(drops, len(p)); add(i) }
	add(
		instruction{load, 0x12, 0, 0}, // r2 = data
		instruction{load, 0x13, 4, 0}, // r3 = data_end
		instruction{move, 0x27, 0, 0}, // r7 = r2
		instruction{addNumber, 0x02, 0, 60},
	)
	dropIf(instruction{ifGreater, 0x32, 0, 0}) // r2 > r3
	add(
		instruction{zero32, 0x0a, -4, 0}, // the key
		instruction{move, 0xa2, 0, 0},
		instruction{addNumber, 0x02, 0, -4},                          // r2 = &key
		instruction{loadNumber, pseudoMap<<4 | 1, 0, int32(counter)}, // r1 = map
		instruction{},
		instruction{call, 0, 0, lookup},
	)
	dropIf(instruction{ifZero, 0x00, 0, 0})
	add(instruction{move, 0x08, 0, 0}, instruction{call, 0, 0, clock}) // r8 = &count
	add(number(1, started)...)
	add(instruction{subtract, 0x10, 0, 0}) // r0 = since the start
	add(number(1, int64(what.millis)*1e6)...)
	dropIf(instruction{ifGreater, 0x10, 0, 0}) // it is over
	add(number(1, int64(rate))...)
	add(instruction{multiply, 0x10, 0, 0})
	add(number(1, 1e9)...)
	add(
		instruction{divide, 0x10, 0, 0}, // r0 = how many are due
		instruction{load64, 0x81, 0, 0}, // r1 = how many were sent
	)
	dropIf(instruction{ifEqual, 0x01, 0, 0}) // r1 >= r0
	add(
		instruction{addNumber, 0x01, 0, 1},
		instruction{store64, 0x18, 0, 0},
		instruction{call, 0, 0, prandom},
		instruction{move, 0x01, 0, 0},
		instruction{and, 0x01, 0, int32(min(mask, 1023))}, //nolint:gosec // below 1024
		instruction{bigEndian, 0x01, 0, 16},
		instruction{storeHalf, 0x17, sourceHost, 0},
		instruction{xor, 0x01, 0, 0xffff}, // one grows as the other falls: the checksum of IP stays
		instruction{storeHalf, 0x17, destinationHost, 0},
		instruction{shiftRight, 0x00, 0, 10},
		instruction{move, 0x01, 0, 0},
		instruction{and, 0x01, 0, int32(mask >> 10 & 1023)}, //nolint:gosec // below 1024
		instruction{addNumber, 0x01, 0, 10_000},
		instruction{bigEndian, 0x01, 0, 16},
		instruction{storeHalf, 0x17, sourcePort, 0},
		instruction{moveNumber, 0x01, 0, int32(index)}, //nolint:gosec // of an interface
		instruction{moveNumber, 0x02, 0, 0},
		instruction{call, 0, 0, redirect},
		instruction{exit, 0, 0, 0},
	)
	for _, at := range drops {
		p[at].offset = int16(len(p) - at - 1) //nolint:gosec // some
	}
	add(instruction{moveNumber, 0x00, 0, drop}, instruction{exit, 0, 0, 0})
	return p
}

// newCounter makes a map (BPF_MAP_TYPE_ARRAY) of one number.
func newCounter() (int, error) {
	attributes := struct{ kind, key, value, entries, flags uint32 }{unix.BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	if errno != 0 {
		return 0, fmt.Errorf("BPF map: %w", errno)
	}
	return int(fd), nil
}

func readCounter(fd int) (int, error) {
	var key uint32
	var value uint64
	attributes := struct {
		fd, _      uint32
		key, value uintptr
		flags      uint64
	}{fd: uint32(fd), key: uintptr(unsafe.Pointer(&key)), value: uintptr(unsafe.Pointer(&value))} //nolint:gosec // a descriptor
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_LOOKUP_ELEM, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	runtime.KeepAlive(&key)
	runtime.KeepAlive(&value)
	if errno != 0 {
		return 0, fmt.Errorf("BPF map: %w", errno)
	}
	return int(value), nil //nolint:gosec // a count
}

func loadXDP(program []instruction) (int, error) {
	license := []byte("GPL\x00")
	log := make([]byte, 64<<10)
	attributes := struct {
		kind, count           uint32
		instructions, license uintptr
		logLevel, logSize     uint32
		log                   uintptr
		_                     [128]byte
	}{
		kind: unix.BPF_PROG_TYPE_XDP, count: uint32(len(program)), //nolint:gosec // some
		instructions: uintptr(unsafe.Pointer(&program[0])), license: uintptr(unsafe.Pointer(&license[0])),
		logLevel: 1, logSize: uint32(len(log)), log: uintptr(unsafe.Pointer(&log[0])), //nolint:gosec // as made
	}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes)-128)
	runtime.KeepAlive(program)
	runtime.KeepAlive(license)
	if errno != 0 {
		return 0, fmt.Errorf("load of the program that sends: %w: %s", errno, unix.ByteSliceToString(log))
	}
	runtime.KeepAlive(log)
	return int(fd), nil
}

// runXDP hands copies of a frame to the program, many at once: a call takes some milliseconds to set up.
func runXDP(program int, frame []byte) error {
	const (
		liveFrames = 1 << 1 // BPF_F_TEST_XDP_LIVE_FRAMES
		times      = 1 << 22
		burst      = 64 // fewer than the queue of a veth holds
	)
	attributes := struct {
		program, result  uint32
		sizeIn, sizeOut  uint32
		in, out          uintptr
		repeat, duration uint32
		contextSizes     [2]uint32
		contexts         [2]uintptr
		flags, cpu       uint32
		batch, _         uint32
	}{
		program: uint32(program), sizeIn: uint32(len(frame)), in: uintptr(unsafe.Pointer(&frame[0])), //nolint:gosec // a descriptor and 60
		repeat: times, flags: liveFrames, batch: burst,
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
		runtime.KeepAlive(frame)
		switch {
		case errno == 0:
			return nil
		case errors.Is(errno, unix.EINTR), errors.Is(errno, unix.EAGAIN):
			continue
		}
		return fmt.Errorf("run of the program that sends: %w", errno)
	}
}

// deliverInBatches turns GRO on at the receiving end of a veth, without which it takes frames one by one.
func deliverInBatches(name string) error {
	const setGRO = 0x2c // ETHTOOL_SGRO
	value := struct{ command, data uint32 }{setGRO, 1}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data uintptr
		_    [16]byte
	}{data: uintptr(unsafe.Pointer(&value))}
	copy(request.name[:], name)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&value)
	if errno != 0 {
		return fmt.Errorf("GRO of %s: %w", name, errno)
	}
	return nil
}
