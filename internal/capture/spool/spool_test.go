package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func open(t *testing.T, opts Options) *Spool {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// keep appends a batch of one ledger.
func keep(t *testing.T, s *Spool, payload, position string, packets uint64) []Cost {
	t.Helper()
	dropped, err := s.Append([]byte(payload), []Entry{{"c/n", []byte(position)}}, []Cost{{"c/n", packets}})
	if err != nil {
		t.Fatal(err)
	}
	return dropped
}

// rest is everything that waits, as text.
func rest(s *Spool) (list []string) {
	for cursor := uint64(0); ; {
		b, ok := s.Next(cursor)
		if !ok {
			return list
		}
		list = append(list, string(b.Payload))
		cursor = b.Cursor
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, not %v", what, got, want)
	}
}

func TestBatchesComeOutInOrderUntilTheyAreAcknowledged(t *testing.T) {
	for where, dir := range map[string]string{"memory": "", "disk": t.TempDir()} {
		t.Run(where, func(t *testing.T) {
			s := open(t, Options{Dir: dir})
			for _, p := range []string{"one", "two", "three"} {
				keep(t, s, p, "after "+p, 1)
			}
			<-s.Changed()
			expect(t, "waiting", rest(s), []string{"one", "two", "three"})
			s.Ack(s.ID(), 2) // out of order
			expect(t, "after the second was acknowledged", rest(s), []string{"one", "three"})
			s.Ack(s.ID(), 1)
			s.Ack(s.ID(), 1)
			s.Ack(42, 3) // of another spool
			expect(t, "after the first", rest(s), []string{"three"})
			s.Ack(s.ID(), 3)
			expect(t, "batches left", s.Stats().Batches, 0)
			expect(t, "position", string(s.State()["c/n"]), "after three")
		})
	}
}

// A process that dies closes nothing and says nothing; the next one reads the same files.
func TestDeathLosesNothingThatWasKept(t *testing.T) {
	dir := t.TempDir()
	dead := open(t, Options{Dir: dir})
	keep(t, dead, "one", "1", 10)
	keep(t, dead, "two", "2", 10)
	dead.Ack(dead.ID(), 1)
	if _, err := dead.Append(nil, []Entry{{"c/n", []byte("3")}, {"c/gone", []byte("x")}}, nil); err != nil { // a checkpoint
		t.Fatal(err)
	}
	if _, err := dead.Append(nil, []Entry{{"c/gone", nil}}, nil); err != nil {
		t.Fatal(err)
	}

	s := open(t, Options{Dir: dir})
	expect(t, "waiting", rest(s), []string{"two"})
	expect(t, "positions", len(s.State()), 1)
	expect(t, "position", string(s.State()["c/n"]), "3")
	b, _ := s.Next(0)
	expect(t, "name of the old batch", []uint64{b.Spool, b.Seq}, []uint64{dead.ID(), 2})
	if s.ID() == dead.ID() {
		t.Error("two processes name their batches alike")
	}
	keep(t, s, "three", "4", 10)
	expect(t, "old and new", rest(s), []string{"two", "three"})
	s.Ack(dead.ID(), 2)
	keep(t, s, "four", "5", 10)
	if list := files(t, dir); len(list) != 1 {
		t.Errorf("the old file was taken and is still there: %v", list)
	}

	third := open(t, Options{Dir: dir})
	expect(t, "waiting in the third", rest(third), []string{"three", "four"})
	expect(t, "position in the third", string(third.State()["c/n"]), "5")
}

func TestTornTailCostsWhatItHeld(t *testing.T) {
	dir := t.TempDir()
	dead := open(t, Options{Dir: dir})
	keep(t, dead, "one", "1", 1)
	keep(t, dead, "two", "2", 1)
	path := files(t, dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		got := rest(s)
		if !slices.Equal(got, []string{"one", "two"}[:len(got)]) || len(got) == 2 {
			t.Fatalf("cut at %d of %d: %q", cut, len(whole), got)
		}
		if len(got) == 1 && string(s.State()["c/n"]) != "1" {
			t.Fatalf("cut at %d: position %q", cut, s.State()["c/n"])
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamageIsCountedAndTheRestIsRead(t *testing.T) {
	dir := t.TempDir()
	first := open(t, Options{Dir: dir})
	keep(t, first, "one", "1", 1)
	second := open(t, Options{Dir: dir})
	keep(t, second, "two", "2", 1)
	path := files(t, dir)[0]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "0000000000000009"+suffix), []byte("a file of somebody else"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Dir: dir})
	expect(t, "waiting", rest(s), []string{"two"})
	expect(t, "damaged", s.Stats().Damaged, 2)
	keep(t, s, "three", "3", 1)
	expect(t, "waiting", rest(s), []string{"two", "three"})
}

func TestOldestGoFirstAndSayWhatTheyCost(t *testing.T) {
	for where, dir := range map[string]string{"memory": "", "disk": t.TempDir()} {
		t.Run(where, func(t *testing.T) {
			s := open(t, Options{Dir: dir, MaxBytes: 128 << 10})
			var kept, lost uint64
			for i := range 200 {
				kept++
				for _, c := range keep(t, s, fmt.Sprintf("%04d%s", i, bytes.Repeat([]byte{'x'}, 4000)), fmt.Sprint(i), 1) {
					lost += c.Packets
				}
				if st := s.Stats(); st.Bytes > 128<<10 {
					t.Fatalf("%d bytes kept", st.Bytes)
				}
			}
			left := rest(s)
			expect(t, "kept", uint64(len(left))+lost, kept)
			if len(left) < 10 {
				t.Errorf("only %d batches are kept of those that fit", len(left))
			}
			expect(t, "oldest that is left", left[0][:4], fmt.Sprintf("%04d", lost))
			expect(t, "counted", s.Stats().Dropped, lost)
			if dir != "" {
				expect(t, "waiting after a death", len(rest(open(t, Options{Dir: dir, MaxBytes: 128 << 10}))) >= len(left), true)
			}
		})
	}
}

// What was dropped stays on disk until the ledger that knows its cost is there too.
func TestDroppedFilesStayUntilTheirCostIsWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, MaxBytes: 64 << 10})
	payload := string(bytes.Repeat([]byte{'x'}, 4000))
	for lost := 0; lost == 0; {
		lost = len(keep(t, s, payload, "p", 1))
	}
	before := len(files(t, dir))
	if _, err := s.Append(nil, []Entry{{"c/n", []byte("with the cost")}}, nil); err != nil {
		t.Fatal(err)
	}
	if after := len(files(t, dir)); after >= before {
		t.Errorf("%d files before the cost was written, %d after", before, after)
	}
}

