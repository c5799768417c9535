package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/flowtest"
	"github.com/weft-net/weft/internal/capture"
	"github.com/weft-net/weft/internal/capture/afpacket"
)

// The two ends of the veth, each in a namespace of its own.
const (
	senderLink   = "send0"
	receiverLink = "recv0"
	sentFlows    = 1000
)

// rates are tried in turn, packets a second; the last one is as fast as the sender can.
var rates = []int{100_000, 200_000, 300_000, 400_000, 600_000, 800_000, 1_000_000, 1_500_000, 0}

// sent is what the sender reports, counted what a program found.
type sent struct {
	Packets int
	Took    time.Duration
}

type counted struct {
	Packets, Dropped uint64
	Balanced         bool
}

// A veth is two namespaces with a wire between them.
type veth struct{ sender, receiver string }

func newVeth(ctx context.Context) (*veth, error) {
	pid := strconv.Itoa(os.Getpid())
	v := &veth{"weft-" + pid + "-send", "weft-" + pid + "-recv"}
	for _, line := range []string{
		"netns add " + v.sender,
		"netns add " + v.receiver,
		"-n " + v.sender + " link add " + senderLink + " type veth peer name " + receiverLink + " netns " + v.receiver,
		"-n " + v.sender + " link set " + senderLink + " up",
		"-n " + v.receiver + " link set " + receiverLink + " up",
		"-n " + v.receiver + " link set lo up",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			v.remove()
			return nil, fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return v, nil
}

func (v *veth) remove() {
	for _, name := range []string{v.sender, v.receiver} {
		_ = exec.Command("ip", "netns", "delete", name).Run() // one that was not made is no loss
	}
}

// inside has a command run in a namespace; the process keeps its id.
func inside(namespace string, command *exec.Cmd) (*exec.Cmd, error) {
	ip, err := exec.LookPath("ip")
	if err != nil {
		return nil, err
	}
	command.Args = append([]string{"ip", "netns", "exec", namespace, command.Path}, command.Args[1:]...)
	command.Path = ip
	return command, nil
}

// A listener is a program that counts packets of an interface until it is told to stop.
type listener struct {
	name    string
	command func(ctx context.Context, dir string) (*exec.Cmd, error)
	found   func(ctx context.Context, output, dir string) (packets int, err error)
}

func flowCapture(ctx context.Context, b *bench) ([]figure, error) {
	wire, err := newVeth(ctx)
	if err != nil {
		return nil, err
	}
	defer wire.remove()
	ours, note, err := wire.ladder(ctx, b, weftListener())
	if err != nil {
		return nil, err
	}
	notes := []figure{info("%-10s %s", "weft", note)}
	top := 0.0
	for _, p := range peers() {
		d, err := fetch(ctx, p.packages...)
		if err != nil {
			notes = append(notes, info("%-10s %v", p.name, err))
			continue
		}
		rate, note, err := wire.ladder(ctx, b, p.listener(d))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			note = err.Error()
		}
		notes = append(notes, info("%-10s %s", p.name, note))
		top = max(top, rate)
	}
	return append([]figure{judged(atLeast(ours, top), "%.2f M packets/s", ours/1e6)}, notes...), nil
}

// weftListener is a ring and a table in a process of their own, as an agent runs them for a capture.
func weftListener() listener {
	return listener{
		name: "weft",
		command: func(ctx context.Context, _ string) (*exec.Cmd, error) {
			program, err := os.Executable()
			return exec.CommandContext(ctx, program, "-child", "flow-ring"), err
		},
		found: func(_ context.Context, output, _ string) (int, error) {
			var c counted
			if err := json.Unmarshal([]byte(output), &c); err != nil {
				return 0, fmt.Errorf("%w: %.200s", err, output)
			}
			if !c.Balanced {
				return 0, fmt.Errorf("the ledger does not balance: %+v", c)
			}
			return int(c.Packets), nil //nolint:gosec // a count
		},
	}
}

func (p peer) listener(d *debian) listener {
	return listener{
		name: p.name,
		command: func(ctx context.Context, dir string) (*exec.Cmd, error) {
			args, err := p.listen(receiverLink, dir)
			if err != nil {
				return nil, err
			}
			return d.command(ctx, args[0], args[1:]...), nil
		},
		found: func(ctx context.Context, output, dir string) (int, error) {
			_, packets, err := p.found(ctx, d, output, dir)
			return packets, err
		},
	}
}

// ladder raises the rate until packets are missing, and gives the highest rate at which none was.
func (v *veth) ladder(ctx context.Context, b *bench, l listener) (top float64, note string, err error) {
	for _, rate := range rates {
		s, packets, err := v.round(ctx, b, l, rate)
		if err != nil {
			return top, "", err
		}
		reached := float64(s.Packets) / s.Took.Seconds()
		if lost := s.Packets - packets; lost > 0 {
			return top, fmt.Sprintf("%.2f M packets/s; at %.2f M/s %s of %s are missing", top/1e6, reached/1e6, grouped(lost), grouped(s.Packets)), nil
		}
		top = max(top, reached)
		if reached < 0.9*float64(rate) || rate == 0 {
			break
		}
	}
	return top, fmt.Sprintf("%.2f M packets/s, none lost: the sender is not faster", top/1e6), nil
}

