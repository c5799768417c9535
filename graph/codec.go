package graph

import (
	"errors"
	"fmt"
)

// The form of a batch on the bus and on disk. All numbers are varints, texts have their length in front.
//
//	message  version 1, part index, part count, origin, epoch, seq, body
//	body     flags (1: snapshot), key lists, names of counters, events
//
// The body of a batch in parts is cut anywhere; the parts put together in their order are the body. A key list is a
// count and the keys, ascending; metadata is the number of its key list plus one (0: empty) and its packed values,
// which are in memory as they are here.
const codecVersion = 1

// ErrMalformed is wrapped by every error of DecodeBatch, ReadPart and JoinBatch.
var ErrMalformed = errors.New("malformed batch")

// Bits of an event's field mask, in the order of the fields.
const (
	hasEdge = 1 << iota
	hasHost
	hasOrigin
	hasEnds
	hasMetadata
	hasPatch
	hasRank
	hasCreated
	hasUpdated
	hasDeleted
	hasRevision
	hasCounters
	maskEnd
)

const flagSnapshot = 1

// encoder numbers the key lists and the names of counters of a batch.
type encoder struct {
	keys      map[keyList]int
	keyOrder  []keyList
	names     map[string]int // by the packed names
	nameOrder []string
	last      []string
	lastAt    int
	buf       []byte
}

// AppendBatch appends a batch as one message. Metadata nested deeper than MaxDepth would not decode.
func AppendBatch(dst []byte, b *Batch) []byte {
	return appendBody(appendHeader(dst, b, 0, 1), b)
}

func appendHeader(dst []byte, b *Batch, index, count int) []byte {
	dst = append(dst, codecVersion)
	dst = appendUvarint(dst, uint64(index))
	dst = appendUvarint(dst, uint64(count))
	dst = appendSizedString(dst, b.Origin)
	dst = appendUvarint(dst, b.Epoch)
	return appendUvarint(dst, b.Seq)
}

func appendBody(dst []byte, b *Batch) []byte {
	enc := encoder{keys: make(map[keyList]int), names: make(map[string]int)}
	for i := range b.Events {
		ev := &b.Events[i]
		if ev.Metadata.data != "" {
			enc.keysOf(ev.Metadata)
		}
		if ev.Counters != nil {
			enc.namesOf(ev.Counters)
		}
	}
	flags := uint64(0)
	if b.Snapshot {
		flags |= flagSnapshot
	}
	dst = appendUvarint(dst, flags)
	dst = appendUvarint(dst, uint64(len(enc.keyOrder)))
	for _, k := range enc.keyOrder {
		n := k.len()
		dst = appendUvarint(dst, uint64(n))
		for i := range n {
			dst = appendSizedString(dst, k.at(n, i))
		}
	}
	dst = appendUvarint(dst, uint64(len(enc.nameOrder)))
	for _, names := range enc.nameOrder {
		dst = append(dst, names...)
	}
	dst = appendUvarint(dst, uint64(len(b.Events)))
	for i := range b.Events {
		dst = enc.appendEvent(dst, &b.Events[i])
	}
	return dst
}

func (enc *encoder) keysOf(m Metadata) int {
	k := m.keyList()
	n, ok := enc.keys[k]
	if !ok {
		n = len(enc.keyOrder)
		enc.keys[k] = n
		enc.keyOrder = append(enc.keyOrder, k)
	}
	return n
}

func (enc *encoder) namesOf(c *Counters) int {
	if enc.last != nil && len(c.Names) > 0 && len(enc.last) == len(c.Names) && &enc.last[0] == &c.Names[0] {
		return enc.lastAt
	}
	enc.buf = appendUvarint(enc.buf[:0], uint64(len(c.Names)))
	for _, name := range c.Names {
		enc.buf = appendSizedString(enc.buf, name)
	}
	n, ok := enc.names[string(enc.buf)]
	if !ok {
		n = len(enc.nameOrder)
		enc.names[string(enc.buf)] = n
		enc.nameOrder = append(enc.nameOrder, string(enc.buf))
	}
	enc.last, enc.lastAt = c.Names, n
	return n
}

func (enc *encoder) appendMetadata(dst []byte, m Metadata) []byte {
	if m.data == "" {
		return append(dst, 0)
	}
	dst = appendUvarint(dst, uint64(enc.keysOf(m)+1))
	return appendSizedString(dst, m.data)
}

