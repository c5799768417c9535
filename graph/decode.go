package graph

import (
	"fmt"
	"unique"
)

// DecodeBatch decodes a message of AppendBatch. The message may come from anybody: every length, number and nesting
// is checked before it is used, the memory taken is bounded by the message's size, and an error names the offset.
func DecodeBatch(data []byte) (*Batch, error) {
	d := decoder{s: string(data), size: len(data)}
	p, err := d.part()
	if err != nil {
		return nil, err
	}
	if p.Count != 1 {
		return nil, d.fail("part %d of %d alone", p.Index, p.Count)
	}
	return d.batch(p)
}

// decoder reads a message; after the first error everything reads as zero.
type decoder struct {
	s    string // what is left
	size int
	err  error

	keys  []unique.Handle[string]
	names [][]string
}

func (d *decoder) fail(format string, args ...any) error {
	if d.err == nil {
		d.err = fmt.Errorf("%w at offset %d: %s", ErrMalformed, d.size-len(d.s), fmt.Sprintf(format, args...))
	}
	d.s = ""
	return d.err
}

func (d *decoder) uvarint() uint64 {
	if len(d.s) > 0 && d.s[0] < 0x80 {
		x := uint64(d.s[0])
		d.s = d.s[1:]
		return x
	}
	x, n, ok := checkedUvarint(d.s)
	if !ok {
		d.fail("bad number")
		return 0
	}
	d.s = d.s[n:]
	return x
}

func (d *decoder) varint() int64 { return unzigzag(d.uvarint()) }

func (d *decoder) byte() byte {
	if d.s == "" {
		d.fail("truncated")
		return 0
	}
	c := d.s[0]
	d.s = d.s[1:]
	return c
}

