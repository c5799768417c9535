package bus

import (
	"strings"
	"sync"
	"time"
)

// repeats lets a fault that repeats into the log once a minute.
type repeats struct {
	mu   sync.Mutex
	last map[string]time.Time
}

const (
	repeatEvery = time.Minute
	maxRepeats  = 256 // faults remembered
)

// first says whether the fault was not told within the last minute. Numbers do not make
// two faults of one: they are ports and ids of connections.
func (r *repeats) first(fault string) bool {
	fault = strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return -1
		}
		return c
	}, fault)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if last, told := r.last[fault]; told && now.Sub(last) < repeatEvery {
		return false
	}
	if r.last == nil || len(r.last) >= maxRepeats {
		r.last = map[string]time.Time{}
	}
	r.last[fault] = now
	return true
}
