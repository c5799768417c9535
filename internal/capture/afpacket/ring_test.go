package afpacket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture"
	"github.com/weft-net/weft/internal/testenv"
)

var _ capture.Source = (*Ring)(nil)

func stats(t testing.TB, ring *Ring) capture.SourceStats {
	t.Helper()
	stats, err := ring.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return stats
}

func want(t testing.TB, ring *Ring, received, dropped int) {
	t.Helper()
	if stats := stats(t, ring); stats != (capture.SourceStats{Received: uint64(received), Dropped: uint64(dropped)}) {
		t.Errorf("%+v, want %d received and %d dropped", stats, received, dropped)
	}
}

func TestPacketsArriveWholeInOrderAndInTime(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{})[0]
	before := time.Now()
	frames := numbers(3000, 1000, 2000)
	frames[17] = udp(1000, 2000, 17, 1400)
	w.send(frames...)
	packets := read(t, ring, len(frames))
	after := time.Now()
	for i, packet := range packets {
		if !bytes.Equal(packet.data, frames[i]) || packet.Length != len(frames[i]) {
			t.Fatalf("packet %d is %d bytes %x of %d, want %x", i, len(packet.data), packet.data, packet.Length, frames[i])
		}
		if at := time.Unix(0, packet.Time); at.Before(before) || at.After(after) {
			t.Fatalf("packet %d at %v, sent between %v and %v", i, at, before, after)
		}
		if packet.HasVLAN {
			t.Fatalf("packet %d has a tag", i)
		}
	}
	want(t, ring, len(frames), 0)
	if ring.LinkType() != flow.LinkEthernet {
		t.Errorf("link type %d", ring.LinkType())
	}
}

func TestBothDirectionsAreSeen(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{})[0]
	w.send(numbers(10, 1000, 2000)...)
	w.answer(numbers(10, 2000, 1000)...)
	if packets := read(t, ring, 20); len(packets) != 20 {
		t.Errorf("%d packets, want 20", len(packets))
	}
}

func TestOnlyWhatPassesTheFilterIsCounted(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{Filter: toPort(t, 53)})[0]
	for i := range 500 {
		w.send(udp(1000, 53, uint32(i), 0), udp(1000, 80, uint32(i), 0))
	}
	for i, packet := range read(t, ring, 500) {
		if port := binary.BigEndian.Uint16(packet.data[36:]); port != 53 {
			t.Fatalf("packet %d is to port %d", i, port)
		}
	}
	want(t, ring, 500, 0)
}

func TestAFloodOfATinyRingIsCountedToThePacket(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{RingBytes: 16 << 10})[0]
	const sent = 20000
	w.send(numbers(sent, 1000, 2000)...)
	given := rest(t, ring)
	if given == 0 || given > 1000 {
		t.Errorf("a ring of 16 KiB gave %d packets", given)
	}
	want(t, ring, sent, sent-given)
}

func TestAFloodWhileReadingIsCountedToThePacket(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{RingBytes: 64 << 10, SnapLen: 64})[0]
	const sent = 60000
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.send(numbers(sent, 1000, 2000)...)
	}()
	given := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			packets, err := ring.Read(time.Millisecond)
			if err != nil {
				t.Error(err)
				running = false
			}
			given += len(packets)
		}
	}
	<-done
	given += rest(t, ring)
	want(t, ring, sent, sent-given)
}

func TestWhatIsUnreadAtCloseIsDropped(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{})[0]
	frames := numbers(5000, 1000, 2000)
	w.send(frames[:100]...)
	given := len(read(t, ring, 100))
	w.send(frames[100:]...)
	if err := ring.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, ring, len(frames), len(frames)-given)
	ring.Wake()
	if err := errors.Join(ring.Stop(), ring.Close()); err != nil {
		t.Errorf("a closed ring: %v", err)
	}
}

