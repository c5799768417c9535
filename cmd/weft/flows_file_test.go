package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/flowtest"
	"github.com/weft-net/weft/flow/pcapfile"
)

// at is when the packets of these tests begin: 2023-11-14T22:13:20Z.
const at = 1_700_000_000_000_000_000

// frame is a UDP packet from one host of 10.0.0.0/24 to another.
func frame(from, to string, source, destination uint16) []byte {
	return flowtest.Packet(
		flowtest.Ethernet{Src: "02:00:00:00:00:0" + from, Dst: "02:00:00:00:00:0" + to},
		flowtest.IPv4{Src: "10.0.0." + from, Dst: "10.0.0." + to},
		flowtest.UDP{Src: source, Dst: destination},
		flowtest.Payload("hello"),
	)
}

// captureFile writes packets, one a second, and gives the path.
func captureFile(t *testing.T, name string, frames ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapfile.NewWriter(f, pcapfile.Pcap, flow.LinkEthernet)
	for i, frame := range frames {
		if err := w.Write(flow.LinkEthernet, flow.Packet{Data: frame, Length: 100, Time: at + int64(i)*1e9}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return path
}

// flowsOf runs the command on files and gives what it says.
func flowsOf(t *testing.T, in io.Reader, o flowsFileOptions, files ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, side bytes.Buffer
	sh := &shell{in: in, out: &out, err: &side}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	err = runFlowsFile(cmd, sh, files, o)
	return out.String(), side.String(), err
}

// A question, its answer, and something else.
func conversation() [][]byte {
	return [][]byte{frame("1", "2", 1234, 9999), frame("2", "1", 9999, 1234), frame("3", "2", 5, 9999)}
}

func TestFlowsFileTable(t *testing.T) {
	out, side, err := flowsOf(t, nil, flowsFileOptions{}, captureFile(t, "a.pcap", conversation()...))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out, "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "Start ") {
		t.Fatalf("want a header and two flows:\n%s", out)
	}
	fields := strings.Fields(lines[1])
	if strings.Contains(lines[2], "10.0.0.1") {
		fields = strings.Fields(lines[2])
	}
	if want := "2023-11-14T22:13:20.000Z UDP 10.0.0.1:1234 10.0.0.2:9999 1 100 1 100 1.000 s - -"; strings.Join(fields[:len(fields)-1], " ") != want {
		t.Errorf("got  %q\nwant %q and the UUID", strings.Join(fields, " "), want)
	}
	if id := fields[len(fields)-1]; len(id) != 16 || strings.Trim(id, "0123456789abcdef") != "" {
		t.Errorf("%q in place of the UUID", id)
	}
	if !strings.HasPrefix(side, "3 packets in ") || !strings.HasSuffix(side, ": 3 counted in 2 flows, 0 dropped\n") {
		t.Errorf("the ledger: %q", side)
	}
}

func TestFlowsFileFormats(t *testing.T) {
	path := captureFile(t, "a.pcap", conversation()[:2]...)
	out, _, err := flowsOf(t, nil, flowsFileOptions{format: "json"}, path)
	if err != nil {
		t.Fatal(err)
	}
	var f flow.Flow
	if err := f.UnmarshalJSON([]byte(out)); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if f.Network.A != "10.0.0.1" || f.Transport.B != 9999 || f.Metric.ABBytes != 100 || f.Metric.BAPackets != 1 || f.Start != at/1e6 {
		t.Errorf("the flow: %s", out)
	}

	out, _, err = flowsOf(t, nil, flowsFileOptions{format: "csv"}, path)
	if err != nil {
		t.Fatal(err)
	}
	header, row, _ := strings.Cut(out, "\n")
	columns, cells := strings.Split(header, ","), strings.Split(strings.TrimSpace(row), ",")
	if len(columns) != len(cells) {
		t.Fatalf("%d columns, %d cells:\n%s", len(columns), len(cells), out)
	}
	for i, name := range columns {
		value, ok := f.Field(name)
		want := value.Str
		if value.Kind == flow.KindInt {
			want = strconv.FormatInt(value.Num, 10)
		}
		if ok && cells[i] != want {
			t.Errorf("%s is %q in CSV, %q in JSON", name, cells[i], want)
		}
	}

	var usage *usageError
	if _, _, err = flowsOf(t, nil, flowsFileOptions{format: "xml"}, path); !errors.As(err, &usage) {
		t.Errorf("--format xml: %v", err)
	}
}

// A file without packets has a header in every format that has one.
func TestFlowsFileWithoutPackets(t *testing.T) {
	path := captureFile(t, "a.pcap")
	for format, want := range map[string]string{"table": "Start  Application", "csv": "UUID,LayersPath", "json": ""} {
		out, _, err := flowsOf(t, nil, flowsFileOptions{format: format}, path)
		if err != nil || !strings.HasPrefix(out, want) || want == "" && out != "" {
			t.Errorf("%s: %q, %v", format, out, err)
		}
	}
}

// Packets of a link type that nobody decodes are in no flow, and which type that is is told.
func TestFlowsFileOfAnUnknownLinkType(t *testing.T) {
	path := captureFile(t, "a.pcap", conversation()...)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	binary.NativeEndian.PutUint32(file[20:], 9999) // the link type in the file's header
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	_, side, err := flowsOf(t, nil, flowsFileOptions{}, path)
	if err != nil || !strings.Contains(side, "3 dropped (decoder 3)") || !strings.Contains(side, "link type 9999 is not read: 3 packets are in no flow") {
		t.Errorf("%v: %s", err, side)
	}
}

// Several files are one capture, and one of them may come on standard input.
func TestFlowsFileSeveral(t *testing.T) {
	first := captureFile(t, "a.pcap", conversation()[0])
	second, err := os.ReadFile(captureFile(t, "b.pcap", conversation()[1]))
	if err != nil {
		t.Fatal(err)
	}
	out, side, err := flowsOf(t, bytes.NewReader(second), flowsFileOptions{format: "json"}, first, "-")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(out, "\n") != 1 || !strings.Contains(side, "2 counted in 1 flows") {
		t.Errorf("want both directions in one flow:\n%s%s", out, side)
	}
}

// What was readable is printed before the damage is told.
func TestFlowsFileDamaged(t *testing.T) {
	path := captureFile(t, "a.pcap", conversation()...)
	if err := os.Truncate(path, 24+2*(16+47)+20); err != nil {
		t.Fatal(err)
	}
	whole := captureFile(t, "b.pcap", frame("8", "9", 1, 2))
	out, side, err := flowsOf(t, nil, flowsFileOptions{format: "json"}, path, whole)
	var damage *pcapfile.DamageError
	if !errors.As(err, &damage) || damage.Offset != 24+2*(16+47) || !strings.Contains(err.Error(), "a.pcap: damaged at offset 150") {
		t.Errorf("error: %v", err)
	}
	if strings.Count(out, "\n") != 2 || !strings.Contains(side, "3 counted") {
		t.Errorf("want the flow before the damage, and that of the other file:\n%s%s", out, side)
	}
}

func TestFlowsFileRefuses(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no capture"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := flowsOf(t, nil, flowsFileOptions{}, text); !errors.Is(err, pcapfile.ErrFormat) {
		t.Errorf("a text: %v", err)
	}
	var chosen *exitError
	if _, _, err := flowsOf(t, nil, flowsFileOptions{}, text, "/nonexistent.pcap"); !errors.As(err, &chosen) || chosen.code != exitNotFound {
		t.Errorf("a file that is not there: %v", err)
	}
	var usage *usageError
	if _, _, err := flowsOf(t, nil, flowsFileOptions{}, "-", "-"); !errors.As(err, &usage) {
		t.Errorf("standard input twice: %v", err)
	}
	if _, _, err := flowsOf(t, nil, flowsFileOptions{filter: "port and and"}, text); !errors.As(err, &usage) || !strings.Contains(err.Error(), "--filter") {
		t.Errorf("a filter that is none: %v", err)
	}
}

func TestFlowsFileStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	in, _ := io.Pipe() // nothing ever comes
	defer in.Close()
	sh := &shell{in: in, out: io.Discard, err: io.Discard}
	if err := runFlowsFile(cmd, sh, []string{captureFile(t, "a.pcap", conversation()...)}, flowsFileOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestFlowsFileCannotWrite(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	sh := &shell{out: fullDisk{}, err: io.Discard}
	err := runFlowsFile(cmd, sh, []string{captureFile(t, "a.pcap", conversation()...)}, flowsFileOptions{})
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
}

func TestIsCaptureFile(t *testing.T) {
	there := captureFile(t, "capture-without-a-known-ending")
	for arg, want := range map[string]bool{
		"-": true, "x.pcap": true, "x.pcapng": true, "x.pcap.gz": true, "x.pcapng.zst": true, there: true,
		"Network=10.0.0.1": false, "x.gz": false, filepath.Dir(there): false,
	} {
		if got := isCaptureFile(arg); got != want {
			t.Errorf("%q: %v", arg, got)
		}
	}
}

// A bar on a terminal never stays in the way of what is printed.
func TestFlowsFileOnATerminal(t *testing.T) {
	var out, side bytes.Buffer
	sh := &shell{out: &out, err: &side, errScreen: screen{terminal: true, width: 80}}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	if err := runFlowsFile(cmd, sh, []string{captureFile(t, "a.pcap", conversation()...)}, flowsFileOptions{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(side.String(), "reading") {
		t.Errorf("a bar for a moment: %q", side.String())
	}
	bar := &flowsBar{in: &fileReader{total: 100}}
	bar.bar = newFlowsBar(sh, bar.in).bar
	bar.in.read.Store(50)
	bar.update()
	if !strings.Contains(side.String(), "reading") || !strings.Contains(side.String(), "50%") {
		t.Errorf("no bar: %q", side.String())
	}
	bar.clear()
	if !strings.HasSuffix(side.String(), "\r") {
		t.Errorf("the bar stays: %q", side.String())
	}
}
