package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/capture"
	"github.com/weft-net/weft/internal/capture/afpacket"
)

// The two ends of the veth, each in a namespace of its own.
const (
	senderLink   = "send0"
	receiverLink = "recv0"
	sendMillis   = 1000
	smallRing    = 64 << 10
)

// rates are tried in turn, packets a second.
var rates = []int{100_000, 200_000, 300_000, 400_000, 600_000, 800_000, 1_000_000, 1_300_000, 1_600_000, 2_000_000, 2_500_000, 3_000_000}

// counted is what a program of ours found.
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
		"-n " + v.sender + " link set " + senderLink + " addrgenmode none up", // no packet but ours
		"-n " + v.receiver + " link set " + receiverLink + " addrgenmode none up",
		"-n " + v.receiver + " link set lo up",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			v.remove()
			return nil, fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	// A veth that gathers packets takes those of the sender many at a time.
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command, err := inside(v.receiver, exec.CommandContext(ctx, program, "-child", "veth-gro"))
	if err != nil {
		return nil, err
	}
	if out, err := command.CombinedOutput(); err != nil {
		v.remove()
		return nil, fmt.Errorf("veth: %w: %s", err, out)
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
	ask     func(ctx context.Context, dir string) (string, error) // what it says before it ends; or nil
	found   func(ctx context.Context, output, dir string) (packets int, err error)
	dropped string // a pattern for how many packets it says it lost; or ""
	exact   bool   // what it counted and what it says it lost has to be what arrived
}

// flowCapture has weft and its peers, one after the other, take packets from a veth.
func flowCapture(ctx context.Context, _ *bench, flows int) ([]figure, error) {
	wire, err := newVeth(ctx)
	if err != nil {
		return nil, err
	}
	defer wire.remove()
	ours, note, err := wire.ladder(ctx, weftListener(0), flows)
	if err != nil {
		return nil, err
	}
	small, err := wire.round(ctx, weftListener(smallRing), sending{millis: sendMillis, flows: flows})
	if err != nil {
		return nil, err
	}
	notes := []figure{
		info("%-10s %s", "weft", note),
		info("%-10s with a ring of %d KiB only, to see the ledger: %s", "", smallRing>>10, small),
	}
	top := 0.0
	for _, p := range peers() {
		d, err := fetch(ctx, p.packages...)
		if err != nil {
			notes = append(notes, info("%-10s %v", p.name, err))
			continue
		}
		best, note, err := wire.ladder(ctx, p.listener(d, flows), flows)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			note = err.Error()
		}
		notes = append(notes, info("%-10s %s", p.name, note))
		top = max(top, best.rate)
	}
	// Who keeps up with the sender is behind nobody: its speed differs a little from round to round.
	met := atLeast(ours.rate, top)
	if ours.sender {
		met = reached
	}
	return append([]figure{judged(met, "%.2f M packets/s", ours.rate/1e6)}, notes...), nil
}

