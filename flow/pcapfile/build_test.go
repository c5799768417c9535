package pcapfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/pcapfile"
)

// seen is a packet as a test compares it.
type seen struct {
	Link   flow.LinkType
	Time   int64
	Length int
	Data   string
}

// readAll reads to the end, whatever it is, and checks what holds for every file.
func readAll(t testing.TB, src io.Reader) ([]seen, error) {
	t.Helper()
	r, err := pcapfile.Open(src)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []seen
	for {
		link, packets, err := r.Read()
		if err != nil {
			if again := errors.Join(second(r)); again == nil || again.Error() != err.Error() {
				t.Fatalf("the error did not stay: first %v, then %v", err, again)
			}
			if errors.Is(err, io.EOF) && !errors.As(err, new(*pcapfile.DamageError)) {
				err = nil
			}
			return all, err
		}
		if len(packets) == 0 {
			t.Fatal("a batch without packets and without an error")
		}
		for _, p := range packets {
			if p.Length < len(p.Data) {
				t.Fatalf("a packet of %d bytes has %d captured", p.Length, len(p.Data))
			}
			all = append(all, seen{link, p.Time, p.Length, string(p.Data)})
		}
	}
}

func second(r *pcapfile.Reader) error {
	_, _, err := r.Read()
	return err
}

// pcapOf builds a pcap file byte by byte.
type pcapOf struct {
	order binary.AppendByteOrder
	magic uint32
	link  uint32
	extra int // bytes that a patched libpcap puts behind a record's header
}

func (f pcapOf) file(packets ...seen) []byte {
	b := f.order.AppendUint32(nil, f.magic)
	b = f.order.AppendUint16(b, 2)
	b = f.order.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = f.order.AppendUint32(b, 65535)
	b = f.order.AppendUint32(b, f.link)
	unit := int64(1000)
	if f.magic == 0xa1b23c4d {
		unit = 1
	}
	for _, p := range packets {
		b = f.order.AppendUint32(b, uint32(p.Time/1e9))
		b = f.order.AppendUint32(b, uint32(p.Time%1e9/unit))
		b = f.order.AppendUint32(b, uint32(len(p.Data)))
		b = f.order.AppendUint32(b, uint32(p.Length))
		b = append(b, make([]byte, f.extra)...)
		b = append(b, p.Data...)
	}
	return b
}

// ng builds pcapng blocks.
type ng struct{ order binary.AppendByteOrder }

func (n ng) block(kind uint32, body []byte) []byte {
	body = append(slices.Clone(body), make([]byte, -len(body)&3)...)
	total := uint32(12 + len(body))
	b := n.order.AppendUint32(nil, kind)
	b = n.order.AppendUint32(b, total)
	b = append(b, body...)
	return n.order.AppendUint32(b, total)
}

func (n ng) section() []byte {
	b := n.order.AppendUint32(nil, 0x1a2b3c4d)
	b = n.order.AppendUint16(b, 1)
	b = n.order.AppendUint16(b, 0)
	return n.block(0x0a0d0d0a, n.order.AppendUint64(b, 1<<64-1))
}

func (n ng) option(code uint16, value []byte) []byte {
	b := n.order.AppendUint16(nil, code)
	b = n.order.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

func (n ng) iface(link uint16, snap uint32, options ...[]byte) []byte {
	b := n.order.AppendUint16(nil, link)
	b = n.order.AppendUint16(b, 0)
	b = n.order.AppendUint32(b, snap)
	for _, o := range options {
		b = append(b, o...)
	}
	return n.block(1, b)
}

func (n ng) resolution(r byte) []byte { return n.option(9, []byte{r}) }

func (n ng) offset(seconds int64) []byte {
	return n.option(14, n.order.AppendUint64(nil, uint64(seconds)))
}

func (n ng) packet(on uint32, stamp uint64, length int, data string) []byte {
	b := n.order.AppendUint32(nil, on)
	b = n.order.AppendUint32(b, uint32(stamp>>32))
	b = n.order.AppendUint32(b, uint32(stamp))
	b = n.order.AppendUint32(b, uint32(len(data)))
	b = n.order.AppendUint32(b, uint32(length))
	return n.block(6, append(b, data...))
}

func (n ng) oldPacket(on uint16, stamp uint64, length int, data string) []byte {
	b := n.order.AppendUint16(nil, on)
	b = n.order.AppendUint16(b, 7) // drops
	b = n.order.AppendUint32(b, uint32(stamp>>32))
	b = n.order.AppendUint32(b, uint32(stamp))
	b = n.order.AppendUint32(b, uint32(len(data)))
	b = n.order.AppendUint32(b, uint32(length))
	return n.block(2, append(b, data...))
}

func (n ng) simple(length int, data string) []byte {
	return n.block(3, append(n.order.AppendUint32(nil, uint32(length)), data...))
}

func (n ng) statistics(on uint32, lost uint64) []byte {
	b := n.order.AppendUint32(nil, on)
	b = append(b, make([]byte, 8)...)
	b = append(b, n.option(5, n.order.AppendUint64(nil, lost))...)
	return n.block(5, b)
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t testing.TB, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}
