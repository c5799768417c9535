package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture"
)

const (
	// lookEvery is how often a ring looks whether its namespace is still there.
	lookEvery = time.Second
	// settle is how long the rest of a ring that ends may take to come: the kernel gives a block
	// that is not full after retireMillis.
	settle = 50 * retireMillis * time.Millisecond
)

// Ring is one packet ring. It is a [capture.Source].
type Ring struct {
	link   flow.LinkType
	index  int
	place  place
	memory []byte
	block  int // bytes
	blocks int

	// Of the goroutine that reads.
	at       int  // block to read next
	held     bool // the block before it was given to the reader and is not the kernel's yet
	packets  []flow.Packet
	looked   time.Time
	ends     error // why the ring ends, when that is known
	deadline time.Time

	delivered atomic.Uint64
	stopped   atomic.Bool

	mu     sync.Mutex // guards what follows; the descriptors are open while closed is false
	fd     int
	wake   int
	closed bool
	stats  capture.SourceStats
}

// LinkType is Ethernet, or raw IP where the interface has other link headers.
func (r *Ring) LinkType() flow.LinkType { return r.link }

// Read waits for packets and returns a block of them. They lie in the ring, and are valid until the next
// call. It returns none when wait is over or Wake was called; io.EOF after Stop, and capture.ErrGone
// when the interface or its namespace went, both after what the ring held.
func (r *Ring) Read(wait time.Duration) ([]flow.Packet, error) {
	r.release()
	until := time.Now().Add(wait)
	for {
		if r.take() {
			return r.packets, nil
		}
		now := time.Now()
		if err := r.ended(now); err != nil {
			if r.drained() || now.After(r.deadline) {
				return nil, err
			}
			until = now.Add(retireMillis * time.Millisecond)
		}
		left := min(until.Sub(now), lookEvery)
		if left < 0 {
			return nil, nil
		}
		woken, err := r.poll(left)
		if err != nil {
			return nil, err
		}
		if woken && !r.ready() && !r.stopped.Load() {
			return nil, nil
		}
	}
}

// ready reports whether the kernel has handed over the block that is read next.
func (r *Ring) ready() bool {
	return atomic.LoadUint32(&r.header().Block_status)&unix.TP_STATUS_USER != 0
}

func (r *Ring) header() *unix.TpacketHdrV1 {
	return (*unix.TpacketHdrV1)(unsafe.Pointer(&r.memory[r.at*r.block+blockHeaderOffset]))
}

// blockHeaderOffset is where struct tpacket_block_desc of linux/if_packet.h has its tpacket_hdr_v1.
const blockHeaderOffset = 8

// take reads the next block, if the kernel has handed it over and it is not empty.
func (r *Ring) take() bool {
	for range r.blocks {
		if !r.ready() {
			return false
		}
		header := r.header()
		r.packets = slicePackets(r.packets[:0], r.memory[r.at*r.block:(r.at+1)*r.block], header.Offset_to_first_pkt, header.Num_pkts)
		r.delivered.Add(uint64(len(r.packets)))
		r.held = true
		if len(r.packets) > 0 {
			return true
		}
		r.release()
	}
	return false
}

// release gives the block that was read back to the kernel.
func (r *Ring) release() {
	if !r.held {
		return
	}
	atomic.StoreUint32(&r.header().Block_status, unix.TP_STATUS_KERNEL)
	r.held = false
	r.at = (r.at + 1) % r.blocks
}

// slicePackets appends the packets of a block. It reads what the kernel wrote into memory that only it and
// this process write.
func slicePackets(packets []flow.Packet, block []byte, first, count uint32) []flow.Packet {
	at := first
	for range count {
		header := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[at]))
		from := at + uint32(header.Mac)
		packet := flow.Packet{
			Data:   block[from : from+header.Snaplen : from+header.Snaplen],
			Length: int(header.Len),
			Time:   int64(header.Sec)*int64(time.Second) + int64(header.Nsec),
		}
		if header.Status&unix.TP_STATUS_VLAN_VALID != 0 {
			packet.HasVLAN = true
			packet.VLAN = uint16(header.Hv1.Vlan_tci)
			packet.VLANProto = unix.ETH_P_8021Q
			if header.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
				packet.VLANProto = header.Hv1.Vlan_tpid
			}
		}
		packets = append(packets, packet)
		if header.Next_offset == 0 {
			break
		}
		at += header.Next_offset
	}
	return packets
}

