package afpacket

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/flow"
)

// Timestamps says who notes the time of a packet.
type Timestamps uint8

const (
	// KernelTime is the time at which the kernel took the packet from its driver.
	KernelTime Timestamps = iota
	// HardwareTime is the time by the clock of the network card. The card is told to note it, which
	// changes its setting for everybody; a packet that has none carries the kernel's time.
	HardwareTime
)

// Options say what to capture.
type Options struct {
	Namespace string // path of the network namespace; "" is the one of the process
	Interface string // name of the interface; not looked at when IfIndex is set
	IfIndex   int
	Filter    []bpf.RawInstruction // a classic BPF program for the link type of the interface, see [LinkTypeOf]; nil takes all
	SnapLen   int                  // bytes to keep of a packet; 0 keeps all (up to 256 KiB, or to what a block of the ring holds)
	RingBytes int                  // memory of each ring; 0 is 8 MiB
	Fanout    int                  // rings; 0 and 1 are one
	Sample    int                  // keep one packet of N at random; 0 and 1 keep all

	Promiscuous bool
	Timestamps  Timestamps
}

const (
	defaultRingBytes = 8 << 20
	maxRingBytes     = 2 << 30
	maxFanout        = 256
	// blockBytes is the unit in which the kernel hands packets over: small enough that a batch stays in
	// the cache while it is counted, and larger than the largest packet (64 KiB, segmentation offload).
	blockBytes = 256 << 10
	minBlocks  = 4
	// retireMillis is how long the kernel keeps a block that is not full.
	retireMillis = 20
	frameBytes   = 2048 // checked by the kernel, of no meaning in version 3 of the ring
	maxSnapLen   = 256 << 10
)

