package spool

import (
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
	size      int64
	live      int // batches that wait in it
	condemned bool
}

const (
	magic      = "weftspl1"
	headerSize = len(magic) + 8
	suffix     = ".spool"
	recordRoom = 256 // what a record needs beside its payload, about
)

// write appends a record to the current file. It reports whether the batch is on disk.
func (s *Spool) write(r *record, w *waiting) bool {
	if s.opts.Dir == "" {
		return false
	}
	if s.current == nil || s.current.size >= s.opts.SegmentBytes {
		if s.diskError != nil && s.opts.Now().Before(s.retryAt) {
			return false
		}
		if err := s.rotate(); err != nil {
			s.fail(err)
			return false
		}
	}
	g := s.current
	var payloadAt int
	s.buf, payloadAt = appendRecord(s.buf[:0], r)
	if err := g.append(s.buf); err != nil {
		s.current = nil
		s.condemn(g)
		s.fail(err)
		return false
	}
	w.seg, w.offset = g, g.size+int64(payloadAt)
	g.size += int64(len(s.buf))
	s.bytes += int64(len(s.buf))
	if s.diskError != nil {
		s.opts.Logger.Info("spool is on disk again", "directory", s.opts.Dir)
		s.diskError = nil
	}
	return true
}

func (s *Spool) fail(err error) {
	if s.diskError == nil {
		s.opts.Logger.Warn("spool: the disk does not take flows; they wait in memory, and a crash would lose them", "directory", s.opts.Dir, "error", err)
	}
	s.diskError = err
	s.retryAt = s.opts.Now().Add(s.opts.Retry)
}

// append writes all of b at the end, or nothing.
func (g *segment) append(b []byte) error {
	if _, err := g.file.WriteAt(b, g.size); err != nil {
		// What was written of it is a torn tail, which the reader knows.
		return errors.Join(fmt.Errorf("spool write: %w", err), g.file.Truncate(g.size))
	}
	return nil
}

// rotate begins a new file with all positions.
func (s *Spool) rotate() error {
	old := s.current
	g, err := s.create()
	if err != nil {
		return err
	}
	entries := make([]Entry, 0, len(s.state))
	for key, value := range s.state {
		entries = append(entries, Entry{key, value})
	}
	head := append([]byte(magic), make([]byte, 8)...)
	binary.LittleEndian.PutUint64(head[len(magic):], s.id)
	head, _ = appendRecord(head, &record{mark: s.mark, entries: entries, whole: true})
	if err := g.append(head); err != nil {
		return errors.Join(err, g.file.Close(), os.Remove(g.path))
	}
	g.size = int64(len(head))
	s.bytes += g.size
	s.segments = append(s.segments, g)
	s.current = g
	if old != nil {
		s.condemn(old)
	}
	return nil
}

func (s *Spool) create() (*segment, error) {
	s.order++
	path := filepath.Join(s.opts.Dir, fmt.Sprintf("%016x%s", s.order, suffix))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, fmt.Errorf("spool file: %w", err)
	}
	return &segment{path: path, file: file, id: s.id}, nil
}

// bury removes the first n files that were condemned: a record that makes up for them is on disk.
func (s *Spool) bury(n int) {
	for _, g := range s.condemned[:n] {
		err := errors.Join(g.file.Close(), os.Remove(g.path))
		if err != nil {
			s.opts.Logger.Warn("spool file not removed", "file", g.path, "error", err)
		}
		s.segments = slices.DeleteFunc(s.segments, func(o *segment) bool { return o == g })
	}
	s.condemned = slices.Delete(s.condemned, 0, n)
}

// recover reads the files of the directory, oldest first.
func (s *Spool) recover() error {
	list, err := os.ReadDir(s.opts.Dir)
	if err != nil {
		return fmt.Errorf("spool directory: %w", err)
	}
	for _, entry := range list { // sorted by name, which is by age
		hex, ok := strings.CutSuffix(entry.Name(), suffix)
		var order uint64
		if _, err := fmt.Sscanf(hex, "%016x", &order); !ok || err != nil || len(hex) != 16 {
			continue
		}
		s.order = max(s.order, order)
		if err := s.load(filepath.Join(s.opts.Dir, entry.Name())); err != nil {
			return err
		}
	}
	// The first record of this process comes with all positions; then the old files without batches may go.
	for _, g := range s.segments {
		s.condemn(g)
	}
	return nil
}

// load reads one file of an earlier process.
func (s *Spool) load(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("spool file: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("spool file: %w", err), file.Close())
	}
	g := &segment{path: path, file: file, size: info.Size()}
	s.segments = append(s.segments, g)
	s.bytes += g.size
	id, err := scan(io.NewSectionReader(file, 0, info.Size()), func(r *record, payloadAt int64) {
		s.replay(g, r, payloadAt)
	})
	g.id = id
	if err != nil {
		s.damaged++
		s.opts.Logger.Warn("spool file is damaged; what comes before the damage is used", "file", path, "error", err)
	}
	return nil
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
