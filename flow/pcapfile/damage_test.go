package pcapfile_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/weft-net/weft/flow/pcapfile"
)

// A file cut at any byte gives the packets that are whole, and says where the first lies that is not.
func TestCutAnywhere(t *testing.T) {
	n := ng{big}
	pcap := pcapOf{little, 0xa1b23c4d, 1, 0}.file(three...)
	pcapng := bytes.Join([][]byte{n.section(), n.iface(1, 0), n.packet(0, 1, 9, "abc"), n.packet(0, 2, 9, "defgh")}, nil)
	for _, c := range []struct {
		name   string
		file   []byte
		starts []int // of each record, and of what precedes the first packet
		first  int   // the first of them that is a packet
	}{
		{"pcap", pcap, []int{24, 24 + 21, 24 + 21 + 26, len(pcap)}, 0},
		{"pcapng", pcapng, []int{0, 28, 48, 84, len(pcapng)}, 2},
	} {
		for size := 4; size < len(c.file); size++ {
			got, err := readAll(t, bytes.NewReader(c.file[:size]))
			if i := slices.Index(c.starts, size); i > 0 || c.name == "pcap" && i == 0 {
				if err != nil {
					t.Errorf("%s of %d bytes ends between records, yet: %v", c.name, size, err)
				}
				continue
			}
			var damage *pcapfile.DamageError
			if !errors.As(err, &damage) || !damage.Cut {
				t.Errorf("%s of %d bytes: %v, want it cut", c.name, size, err)
				continue
			}
			whole := 0
			for whole+1 < len(c.starts) && c.starts[whole+1] <= size {
				whole++
			}
			offset := int64(c.starts[whole])
			if size < c.starts[0] {
				offset = 0
			}
			if damage.Offset != offset || len(got) != max(whole-c.first, 0) {
				t.Errorf("%s of %d bytes: %d packets, damage at %d; want %d and %d", c.name, size, len(got), damage.Offset, max(whole-c.first, 0), offset)
			}
		}
	}
}

func TestDamage(t *testing.T) {
	n := ng{little}
	head := bytes.Join([][]byte{n.section(), n.iface(1, 0), n.packet(0, 1, 1, "a")}, nil)
	with := func(more ...[]byte) []byte { return append(slices.Clone(head), bytes.Join(more, nil)...) }
	at := int64(len(head))
	pcap := pcapOf{little, 0xa1b23c4d, 1, 0}.file(three...)
	patch := func(file []byte, at int, b ...byte) []byte {
		file = slices.Clone(file)
		copy(file[at:], b)
		return file
	}
	after := n.packet(0, 2, 1, "b")
	for _, c := range []struct {
		name    string
		file    []byte
		packets int
		want    pcapfile.DamageError
	}{
		{"a pcap packet too long", patch(pcap, 24+21+8, 0, 0, 0, 0x7f), 1, pcapfile.DamageError{Offset: 45, Text: "a packet of 2130706432 bytes"}},
		{"a block without a length", with([]byte("\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")), 1, pcapfile.DamageError{Offset: at, Text: "a block of 0 bytes"}},
		{"a length that is no multiple of 4", with([]byte("\x06\x00\x00\x00\x0d\x00\x00\x00\x00\x00\x00\x00\x00")), 1, pcapfile.DamageError{Offset: at, Text: "a block of 13 bytes"}},
		{"two lengths", patch(with(after), len(head)+len(after)-4, 7), 1, pcapfile.DamageError{Offset: at, Text: "the length at the end"}},
		{"no such interface", with(n.packet(9, 1, 1, "x"), after), 2, pcapfile.DamageError{Offset: at, Skipped: 1, Text: "interface 9"}},
		{"more data than the block has", with(patch(after, 20, 99), after, patch(after, 20, 98)), 2, pcapfile.DamageError{Offset: at, Skipped: 2, Text: "a packet of 99 bytes in a block with room for 4"}},
		{"a short packet block", with(n.block(6, []byte("short")), after), 2, pcapfile.DamageError{Offset: at, Skipped: 1, Text: "too short"}},
		{"a short old packet block", with(n.block(2, []byte("short")), after), 2, pcapfile.DamageError{Offset: at, Skipped: 1, Text: "too short"}},
		{"a short simple block", with(n.block(3, nil), after), 2, pcapfile.DamageError{Offset: at, Skipped: 1, Text: "too short"}},
		{"a simple block past its end", with(n.simple(50, "ab"), after), 2, pcapfile.DamageError{Offset: at, Skipped: 1, Text: "room for 4"}},
		{"a short interface", with(n.block(1, []byte("shrt")), after), 1, pcapfile.DamageError{Offset: at, Text: "too short"}},
		{"a section of another version", with(patch(n.section(), 12, 9), after), 1, pcapfile.DamageError{Offset: at, Text: "version 9"}},
		{"a section of no byte order", with(patch(n.section(), 8, 9), after), 1, pcapfile.DamageError{Offset: at, Text: "byte order"}},
		{"a description too long", with([]byte("\x01\x00\x00\x00\x00\x00\x00\x70\x00\x00\x00\x00")), 1, pcapfile.DamageError{Offset: at, Text: "a description of"}},
		{"no interface", bytes.Join([][]byte{n.section(), n.simple(1, "a")}, nil), 0, pcapfile.DamageError{Offset: 28, Skipped: 1, Text: "without a described interface"}},
		{"gzip without its end", cutEnd(gzipped(t, pcap), 6), 3, pcapfile.DamageError{Offset: 87, Compressed: true, Cut: true, Text: "decompression"}},
		{"gzip and something else", append(gzipped(t, pcap), "something else"...), 3, pcapfile.DamageError{Offset: 87, Compressed: true, Text: "the gzip data ends there, and what follows is none"}},
		{"gzip with another checksum", patchEnd(gzipped(t, pcap)), 3, pcapfile.DamageError{Offset: 87, Compressed: true, Text: "decompression"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(t, bytes.NewReader(c.file))
			var damage *pcapfile.DamageError
			if !errors.As(err, &damage) {
				t.Fatalf("error %v, want damage", err)
			}
			if len(got) != c.packets || damage.Offset != c.want.Offset || damage.Skipped != c.want.Skipped ||
				damage.Compressed != c.want.Compressed || damage.Cut != c.want.Cut || !strings.Contains(err.Error(), c.want.Text) {
				t.Errorf("%d packets, %+v; want %d, %+v", len(got), *damage, c.packets, c.want)
			}
		})
	}
}

