package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A peer is another program that makes flows of packets.
type peer struct {
	name     string
	packages []string // Debian's, fetched beside the tree
	// file is the command that reads a capture file; what it writes goes below dir.
	file func(path, dir string, flows int) ([]string, error)
	// listen is the command that takes the packets of an interface until it is interrupted.
	listen func(link, dir string, flows int) ([]string, error)
	// ask is the command that has a listening program say its counts before it ends; nil where it says them when it ends.
	ask func(dir string) []string
	// arrived and dropped are patterns for what a program tells of libpcap's counts. Where it tells them, they say what it
	// lost: what waits in libpcap's buffer for the next packet is not lost, and not yet in its flows.
	arrived, dropped string
	// found says how many flows a run found and how many packets they hold, from what it said or wrote.
	found func(ctx context.Context, d *debian, output, dir string) (flows, packets int, err error)
	rests bool // it sleeps at its start and end: what a file without packets takes is taken off
}

func peers() []peer {
	return []peer{
		{
			name: "softflowd", packages: []string{"softflowd"},
			file: func(path, dir string, flows int) ([]string, error) {
				return []string{
					"softflowd", "-r", path, "-d", "-c", "none", "-p", filepath.Join(dir, "pid"),
					"-m", strconv.Itoa(2 * flows), "-n", "127.0.0.1:9", // the discard port: where nobody listens
				}, nil
			},
			listen: func(link, dir string, flows int) ([]string, error) {
				return []string{
					"softflowd", "-i", link, "-d", "-c", filepath.Join(dir, "control"), "-p", filepath.Join(dir, "pid"), "-m", strconv.Itoa(4 * flows), "-n", "127.0.0.1:9",
				}, nil
			},
			ask: func(dir string) []string {
				return []string{"softflowctl", "-c", filepath.Join(dir, "control"), "statistics"}
			},
			arrived: `received by libpcap: (\d+)`, dropped: `dropped by libpcap: (\d+)`,
			found: func(_ context.Context, _ *debian, output, _ string) (int, int, error) {
				return numbers(output, `Flows expired: (\d+)`, `Packets processed: (\d+)`)
			},
		},
		{
			name: "argus", packages: []string{"argus-server", "argus-client"},
			file: func(path, dir string, _ int) ([]string, error) {
				return []string{"argus", "-X", "-S", "3600", "-r", path, "-w", filepath.Join(dir, "out")}, nil
			},
			listen: func(link, dir string, _ int) ([]string, error) {
				return []string{"argus", "-X", "-S", "3600", "-i", link, "-w", filepath.Join(dir, "out")}, nil
			},
			found: func(ctx context.Context, d *debian, _, dir string) (int, int, error) {
				out, err := d.command(ctx, "racount", "-X", "-r", filepath.Join(dir, "out")).Output()
				if err != nil {
					return 0, 0, fmt.Errorf("racount: %w", err)
				}
				return numbers(string(out), `sum\s+(\d+)`, `sum\s+\d+\s+(\d+)`)
			},
		},
		{
			name: "nfpcapd", packages: []string{"nfdump"},
			file: func(path, dir string, _ int) ([]string, error) {
				return []string{"nfpcapd", "-r", path, "-w", dir}, nil
			},
			listen: func(link, dir string, _ int) ([]string, error) {
				return []string{"nfpcapd", "-i", link, "-w", dir}, nil
			},
			found: func(ctx context.Context, d *debian, _, dir string) (int, int, error) {
				out, err := d.command(ctx, "nfdump", "-R", dir, "-q", "-I").Output()
				if err != nil {
					return 0, 0, fmt.Errorf("nfdump: %w", err)
				}
				return numbers(string(out), `Flows: (\d+)`, `Packets: (\d+)`)
			},
		},
		{
			name: "pmacctd", packages: []string{"pmacct"}, rests: true,
			file: func(path, dir string, flows int) ([]string, error) {
				return pmacctd("pcap_savefile: "+path, dir, flows)
			},
			listen: func(link, dir string, flows int) ([]string, error) {
				return pmacctd("pcap_interface: "+link, dir, 2*flows)
			},
			found: func(_ context.Context, _ *debian, _, dir string) (flows, packets int, err error) {
				out, err := os.ReadFile(filepath.Join(dir, "out.csv"))
				for line := range strings.Lines(string(out)) {
					fields := strings.Split(strings.TrimSpace(line), ",")
					if len(fields) < 7 {
						continue
					}
					if n, err := strconv.Atoi(fields[5]); err == nil {
						flows, packets = flows+1, packets+n
					}
				}
				return flows, packets, err
			},
		},
	}
}

