package spool

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A record is, in a file: the length of its body and the CRC-32C of it, four bytes each, little endian; then the body:
// flags, sequence number, mark, positions, costs, payload. Numbers are uvarints, texts are preceded by their length.
// In a file that is written over, the checksum begins with a salt, so that what was there before does not pass for more.
type record struct {
	id      uint64 // of the file; not written
	whole   bool   // entries are all positions
	seq     uint64 // 0 = no batch
	mark    name   // all batches up to it are acknowledged
	entries []Entry
	costs   []Cost
	payload []byte
}

const (
	frameSize = 8
	maxBody   = 64 << 20
	flagWhole = 1
)

var (
	errTorn   = errors.New("record cut off")
	errRecord = errors.New("damaged record")
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// appendRecord also says where in the record the payload begins.
func appendRecord(b []byte, r *record, salt uint32) (_ []byte, payloadAt int) {
	start := len(b)
	b = append(b, make([]byte, frameSize)...)
	var flags byte
	if r.whole {
		flags |= flagWhole
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, r.seq)
	b = binary.LittleEndian.AppendUint64(b, r.mark.spool)
	b = binary.AppendUvarint(b, r.mark.seq)
	b = binary.AppendUvarint(b, uint64(len(r.entries)))
	for _, e := range r.entries {
		b = appendText(b, e.Key)
		if e.Value == nil {
			b = append(b, 0)
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(e.Value))+1)
		b = append(b, e.Value...)
	}
	b = binary.AppendUvarint(b, uint64(len(r.costs)))
	for _, c := range r.costs {
		b = appendText(b, c.Key)
		b = binary.AppendUvarint(b, c.Packets)
	}
	b = binary.AppendUvarint(b, uint64(len(r.payload)))
	payloadAt = len(b) - start
	b = append(b, r.payload...)
	body := b[start+frameSize:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Update(salt, castagnoli(), body))
	return b, payloadAt
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// scan reads a file's records in order; what a record holds is the callee's. The error says where and why reading
// ended early; what came before it is good.
func scan(r io.Reader, salt uint32, each func(r *record, payloadAt int64)) (id uint64, err error) {
	in := bufio.NewReaderSize(r, 1<<16)
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, fmt.Errorf("file header: %w", errTorn)
	}
	if string(head[:len(magic)]) != magic {
		return 0, fmt.Errorf("file header: %w", errRecord)
	}
	id = binary.LittleEndian.Uint64(head[len(magic):])
	offset := int64(headerSize)
	for {
		var frame [frameSize]byte
		if _, err := io.ReadFull(in, frame[:]); err == io.EOF {
			return id, nil
		} else if err != nil {
			return id, fmt.Errorf("at byte %d: %w", offset, errTorn)
		}
		size := binary.LittleEndian.Uint32(frame[:])
		if size > maxBody {
			return id, fmt.Errorf("at byte %d: %w", offset, errRecord)
		}
		body, err := readBody(in, int(size))
		if err != nil {
			return id, fmt.Errorf("at byte %d: %w", offset, errTorn)
		}
		if crc32.Update(salt, castagnoli(), body) != binary.LittleEndian.Uint32(frame[4:]) {
			return id, fmt.Errorf("at byte %d: %w", offset, errRecord)
		}
		rec, ok := decodeRecord(body)
		if !ok {
			return id, fmt.Errorf("at byte %d: %w", offset, errRecord)
		}
		rec.id = id
		each(rec, offset+frameSize+int64(len(body)-len(rec.payload)))
		offset += frameSize + int64(size)
	}
}

// readBody reads n bytes, and takes memory only as they come: a damaged length must not take 64 MiB.
func readBody(in io.Reader, n int) ([]byte, error) {
	const step = 1 << 20
	body := make([]byte, 0, min(n, step))
	for len(body) < n {
		at := len(body)
		body = append(body, make([]byte, min(n-at, step))...)
		if _, err := io.ReadFull(in, body[at:]); err != nil {
			return nil, fmt.Errorf("record body: %w", err)
		}
	}
	return body, nil
}

// reader takes fields from a body; bad stays set once anything is wrong.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	part := r.b[:n:n]
	r.b = r.b[n:]
	return part
}

// count reads the length of a list whose items have size bytes at least.
func (r *reader) count(size int) int {
	n := r.number()
	if n > uint64(len(r.b)/size) {
		r.bad = true
		return 0
	}
	return int(n)
}

func decodeRecord(body []byte) (*record, bool) {
	r := reader{b: body}
	flags := r.take(1)
	if r.bad || flags[0]&^flagWhole != 0 {
		return nil, false
	}
	rec := &record{whole: flags[0]&flagWhole != 0, seq: r.number()}
	if mark := r.take(8); mark != nil {
		rec.mark.spool = binary.LittleEndian.Uint64(mark)
	}
	rec.mark.seq = r.number()
	for range r.count(2) {
		e := Entry{Key: string(r.take(r.number()))}
		if size := r.number(); size > 0 {
			if e.Value = r.take(size - 1); e.Value == nil {
				e.Value = []byte{}
			}
		}
		rec.entries = append(rec.entries, e)
	}
	for range r.count(2) {
		rec.costs = append(rec.costs, Cost{Key: string(r.take(r.number())), Packets: r.number()})
	}
	rec.payload = r.take(r.number())
	if r.bad || len(r.b) != 0 || (rec.seq == 0) != (len(rec.payload) == 0) {
		return nil, false
	}
	return rec, true
}