func TestAcknowledgedFilesGo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, SegmentBytes: 8 << 10})
	payload := string(bytes.Repeat([]byte{'x'}, 3000))
	for i := range uint64(100) {
		keep(t, s, payload, fmt.Sprint(i), 1)
		s.Ack(s.ID(), i+1)
	}
	if list := files(t, dir); len(list) > 3 {
		t.Errorf("%d files are left", len(list))
	}
	again := open(t, Options{Dir: dir})
	expect(t, "position", string(again.State()["c/n"]), "99")
}

func TestDiskThatFailsIsReplacedByMemoryAndTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		broken bool // nothing can be written to the reserves either
		after  []string
	}{
		"no new files": {false, []string{"one", "two", "three", "four"}},
		"no writes":    {true, []string{"one", "four"}},
	} {
		t.Run(name, func(t *testing.T) { diskThatFails(t, c.broken, c.after) })
	}
}

func diskThatFails(t *testing.T, broken bool, after []string) {
	t.Helper()
	dir := t.TempDir()
	now := time.Unix(1000, 0)
	s := open(t, Options{Dir: dir, Now: func() time.Time { return now }})
	keep(t, s, "one", "1", 1)
	// No more can be written to this file, as on a full disk.
	s.mu.Lock()
	whole := s.current.file
	readOnly, err := os.Open(s.current.path)
	if err != nil {
		t.Fatal(err)
	}
	s.current.file = readOnly
	s.opts.Dir = filepath.Join(dir, "gone")
	for _, r := range s.reserves {
		if !broken {
			continue
		}
		writable := r.file
		if r.file, err = os.Open(r.path); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = writable.Close() })
	}
	s.mu.Unlock()
	t.Cleanup(func() { _ = whole.Close() })
	keep(t, s, "two", "2", 1)
	keep(t, s, "three", "3", 1)
	if s.Stats().DiskError == nil {
		t.Error("nothing says that the disk failed")
	}
	expect(t, "waiting", rest(s), []string{"one", "two", "three"})

	s.mu.Lock()
	s.opts.Dir = dir
	s.mu.Unlock()
	now = now.Add(time.Minute)
	keep(t, s, "four", "4", 1)
	if err := s.Stats().DiskError; err != nil {
		t.Errorf("the disk is back: %v", err)
	}
	expect(t, "waiting", rest(s), []string{"one", "two", "three", "four"})
	again := open(t, Options{Dir: dir})
	expect(t, "position after a death", string(again.State()["c/n"]), "4")
	expect(t, "waiting after a death", rest(again), after)
}

func TestClosedSpoolTakesNothing(t *testing.T) {
	s := open(t, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append([]byte("late"), nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestDirectoryThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(file, "spool")}); err == nil {
		t.Error("no error")
	}
}

func FuzzScan(f *testing.F) {
	head := append([]byte(magic), 1, 2, 3, 4, 5, 6, 7, 8)
	whole, _ := appendRecord(slices.Clone(head), &record{whole: true, entries: []Entry{{"a", []byte("1")}, {"b", nil}, {"c", []byte{}}}}, 0)
	batch, _ := appendRecord(slices.Clone(whole), &record{seq: 7, mark: name{3, 6}, costs: []Cost{{"a", 12}}, payload: []byte("flows")}, 0)
	for _, seed := range [][]byte{nil, head, whole, batch, batch[:len(batch)-3], append(slices.Clone(head), 255, 255, 255, 255)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		again := slices.Clone(data[:min(len(data), headerSize)])
		_, err := scan(bytes.NewReader(data), 0, func(r *record, payloadAt int64) {
			if got := data[payloadAt:][:len(r.payload)]; !bytes.Equal(got, r.payload) {
				t.Fatalf("payload is not where it should be")
			}
			again, _ = appendRecord(again, r, 0)
		})
		if err != nil {
			return
		}
		// What is read whole reads the same after it is written again.
		count := 0
		if _, err := scan(bytes.NewReader(again), 0, func(*record, int64) { count++ }); err != nil {
			t.Fatalf("after %d records: %v", count, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	payload := bytes.Repeat([]byte{'x'}, 200<<10)
	b.SetBytes(int64(len(payload)))
	for i := 0; b.Loop(); i++ {
		if _, err := s.Append(payload, []Entry{{"c/n", []byte("position")}}, []Cost{{"c/n", 1}}); err != nil {
			b.Fatal(err)
		}
		s.Ack(s.ID(), uint64(i+1))
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