func cutEnd(b []byte, n int) []byte { return b[:len(b)-n] }

func patchEnd(b []byte) []byte {
	b[len(b)-6] ^= 1
	return b
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want string
	}{
		"nothing":           {"", "the file is empty"},
		"text":              {"hello, this is not a capture file", "neither a pcap nor a pcapng file"},
		"two bytes":         {"\xd4\xc3", "neither a pcap nor a pcapng file"},
		"half a header":     {"\xd4\xc3\xb2\xa1\x02\x00", "the file ends inside its header"},
		"pcap version 9":    {"\xd4\xc3\xb2\xa1\x09\x00\x04\x00" + strings.Repeat("\x00", 16), "pcap version 9"},
		"gzip of nothing":   {string(gzipped(t, nil)), "the file is empty"},
		"gzip of text":      {string(gzipped(t, []byte("text"))), "neither a pcap nor a pcapng file"},
		"gzip header alone": {"\x1f\x8b\x08\x00", "gzip header"},
		"zstd of text":      {string(zstandard(t, []byte("text"))), "neither a pcap nor a pcapng file"},
		"zstd magic alone":  {"\x28\xb5\x2f\xfd", "decompression"},
		// A frame without a checksum or its size: the window of 2^(10+18) bytes, and an empty last block.
		"zstd with a window of 256 MiB": {"\x28\xb5\x2f\xfd\x00\x90\x01\x00\x00", "window is larger than 128 MiB: compress it again without --long"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pcapfile.Open(strings.NewReader(c.file))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// What goes wrong with the source is no damage of the file.
func TestSourceFails(t *testing.T) {
	failure := errors.New("disk on fire")
	file := pcapOf{little, 0xa1b23c4d, 1, 0}.file(three...)
	got, err := readAll(t, io.MultiReader(bytes.NewReader(file[:50]), iotest.ErrReader(failure)))
	if len(got) != 1 || !errors.Is(err, failure) || !strings.Contains(err.Error(), "offset 45") {
		t.Errorf("%d packets, %v", len(got), err)
	}
	if _, err := pcapfile.Open(iotest.ErrReader(failure)); !errors.Is(err, failure) {
		t.Errorf("open: %v", err)
	}
	r, err := pcapfile.Open(io.MultiReader(bytes.NewReader(file[:24]), stuck{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Read(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a source that gives nothing: %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func FuzzReader(f *testing.F) {
	n := ng{little}
	m := ng{big}
	pcap := pcapOf{little, 0xa1b2c3d4, 1, 0}.file(three...)
	pcapng := bytes.Join([][]byte{
		n.section(), n.iface(1, 0, n.resolution(0x8a), n.offset(5)), n.packet(0, 1, 9, "abc"), n.simple(2, "ab"), n.statistics(0, 1),
		m.section(), m.iface(113, 3), m.oldPacket(0, 2, 9, "defgh"), m.block(0xbad, []byte("custom")), m.simple(5, "abc"),
	}, nil)
	for _, seed := range [][]byte{pcap, pcapOf{big, 0xa1b23c4d, 101, 0}.file(three...), pcapng, gzipped(f, pcap), zstandard(f, pcapng), pcapng[:90], {}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		all, err := readAll(t, bytes.NewReader(file))
		var damage *pcapfile.DamageError
		if errors.As(err, &damage) && (damage.Offset < 0 || !damage.Compressed && damage.Offset > int64(len(file))) {
			t.Fatalf("damage at %d of %d", damage.Offset, len(file))
		}
		if len(file) > 16<<10 {
			return // read by the byte it would take too long
		}
		slow, again := readAll(t, iotest.OneByteReader(bytes.NewReader(file)))
		if !slices.Equal(all, slow) || (err == nil) != (again == nil) || err != nil && err.Error() != again.Error() {
			t.Fatalf("read whole: %d packets, %v; by the byte: %d, %v", len(all), err, len(slow), again)
		}
	})
}