// poll waits for a block, for Wake, or for an error on the socket.
func (r *Ring) poll(wait time.Duration) (woken bool, err error) {
	timeout := unix.NsecToTimespec(int64(wait))
	files := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN | unix.POLLERR}, {Fd: int32(r.wake), Events: unix.POLLIN}}
	if _, err := unix.Ppoll(files, &timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return false, fmt.Errorf("poll: %w", err)
	}
	if files[1].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(r.wake, count[:]) // it does not wait; there is nothing else to read
		woken = true
	}
	if files[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
		return woken, r.failed()
	}
	return woken, nil
}

// failed takes the error from the socket. An interface that is down may come up again.
func (r *Ring) failed() error {
	code, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	r.looked = time.Time{} // look at once what became of the interface
	switch errno := unix.Errno(code); errno {
	case 0, unix.ENETDOWN, unix.ENXIO, unix.ENODEV:
		return nil
	default:
		return fmt.Errorf("packet socket: %w", errno)
	}
}

// ended says why the ring gives nothing more than what it holds: io.EOF, ErrGone or nil.
func (r *Ring) ended(now time.Time) error {
	switch {
	case r.ends != nil:
	case r.stopped.Load():
		r.ends = io.EOF
	case now.Sub(r.looked) < lookEvery:
	default:
		r.looked = now
		if r.unbound() || r.place.gone() {
			r.ends = fmt.Errorf("interface %d: %w", r.index, capture.ErrGone)
			r.mu.Lock()
			_ = attach(r.fd, refuseAll()) // what the ring holds is all that it will
			r.mu.Unlock()
		}
	}
	if r.ends != nil && r.deadline.IsZero() {
		r.deadline = now.Add(settle)
	}
	return r.ends
}

// unbound reports whether the kernel took the interface away from the socket, which it does when it goes.
func (r *Ring) unbound() bool {
	address, err := unix.Getsockname(r.fd)
	if err != nil {
		return false
	}
	link, ok := address.(*unix.SockaddrLinklayer)
	return ok && link.Ifindex != r.index
}

// drained reports whether Read has given all that the kernel put into the ring.
func (r *Ring) drained() bool {
	stats, err := r.Stats()
	return err != nil || stats.Received-stats.Dropped == r.delivered.Load()
}

// Wake makes a Read that waits, or else the next one, return.
func (r *Ring) Wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	_, _ = unix.Write(r.wake, binary.NativeEndian.AppendUint64(nil, 1)) // fails only when it was called 2^64 times
}

// Stop ends the capture: nothing more is taken, and Read gives what the ring holds and then io.EOF.
func (r *Ring) Stop() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	err := attach(r.fd, refuseAll())
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("stop of capture: %w", err)
	}
	r.stopped.Store(true)
	r.Wake()
	return nil
}

// Stats are the counters of the kernel (PACKET_STATISTICS), which it sets to zero when they are read: only
// this ring reads them. After Close, what Read had not given counts as dropped.
func (r *Ring) Stats() (capture.SourceStats, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count()
}

func (r *Ring) count() (capture.SourceStats, error) {
	if r.closed {
		return r.stats, nil
	}
	now, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return r.stats, fmt.Errorf("packet statistics: %w", err)
	}
	r.stats.Received += uint64(now.Packets) // drops included, in version 3
	r.stats.Dropped += uint64(now.Drops)
	return r.stats, nil
}

// Close frees the ring and the interface. The goroutine that reads calls it.
func (r *Ring) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	var failed []error
	if r.memory != nil {
		failed = append(failed, attach(r.fd, refuseAll()))
		_, err := r.count()
		r.stats.Dropped = r.stats.Received - r.delivered.Load()
		failed = append(failed, err, unix.Munmap(r.memory))
		r.memory, r.packets = nil, nil
	}
	r.closed = true
	failed = append(failed, unix.Close(r.fd))
	if r.wake >= 0 {
		failed = append(failed, unix.Close(r.wake))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("close of packet ring: %w", err)
	}
	return nil
}
