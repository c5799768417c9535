package pcapfile_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/pcapfile"
	"github.com/weft-net/weft/internal/testenv"
)

func write(t testing.TB, format pcapfile.Format, link flow.LinkType, packets ...seen) []byte {
	t.Helper()
	var file bytes.Buffer
	w := pcapfile.NewWriter(&file, format, link)
	for _, p := range packets {
		if err := w.Write(p.Link, flow.Packet{Data: []byte(p.Data), Length: p.Length, Time: p.Time}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	one := []seen{
		{flow.LinkEthernet, 1_700_000_000_000_000_001, 1514, "abc"},
		{flow.LinkEthernet, 1_700_000_000_000_000_002, 4, "abcd"},
		{flow.LinkEthernet, 0, 0, ""},
	}
	several := append([]seen{{flow.LinkLinuxSLL, 3, 70, "cooked"}, {flow.LinkRaw, 4, 5, "raw"}}, one...)
	wantPackets(t, write(t, pcapfile.Pcap, flow.LinkEthernet, one...), one)
	wantPackets(t, write(t, pcapfile.Pcapng, flow.LinkEthernet, one...), one)
	wantPackets(t, write(t, pcapfile.Pcapng, flow.LinkEthernet, several...), several)
	wantPackets(t, write(t, pcapfile.Pcap, flow.LinkRaw), nil)
	wantPackets(t, write(t, pcapfile.Pcapng, flow.LinkRaw), nil)
}

func TestWriteRefuses(t *testing.T) {
	w := pcapfile.NewWriter(&bytes.Buffer{}, pcapfile.Pcap, flow.LinkEthernet)
	var link *pcapfile.LinkError
	if err := w.Write(flow.LinkRaw, flow.Packet{}); !errors.As(err, &link) || link.File != flow.LinkEthernet || link.Packet != flow.LinkRaw {
		t.Errorf("another link type in pcap: %v", err)
	}
	if err := w.Write(flow.LinkEthernet, flow.Packet{Data: make([]byte, 1<<20)}); err == nil {
		t.Error("a packet that no reader takes was written")
	}
}

func TestTimesThatPcapCannotTell(t *testing.T) {
	file := write(t, pcapfile.Pcap, 1, seen{1, -5, 0, ""}, seen{1, math.MaxInt64, 0, ""})
	wantPackets(t, file, []seen{{1, 0, 0, ""}, {1, math.MaxUint32 * 1_000_000_000, 0, ""}})
}

// What others make of our files, and we of theirs.
func TestTshark(t *testing.T) {
	frame := func(port byte) string {
		return "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00" + // Ethernet
			"\x45\x00\x00\x1c\x00\x01\x00\x00\x40\x11\x26\xcd\x0a\x00\x00\x01\x0a\x00\x00\x02" + // IPv4
			"\x04\xd2\x00" + string(rune(port)) + "\x00\x08\x00\x00" // UDP
	}
	packets := []seen{
		{flow.LinkEthernet, 1_700_000_000_000_000_001, 42, frame(53)},
		{flow.LinkEthernet, 1_700_000_001_500_000_000, 1000, frame(67)},
	}
	raw := seen{flow.LinkRaw, 1_700_000_002_000_000_000, 28, frame(99)[14:]}
	lines := []string{"1700000000.000000001 42 53", "1700000001.500000000 1000 67", "1700000002.000000000 28 99"}
	for name, c := range map[string]struct {
		file []byte
		want []string
	}{
		"a.pcap":   {write(t, pcapfile.Pcap, flow.LinkEthernet, packets...), lines[:2]},
		"b.pcapng": {write(t, pcapfile.Pcapng, flow.LinkEthernet, append(packets, raw)...), lines},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			got := tool(t, "tshark", "-r", path, "-T", "fields", "-E", "separator=/s", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "udp.dstport")
			if diff := cmp.Diff(c.want, strings.Split(strings.TrimSpace(got), "\n")); diff != "" {
				t.Errorf("tshark: -want +got:\n%s", diff)
			}
			back := filepath.Join(dir, "back")
			tool(t, "tshark", "-r", path, "-w", back)
			theirs, err := os.Open(back)
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			ours, err := readAll(t, bytes.NewReader(c.file))
			if err != nil {
				t.Fatal(err)
			}
			rewritten, err := readAll(t, theirs)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(ours, rewritten); diff != "" {
				t.Errorf("rewritten by tshark: -ours +theirs:\n%s", diff)
			}
		})
	}
}

func tool(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := testenv.Command(ctx, t, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, stderr.Bytes())
	}
	return stdout.String()
}
