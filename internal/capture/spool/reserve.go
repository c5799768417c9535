package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A reserve is a file whose room was taken when the spool was opened, and which is written over again and again: on a
// full disk, batches and positions go through the two of them. It begins with a magic and a number, by which its age is
// known among the other files; what follows is a file of records, whose checksums begin with that number. Records end
// where the next one is not of this number.
type reserve struct {
	path   string
	file   *os.File
	size   int64
	use    *segment // the newest
	broken bool     // it cannot be written
}

const (
	reserves      = 2
	reserveMagic  = "weftrsv1"
	reserveHeader = int64(len(reserveMagic) + 8)
	reserveBytes  = 1 << 20 // of each, or MaxBytes if that is less
)

// salt makes records of one use of a reserve differ from what was there before.
func (g *segment) salt() uint32 {
	if g.reserve == nil {
		return 0
	}
	return uint32(g.order) ^ uint32(g.order>>32)
}

// openReserves takes the room of the reserves, and gives those in which an earlier process wrote.
func (s *Spool) openReserves() (used []*segment) {
	for i := range reserves {
		r := &reserve{path: filepath.Join(s.opts.Dir, fmt.Sprintf("reserve.%d", i)), size: min(reserveBytes, s.opts.MaxBytes)}
		if err := r.open(); err != nil {
			s.opts.Logger.Warn("spool: no room in reserve; on a full disk, flows wait in memory, and a crash would lose them", "file", r.path, "error", err)
			continue
		}
		s.reserves = append(s.reserves, r)
		head := make([]byte, reserveHeader)
		if _, err := r.file.ReadAt(head, 0); err != nil || string(head[:len(reserveMagic)]) != reserveMagic {
			continue
		}
		r.use = &segment{path: r.path, file: r.file, reserve: r, order: binary.LittleEndian.Uint64(head[len(reserveMagic):]), size: r.size}
		used = append(used, r.use)
	}
	return used
}

// open opens or makes the file, and takes its room by writing it: holes would ask for room later.
func (r *reserve) open() error {
	file, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("spool reserve: %w", err)
	}
	info, err := file.Stat()
	if err == nil && info.Size() < r.size {
		_, err = file.WriteAt(make([]byte, r.size-info.Size()), info.Size())
	} else if err == nil {
		r.size = info.Size() // of an earlier bound
	}
	if err != nil {
		return errors.Join(fmt.Errorf("spool reserve: %w", err), file.Close(), os.Remove(r.path))
	}
	r.file = file
	return nil
}

// resort begins the oldest reserve in which nothing waits, if the record fits it. The positions that it held are held by
// a younger file.
func (s *Spool) resort(rec *record) bool {
	var oldest *reserve
	for _, r := range s.reserves {
		switch {
		case r.broken, r.use != nil && (r.use.live > 0 || r.use == s.current):
		case oldest == nil, oldest.use != nil && (r.use == nil || r.use.order < oldest.use.order):
			oldest = r
		}
	}
	if oldest == nil {
		return false
	}
	s.order++
	g := &segment{path: oldest.path, file: oldest.file, id: s.id, order: s.order, reserve: oldest}
	head := append([]byte(reserveMagic), make([]byte, 8)...)
	binary.LittleEndian.PutUint64(head[len(reserveMagic):], g.order)
	head = append(head, s.head(g)...)
	if s.current == nil && oldest.use != nil && s.newest() == oldest.use {
		return false // the only positions would be written over
	}
	if int64(len(head)+recordSize(rec)) > oldest.size {
		return false
	}
	if err := g.append(head); err != nil {
		oldest.broken = true
		s.fail(err)
		return false
	}
	oldest.use = g
	s.turn(g, len(head))
	return true
}

// newest is the youngest file.
func (s *Spool) newest() (g *segment) {
	for _, o := range s.segments {
		if g == nil || o.order > g.order {
			g = o
		}
	}
	return g
}

// recordSize is how large a record is at most.
func recordSize(r *record) int {
	n := recordRoom + len(r.payload)
	for _, e := range r.entries {
		n += 2*binary.MaxVarintLen64 + len(e.Key) + len(e.Value)
	}
	for _, c := range r.costs {
		n += 2*binary.MaxVarintLen64 + len(c.Key)
	}
	return n
}

// reserved tells whether there is a reserve that can be written, so that nothing has to leave before it is on disk.
func (s *Spool) reserved() bool {
	for _, r := range s.reserves {
		if !r.broken {
			return true
		}
	}
	return false
}

// pending is a record that waits in memory for room on the disk. Nobody gets its batch before it is there: who is killed
// could not say any more that it was sent.
type pending struct {
	record record
	w      *waiting
	due    int // files condemned until then
}

// later keeps a record in memory. What is not in a record yet joins the last one that has no batch.
func (s *Spool) later(p *pending) {
	if n := len(s.pending); n > 0 && p.record.seq == 0 && s.pending[n-1].record.seq == 0 {
		last := s.pending[n-1]
		last.due = p.due
		for _, e := range p.record.entries {
			last.set(e)
		}
		return
	}
	p.record.payload = append([]byte(nil), p.record.payload...)
	entries := p.record.entries
	p.record.entries = nil
	for _, e := range entries {
		p.set(e)
	}
	s.pending = append(s.pending, p)
	s.bytes += int64(len(p.record.payload))
}

// set replaces the value of a position, or adds it.
func (p *pending) set(e Entry) {
	if e.Value != nil {
		e.Value = append([]byte{}, e.Value...)
	}
	for i := range p.record.entries {
		if p.record.entries[i].Key == e.Key {
			p.record.entries[i] = e
			return
		}
	}
	p.record.entries = append(p.record.entries, e)
}

// pump brings records that wait in memory to the disk, in their order, as far as there is room. Where no reserve is
// left, the disk is out of order, and batches are handed out from memory.
func (s *Spool) pump() {
	for len(s.pending) > 0 {
		p := s.pending[0]
		p.record.mark = s.mark
		written := s.write(&p.record, p.w)
		if !written && s.reserved() {
			return
		}
		s.pending[0] = nil
		s.pending = s.pending[1:]
		if written {
			s.bytes -= int64(len(p.record.payload))
		} else {
			p.w.payload = p.record.payload
		}
		s.took(p, written)
	}
}

// took enters a record that is on disk, or in memory for good.
func (s *Spool) took(p *pending, written bool) {
	for _, e := range p.record.entries {
		if e.Value == nil {
			delete(s.state, e.Key)
		} else {
			s.state[e.Key] = append([]byte{}, e.Value...)
		}
	}
	if written {
		s.bury(max(p.due-s.buried, 0))
	}
	if p.record.seq != 0 {
		s.push(p.w)
	}
}
