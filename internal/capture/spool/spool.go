// Package spool keeps flow batches until somebody has taken them, and the ledgers that belong to them.
//
// A [Spool] is a queue of batches in append-only files, or in memory. Every batch is written together with the
// positions of the ledgers after it, in one record with a checksum, before it is handed out; so a process that is
// killed leaves behind exactly what it had counted as kept. [Open] reads it again: batches that nobody acknowledged
// come out once more, under the names they had, and [Spool.State] gives the positions as of the last whole record. A
// torn tail, a damaged record or a strange file costs what it holds and is counted; it is never fatal.
//
// The spool is bounded by bytes: the oldest batches go first, and Append says what they cost. On a disk that is full,
// records go through two files whose room was taken before, and wait in memory for them, within the same bound: what is
// handed out is on disk first, with the positions after it. A disk that fails altogether is replaced by memory, and tried again
// later. Nothing is synced: the page cache
// survives the death of a process, and a host that loses power loses the traffic of those seconds anyway. Batches of
// each process have a Spool number of their own, so that a number lost with the power is never used for another batch.
//
// Any goroutine may call any method. A Spool starts no goroutine; Close ends it and leaves the files as they are.
// Only one process may have a directory open.
package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"
)

// Options bound a Spool.
type Options struct {
	Dir          string        // "" = memory only
	MaxBytes     int64         // of all batches and files, 256 MiB; at least 64 KiB
	SegmentBytes int64         // of one file, 4 MiB or an eighth of MaxBytes if that is less
	Retry        time.Duration // between attempts at a disk that failed, 10 s
	Logger       *slog.Logger
	Now          func() time.Time
}

// Entry is the newest value of one position. A nil Value forgets it.
type Entry struct {
	Key   string
	Value []byte
}

// Cost is what the loss of a batch means for a ledger.
type Cost struct {
	Key     string
	Packets uint64
}

// Batch is one batch that waits for an acknowledgement. Spool and Seq name it, also after a restart.
type Batch struct {
	Spool, Seq uint64
	Cursor     uint64 // for Next
	Payload    []byte // the caller's
}

// Stats say how a spool fares.
type Stats struct {
	Batches   int   // that wait
	Bytes     int64 // of files and of memory
	Dropped   uint64
	Damaged   uint64 // records or files that could not be read
	DiskError error  // why memory is used although there is a directory
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("spool closed")

// Spool is a bounded queue of batches with the positions that belong to them.
type Spool struct {
	opts    Options
	id      uint64
	changed chan struct{}

	mu        sync.Mutex
	closed    bool
	state     map[string][]byte
	queue     []*waiting // by cursor
	names     map[name]*waiting
	cursor    uint64 // of the newest
	seq       uint64
	mark      name // all up to it are acknowledged
	segments  []*segment
	current   *segment // nil = memory
	condemned []*segment
	buried    int // files that were condemned and are gone
	reserves  []*reserve
	pending   []*pending
	order     uint64 // of the newest segment
	bytes     int64
	retryAt   time.Time
	diskError error
	dropped   uint64
	damaged   uint64
	buf       []byte
}

type name struct{ spool, seq uint64 }

// waiting is a batch in a file, or in memory.
type waiting struct {
	name
	cursor  uint64
	acked   bool
	costs   []Cost
	seg     *segment // nil: in memory
	offset  int64    // of the payload in the file
	size    int
	payload []byte
}

// Open reads what an earlier process left in the directory, and makes it ready for more.
func Open(opts Options) (*Spool, error) {
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 256 << 20
	}
	opts.MaxBytes = max(opts.MaxBytes, 64<<10)
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = 4 << 20
	}
	opts.SegmentBytes = min(opts.SegmentBytes, opts.MaxBytes/8)
	if opts.Retry == 0 {
		opts.Retry = 10 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("spool number: %w", err)
	}
	s := &Spool{
		opts: opts, id: binary.LittleEndian.Uint64(id[:]), changed: make(chan struct{}, 1),
		state: map[string][]byte{}, names: map[name]*waiting{},
	}
	if opts.Dir == "" {
		return s, nil
	}
	if err := os.MkdirAll(opts.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("spool directory: %w", err)
	}
	if err := s.recover(); err != nil {
		return nil, err
	}
	return s, nil
}

// ID is the number under which this process names its batches.
func (s *Spool) ID() uint64 { return s.id }

// Changed gets a value when there may be more for Next.
func (s *Spool) Changed() <-chan struct{} { return s.changed }

// State is a copy of the newest positions.
func (s *Spool) State() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.state)
}

// Append keeps a batch and the positions after it, as one. The payload and the values are copied. What had to go to
// make room is in dropped: its cost belongs into the positions of the next call, and its files stay until then. A
// batch without payload is a checkpoint of positions only.
func (s *Spool) Append(payload []byte, entries []Entry, costs []Cost) (dropped []Cost, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	r := record{entries: entries, costs: costs, payload: payload}
	room := int64(len(payload) + recordRoom)
	if len(payload) > 0 && s.refused(&r, room) {
		s.dropped++
		return slices.Clone(costs), nil
	}
	if len(payload) > 0 {
		s.seq++
		r.seq = s.seq
	}
	due := s.buried + len(s.condemned) // not what goes now: the positions of this call do not know its cost
	if len(s.pending) == 0 {
		dropped = s.makeRoom(room)
	}
	r.costs = slices.Clone(costs)
	s.later(&pending{record: r, w: &waiting{name: name{s.id, r.seq}, costs: r.costs, size: len(payload)}, due: due})
	s.pump()
	return dropped, nil
}

