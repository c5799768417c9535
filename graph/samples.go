package graph

import (
	"iter"
	"slices"
	"strings"
	"sync/atomic"
)

// A series is the bounded past of one set of counters of one element. The newest samples are a block of plain
// numbers that a reader takes without locks; a full block is frozen into differences.
type series struct {
	prefix string // "Metric"
	last   string // "LastUpdateMetric"
	names  []string
	active atomic.Pointer[sampleBlock]
	before atomic.Pointer[series] // of other names, which the element had under the prefix
}

const (
	blockSamples = 16 // in a block, beside the one before it
	sampleHead   = 5  // moment, start, last, updated, revision
)

type sampleBlock struct {
	n     atomic.Int32
	width int
	first bool    // the series began here: record 0 is a sample, not the one before the block
	recs  []int64 // room for every record; n of them are written
	older atomic.Pointer[frozenBlock]
}

// frozenBlock is a full block packed: each number is a zigzag varint of its difference to the record before.
type frozenBlock struct {
	n     int
	width int
	first bool
	data  string
	older atomic.Pointer[frozenBlock]
}

// Sample is one sample of an element's counters.
type Sample struct {
	Moment     Moment
	UpdatedAt  int64    // ms
	Counters   Counters // cumulative
	LastUpdate Counters // the difference to the sample before; without Values in the first one
}

// LastUpdatePrefix is the path at which the differences between samples show, beside the counters of a prefix:
// "Ovs.LastUpdateMetric" beside "Ovs.Metric".
func LastUpdatePrefix(prefix string) string {
	if i := strings.LastIndexByte(prefix, '.'); i >= 0 {
		return prefix[:i+1] + "LastUpdate" + prefix[i+1:]
	}
	return "LastUpdate" + prefix
}

func newSeries(c *Counters) *series {
	s := &series{prefix: c.Prefix, last: LastUpdatePrefix(c.Prefix), names: c.Names}
	s.active.Store(newBlock(len(c.Names), true))
	return s
}

func newBlock(names int, first bool) *sampleBlock {
	size := 2 // most series of a short life have a few samples only
	if !first {
		size = blockSamples
	}
	width := names + sampleHead
	return &sampleBlock{width: width, first: first, recs: make([]int64, size*width)}
}

func (b *sampleBlock) rec(i int) []int64 { return b.recs[i*b.width : (i+1)*b.width : (i+1)*b.width] }

// add appends a sample; kept bounds how many the series holds. It returns how many were dropped.
func (s *series) add(m Moment, updated, revision int64, c *Counters, kept int) (dropped int) {
	b := s.active.Load()
	if int(b.n.Load()+1)*b.width > len(b.recs) {
		b, dropped = s.advance(b, kept)
	}
	rec := b.rec(int(b.n.Load()))
	rec[0], rec[1], rec[2], rec[3], rec[4] = int64(m), c.Start, c.Last, updated, revision
	copy(rec[sampleHead:], c.Values)
	b.n.Add(1)
	return dropped
}

// advance puts a fresh block in the place of a full one.
func (s *series) advance(b *sampleBlock, kept int) (*sampleBlock, int) {
	fresh := newBlock(len(s.names), false)
	copy(fresh.recs, b.rec(int(b.n.Load())-1))
	fresh.n.Store(1)
	f := b.freeze()
	fresh.older.Store(f)
	// Cut what is beyond the bound.
	dropped, held := 0, 0
	for at := f; at != nil; at = at.older.Load() {
		if held += at.n; held >= kept {
			for cut := at.older.Load(); cut != nil; cut = cut.older.Load() {
				dropped += cut.n
			}
			at.older.Store(nil)
			break
		}
	}
	if held+blockSamples > kept {
		s.before.Store(nil)
	}
	s.active.Store(fresh)
	return fresh, dropped
}

func (b *sampleBlock) freeze() *frozenBlock {
	var buf [2048]byte
	out := buf[:0]
	zero := make([]int64, b.width)
	prior := zero
	for i := range int(b.n.Load()) {
		rec := b.rec(i)
		for j, x := range rec {
			out = appendUvarint(out, zigzag(x-prior[j]))
		}
		prior = rec
	}
	f := &frozenBlock{n: int(b.n.Load()), width: b.width, first: b.first, data: string(out)}
	f.older.Store(b.older.Load())
	return f
}

