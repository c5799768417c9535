package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// clock is a time that tests move.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func testProgress(s screen, total int64, read *int64) (*progress, *clock, *strings.Builder) {
	var out strings.Builder
	c := &clock{now: time.Unix(1_000_000, 0)}
	p := newProgress(&out, s, "adding dump.json", total, func() int64 { return *read })
	p.now, p.started = c.Now, c.now
	return p, c, &out
}

func TestProgressShowsLongLoadsOnly(t *testing.T) {
	read := int64(0)
	p, c, out := testProgress(screen{terminal: true, width: 100}, 1000, &read)
	p.update(1)
	if out.Len() > 0 {
		t.Errorf("shown at once: %q", out)
	}
	c.now, read = c.now.Add(time.Second), 500
	p.update(20_000)
	line := "adding dump.json  ███████████████░░░░░░░░░░░░░░░  50%  20000 elements  20000/s"
	if out.String() != "\r"+line {
		t.Errorf("got  %q\nwant %q", out, "\r"+line)
	}
	n := out.Len()
	p.update(20_001)
	if out.Len() != n {
		t.Error("drawn again at once")
	}
	p.clear()
	if !strings.HasSuffix(out.String(), "\r"+strings.Repeat(" ", utf8.RuneCountInString(line))+"\r") || p.length != 0 {
		t.Errorf("the line is not taken away: %q", out)
	}
}

func TestProgressWithoutASize(t *testing.T) {
	read := int64(0)
	p, c, out := testProgress(screen{terminal: true, width: 20}, 0, &read)
	c.now = c.now.Add(2 * time.Second)
	p.update(10)
	line := strings.TrimPrefix(out.String(), "\r")
	if !strings.HasPrefix(line, "adding dump.json") || utf8.RuneCountInString(line) >= 20 {
		t.Errorf("line %q does not fit 20 columns", line)
	}
}

func TestProgressIsSilentElsewhere(t *testing.T) {
	read := int64(0)
	p, c, out := testProgress(screen{}, 1000, &read)
	c.now = c.now.Add(time.Hour)
	p.update(10)
	p.clear()
	if out.Len() > 0 {
		t.Errorf("%q in a file", out)
	}
}
