package pcapfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/pcapfile"
)

var (
	little = binary.LittleEndian
	big    = binary.BigEndian
)

// Three packets whose times fit microseconds.
var three = []seen{
	{flow.LinkEthernet, 1_700_000_000_000_001_000, 60, "first"},
	{flow.LinkEthernet, 1_700_000_000_999_999_000, 1514, "the second"},
	{flow.LinkEthernet, 4_294_967_295_000_000_000, 0x7fffffff, ""},
}

func TestPcapVariants(t *testing.T) {
	for name, f := range map[string]pcapOf{
		"microseconds, little-endian": {little, 0xa1b2c3d4, 1, 0},
		"microseconds, big-endian":    {big, 0xa1b2c3d4, 1, 0},
		"nanoseconds, little-endian":  {little, 0xa1b23c4d, 1, 0},
		"nanoseconds, big-endian":     {big, 0xa1b23c4d, 1, 0},
		"patched libpcap":             {little, 0xa1b2cd34, 1, 8},
		"FCS length in the link type": {little, 0xa1b2c3d4, 1 | 0x24000000, 0},
	} {
		t.Run(name, func(t *testing.T) { wantPackets(t, f.file(three...), three) })
	}
}

// wantPackets reads the file in every way that it can come.
func wantPackets(t *testing.T, file []byte, want []seen) {
	t.Helper()
	for name, src := range map[string]io.Reader{
		"whole":        bytes.NewReader(file),
		"by the byte":  iotest.OneByteReader(bytes.NewReader(file)),
		"end with it":  iotest.DataErrReader(bytes.NewReader(file)),
		"gzip":         bytes.NewReader(gzipped(t, file)),
		"zstd":         bytes.NewReader(zstandard(t, file)),
		"zstd by half": iotest.HalfReader(bytes.NewReader(zstandard(t, file))),
	} {
		got, err := readAll(t, src)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestLinkTypesOfOtherSystems(t *testing.T) {
	for number, want := range map[uint32]flow.LinkType{12: flow.LinkRaw, 14: flow.LinkRaw, 113: flow.LinkLinuxSLL, 276: flow.LinkLinuxSLL2} {
		got, err := readAll(t, bytes.NewReader(pcapOf{little, 0xa1b2c3d4, number, 0}.file(three[0])))
		if err != nil || got[0].Link != want {
			t.Errorf("link type %d: %v (error %v), want %d", number, got, err, want)
		}
	}
}

func TestPcapngPackets(t *testing.T) {
	for name, order := range map[string]binary.AppendByteOrder{"little-endian": little, "big-endian": big} {
		t.Run(name, func(t *testing.T) {
			n := ng{order}
			file := bytes.Join([][]byte{
				n.section(),
				n.iface(1, 0),
				n.iface(113, 4, n.resolution(9)),
				n.packet(0, 1_700_000_000_000_001, 60, "by microseconds"),
				n.packet(1, 1_700_000_000_000_000_007, 4, "odd"),
				n.block(0xbad, []byte("custom")),
				n.oldPacket(0, 1_700_000_000_000_002, 1500, "old"),
				n.simple(6, "simple"),
			}, nil)
			wantPackets(t, file, []seen{
				{1, 1_700_000_000_000_001_000, 60, "by microseconds"},
				{113, 1_700_000_000_000_000_007, 4, "odd"},
				{1, 1_700_000_000_000_002_000, 1500, "old"},
				{1, 1_700_000_000_000_002_000, 6, "simple"}, // the time of the packet before
			})
		})
	}
}

func TestPcapngSectionsDifferInByteOrder(t *testing.T) {
	a, b := ng{little}, ng{big}
	file := bytes.Join([][]byte{
		a.section(), a.iface(1, 0), a.packet(0, 1, 1, "a"), a.statistics(0, 3), a.statistics(0, 5),
		b.section(), b.iface(101, 2), b.packet(0, 2, 1, "b"), b.simple(3, "cd"), b.statistics(0, 7),
	}, nil)
	wantPackets(t, file, []seen{{1, 1000, 1, "a"}, {101, 2000, 1, "b"}, {101, 2000, 3, "cd"}})

	r, err := pcapfile.Open(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; _, _, err = r.Read() {
		continue
	}
	if got := r.Lost(); got != 12 {
		t.Errorf("the writer says it lost %d packets, want 5 of the first section and 7 of the second", got)
	}
}

func TestPcapngClocks(t *testing.T) {
	n := ng{little}
	for _, c := range []struct {
		name    string
		options [][]byte
		stamp   uint64
		want    int64
	}{
		{"none: microseconds", nil, 1_500_000, 1_500_000_000},
		{"seconds", [][]byte{n.resolution(0)}, 1_700_000_000, 1_700_000_000_000_000_000},
		{"nanoseconds", [][]byte{n.resolution(9)}, 1_700_000_000_000_000_001, 1_700_000_000_000_000_001},
		{"picoseconds", [][]byte{n.resolution(12)}, 1_234_567, 1234},
		{"10^-127 s", [][]byte{n.resolution(127)}, 1 << 63, 0},
		{"2^-10 s", [][]byte{n.resolution(0x8a)}, 1536, 1_500_000_000},
		{"2^-32 s", [][]byte{n.resolution(0xa0)}, 1_700_000_000<<32 | 1<<31, 1_700_000_000_500_000_000},
		{"2^-64 s", [][]byte{n.resolution(0xc0)}, 1 << 63, 500_000_000},
		{"2^-127 s", [][]byte{n.resolution(0xff)}, 1<<64 - 1, 0},
		{"offset", [][]byte{n.resolution(9), n.offset(1_700_000_000)}, 5, 1_700_000_000_000_000_005},
		{"offset before 1970", [][]byte{n.offset(-1)}, 0, -1_000_000_000},
		{"beyond what ns can tell", [][]byte{n.resolution(0)}, 1 << 40, math.MaxInt64},
		{"offset beyond", [][]byte{n.offset(math.MaxInt64)}, 5, math.MaxInt64},
		{"offset far before", [][]byte{n.offset(math.MinInt64)}, 0, math.MinInt64},
		{"a resolution of two bytes is none", [][]byte{n.option(9, []byte{9, 9})}, 1, 1000},
		{"an option past the end is none", [][]byte{{9, 0, 200, 0}}, 1, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := bytes.Join([][]byte{n.section(), n.iface(1, 0, c.options...), n.packet(0, c.stamp, 1, "x")}, nil)
			got, err := readAll(t, bytes.NewReader(file))
			if err != nil || got[0].Time != c.want {
				t.Errorf("time %v (error %v), want %d", got, err, c.want)
			}
		})
	}
}

// Packets and blocks that are longer than a buffer.
func TestLongRecords(t *testing.T) {
	long := strings.Repeat("long", 60_000)
	want := []seen{{1, 0, len(long), long}, {1, 0, 5, "short"}, {1, 0, len(long), long}}
	wantPackets(t, pcapOf{big, 0xa1b23c4d, 1, 0}.file(want...), want)

	n := ng{little}
	file := bytes.Join([][]byte{
		n.section(), n.iface(1, 0), n.packet(0, 0, len(long), long),
		n.block(0xbad, make([]byte, 3<<20)),
		n.packet(0, 0, 5, "short"), n.packet(0, 0, len(long), long),
	}, nil)
	wantPackets(t, file, want)

	var damage *pcapfile.DamageError
	got, err := readAll(t, bytes.NewReader(file[:len(file)-len(long)-2<<20]))
	if !errors.As(err, &damage) || !damage.Cut || len(got) != 1 || damage.Offset != int64(28+20+32+len(long)) {
		t.Errorf("cut inside a block that is skipped: %d packets, %v", len(got), err)
	}
}

func TestPackets(t *testing.T) {
	var many []seen
	for i := range 20_000 {
		many = append(many, seen{flow.LinkRaw, int64(i), 100, strings.Repeat("x", i%200%101)})
	}
	wantPackets(t, pcapOf{little, 0xa1b23c4d, 101, 0}.file(many...), many)
}

// A batch belongs to its caller: another may be filled while it is used.
func TestBatchesAreApart(t *testing.T) {
	var many []seen
	for i := range 20_000 {
		many = append(many, seen{1, int64(i), 64, strings.Repeat(string(rune('a'+i%26)), 64)})
	}
	r, err := pcapfile.Open(bytes.NewReader(pcapOf{little, 0xa1b23c4d, 1, 0}.file(many...)))
	if err != nil {
		t.Fatal(err)
	}
	var batches []*pcapfile.Batch
	for {
		b := &pcapfile.Batch{}
		if err := r.Next(b); err != nil {
			break
		}
		batches = append(batches, b)
	}
	if len(batches) < 3 {
		t.Fatalf("%d batches: the test needs several", len(batches))
	}
	var got []seen
	for _, b := range batches {
		for _, run := range b.Runs {
			for _, p := range run.Packets {
				got = append(got, seen{run.Link, p.Time, p.Length, string(p.Data)})
			}
		}
	}
	if diff := cmp.Diff(many, got); diff != "" {
		t.Error(diff)
	}
}

// A pipe that pauses gives what it has.
func TestReadDoesNotWaitForMore(t *testing.T) {
	in, out := io.Pipe()
	defer in.Close()
	file := pcapOf{little, 0xa1b23c4d, 1, 0}.file(three...)
	go out.Write(file[:24+16+5+3]) //nolint:errcheck // the pipe ends with the test
	r, err := pcapfile.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	_, packets, err := r.Read()
	if err != nil || len(packets) != 1 || string(packets[0].Data) != "first" {
		t.Errorf("%d packets, %v: want the first, which is whole", len(packets), err)
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	var many []seen
	for range 100_000 {
		many = append(many, seen{1, 0, 64, strings.Repeat("x", 64)})
	}
	file := pcapOf{little, 0xa1b23c4d, 1, 0}.file(many...)
	r, err := pcapfile.Open(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() {
		if _, _, err := r.Read(); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