// round starts a program, sends for a while and compares.
func (v *veth) round(ctx context.Context, b *bench, l listener, rate int) (s sent, packets int, err error) {
	dir, err := os.MkdirTemp("", "weft-bench-")
	if err != nil {
		return s, 0, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	command, err := l.command(ctx, dir)
	if err != nil {
		return s, 0, err
	}
	if command, err = inside(v.receiver, command); err != nil {
		return s, 0, err
	}
	output := &tail{}
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		return s, 0, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait() // what it counted tells whether it went well
	}()
	defer func() {
		_ = command.Process.Kill() // it may be gone
		<-ended
	}()
	if err := listening(ctx, command.Process.Pid, ended); err != nil {
		return s, 0, fmt.Errorf("%s does not listen: %w: %s", l.name, err, output)
	}
	if s, err = v.send(ctx, rate, b.scale(2000)); err != nil {
		return s, 0, err
	}
	if err := pause(ctx, 1500*time.Millisecond); err != nil { // what it buffers
		return s, 0, err
	}
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		return s, 0, err
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return s, 0, fmt.Errorf("%s does not end", l.name)
	}
	packets, err = l.found(ctx, output.String(), dir)
	return s, packets, err
}

// listening waits until there is a packet socket in the namespace of a process.
func listening(ctx context.Context, pid int, ended <-chan struct{}) error {
	for {
		data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "net/packet"))
		if err == nil && strings.Count(string(data), "\n") > 1 {
			return pause(ctx, 3*time.Second) // some sleep before they read, and show the socket before it is bound
		}
		select {
		case <-ended:
			return errors.New("it ended")
		default:
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

func (v *veth) send(ctx context.Context, rate, millis int) (s sent, err error) {
	program, err := os.Executable()
	if err != nil {
		return s, err
	}
	command, err := inside(v.sender, exec.CommandContext(ctx, program, "-child", "flow-send", "-size", strconv.Itoa(rate), "-packets", strconv.Itoa(millis)))
	if err != nil {
		return s, err
	}
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return s, fmt.Errorf("sender: %w", err)
	}
	return s, json.Unmarshal(out, &s)
}

// childSend sends frames of 64 bytes (60 and the checksum that a wire would add) at a rate, for so many milliseconds.
func childSend(rate, millis int) error {
	runtime.LockOSThread()
	link, err := net.InterfaceByName(senderLink)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
		return err
	}
	const burst = 64
	frames := make([][]byte, sentFlows)
	for i := range frames {
		frames[i] = flowtest.Pad(flowtest.Packet(
			flowtest.Ethernet{Src: "02:00:00:00:00:01", Dst: "02:00:00:00:00:02"},
			flowtest.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2"},
			flowtest.UDP{Src: uint16(10_000 + i), Dst: 9}, //nolint:gosec // below 11,000
			flowtest.Zeros(18),
		), 60)
	}
	type message struct {
		header unix.Msghdr
		length uint32
		_      [4]byte
	}
	messages := make([]message, burst)
	parts := make([]unix.Iovec, burst)
	for i := range messages {
		messages[i].header.Iov = &parts[i]
		messages[i].header.SetIovlen(1)
	}
	var s sent
	started := time.Now()
	for s.Took = 0; s.Took < time.Duration(millis)*time.Millisecond; s.Took = time.Since(started) {
		if rate > 0 && float64(s.Packets) > s.Took.Seconds()*float64(rate) {
			continue // the next burst is not due
		}
		for i := range parts {
			frame := frames[(s.Packets+i)%len(frames)]
			parts[i].Base = &frame[0]
			parts[i].SetLen(len(frame))
		}
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&messages[0])), burst, 0, 0, 0)
		if errno != 0 && !errno.Temporary() && errno != unix.ENOBUFS {
			return fmt.Errorf("sendmmsg: %w", errno)
		}
		if errno == 0 {
			s.Packets += int(n) //nolint:gosec // at most a burst
		}
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

// childRing counts the packets of the receiving end until it is interrupted.
func childRing() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rings, err := afpacket.Open(afpacket.Options{Interface: receiverLink, SnapLen: 256})
	if err != nil {
		return err
	}
	var source capture.Source = rings[0]
	defer source.Close()
	var reports uint64
	table := flow.NewTable(options(&reports))
	for ctx.Err() == nil {
		packets, err := source.Read(100 * time.Millisecond)
		if err != nil {
			return err
		}
		own := packets[:0]
		for _, p := range packets {
			if len(p.Data) >= 12 && p.Data[11] == 1 { // not what the kernel says of itself on a new link
				own = append(own, p)
			}
		}
		table.Add(source.LinkType(), own)
		table.Advance(time.Now().UnixNano())
	}
	table.Close()
	stats, err := source.Stats()
	if err != nil {
		return err
	}
	l := table.Ledger()
	return json.NewEncoder(os.Stdout).Encode(counted{l.Counted, stats.Dropped, l.Balanced()})
}
