package pcapfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weft-net/weft/flow"
)

// The sizes of buffers, in bytes.
const (
	// chunk is what a batch holds: small enough to stay in a core's cache until its packets are decoded.
	chunk = 256 << 10
	// usualPacket is the longest packet that a file may hold whatever its header says, as in libpcap.
	usualPacket = 256 << 10
	// largestPacket bounds what a header can ask for.
	largestPacket = 16 << 20
	// largestWindow bounds the memory that a zstd file can ask for.
	largestWindow = 128 << 20
	// emptyReads is how often a source may give nothing before it counts as broken.
	emptyReads = 100
)

// Reader gives the packets of one capture file.
type Reader struct {
	src        io.Reader
	zstd       *zstd.Decoder // to be closed, or nil
	compressed bool
	format     format
	carry      []byte // read, but not yet given: the record that the last batch cut in two
	offset     int64  // of carry[0] in the file
	err        error  // what the next call returns
	skip       int64  // bytes of a block that is left out
	skipFrom   int64  // where that block begins
	damage     *DamageError

	own Batch // of Read
	at  int   // the next run of own
}

// format decodes the records of a file.
type format interface {
	// parse appends the packets of the whole records in data, which lies at the offset in the file. It gives the
	// bytes used, and how many more records need at least: the length of the next one, as far as it is known.
	parse(r *Reader, b *Batch, data []byte, offset int64) (used, need int, err error)
}

// Batch is a number of packets in a row and the memory that they lie in. The zero Batch is ready for use; used again,
// it allocates nothing more.
type Batch struct {
	// Runs are the packets in the order of the file. There are several where the link type changes.
	Runs []Run

	buf     []byte
	packets []flow.Packet
	starts  []runStart
}

// Run is packets in a row with the same link type.
type Run struct {
	Link    flow.LinkType
	Packets []flow.Packet
}

type runStart struct {
	link  flow.LinkType
	first int
}

// add appends a packet.
func (b *Batch) add(link flow.LinkType, p flow.Packet) {
	if n := len(b.starts); n == 0 || b.starts[n-1].link != link {
		b.starts = append(b.starts, runStart{link, len(b.packets)})
	}
	b.packets = append(b.packets, p)
}

func (b *Batch) reset() {
	b.Runs, b.packets, b.starts = b.Runs[:0], b.packets[:0], b.starts[:0]
}

// finish cuts the packets into runs, once the slice of packets no longer moves.
func (b *Batch) finish() {
	for i, s := range b.starts {
		end := len(b.packets)
		if i+1 < len(b.starts) {
			end = b.starts[i+1].first
		}
		b.Runs = append(b.Runs, Run{s.link, b.packets[s.first:end:end]})
	}
}

// Len is the number of packets.
func (b *Batch) Len() int { return len(b.packets) }

