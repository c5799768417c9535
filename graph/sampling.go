package graph

import (
	"fmt"
	"slices"
)

// maxCounters bounds the counters of one series.
const maxCounters = 1024

// sample adds a sample to a series of an element. It makes no version.
func (t *txn) sample(ev *Event) error {
	g := t.g
	c := ev.Counters
	if err := c.check(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, ev.ID, err)
	}
	e := g.find(ev.ID, ev.Edge)
	if e == nil {
		return fmt.Errorf("%w: %s", ErrUnknown, ev.ID)
	}
	s := e.seriesOf(c.Prefix)
	fresh := s == nil || !sameNames(s.names, c.Names)
	if !fresh && s.sameAs(c) {
		return nil
	}
	if fresh {
		s = t.newSeries(e, s, c)
	}
	head := e.head.Load()
	updated, revision := e.shown(head, t.m)
	if e.touch == 0 { // else the commit has counted as a change of the element already
		revision++
		if updated = ev.UpdatedAt; updated == 0 {
			updated = t.ms
		}
	}
	t.touch(e, head).sample = true
	g.counts.lost += uint64(s.add(t.m, updated, revision, c, g.opts.SamplesKept))
	if fresh {
		t.linkSeries(e, s)
	}
	return nil
}

func (c *Counters) check() error {
	switch {
	case c == nil:
		return fmt.Errorf("sample without counters")
	case c.Prefix == "":
		return fmt.Errorf("counters without a prefix")
	case len(c.Names) != len(c.Values):
		return fmt.Errorf("%d names for %d values", len(c.Names), len(c.Values))
	case len(c.Names) > maxCounters:
		return fmt.Errorf("more than %d counters", maxCounters)
	}
	return nil
}

func sameNames(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	return len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b)
}

// newSeries makes a series, which follows one of other names if there is one.
func (t *txn) newSeries(e *element, before *series, c *Counters) *series {
	g := t.g
	own := *c
	own.Prefix, own.Names = g.internNames(c)
	s := newSeries(&own)
	if before != nil {
		before.before.Store(nil)
		s.before.Store(before)
	}
	if paths := *g.samplePaths.Load(); !slices.Contains(paths, s.prefix) {
		paths = append(slices.Clone(paths), s.prefix, s.last)
		g.samplePaths.Store(&paths)
	}
	return s
}

// internNames shares the names of counters among all series that have the same.
func (g *Graph) internNames(c *Counters) (string, []string) {
	for _, known := range g.counterNames {
		if known.Prefix == c.Prefix && slices.Equal(known.Names, c.Names) {
			return known.Prefix, known.Names
		}
	}
	own := Counters{Prefix: cloneString(c.Prefix), Names: make([]string, len(c.Names))}
	for i, name := range c.Names {
		own.Names[i] = cloneString(name)
	}
	if len(g.counterNames) >= 64 {
		g.counterNames = nil // series hold theirs; what comes next is shared anew
	}
	g.counterNames = append(g.counterNames, own)
	return own.Prefix, own.Names
}

// linkSeries shows a series that has its first sample.
func (t *txn) linkSeries(e *element, s *series) {
	var list []*series
	if old := e.samples.Load(); old != nil {
		list = slices.DeleteFunc(slices.Clone(*old), func(o *series) bool { return o.prefix == s.prefix })
	}
	list = append(list, s)
	e.samples.Store(&list)
}
