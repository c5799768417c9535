package spool

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A segment is one file: a header of the magic and the spool's number, then records. The first record of a file holds
// all positions, so that older files may go.
type segment struct {
	path      string
	file      *os.File
	id        uint64
	order     uint64 // by age
	size      int64
	live      int // batches that wait in it
	condemned bool
	reserve   *reserve // nil: a file of its own, which goes when nothing waits in it
}

const (
	magic      = "weftspl1"
	headerSize = len(magic) + 8
	suffix     = ".spool"
	recordRoom = 256 // what a record needs beside its payload, about
)

// write appends a record to the current file, or to the next one. It reports whether the record is on disk.
func (s *Spool) write(r *record, w *waiting) bool {
	if s.opts.Dir == "" {
		return false
	}
	if s.current != nil && s.current.reserve == nil && s.current.size < s.opts.SegmentBytes && s.put(r, w) {
		return true
	}
	if s.diskError == nil || !s.opts.Now().Before(s.retryAt) {
		if err := s.rotate(); err != nil {
			s.fail(err)
		} else if s.put(r, w) {
			return true
		}
	}
	if s.current != nil && s.current.reserve != nil && s.put(r, w) {
		return true
	}
	return s.resort(r) && s.put(r, w)
}

// put appends a record to the current file.
func (s *Spool) put(r *record, w *waiting) bool {
	g := s.current
	var payloadAt int
	s.buf, payloadAt = appendRecord(s.buf[:0], r, g.salt())
	if g.reserve != nil && g.size+int64(len(s.buf)) > g.reserve.size {
		return false
	}
	if err := g.append(s.buf); err != nil {
		s.current = nil
		s.condemn(g)
		if g.reserve != nil {
			g.reserve.broken = true
		}
		s.fail(err)
		return false
	}
	w.seg, w.offset = g, g.size+int64(payloadAt)
	g.size += int64(len(s.buf))
	if g.reserve != nil {
		return true
	}
	s.bytes += int64(len(s.buf))
	if s.diskError != nil {
		s.opts.Logger.Info("spool is on disk again", "directory", s.opts.Dir)
		s.diskError = nil
	}
	return true
}

func (s *Spool) fail(err error) {
	if s.diskError == nil {
		s.opts.Logger.Warn("spool: the disk does not take flows; they go through the room in reserve, and wait in memory for it", "directory", s.opts.Dir, "error", err)
	}
	s.diskError = err
	s.retryAt = s.opts.Now().Add(s.opts.Retry)
}

// append writes all of b at the end, or nothing.
func (g *segment) append(b []byte) error {
	if _, err := g.file.WriteAt(b, g.size); err != nil {
		// What was written of it is a torn tail, which the reader knows.
		if g.reserve != nil {
			return fmt.Errorf("spool write: %w", err)
		}
		return errors.Join(fmt.Errorf("spool write: %w", err), g.file.Truncate(g.size))
	}
	return nil
}

// rotate begins a new file with all positions.
func (s *Spool) rotate() error {
	g, err := s.create()
	if err != nil {
		return err
	}
	head := s.head(g)
	if err := g.append(head); err != nil {
		return errors.Join(err, g.file.Close(), os.Remove(g.path))
	}
	s.bytes += int64(len(head))
	s.turn(g, len(head))
	return nil
}

// turn makes a file with so many bytes the current one.
func (s *Spool) turn(g *segment, size int) {
	old := s.current
	g.size += int64(size)
	s.segments = append(s.segments, g)
	s.current = g
	if old != nil {
		s.condemn(old)
	}
}

// head is how a file begins: with all positions as of the last record.
func (s *Spool) head(g *segment) []byte {
	entries := make([]Entry, 0, len(s.state))
	for key, value := range s.state {
		entries = append(entries, Entry{key, value})
	}
	head := append([]byte(magic), make([]byte, 8)...)
	binary.LittleEndian.PutUint64(head[len(magic):], s.id)
	head, _ = appendRecord(head, &record{mark: s.mark, entries: entries, whole: true}, g.salt())
	return head
}