func (f *frozenBlock) thaw() [][]int64 {
	recs := make([][]int64, f.n)
	flat := make([]int64, f.n*f.width)
	s := f.data
	for i := range recs {
		recs[i] = flat[i*f.width : (i+1)*f.width]
		for j := range f.width {
			var u uint64
			u, s = uvarint(s)
			recs[i][j] = unzigzag(u)
			if i > 0 {
				recs[i][j] += recs[i-1][j]
			}
		}
	}
	return recs
}

// records is a block's n records as slices.
func (b *sampleBlock) records() [][]int64 {
	n := int(b.n.Load())
	out := make([][]int64, n)
	for i := range out {
		out[i] = b.rec(i)
	}
	return out
}

// at gives the record of the last sample not after hi, and the one before it if it is known.
func (s *series) at(hi Moment) (rec, prior []int64) {
	b := s.active.Load()
	n := int(b.n.Load())
	least := 1
	if b.first {
		least = 0
	}
	for i := n - 1; i >= least; i-- {
		if rec = b.rec(i); Moment(rec[0]) <= hi {
			if i > 0 {
				prior = b.rec(i - 1)
			}
			return rec, prior
		}
	}
	for f := b.older.Load(); f != nil; f = f.older.Load() {
		recs := f.thaw()
		least := 1
		if f.first {
			least = 0
		}
		for i := len(recs) - 1; i >= least; i-- {
			if Moment(recs[i][0]) <= hi {
				if i > 0 {
					prior = recs[i-1]
				}
				return recs[i], prior
			}
		}
	}
	return nil, nil
}

// all gives the samples in [from,to], oldest first.
func (s *series) all(from, to Moment) iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		if before := s.before.Load(); before != nil {
			for sample := range before.all(from, to) {
				if !yield(sample) {
					return
				}
			}
		}
		var blocks []*frozenBlock
		b := s.active.Load()
		for f := b.older.Load(); f != nil; f = f.older.Load() {
			blocks = append(blocks, f)
		}
		slices.Reverse(blocks)
		for _, f := range blocks {
			if !s.yieldRecords(f.thaw(), f.first, from, to, yield) {
				return
			}
		}
		s.yieldRecords(b.records(), b.first, from, to, yield)
	}
}

func (s *series) yieldRecords(recs [][]int64, first bool, from, to Moment, yield func(Sample) bool) bool {
	for i, rec := range recs {
		if i == 0 && !first || Moment(rec[0]) < from || Moment(rec[0]) > to {
			continue
		}
		sample := Sample{Moment: Moment(rec[0]), UpdatedAt: rec[3], Counters: s.counters(rec)}
		if i > 0 {
			sample.LastUpdate = s.difference(rec, recs[i-1])
		}
		if !yield(sample) {
			return false
		}
	}
	return true
}

func (s *series) counters(rec []int64) Counters {
	return Counters{Prefix: s.prefix, Names: s.names, Values: rec[sampleHead:], Start: rec[1], Last: rec[2]}
}

// difference is what the counters moved since the sample before; a counter that went down began anew.
func (s *series) difference(rec, prior []int64) Counters {
	c := Counters{Prefix: s.last, Names: s.names, Values: make([]int64, len(s.names)), Start: prior[2], Last: rec[2]}
	for i := range c.Values {
		c.Values[i] = delta(rec[sampleHead+i], prior[sampleHead+i])
	}
	return c
}

func delta(now, before int64) int64 {
	if now < before {
		return now
	}
	return now - before
}

// object is counters as metadata shows them.
func (c Counters) object() Value {
	fields := make([]Field, 0, len(c.Names)+2)
	for i, name := range c.Names {
		fields = append(fields, Field{name, Int(c.Values[i])})
	}
	return Object(NewMetadata(append(fields, F("Start", Int(c.Start)), F("Last", Int(c.Last)))...))
}

// value is one field of counters.
func (c Counters) value(name string) (Value, bool) {
	switch name {
	case "Start":
		return Int(c.Start), true
	case "Last":
		return Int(c.Last), true
	}
	if i, ok := slices.BinarySearch(c.Names, name); ok {
		return Int(c.Values[i]), true
	}
	return Value{}, false
}

// sameAs tells whether the counters say what the last sample said.
func (s *series) sameAs(c *Counters) bool {
	rec, _ := s.at(forever)
	return rec != nil && rec[1] == c.Start && rec[2] == c.Last && slices.Equal(rec[sampleHead:], c.Values)
}

// seriesOf is the element's series of a prefix.
func (e *element) seriesOf(prefix string) *series {
	if list := e.samples.Load(); list != nil {
		for _, s := range *list {
			if s.prefix == prefix {
				return s
			}
		}
	}
	return nil
}