// weftListener is a ring and a table in a process of their own, as an agent runs them for a capture. A ring of 0 bytes is what the
// agent chooses.
func weftListener(ring int) listener {
	return listener{
		name: "weft", exact: true, dropped: `"Dropped":(\d+)`,
		command: func(ctx context.Context, _ string) (*exec.Cmd, error) {
			program, err := os.Executable()
			return exec.CommandContext(ctx, program, "-child", "flow-ring", "-size", strconv.Itoa(ring)), err
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

func (p peer) listener(d *debian, flows int) listener {
	l := listener{
		name: p.name, dropped: p.dropped,
		command: func(ctx context.Context, dir string) (*exec.Cmd, error) {
			args, err := p.listen(receiverLink, dir, flows)
			if err != nil {
				return nil, err
			}
			return d.command(ctx, args[0], args[1:]...), nil
		},
		found: func(ctx context.Context, output, dir string) (int, error) {
			if p.arrived != "" {
				arrived, dropped, err := numbers(output, p.arrived, p.dropped)
				return arrived - dropped, err
			}
			_, packets, err := p.found(ctx, d, output, dir)
			return packets, err
		},
	}
	if p.ask != nil {
		l.ask = func(ctx context.Context, dir string) (string, error) {
			args := p.ask(dir)
			out, err := d.command(ctx, args[0], args[1:]...).CombinedOutput()
			return string(out), err
		}
	}
	return l
}

// heard is the highest rate at which nothing was missing.
type heard struct {
	rate   float64
	sender bool // the sender is not faster
}

// ladder first sends as fast as it can. Where packets are missing it raises the rate until they are. A rate counts when
// nothing is missing in one of two rounds.
func (v *veth) ladder(ctx context.Context, l listener, flows int) (top heard, note string, err error) {
	first, err := v.round(ctx, l, sending{millis: sendMillis, flows: flows})
	if err != nil {
		return top, "", err
	}
	if first.missing() == 0 {
		return heard{first.rate(), true}, "none missing: it is as fast as the sender; " + first.String(), nil
	}
	failed := first
	for _, rate := range rates {
		what := sending{rate: rate, millis: sendMillis, flows: flows}
		r, err := v.round(ctx, l, what)
		if err == nil && r.missing() != 0 {
			r, err = v.round(ctx, l, what)
		}
		if err != nil {
			return top, "", err
		}
		if r.missing() != 0 {
			failed = r
			break
		}
		top.rate = max(top.rate, r.rate())
	}
	note = fmt.Sprintf("none missing at %.2f M/s; at %s", top.rate/1e6, failed)
	if failed.sent != first.sent {
		note += fmt.Sprintf("; at %s", first)
	}
	return top, note, nil
}

// round is what was sent in one go and what became of it.
type round struct {
	sent    sent
	arrived int // at the receiving interface, as it counts itself
	found   int
	dropped int           // that the program says it lost
	tells   bool          // it says so
	cpu     time.Duration // of the program; the kernel's work for a packet is the sender's
}

func (r round) missing() int  { return r.arrived - r.found }
func (r round) rate() float64 { return float64(r.arrived) / r.sent.Took.Seconds() }

func (r round) String() string {
	text := fmt.Sprintf("%.2f M/s", r.rate()/1e6)
	if lost := r.missing(); lost != 0 {
		text += fmt.Sprintf(" %s of %s missing", grouped(lost), grouped(r.arrived))
		switch {
		case r.tells && r.dropped == lost:
			text += ", all told as drops"
		case r.tells:
			text += fmt.Sprintf(", %s told as drops", grouped(r.dropped))
		}
	}
	return text + fmt.Sprintf(" (%.0f ns of CPU a packet)", float64(r.cpu.Nanoseconds())/float64(max(r.arrived, 1)))
}

// round starts a program, sends for a while and compares.
func (v *veth) round(ctx context.Context, l listener, what sending) (r round, err error) {
	dir, err := os.MkdirTemp("", "weft-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	command, err := l.command(ctx, dir)
	if err != nil {
		return r, err
	}
	if command, err = inside(v.receiver, command); err != nil {
		return r, err
	}
	output := &tail{}
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return r, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait() // what it counted tells whether it went well
	}()
	defer func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // they may be gone
		<-ended
	}()
	if err := listening(ctx, command.Process.Pid, ended); err != nil {
		return r, fmt.Errorf("%s does not listen: %w: %s", l.name, err, output)
	}
	before, err := v.received(ctx)
	if err != nil {
		return r, err
	}
	if r.sent, err = v.send(ctx, what); err != nil {
		return r, err
	}
	after, err := v.received(ctx)
	if err != nil {
		return r, err
	}
	r.arrived = after - before
	if err := pause(ctx, 1500*time.Millisecond); err != nil { // what it buffers
		return r, err
	}
	said := ""
	if l.ask != nil {
		if said, err = l.ask(ctx, dir); err != nil {
			return r, fmt.Errorf("%s: %w", l.name, err)
		}
	}
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		return r, err
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return r, fmt.Errorf("%s does not end", l.name)
	}
	for syscall.Kill(-command.Process.Pid, 0) == nil { // pmacctd's other process still writes
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return r, fmt.Errorf("the last process of %s does not end: %w", l.name, err)
		}
	}
	r.cpu = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	said += output.String()
	if r.found, err = l.found(ctx, said, dir); err != nil {
		return r, err
	}
	if l.dropped != "" {
		if match := regexp.MustCompile(l.dropped).FindStringSubmatch(said); match != nil {
			r.tells = true
			r.dropped, err = strconv.Atoi(match[1])
		}
	}
	if err == nil && l.exact && r.found+r.dropped != r.arrived {
		err = fmt.Errorf("%s counted %d packets and says that it lost %d, of %d", l.name, r.found, r.dropped, r.arrived)
	}
	return r, err
}

// received is how many packets the receiving interface has had.
func (v *veth) received(ctx context.Context) (int, error) {
	out, err := exec.CommandContext(ctx, "ip", "-n", v.receiver, "-s", "-j", "link", "show", receiverLink).Output()
	if err != nil {
		return 0, fmt.Errorf("ip -s link: %w", err)
	}
	var links []struct {
		Stats struct {
			Rx struct{ Packets int } `json:"rx"`
		} `json:"stats64"`
	}
	if err := json.Unmarshal(out, &links); err != nil || len(links) != 1 {
		return 0, fmt.Errorf("ip -s link: %w: %.200s", err, out)
	}
	return links[0].Stats.Rx.Packets, nil
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

func (v *veth) send(ctx context.Context, what sending) (s sent, err error) {
	program, err := os.Executable()
	if err != nil {
		return s, err
	}
	command, err := inside(v.sender, exec.CommandContext(ctx, program, "-child", "flow-send", "-size", strconv.Itoa(what.rate),
		"-packets", strconv.Itoa(what.millis), "-flows", strconv.Itoa(what.flows)))
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

// childRing counts the packets of the receiving end until it is interrupted.
func childRing(bytes int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rings, err := afpacket.Open(afpacket.Options{Interface: receiverLink, SnapLen: 256, RingBytes: bytes})
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
		table.Add(source.LinkType(), packets)
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
