package afpacket

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a veth pair between two namespaces on which nothing happens but what a test does.
type wire struct {
	t          testing.TB
	near, far  *testenv.Namespace // v0 is in near, v1 in far
	toFar      int                // sockets that send
	toNear     int
	toFarName  unix.SockaddrLinklayer
	toNearName unix.SockaddrLinklayer
}

func newWire(t testing.TB) *wire {
	t.Helper()
	both := testenv.NewNamespaces(t, 2)
	w := &wire{t: t, near: both[0], far: both[1]}
	w.near.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", w.far.Name)
	for _, end := range []struct {
		ns     *testenv.Namespace
		name   string
		socket *int
		to     *unix.SockaddrLinklayer
	}{{w.near, "v0", &w.toFar, &w.toFarName}, {w.far, "v1", &w.toNear, &w.toNearName}} {
		end.ns.IP("link", "set", end.name, "addrgenmode", "none", "arp", "off", "up")
		end.ns.Do(func() error {
			device, err := lookup(end.name, 0)
			if err != nil {
				return err
			}
			end.to.Ifindex = device.index
			*end.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
			return err
		})
		t.Cleanup(func() { _ = unix.Close(*end.socket) })
	}
	return w
}

// hangUp closes the test's socket at the far end, which keeps the namespace alive.
func (w *wire) hangUp() {
	_ = unix.Close(w.toNear)
	w.toNear = -1
}

// makeTun makes an interface without link headers that is there until the test ends.
func makeTun(t testing.TB, name string) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	return unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
}

// send puts frames on the wire from the near end.
func (w *wire) send(frames ...[]byte) { w.transmit(w.toFar, &w.toFarName, frames) }

// answer puts frames on the wire from the far end.
func (w *wire) answer(frames ...[]byte) { w.transmit(w.toNear, &w.toNearName, frames) }

func (w *wire) transmit(socket int, name *unix.SockaddrLinklayer, frames [][]byte) {
	w.t.Helper()
	for _, frame := range frames {
		if err := unix.Sendto(socket, frame, 0, name); err != nil {
			w.t.Fatalf("send: %v", err)
		}
	}
}

// open captures at the far end.
func (w *wire) open(options Options) []*Ring {
	w.t.Helper()
	options.Namespace, options.Interface = w.far.Path, "v1"
	rings, err := Open(options)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, ring := range rings {
		w.t.Cleanup(func() { _ = ring.Close() })
	}
	return rings
}

// got is a packet that outlives the ring.
type got struct {
	flow.Packet
	data []byte
}

// read takes at least count packets from a ring, and what comes with the last of them.
func read(t testing.TB, ring *Ring, count int) []got {
	t.Helper()
	var all []got
	for deadline := time.Now().Add(20 * time.Second); len(all) < count; {
		packets, err := ring.Read(time.Second)
		if err != nil {
			t.Fatalf("read: %v after %d packets", err, len(all))
		}
		for _, packet := range packets {
			all = append(all, got{packet, append([]byte(nil), packet.Data...)})
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d packets, want %d", len(all), count)
		}
	}
	return all
}

// rest stops a ring and counts what it still gives.
func rest(t testing.TB, ring *Ring) int {
	t.Helper()
	if err := ring.Stop(); err != nil {
		t.Fatal(err)
	}
	return untilEnd(t, ring, io.EOF)
}

// untilEnd counts the packets that a ring gives before it ends with an error.
func untilEnd(t testing.TB, ring *Ring, end error) int {
	t.Helper()
	count := 0
	for deadline := time.Now().Add(20 * time.Second); ; {
		packets, err := ring.Read(100 * time.Millisecond)
		count += len(packets)
		if errors.Is(err, end) {
			return count
		}
		if err != nil {
			t.Fatalf("read: %v, want %v", err, end)
		}
		if time.Now().After(deadline) {
			t.Fatalf("no end after %d packets", count)
		}
	}
}

// udp is a frame of UDP over IPv4 with a number in its payload, 64 bytes and more.
func udp(source, destination uint16, number uint32, payload int) []byte {
	frame := make([]byte, 14+20+8+max(payload, 22))
	copy(frame, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00})
	ip := frame[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[12:], []byte{10, 9, 0, byte(min(source, destination)), 10, 9, 0, byte(max(source, destination))})
	if source > destination { // the answer
		copy(ip[12:], []byte{10, 9, 0, byte(source), 10, 9, 0, byte(destination)})
	}
	binary.BigEndian.PutUint16(ip[20:], source)
	binary.BigEndian.PutUint16(ip[22:], destination)
	binary.BigEndian.PutUint16(ip[24:], uint16(len(ip)-20))
	binary.BigEndian.PutUint32(ip[28:], number)
	return frame
}

// numbers makes frames numbered from 0.
func numbers(count int, source, destination uint16) [][]byte {
	frames := make([][]byte, count)
	for i := range frames {
		frames[i] = udp(source, destination, uint32(i), 0)
	}
	return frames
}

// tagged puts a VLAN tag into a frame.
func tagged(frame []byte, protocol, tag uint16) []byte {
	out := append([]byte(nil), frame[:12]...)
	out = binary.BigEndian.AppendUint16(out, protocol)
	out = binary.BigEndian.AppendUint16(out, tag)
	return append(out, frame[12:]...)
}

// toPort is a filter for UDP over IPv4 without options to a port.
func toPort(t testing.TB, port uint16) []bpf.RawInstruction {
	t.Helper()
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x800, SkipFalse: 3},
		bpf.LoadAbsolute{Off: 36, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipFalse: 1},
		bpf.RetConstant{Val: 262144},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		t.Fatal(err)
	}
	return program
}
