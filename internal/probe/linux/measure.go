package linux

import "time"

// The namespaces are measured in turns, not all at once.
const turns = 16

// measureEvery reads the counters of all links once an interval.
func (l *loop) measureEvery(interval time.Duration) {
	turn := uint64(0)
	var next func()
	next = func() {
		for _, s := range l.spaces {
			if s.inode%turns == turn%turns && s.ready {
				l.measure(s)
			}
		}
		turn++
		l.after(interval/turns, next)
	}
	l.after(interval/turns, next)
}

func (l *loop) measure(s *space) {
	if s.measuring || (!s.own && s.nsid < 0) {
		return
	}
	s.measuring = true
	nsid := s.nsid
	if s.own {
		nsid = -1
	}
	serial := l.serial
	known := make(map[int]uint64, len(s.links))
	for index, k := range s.links {
		known[index] = k.measured
	}
	l.visitors.do(func(v *visitor) {
		all, err := readStats(v.conn, nsid, known, l.seed)
		now := l.env.Now().UnixMilli()
		l.post(func() { l.measured(s, all, err, serial, now) })
	})
}

// measured takes the counters of a namespace. It is also the moment to say what was held
// back, to find changes that the kernel did not announce, and to notice that a link was
// missed.
func (l *loop) measured(s *space, read stats, err error, serial, now int64) {
	s.measuring = false
	if s.gone || s.reading || err != nil {
		return
	}
	missed := false
	for index, m := range read.all {
		k := s.links[index]
		if k == nil {
			missed = true
			continue
		}
		k.measured = m.hash
		if k.shown {
			l.sample(k, m.counters, now)
		}
	}
	for index, k := range s.links {
		if _, ok := read.all[index]; !ok {
			missed = true
		}
		if k.shown && k.stateOld {
			k.listsOld = true
			l.touchLink(k)
		}
	}
	for _, state := range read.changed {
		if k := s.links[state.index]; k != nil && k.seen <= serial && !k.linkState.same(&state) { // if seen since, an event may be newer
			l.putLink(s, state)
		}
	}
	if missed && s.suspect {
		l.count.resyncs.Inc()
		l.read(s)
	}
	s.suspect = missed && !s.suspect // once may be an event that is under way
	if len(l.samples) > 0 {
		l.touch()
	}
}