// A socket that is bound before its filter is attached takes what comes in between.
func TestNothingUnfilteredSlipsIn(t *testing.T) {
	w := newWire(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		frame := udp(1000, 80, 0, 0)
		for {
			select {
			case <-stop:
				return
			default:
				w.send(frame)
			}
		}
	}()
	for range 20 {
		for _, ring := range w.open(Options{Filter: toPort(t, 53), Fanout: 2, RingBytes: 64 << 10}) {
			want(t, ring, 0, 0)
			_ = ring.Close()
		}
	}
	close(stop)
	<-stopped
}

func TestFanoutKeepsBothDirectionsOfAFlowTogether(t *testing.T) {
	w := newWire(t)
	rings := w.open(Options{Fanout: 3})
	if len(rings) != 3 {
		t.Fatalf("%d rings, want 3", len(rings))
	}
	const flows = 60
	for i := range uint16(flows) {
		w.send(udp(1000+i, 2000+i, uint32(i), 0))
		w.answer(udp(2000+i, 1000+i, uint32(i), 0))
	}
	home := map[uint32]int{}
	total, used := 0, 0
	for i, ring := range rings {
		if err := ring.Stop(); err != nil {
			t.Fatal(err)
		}
		before := total
		for {
			packets, err := ring.Read(time.Second)
			if err != nil {
				break
			}
			for _, packet := range packets {
				total++
				number := binary.BigEndian.Uint32(packet.Data[42:])
				if other, seen := home[number]; seen && other != i {
					t.Errorf("flow %d is in rings %d and %d", number, other, i)
				}
				home[number] = i
			}
		}
		if total > before {
			used++
		}
	}
	if total != 2*flows || used < 2 {
		t.Errorf("%d packets in %d rings, want %d in several", total, used, 2*flows)
	}
}

func TestSnapLengthCutsDataAndKeepsTheLength(t *testing.T) {
	for name, filter := range map[string]bool{"of a filter": true, "without a filter": false} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			options := Options{SnapLen: 60}
			if filter {
				options.Filter = toPort(t, 2000)
			}
			ring := w.open(options)[0]
			frame := udp(1000, 2000, 7, 1200)
			w.send(frame)
			packet := read(t, ring, 1)[0]
			if !bytes.Equal(packet.data, frame[:60]) || packet.Length != len(frame) {
				t.Errorf("%d bytes of %d, want 60 of %d", len(packet.data), packet.Length, len(frame))
			}
		})
	}
}

func TestTagsOfVLANsAreRestored(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{})[0]
	plain := udp(1000, 2000, 1, 0)
	w.send(tagged(plain, unix.ETH_P_8021Q, 0x6064), tagged(tagged(plain, unix.ETH_P_8021Q, 5), unix.ETH_P_8021AD, 100))
	packets := read(t, ring, 2)
	for i, test := range []struct {
		tag, protocol uint16
		data          []byte
	}{{0x6064, unix.ETH_P_8021Q, plain}, {100, unix.ETH_P_8021AD, tagged(plain, unix.ETH_P_8021Q, 5)}} {
		packet := packets[i]
		if !packet.HasVLAN || packet.VLAN != test.tag || packet.VLANProto != test.protocol || !bytes.Equal(packet.data, test.data) {
			t.Errorf("packet %d: tag %v %#x of %#x, data %x", i, packet.HasVLAN, packet.VLAN, packet.VLANProto, packet.data)
		}
	}
}

func TestSamplingKeepsOneInN(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{Sample: 10, Filter: toPort(t, 2000)})[0]
	w.send(numbers(20000, 1000, 2000)...)
	given := rest(t, ring)
	if given < 1700 || given > 2300 {
		t.Errorf("1 in 10 of 20000 packets are %d", given)
	}
	want(t, ring, given, 0)
}

