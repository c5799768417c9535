package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress is one line on a terminal that says how far a long load is. It does
// nothing elsewhere, and nothing before a load turns out to be long.
type progress struct {
	out     io.Writer
	s       screen
	what    string
	total   int64 // bytes to read; 0: not known
	read    func() int64
	now     func() time.Time
	started time.Time
	shown   time.Time
	length  int // of the line on the screen
}

// The bar appears when a load takes longer than progressAfter, and moves every progressEvery.
const (
	progressAfter = 300 * time.Millisecond
	progressEvery = 100 * time.Millisecond
)

func newProgress(out io.Writer, s screen, what string, total int64, read func() int64) *progress {
	p := &progress{out: out, s: s, what: what, total: total, read: read, now: time.Now}
	p.started = p.now()
	return p
}

// update shows the state after that many elements; call it as often as you like.
func (p *progress) update(elements int) {
	if !p.s.terminal {
		return
	}
	now := p.now()
	if now.Sub(p.started) < progressAfter || now.Sub(p.shown) < progressEvery {
		return
	}
	p.shown = now
	p.draw(p.line(elements, now.Sub(p.started)))
}

func (p *progress) line(elements int, since time.Duration) string {
	rate := float64(elements) / since.Seconds()
	tail := fmt.Sprintf("%d elements  %.0f/s", elements, rate)
	if p.total <= 0 {
		return p.what + "  " + tail
	}
	share := min(float64(p.read())/float64(p.total), 1)
	const width = 30
	full := int(share * width)
	bar := strings.Repeat("█", full) + strings.Repeat("░", width-full)
	return fmt.Sprintf("%s  %s %3.0f%%  %s", p.what, bar, share*100, tail)
}

func (p *progress) draw(line string) {
	if p.s.width > 0 {
		line = cut(line, p.s.width-1)
	}
	n := len([]rune(line))
	fmt.Fprintf(p.out, "\r%s%s", line, strings.Repeat(" ", max(p.length-n, 0)))
	p.length = n
}

// clear takes the line away, so that what follows begins on a clean one.
func (p *progress) clear() {
	if p.length > 0 {
		p.draw("")
		fmt.Fprint(p.out, "\r")
		p.length = 0
	}
}

// countingReader knows how much was read through it.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