func (ev *Event) mask() uint64 {
	mask := uint64(0)
	set := func(has bool, bit uint64) {
		if has {
			mask |= bit
		}
	}
	set(ev.Edge, hasEdge)
	set(ev.Host != "", hasHost)
	set(ev.Origin != "", hasOrigin)
	set(ev.Parent != "" || ev.Child != "", hasEnds)
	set(ev.Metadata.data != "", hasMetadata)
	set(len(ev.Patch) > 0, hasPatch)
	set(ev.Rank != 0, hasRank)
	set(ev.CreatedAt != 0, hasCreated)
	set(ev.UpdatedAt != 0, hasUpdated)
	set(ev.DeletedAt != 0, hasDeleted)
	set(ev.Revision != 0, hasRevision)
	set(ev.Counters != nil, hasCounters)
	return mask
}

func (enc *encoder) appendEvent(dst []byte, ev *Event) []byte {
	mask := ev.mask()
	dst = append(dst, byte(ev.Op))
	dst = appendUvarint(dst, mask)
	dst = appendSizedString(dst, ev.ID)
	if mask&hasHost != 0 {
		dst = appendSizedString(dst, ev.Host)
	}
	if mask&hasOrigin != 0 {
		dst = appendSizedString(dst, ev.Origin)
	}
	if mask&hasEnds != 0 {
		dst = appendSizedString(dst, ev.Parent)
		dst = appendSizedString(dst, ev.Child)
	}
	if mask&hasMetadata != 0 {
		dst = enc.appendMetadata(dst, ev.Metadata)
	}
	if mask&hasPatch != 0 {
		dst = appendUvarint(dst, uint64(len(ev.Patch)))
		for _, op := range ev.Patch {
			dst = appendSizedString(dst, op.Path)
			dst = appendSizedValue(dst, op.Value)
		}
	}
	if mask&hasRank != 0 {
		dst = append(dst, byte(ev.Rank))
	}
	for i, x := range [...]int64{ev.CreatedAt, ev.UpdatedAt, ev.DeletedAt, ev.Revision} {
		if mask&(hasCreated<<i) != 0 {
			dst = appendUvarint(dst, zigzag(x))
		}
	}
	if mask&hasCounters != 0 {
		c := ev.Counters
		dst = appendSizedString(dst, c.Prefix)
		dst = appendUvarint(dst, uint64(enc.namesOf(c)))
		dst = appendUvarint(dst, zigzag(c.Start))
		dst = appendUvarint(dst, zigzag(c.Last))
		dst = appendUvarint(dst, uint64(len(c.Values)))
		for _, x := range c.Values {
			dst = appendUvarint(dst, zigzag(x))
		}
	}
	return dst
}

// SplitBatch encodes a batch as messages of about maxBytes at most, a single one when it fits. JoinBatch puts them
// together.
func SplitBatch(b *Batch, maxBytes int) [][]byte {
	body := appendBody(nil, b)
	head := len(appendHeader(nil, b, 1<<20, 1<<20))
	room := max(maxBytes-head, 64)
	count := max(1, (len(body)+room-1)/room)
	parts := make([][]byte, 0, count)
	for i := range count {
		piece := body[i*room : min((i+1)*room, len(body))]
		part := appendHeader(make([]byte, 0, head+len(piece)), b, i, count)
		parts = append(parts, append(part, piece...))
	}
	return parts
}

// Part is the head of a message: which batch, and which part of it.
type Part struct {
	Origin       string
	Epoch, Seq   uint64
	Index, Count int
}

// maxParts bounds the parts of a batch.
const maxParts = 1 << 20

// ReadPart reads the head of a message of AppendBatch or SplitBatch.
func ReadPart(data []byte) (Part, error) {
	d := decoder{s: string(data), size: len(data)}
	return d.part()
}

// JoinBatch decodes the parts of a batch, which may be in any order, each once.
func JoinBatch(parts ...[]byte) (*Batch, error) {
	if len(parts) == 1 {
		return DecodeBatch(parts[0])
	}
	pieces := make([]string, len(parts))
	var head Part
	size := 0
	for i, data := range parts {
		d := decoder{s: string(data), size: len(data)}
		p, err := d.part()
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", i, err)
		}
		index := p.Index
		p.Index = 0
		if i == 0 {
			head = p
		}
		if p != head || p.Count != len(parts) || pieces[index] != "" || d.s == "" {
			return nil, fmt.Errorf("%w: parts do not belong together", ErrMalformed)
		}
		pieces[index] = d.s
		size += len(d.s)
	}
	body := make([]byte, 0, size)
	for _, piece := range pieces {
		body = append(body, piece...)
	}
	d := decoder{s: string(body), size: len(body)}
	return d.batch(head)
}