func TestWakeEndsARead(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{})[0]
	start := time.Now()
	ring.Wake() // before the read
	if packets, err := ring.Read(time.Minute); len(packets) != 0 || err != nil {
		t.Errorf("%d packets, %v", len(packets), err)
	}
	returned := make(chan error, 1)
	go func() {
		_, err := ring.Read(time.Minute)
		returned <- err
	}()
	ring.Wake() // during it, or just before
	if err := <-returned; err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestAQuietReadEndsInTime(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{})[0]
	start := time.Now()
	packets, err := ring.Read(50 * time.Millisecond)
	if took := time.Since(start); len(packets) != 0 || err != nil || took < 50*time.Millisecond || took > 5*time.Second {
		t.Errorf("%d packets, %v, after %v", len(packets), err, took)
	}
}

func TestAnInterfaceThatGoes(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{})[0]
	w.send(numbers(700, 1000, 2000)...)
	w.far.IP("link", "delete", "v1")
	if given := untilEnd(t, ring, capture.ErrGone); given != 700 {
		t.Errorf("%d packets before the end, want 700", given)
	}
	want(t, ring, 700, 0)
	if err := ring.Close(); err != nil {
		t.Error(err)
	}
	want(t, ring, 700, 0)
}

func TestANamespaceThatGoes(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{})[0]
	w.send(numbers(700, 1000, 2000)...)
	w.far.Delete()
	if given := untilEnd(t, ring, capture.ErrGone); given != 700 {
		t.Errorf("%d packets before the end, want 700", given)
	}
	want(t, ring, 700, 0)
	if err := ring.Close(); err != nil {
		t.Fatal(err)
	}
	// Only the ring, and the test's own socket, kept the namespace and with it the other end of the pair.
	w.hangUp()
	testenv.Eventually(t, 20*time.Second, func() string {
		if out := w.near.IP("-o", "link"); strings.Contains(out, "v0") {
			return "v0 is still there"
		}
		return ""
	})
}

func TestANamespaceThatIsReplacedIsGone(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{})[0]
	w.send(numbers(5, 1000, 2000)...)
	w.far.Delete()
	testenv.IP(t, "netns", "add", w.far.Name) // another one by the same name
	if given := untilEnd(t, ring, capture.ErrGone); given != 5 {
		t.Errorf("%d packets before the end, want 5", given)
	}
}

func TestAnInterfaceThatGoesDownAndComesBack(t *testing.T) {
	for name, down := range map[string]bool{"down at first": true, "down later": false} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			if down {
				w.far.IP("link", "set", "v1", "down")
			}
			rings := w.open(Options{Fanout: 2})
			if down && len(rings) > 2 {
				t.Fatalf("%d rings", len(rings))
			}
			if !down {
				w.far.IP("link", "set", "v1", "down")
			}
			for _, ring := range rings {
				if packets, err := ring.Read(30 * time.Millisecond); len(packets) != 0 || err != nil {
					t.Fatalf("while down: %d packets, %v", len(packets), err)
				}
			}
			w.far.IP("link", "set", "v1", "up")
			w.send(numbers(100, 1000, 2000)...)
			given := 0
			for _, ring := range rings {
				given += rest(t, ring)
			}
			if given != 100 {
				t.Errorf("%d packets, want 100", given)
			}
		})
	}
}

func TestLoopbackShowsEachPacketOnce(t *testing.T) {
	ns := testenv.NewNamespace(t)
	rings, err := Open(Options{Namespace: ns.Path, Interface: "lo"})
	if err != nil {
		t.Fatal(err)
	}
	ring := rings[0]
	t.Cleanup(func() { _ = ring.Close() })
	const sent = 25
	ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}}
		if err := unix.Bind(fd, to); err != nil { // to itself, so that nobody answers
			return err
		}
		for range sent {
			if err := unix.Sendto(fd, []byte("once"), 0, to); err != nil {
				return err
			}
		}
		return nil
	})
	if given := rest(t, ring); given != sent {
		t.Errorf("%d packets, want %d", given, sent)
	}
}