func (d *decoder) text() string {
	n := d.uvarint()
	if n > uint64(len(d.s)) {
		d.fail("length %d beyond the end", n)
		return ""
	}
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

// count reads a count of things that take at least so many bytes each.
func (d *decoder) count(what string, least int) int {
	n := d.uvarint()
	if n > uint64(len(d.s)/least) {
		d.fail("%d %s beyond the end", n, what)
		return 0
	}
	return int(n)
}

func (d *decoder) part() (Part, error) {
	var p Part
	if v := d.byte(); d.err == nil && v != codecVersion {
		return p, d.fail("version %d, want %d", v, codecVersion)
	}
	index, count := d.uvarint(), d.uvarint()
	if d.err == nil && (count == 0 || count > maxParts || index >= count) {
		return p, d.fail("part %d of %d", index, count)
	}
	p.Index, p.Count = int(index), int(count)
	p.Origin = d.text()
	p.Epoch, p.Seq = d.uvarint(), d.uvarint()
	return p, d.err
}

func (d *decoder) batch(p Part) (*Batch, error) {
	b := &Batch{Origin: p.Origin, Epoch: p.Epoch, Seq: p.Seq, aliases: true}
	flags := d.uvarint()
	if flags&^flagSnapshot != 0 {
		return nil, d.fail("unknown flags %#x", flags)
	}
	b.Snapshot = flags&flagSnapshot != 0
	d.readKeys()
	d.readNames()
	n := d.count("events", 3)
	b.Events = make([]Event, 0, min(n, 1+len(d.s)/8))
	for range n {
		if d.err != nil {
			break
		}
		b.Events = append(b.Events, Event{})
		d.event(&b.Events[len(b.Events)-1])
	}
	if d.err == nil && d.s != "" {
		d.fail("%d bytes too many", len(d.s))
	}
	if d.err != nil {
		return nil, d.err
	}
	return b, nil
}

func (d *decoder) readKeys() {
	for range d.count("key lists", 1) {
		n := d.count("keys", 1)
		if d.err == nil && n == 0 {
			d.fail("empty key list")
		}
		keys := make([]string, 0, n)
		for i := range n {
			key := d.text()
			if d.err == nil && i > 0 && key <= keys[i-1] {
				d.fail("keys not ascending")
			}
			if d.err != nil {
				return
			}
			keys = append(keys, key)
		}
		d.keys = append(d.keys, internKeys(n, func(i int) string { return keys[i] }))
	}
}

func (d *decoder) readNames() {
	for range d.count("lists of names", 1) {
		n := d.count("names", 1)
		names := make([]string, 0, n)
		for range n {
			names = append(names, d.text())
		}
		if d.err != nil {
			return
		}
		d.names = append(d.names, names)
	}
}

func (d *decoder) event(ev *Event) {
	ev.Op = Op(d.byte())
	mask := d.uvarint()
	if d.err == nil && (ev.Op == 0 || ev.Op >= opEnd || mask >= maskEnd) {
		d.fail("unknown operation %d with fields %#x", ev.Op, mask)
	}
	ev.ID = d.text()
	ev.Edge = mask&hasEdge != 0
	if mask&hasHost != 0 {
		ev.Host = d.text()
	}
	if mask&hasOrigin != 0 {
		ev.Origin = d.text()
	}
	if mask&hasEnds != 0 {
		ev.Parent, ev.Child = d.text(), d.text()
	}
	if mask&hasMetadata != 0 {
		ev.Metadata = d.metadata()
	}
	if mask&hasPatch != 0 {
		n := d.count("path operations", 3)
		for range n {
			op := PathOp{Path: d.text(), Value: d.value()}
			if d.err == nil && op.Value.tooDeepAt(op.Path) {
				d.fail("a path of %d levels and its value are %v", pathDepth(op.Path)+1, errDepth)
			}
			if d.err != nil {
				return
			}
			ev.Patch = append(ev.Patch, op)
		}
	}
	if mask&hasRank != 0 {
		ev.Rank = Rank(d.byte())
	}
	for i, x := range [...]*int64{&ev.CreatedAt, &ev.UpdatedAt, &ev.DeletedAt, &ev.Revision} {
		if mask&(hasCreated<<i) != 0 {
			*x = d.varint()
		}
	}
	if mask&hasCounters != 0 {
		ev.Counters = d.counters()
	}
}

func (d *decoder) value() Value {
	s := d.text()
	if d.err != nil {
		return Value{}
	}
	if _, err := checkValue(s, 0, false); err != nil {
		d.fail("value: %v", err)
		return Value{}
	}
	return unpack(s)
}

func (d *decoder) metadata() Metadata {
	n := d.uvarint()
	if d.err != nil || n == 0 {
		return Metadata{}
	}
	if n > uint64(len(d.keys)) {
		d.fail("key list %d of %d", n, len(d.keys))
		return Metadata{}
	}
	m := Metadata{keys: d.keys[n-1], data: d.text()}
	if d.err != nil {
		return Metadata{}
	}
	if err := m.check(); err != nil {
		d.fail("metadata: %v", err)
		return Metadata{}
	}
	return m
}

// check checks the packed values of metadata from a stranger.
func (m Metadata) check() error {
	n := m.keyList().len()
	if m.data == "" {
		return errTruncated
	}
	width := int(m.data[0] &^ maskedFlag)
	if width != 1 && width != 2 && width != 4 {
		return errForm
	}
	base := 1 + n*width
	if len(m.data) < base || endWidth(len(m.data)-base) != width {
		return errForm
	}
	masked := false
	start := 0
	for i := range n {
		end := 0
		for j := range width {
			end |= int(m.data[1+i*width+j]) << (8 * j)
		}
		if end < start || end > len(m.data)-base {
			return errForm
		}
		removed, err := checkValue(m.data[base+start:base+end], 0, false)
		if err != nil {
			return err
		}
		masked = masked || removed
		start = end
	}
	if start != len(m.data)-base || masked != m.masked() {
		return errForm
	}
	return nil
}

func (d *decoder) counters() *Counters {
	c := &Counters{Prefix: d.text()}
	names := d.uvarint()
	if d.err == nil && names >= uint64(len(d.names)) {
		d.fail("names %d of %d", names, len(d.names))
	}
	if d.err != nil {
		return nil
	}
	c.Names = d.names[names]
	c.Start, c.Last = d.varint(), d.varint()
	n := d.count("counters", 1)
	c.Values = make([]int64, 0, n)
	for range n {
		c.Values = append(c.Values, d.varint())
	}
	return c
}