func (s *Spool) create() (*segment, error) {
	s.order++
	path := filepath.Join(s.opts.Dir, fmt.Sprintf("%016x%s", s.order, suffix))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, fmt.Errorf("spool file: %w", err)
	}
	return &segment{path: path, file: file, id: s.id, order: s.order}, nil
}

// bury removes the first n files that were condemned: a record that makes up for them is on disk.
func (s *Spool) bury(n int) {
	for _, g := range s.condemned[:n] {
		s.segments = slices.DeleteFunc(s.segments, func(o *segment) bool { return o == g })
		if g.reserve != nil {
			continue
		}
		err := errors.Join(g.file.Close(), os.Remove(g.path))
		if err != nil {
			s.opts.Logger.Warn("spool file not removed", "file", g.path, "error", err)
		}
		s.retryAt = s.opts.Now() // a full disk has room again
	}
	s.condemned = slices.Delete(s.condemned, 0, n)
	s.buried += n
}

// recover reads the files of the directory, oldest first.
func (s *Spool) recover() error {
	list, err := os.ReadDir(s.opts.Dir)
	if err != nil {
		return fmt.Errorf("spool directory: %w", err)
	}
	var found []*segment
	for _, entry := range list {
		hex, ok := strings.CutSuffix(entry.Name(), suffix)
		var order uint64
		if _, err := fmt.Sscanf(hex, "%016x", &order); !ok || err != nil || len(hex) != 16 {
			continue
		}
		g, err := openSegment(filepath.Join(s.opts.Dir, entry.Name()), order)
		if err != nil {
			return err
		}
		s.bytes += g.size
		found = append(found, g)
	}
	found = append(found, s.openReserves()...)
	slices.SortFunc(found, func(a, b *segment) int { return cmp.Compare(a.order, b.order) })
	for _, g := range found {
		s.order = max(s.order, g.order)
		s.load(g)
	}
	// The first record of this process comes with all positions; then the old files without batches may go.
	for _, g := range s.segments {
		s.condemn(g)
	}
	return nil
}

func openSegment(path string, order uint64) (*segment, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("spool file: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("spool file: %w", err), file.Close())
	}
	return &segment{path: path, file: file, order: order, size: info.Size()}, nil
}

// load reads one file of an earlier process.
func (s *Spool) load(g *segment) {
	s.segments = append(s.segments, g)
	from := int64(0)
	if g.reserve != nil {
		from = reserveHeader
	}
	id, err := scan(io.NewSectionReader(g.file, from, g.size-from), g.salt(), func(r *record, payloadAt int64) {
		s.replay(g, r, from+payloadAt)
	})
	g.id = id
	if err != nil && g.reserve == nil { // a reserve ends where its records do
		s.damaged++
		s.opts.Logger.Warn("spool file is damaged; what comes before the damage is used", "file", g.path, "error", err)
	}
}

func (s *Spool) replay(g *segment, r *record, payloadAt int64) {
	if r.whole {
		clear(s.state)
	}
	for _, e := range r.entries {
		if e.Value == nil {
			delete(s.state, e.Key)
		} else {
			s.state[e.Key] = e.Value
		}
	}
	if r.mark != (name{}) {
		s.mark = r.mark
		if w := s.names[r.mark]; w != nil {
			for upTo := w.cursor; len(s.queue) > 0 && s.queue[0].cursor <= upTo; {
				w := s.queue[0]
				s.queue = s.queue[1:]
				delete(s.names, w.name)
				w.seg.live--
			}
		}
	}
	if r.seq != 0 {
		s.push(&waiting{name: name{r.id, r.seq}, costs: r.costs, seg: g, offset: payloadAt, size: len(r.payload)})
	}
}