func TestATunnelGivesRawIP(t *testing.T) {
	ns := testenv.NewNamespace(t)
	ns.Do(func() error { return makeTun(t, "t0") })
	ns.IPBatch(
		"link set t0 addrgenmode none",
		"address add 10.2.0.1/24 dev t0",
		"link set t0 up")
	link, err := LinkTypeOf(ns.Path, "t0", 0)
	if err != nil || link != flow.LinkRaw {
		t.Fatalf("link type %d, %v", link, err)
	}
	rings, err := Open(Options{Namespace: ns.Path, Interface: "t0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rings[0].Close() })
	ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, []byte("raw"), 0, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{10, 2, 0, 7}})
	})
	packet := read(t, rings[0], 1)[0]
	if len(packet.data) != 31 || packet.data[0] != 0x45 || !bytes.Equal(packet.data[16:20], []byte{10, 2, 0, 7}) || rings[0].LinkType() != flow.LinkRaw {
		t.Errorf("packet %x of link type %d", packet.data, rings[0].LinkType())
	}
}

func TestCountersOfTheInterfaceAgreeWithTheRing(t *testing.T) {
	w := newWire(t)
	ring := w.open(Options{})[0]
	before, err := InterfaceCounters(w.far.Path, ring.index)
	if err != nil {
		t.Fatal(err)
	}
	w.send(numbers(300, 1000, 2000)...)
	w.answer(numbers(200, 2000, 1000)...)
	testenv.Eventually(t, 10*time.Second, func() string {
		after, err := InterfaceCounters(w.far.Path, ring.index)
		if err != nil {
			t.Fatal(err)
		}
		if rx, tx := after.RxPackets-before.RxPackets, after.TxPackets-before.TxPackets; rx != 300 || tx != 200 {
			return "the counters are behind"
		}
		if after.Packets()-before.Packets() != stats(t, ring).Received {
			return "the ring is behind"
		}
		return ""
	})
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	ns := testenv.NewNamespace(t)
	for _, test := range []struct {
		name    string
		options Options
		absent  bool
		text    string
	}{
		{"no namespace", Options{Namespace: ns.Path + "-no", Interface: "lo"}, true, "open network namespace"},
		{"not a namespace", Options{Namespace: "/proc/self/stat", Interface: "lo"}, false, "enter network namespace"},
		{"no interface", Options{Namespace: ns.Path, Interface: "v9"}, true, `interface "v9"`},
		{"no index", Options{Namespace: ns.Path, IfIndex: 99}, true, "interface 99"},
		{"long name", Options{Namespace: ns.Path, Interface: "a-name-that-is-too-long"}, false, "not a name"},
		{"no hardware clock", Options{Namespace: ns.Path, Interface: "lo", Timestamps: HardwareTime}, false, "use the kernel's"},
		{"ring too large", Options{Interface: "lo", RingBytes: 3 << 30}, false, "choose 0 to"},
		{"too many rings", Options{Interface: "lo", Fanout: 1000}, false, "choose 0 to"},
		{"negative sample", Options{Interface: "lo", Sample: -1}, false, "choose 0 or more"},
		{"negative snap", Options{Interface: "lo", SnapLen: -1}, false, "choose 0 or more"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rings, err := Open(test.options)
			if err == nil || len(rings) != 0 || errors.Is(err, fs.ErrNotExist) != test.absent || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%d rings, error %v, want %q", len(rings), err, test.text)
			}
		})
	}
	if _, err := InterfaceCounters(ns.Path, 99); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("counters of an interface that is not there: %v", err)
	}
}

func TestNoThreadStaysInTheNamespace(t *testing.T) {
	w := newWire(t)
	for range 20 {
		for _, ring := range w.open(Options{RingBytes: 64 << 10}) {
			_ = ring.Close()
		}
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		var stat unix.Stat_t
		if unix.Stat("/proc/self/task/"+thread.Name()+"/ns/net", &stat) == nil && stat.Ino == w.far.Inode() {
			t.Errorf("thread %s is still there", thread.Name())
		}
	}
}