// pmacctd prepares a run that writes its flows at its end. An entry of its cache takes about four kilobytes, whether it is
// used or not.
func pmacctd(source, dir string, flows int) ([]string, error) {
	settings := "daemonize: false\n" + source + "\nplugins: print\naggregate: src_host, dst_host, src_port, dst_port, proto\n" +
		"print_output: csv\nprint_output_file: " + filepath.Join(dir, "out.csv") + "\nprint_refresh_time: 86400\n" +
		"print_cache_entries: " + strconv.Itoa(max(16411, flows*5/4)) + "\nplugin_pipe_size: 1024000000\nplugin_buffer_size: 102400\n"
	name := filepath.Join(dir, "pmacctd.conf")
	return []string{"pmacctd", "-f", name}, os.WriteFile(name, []byte(settings), 0o600)
}

// numbers finds two numbers in what a program said.
func numbers(text, first, second string) (int, int, error) {
	var found [2]int
	for i, pattern := range []string{first, second} {
		match := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if match == nil {
			return 0, 0, fmt.Errorf("no %q in %.300s", pattern, text)
		}
		n, err := strconv.Atoi(match[1])
		if err != nil {
			return 0, 0, err
		}
		found[i] = n
	}
	return found[0], found[1], nil
}

// debian is where tools/fetch-debian unpacks programs.
type debian struct{ root string }

func fetch(ctx context.Context, packages ...string) (*debian, error) {
	command := exec.CommandContext(ctx, "../tools/fetch-debian", packages...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("tools/fetch-debian %s: %w: %s", strings.Join(packages, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return &debian{string(bytes.TrimSpace(out))}, nil
}

func (d *debian) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	path := name
	for _, dir := range []string{"usr/sbin", "usr/bin"} {
		if at := filepath.Join(d.root, dir, name); executable(at) {
			path = at
		}
	}
	command := exec.CommandContext(ctx, path, args...)
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	command.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(d.root, "usr/lib", machine+"-linux-gnu"))
	return command
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// cost is what one run of a program took.
type cost struct {
	wall, cpu      time.Duration
	peak           int64 // bytes, of the largest of its processes
	flows, packets int
	output         string
}

// measure runs a command to its end. Its standard output goes nowhere, unless it is where the program reports.
func measure(command *exec.Cmd, keepOutput bool) (cost, error) {
	var output bytes.Buffer
	command.Stderr = &output
	if keepOutput {
		command.Stdout = &output
	}
	started := time.Now()
	err := command.Run()
	c := cost{wall: time.Since(started), output: output.String()}
	if err != nil {
		return c, fmt.Errorf("%s: %w: %.500s", filepath.Base(command.Path), err, strings.TrimSpace(c.output))
	}
	c.cpu = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	if used, ok := command.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peak = used.Maxrss << 10
	}
	return c, nil
}

// read has the peer read a capture file.
func (p peer) read(ctx context.Context, d *debian, path string, flows int) (cost, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), p.name)
	if err != nil {
		return cost{}, err
	}
	defer os.RemoveAll(dir)
	args, err := p.file(path, dir, flows)
	if err != nil {
		return cost{}, err
	}
	c, err := measure(d.command(ctx, args[0], args[1:]...), true)
	if err != nil {
		return c, err
	}
	c.flows, c.packets, err = p.found(ctx, d, c.output, dir)
	return c, err
}
