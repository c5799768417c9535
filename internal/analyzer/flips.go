package analyzer

import "time"

// flips notices elements about which a rule changes its mind again and again, as two rules
// do that feed each other. The rule then leaves such an element alone, each time for longer.
type flips struct {
	byID map[string]*flip
}

// flip is what is known of one element.
type flip struct {
	count int
	since time.Time     // of the first one counted
	until time.Time     // held until then
	wait  time.Duration // of the last hold; 0: never held
	left  bool          // held, and not looked at since
}

const (
	flipWindow  = 2 * time.Second
	flipLimit   = 8 // within the window
	flipAgain   = 2 // the same, of an element that was held before
	firstHold   = time.Second
	longestHold = time.Minute
)

// count takes a change of mind. It returns how long the element is to be left alone; 0 when
// it is not.
func (f *flips) count(id string, now time.Time) time.Duration {
	one := f.byID[id]
	if one == nil {
		if f.byID == nil {
			f.byID = map[string]*flip{}
		}
		one = &flip{since: now}
		f.byID[id] = one
	}
	if now.Sub(one.since) > flipWindow {
		one.count, one.since = 0, now
	}
	one.count++
	limit := flipLimit
	if one.wait > 0 {
		limit = flipAgain
	}
	if one.count < limit {
		return 0
	}
	one.wait = min(max(2*one.wait, firstHold), longestHold)
	one.until, one.count, one.left = now.Add(one.wait), 0, true
	return one.wait
}

// held says whether the element is left alone now.
func (f *flips) held(id string, now time.Time) bool {
	one := f.byID[id]
	return one != nil && now.Before(one.until)
}

// due gives the elements whose hold is over, each once, and forgets those that came to rest.
func (f *flips) due(now time.Time) (ids []string) {
	for id, one := range f.byID {
		switch {
		case one.left && !now.Before(one.until):
			one.left = false
			ids = append(ids, id)
		case !one.left && now.Sub(one.since) > flipWindow && now.Sub(one.until) > flipWindow+2*one.wait:
			delete(f.byID, id)
		}
	}
	return ids
}