// Open starts to capture. It returns options.Fanout rings, or one where the interface is down: the kernel
// spreads packets only over sockets of an interface that is up. The interface may be down and come up
// later. The error says what was missing, and is fs.ErrNotExist where the namespace or interface is.
func Open(options Options) ([]*Ring, error) {
	switch {
	case options.RingBytes < 0 || options.RingBytes > maxRingBytes:
		return nil, fmt.Errorf("ring of %d bytes: choose 0 to %d", options.RingBytes, maxRingBytes)
	case options.Fanout < 0 || options.Fanout > maxFanout:
		return nil, fmt.Errorf("%d rings: choose 0 to %d", options.Fanout, maxFanout)
	case options.Sample < 0:
		return nil, fmt.Errorf("sampling of one packet in %d: choose 0 or more", options.Sample)
	case options.SnapLen < 0:
		return nil, fmt.Errorf("snap length of %d bytes: choose 0 or more", options.SnapLen)
	}
	var rings []*Ring
	err := inNamespace(options.Namespace, func(where place) error {
		var err error
		rings, err = openRings(options, where)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rings, nil
}

// LinkTypeOf says how packets of an interface begin, before a ring is opened on it: a filter is
// compiled for it.
func LinkTypeOf(namespace, name string, index int) (flow.LinkType, error) {
	var link flow.LinkType
	err := inNamespace(namespace, func(place) error {
		device, err := lookup(name, index)
		link = device.link()
		return err
	})
	return link, err
}

func openRings(options Options, where place) (rings []*Ring, err error) {
	device, err := lookup(options.Interface, options.IfIndex)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, ring := range rings {
				_ = ring.Close() // the first error is the one that matters
			}
			rings = nil
		}
	}()
	group := 0
	for i := range max(1, options.Fanout) {
		ring, err := openRing(options, device, where)
		if err != nil {
			return rings, fmt.Errorf("capture on %s: %w", device.name, err)
		}
		rings = append(rings, ring)
		if options.Fanout < 2 {
			break
		}
		if group, err = joinFanout(ring.fd, group); err != nil {
			if i == 0 && errors.Is(err, unix.EINVAL) && !device.up {
				break
			}
			return rings, fmt.Errorf("capture on %s: fanout: %w", device.name, err)
		}
	}
	if options.Promiscuous {
		request := unix.PacketMreq{Ifindex: int32(device.index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(rings[0].fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &request); err != nil {
			return rings, fmt.Errorf("capture on %s: promiscuous mode: %w", device.name, err)
		}
	}
	program, err := kernelProgram(options, device)
	if err != nil {
		return rings, err
	}
	for _, ring := range rings {
		if err := attach(ring.fd, program); err != nil {
			return rings, fmt.Errorf("capture on %s: filter: %w", device.name, err)
		}
	}
	return rings, nil
}

// openRing makes a bound socket with a ring that takes nothing yet.
func openRing(options Options, device device, where place) (ring *Ring, err error) {
	kind := unix.SOCK_RAW
	if device.link() != flow.LinkEthernet {
		kind = unix.SOCK_DGRAM // the kernel takes link headers off that nobody could tell apart
	}
	// Without a protocol the socket receives nothing until it is bound.
	fd, err := unix.Socket(unix.AF_PACKET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("packet socket: %w: run as root or with CAP_NET_RAW", err)
		}
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	ring = &Ring{fd: fd, wake: -1, link: device.link(), index: device.index, place: where}
	defer func() {
		if err != nil {
			_ = ring.Close()
			ring = nil
		}
	}()
	if err := attach(fd, refuseAll()); err != nil {
		return ring, fmt.Errorf("filter: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return ring, fmt.Errorf("ring of version 3: %w: Linux 3.2 or newer is needed", err)
	}
	if options.Timestamps == HardwareTime {
		if err := hardwareTime(fd, device); err != nil {
			return ring, err
		}
	}
	if err := ring.mapBlocks(options.RingBytes); err != nil {
		return ring, err
	}
	if ring.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return ring, fmt.Errorf("eventfd: %w", err)
	}
	address := unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: device.index}
	if err := unix.Bind(fd, &address); err != nil {
		return ring, fmt.Errorf("bind: %w", err)
	}
	return ring, nil
}

// mapBlocks makes the ring and maps it.
func (r *Ring) mapBlocks(bytes int) error {
	if bytes == 0 {
		bytes = defaultRingBytes
	}
	block := blockBytes
	for block > os.Getpagesize() && bytes < minBlocks*block {
		block /= 2
	}
	count := max(minBlocks, bytes/block)
	request := unix.TpacketReq3{
		Block_size: uint32(block), Block_nr: uint32(count),
		Frame_size: frameBytes, Frame_nr: uint32(block / frameBytes * count),
		Retire_blk_tov: retireMillis,
	}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &request); err != nil {
		return fmt.Errorf("ring of %d bytes: %w: choose a smaller capture.ring-bytes", block*count, err)
	}
	memory, err := unix.Mmap(r.fd, 0, block*count, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map of %d bytes: %w: choose a smaller capture.ring-bytes", block*count, err)
	}
	r.memory, r.block, r.blocks = memory, block, count
	return nil
}

// joinFanout adds a socket to the group, which 0 makes. Every socket in it still refuses all, so that
// no packet comes twice.
func joinFanout(fd, group int) (int, error) {
	mode := unix.PACKET_FANOUT_HASH
	if group == 0 {
		mode |= unix.PACKET_FANOUT_FLAG_UNIQUEID // group numbers are shared by all of the namespace
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group|mode<<16); err != nil {
		return 0, err
	}
	value, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	return value & 0xffff, err
}

// hardwareTime turns the clock of the card on and asks for it.
func hardwareTime(fd int, device device) error {
	config := unix.HwTstampConfig{Tx_type: unix.HWTSTAMP_TX_OFF, Rx_filter: unix.HWTSTAMP_FILTER_ALL}
	if err := unix.IoctlSetHwTstamp(fd, device.name, &config); err != nil {
		return fmt.Errorf("hardware timestamps: %w: the card cannot; use the kernel's", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_TIMESTAMP, unix.SOF_TIMESTAMPING_RAW_HARDWARE); err != nil {
		return fmt.Errorf("hardware timestamps: %w", err)
	}
	return nil
}