// refused tells whether a batch finds no room behind those that wait for the disk. Those before it stay: positions that
// wait with them count them as kept.
func (s *Spool) refused(r *record, room int64) bool {
	if s.opts.Dir == "" || s.diskError == nil || !s.reserved() {
		return false
	}
	return len(s.pending) > 0 && s.bytes+room > s.opts.MaxBytes || int64(recordSize(r)) > s.reserves[0].size/2
}

func (s *Spool) push(w *waiting) {
	s.cursor++
	w.cursor = s.cursor
	s.queue = append(s.queue, w)
	s.names[w.name] = w
	if w.seg != nil {
		w.seg.live++
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// makeRoom drops the oldest batches until n more bytes fit.
func (s *Spool) makeRoom(n int64) (dropped []Cost) {
	for s.bytes+n > s.opts.MaxBytes && len(s.queue) > 0 {
		first := s.queue[0]
		if first.seg != nil && first.seg == s.current {
			s.current = nil // what waits in it goes; the next record begins a new one
		}
		for len(s.queue) > 0 && (s.queue[0] == first || first.seg != nil && s.queue[0].seg == first.seg) {
			w := s.queue[0]
			if !w.acked {
				dropped = append(dropped, w.costs...)
				s.dropped++
			}
			s.pop()
		}
	}
	return dropped
}

// pop takes the oldest batch out of the queue, and its file with the last one in it.
func (s *Spool) pop() {
	w := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	delete(s.names, w.name)
	if w.seg == nil {
		s.bytes -= int64(w.size)
		return
	}
	w.seg.live--
	s.condemn(w.seg)
}

// condemn marks a file for removal when nothing waits in it. It stays until a later record holds the positions.
func (s *Spool) condemn(g *segment) {
	if g.live > 0 || g == s.current || g.condemned {
		return
	}
	g.condemned = true
	s.condemned = append(s.condemned, g)
	if g.reserve == nil {
		s.bytes -= g.size
	}
}

// Next gives the oldest batch after a cursor that waits for an acknowledgement; 0 begins with the oldest. A batch that
// cannot be read any more is passed over: its packets were counted as kept, and its loss is in Stats.Damaged.
func (s *Spool) Next(after uint64) (Batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, _ := slices.BinarySearchFunc(s.queue, after+1, func(w *waiting, cursor uint64) int {
		if w.cursor < cursor {
			return -1
		}
		return 1
	})
	for ; at < len(s.queue); at++ {
		w := s.queue[at]
		if w.acked {
			continue
		}
		payload, err := w.read()
		if err != nil {
			s.damaged++
			w.acked = true
			continue
		}
		return Batch{Spool: w.spool, Seq: w.seq, Cursor: w.cursor, Payload: payload}, true
	}
	return Batch{}, false
}

func (w *waiting) read() ([]byte, error) {
	if w.seg == nil {
		return slices.Clone(w.payload), nil
	}
	payload := make([]byte, w.size)
	if _, err := w.seg.file.ReadAt(payload, w.offset); err != nil {
		return nil, fmt.Errorf("batch in the spool: %w", err)
	}
	return payload, nil
}

// Ack says that a batch was taken for good. Unknown names are those of batches that were dropped meanwhile.
func (s *Spool) Ack(spool, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.names[name{spool, seq}]; w != nil {
		w.acked = true
	}
	for len(s.queue) > 0 && s.queue[0].acked {
		s.mark = s.queue[0].name
		s.pop()
	}
	s.pump()
}

// Drop takes a batch out that nobody can use, and says what that costs.
func (s *Spool) Drop(spool, seq uint64) (cost []Cost) {
	s.mu.Lock()
	if w := s.names[name{spool, seq}]; w != nil && !w.acked {
		cost = w.costs
		s.dropped++
	}
	s.mu.Unlock()
	s.Ack(spool, seq)
	return cost
}

// Stats say how full the spool is.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := len(s.queue)
	for _, p := range s.pending {
		if p.record.seq != 0 {
			waiting++
		}
	}
	return Stats{Batches: waiting, Bytes: s.bytes, Dropped: s.dropped, Damaged: s.damaged, DiskError: s.diskError}
}

// Close ends the spool. What waits stays on disk.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	for _, g := range s.segments {
		if g.reserve == nil {
			errs = append(errs, g.file.Close())
		}
	}
	for _, r := range s.reserves {
		errs = append(errs, r.file.Close())
	}
	s.segments, s.current, s.queue, s.names, s.reserves, s.pending = nil, nil, nil, nil, nil, nil
	return errors.Join(errs...)
}
