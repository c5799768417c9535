package spool

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/internal/testenv"
)

// smallDisk mounts a file system of so many bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	testenv.Root(t)
	dir := t.TempDir()
	if err := unix.Mount("weft-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// ledger is a caller's, and the analyzer that has what was delivered. A packet is a batch here.
type ledger struct {
	t         *testing.T
	dir       string
	now       time.Time
	spool     *Spool
	kept      int // of batches, those that are in the spool or delivered
	delivered map[name]bool
	dirty     bool
}

func (l *ledger) begin() {
	s, err := Open(Options{Dir: l.dir, MaxBytes: 8 << 20, Now: func() time.Time { return l.now }})
	if err != nil {
		l.t.Fatal(err)
	}
	l.spool, l.kept = s, 0
	if text, ok := s.State()["c/n"]; ok {
		if l.kept, err = strconv.Atoi(string(text)); err != nil {
			l.t.Fatal(err)
		}
	}
}

// end is what a kill does: the files are as they are.
func (l *ledger) end() {
	if err := l.spool.Close(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *ledger) append(size int) {
	l.t.Helper()
	cost := []Cost{}
	var payload []byte
	if size > 0 {
		l.kept++
		payload, cost = bytes.Repeat([]byte{'x'}, size), []Cost{{"c/n", 1}}
	}
	dropped, err := l.spool.Append(payload, []Entry{{"c/n", []byte(strconv.Itoa(l.kept))}}, cost)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, c := range dropped {
		l.kept -= int(c.Packets)
	}
	l.dirty = len(dropped) > 0
}

// deliver hands over up to n batches; each is acknowledged with some probability.
func (l *ledger) deliver(n int, acknowledged bool) {
	for cursor := uint64(0); n > 0; n-- {
		b, ok := l.spool.Next(cursor)
		if !ok {
			return
		}
		cursor = b.Cursor
		l.delivered[name{b.Spool, b.Seq}] = true
		if acknowledged {
			l.spool.Ack(b.Spool, b.Seq)
		}
	}
}

// check compares what the ledger of a new process counts with what was delivered and what it will deliver.
func (l *ledger) check(step int) {
	l.t.Helper()
	got := len(l.delivered)
	for cursor := uint64(0); ; {
		b, ok := l.spool.Next(cursor)
		if !ok {
			break
		}
		cursor = b.Cursor
		if !l.delivered[name{b.Spool, b.Seq}] {
			got++
		}
	}
	if l.kept != got {
		l.t.Fatalf("step %d: the ledger counts %d batches; %d were delivered or wait", step, l.kept, got)
	}
}

// What was delivered is in the ledger, and what is in the ledger is delivered, on a full disk too, whenever a process dies.
func TestLedgerKnowsWhatWasDeliveredWhenTheDiskIsFull(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := smallDisk(t, 4<<20)
	l := &ledger{t: t, dir: dir, now: time.Unix(1000, 0), delivered: map[name]bool{}}
	l.begin()
	full, deaths := 0, 0
	for step := range 3000 {
		l.now = l.now.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
		switch n := random.IntN(40); {
		case n < 24:
			l.append(1 + random.IntN(200<<10))
		case n < 30:
			l.append(0)
		case n < 34:
			l.deliver(1+random.IntN(3), true)
		case n < 36:
			l.deliver(40, random.IntN(4) > 0)
		case n < 37: // the analyzer takes all that there is
			for l.spool.Stats().Batches > 0 {
				before := l.spool.Stats().Batches
				if l.deliver(1<<20, true); l.spool.Stats().Batches == before {
					t.Fatalf("step %d: %d batches never come out", step, before)
				}
			}
		case n < 38:
			if errors.Is(l.spool.Stats().DiskError, unix.ENOSPC) {
				full++
			}
			if l.dirty {
				l.append(0) // a loss that nobody wrote down yet
			}
			deaths++
			l.end()
			l.begin()
			l.check(step)
		}
	}
	t.Logf("%d deaths, %d of them with a full disk", deaths, full)
	if full == 0 {
		t.Error("the disk was never full")
	}
	l.end()
}

// Somebody else may take all that is left of the disk: what was reserved is enough to go on with.
func TestReserveIsEnoughToGoOnWith(t *testing.T) {
	dir := smallDisk(t, 4<<20)
	l := &ledger{t: t, dir: dir, now: time.Unix(1000, 0), delivered: map[name]bool{}}
	l.begin()
	other, err := os.Create(dir + "/other")
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 4096); err == nil; {
		_, err = other.Write(chunk)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		l.append(100 << 10)
		l.deliver(1, true)
	}
	if n := len(l.delivered); n != 200 {
		t.Errorf("%d of 200 batches were delivered", n)
	}
	l.end()
	l.begin()
	l.check(0)
	if l.kept != 200 || l.spool.Stats().Damaged != 0 {
		t.Errorf("after a death %d batches; %+v", l.kept, l.spool.Stats())
	}
	l.end()
}