// Open reads the beginning of a capture file. The error is [ErrFormat] when it is none, and a [DamageError] when it
// ends or breaks off before the first record.
func Open(src io.Reader) (*Reader, error) {
	r := &Reader{src: src}
	var magic [4]byte
	n, err := io.ReadFull(src, magic[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("read: %w", err)
	}
	r.src = io.MultiReader(bytes.NewReader(magic[:n]), src)
	if n == len(magic) {
		if err := r.decompress(magic); err != nil {
			return nil, err
		}
	}
	if err := r.begin(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// decompress puts a decompressor in front of what begins like a compressed file.
func (r *Reader) decompress(magic [4]byte) error {
	switch {
	case magic[0] == 0x1f && magic[1] == 0x8b:
		z, err := gzip.NewReader(r.src)
		if err != nil {
			return &DamageError{Text: "gzip header", Cut: errors.Is(err, io.ErrUnexpectedEOF), Err: err}
		}
		r.src, r.compressed = z, true
	case binary.LittleEndian.Uint32(magic[:]) == 0xfd2fb528:
		z, err := zstd.NewReader(r.src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(largestWindow))
		if err != nil {
			return &DamageError{Text: "zstd header", Err: err}
		}
		r.src, r.zstd, r.compressed = z, z, true
	}
	return nil
}

// begin finds out the format.
func (r *Reader) begin() error {
	head := make([]byte, pcapFileHeader)
	n, err := io.ReadFull(r.src, head)
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && !r.compressed:
	case errors.Is(err, io.ErrUnexpectedEOF) && n > 0 && n < pcapFileHeader: // either end; the header decides
	default:
		return r.broken(int64(n), err)
	}
	head = head[:n]
	if n == 0 {
		return &DamageError{Cut: true, Compressed: r.compressed, Text: "the file is empty"}
	}
	if n < 4 {
		return ErrFormat
	}
	if binary.LittleEndian.Uint32(head) == blockSection {
		r.format = &pcapng{}
		r.carry = append(r.carry, head...)
		return nil
	}
	f := &pcap{}
	if !f.magic(head) {
		return ErrFormat
	}
	if n < pcapFileHeader {
		return &DamageError{Cut: true, Compressed: r.compressed, Text: "the file ends inside its header"}
	}
	if err := f.header(head); err != nil {
		return err
	}
	r.format, r.offset = f, pcapFileHeader
	return nil
}

// broken is the error for bytes that could not be read.
func (r *Reader) broken(offset int64, err error) error {
	switch {
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Errorf("its zstd window is larger than %d MiB: compress it again without --long, or read what 'zstd -dc --long=31' makes of it: %w", largestWindow>>20, err)
	case errors.Is(err, gzip.ErrHeader): // of a member behind the first: without one there is no Reader
		return &DamageError{Offset: offset, Compressed: true, Text: "the gzip data ends there, and what follows is none", Err: err}
	case r.compressed:
		return &DamageError{Offset: offset, Compressed: true, Cut: errors.Is(err, io.ErrUnexpectedEOF), Text: "decompression", Err: err}
	}
	return fmt.Errorf("read at offset %d: %w", offset, err)
}

// Next fills a batch with what comes next: at least one packet, and no more than was there to read at once. What the
// batch held before is gone. After the last packet the error is io.EOF, or says why the file was not read to its end.
func (r *Reader) Next(b *Batch) error {
	b.reset()
	if r.err != nil {
		return r.err
	}
	if b.buf == nil {
		b.buf = make([]byte, chunk)
	}
	if len(b.buf) < len(r.carry) {
		b.buf = make([]byte, len(r.carry)+chunk)
	}
	have := copy(b.buf, r.carry)
	r.carry = r.carry[:0]
	for empty := 0; ; {
		n, rerr := r.src.Read(b.buf[have:])
		have += n
		if n > 0 {
			empty = 0
		} else if empty++; rerr == nil && empty == emptyReads {
			rerr = io.ErrNoProgress
		}
		used, need, err := r.parse(b, b.buf[:have])
		start := r.offset
		r.offset += int64(used)
		switch {
		case err != nil:
			r.err = err
		case rerr != nil:
			r.err = r.end(start+int64(used), have-used, rerr)
		}
		if r.err != nil || len(b.packets) > 0 {
			if r.err == nil {
				r.carry = append(r.carry, b.buf[used:have]...)
			}
			b.finish()
			if len(b.packets) > 0 {
				return nil
			}
			return r.err
		}
		have = b.keep(used, have, need)
	}
}

// keep moves the rest of the buffer to its front, with room for need bytes and more.
func (b *Batch) keep(used, have, need int) int {
	rest := b.buf[used:have]
	if need >= len(b.buf) {
		b.buf = make([]byte, need+chunk)
	}
	return copy(b.buf, rest)
}

// parse drops what is left of a block that is skipped, and hands the rest to the format.
func (r *Reader) parse(b *Batch, data []byte) (used, need int, err error) {
	for {
		n := int(min(r.skip, int64(len(data)-used)))
		r.skip -= int64(n)
		used += n
		if r.skip > 0 {
			return used, 0, nil
		}
		n, need, err = r.format.parse(r, b, data[used:], r.offset+int64(used))
		used += n
		if err != nil || r.skip == 0 || used == len(data) {
			return used, need, err
		}
	}
}

// end says how the file ended: well, inside a record, or by an error of the source.
func (r *Reader) end(offset int64, rest int, err error) error {
	switch {
	case !errors.Is(err, io.EOF):
		return r.broken(offset, err)
	case r.skip > 0:
		return &DamageError{Offset: r.skipFrom, Compressed: r.compressed, Cut: true, Text: "the file ends inside a block"}
	case rest > 0:
		return &DamageError{Offset: offset, Compressed: r.compressed, Cut: true, Text: "the file ends inside a record"}
	case r.damage != nil:
		return r.damage
	}
	return io.EOF
}

// wrong notes a record that is left out while reading goes on.
func (r *Reader) wrong(offset int64, text string) {
	if r.damage == nil {
		r.damage = &DamageError{Offset: offset, Compressed: r.compressed, Text: text}
	}
	r.damage.Skipped++
}

// stop is the error for a record after which nothing can be read.
func (r *Reader) stop(offset int64, text string) error {
	return &DamageError{Offset: offset, Compressed: r.compressed, Text: text}
}

// Read gives the next packets with their link type. They are valid until the next Read. The error is as that of Next.
func (r *Reader) Read() (flow.LinkType, []flow.Packet, error) {
	if r.at >= len(r.own.Runs) {
		r.at = 0
		if err := r.Next(&r.own); err != nil {
			return 0, nil, err
		}
	}
	run := r.own.Runs[r.at]
	r.at++
	return run.Link, run.Packets, nil
}

// Lost is how many packets the program that wrote the file says it lost, as far as read: pcapng only.
func (r *Reader) Lost() uint64 {
	if f, ok := r.format.(*pcapng); ok {
		return f.lost()
	}
	return 0
}

// Close frees what decompression holds.
func (r *Reader) Close() {
	if r.zstd != nil {
		r.zstd.Close()
	}
	if r.err == nil {
		r.err = io.EOF
	}
}
