package linux

import (
	"container/heap"
	"time"
)

// timers are functions to be called at times. They belong to one goroutine.
type timers struct{ queue timerQueue }

type timer struct {
	at time.Time
	f  func()
}

func (t *timers) add(at time.Time, f func()) { heap.Push(&t.queue, timer{at, f}) }

// wait returns how long it is to the next one, at most most.
func (t *timers) wait(most time.Duration) time.Duration {
	if len(t.queue) == 0 {
		return most
	}
	return min(max(time.Until(t.queue[0].at), 0), most)
}

// fire calls all those whose time has come.
func (t *timers) fire() {
	now := time.Now()
	for len(t.queue) > 0 && !t.queue[0].at.After(now) {
		heap.Pop(&t.queue).(timer).f()
	}
}

type timerQueue []timer

func (q timerQueue) Len() int           { return len(q) }
func (q timerQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q timerQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *timerQueue) Push(x any)        { *q = append(*q, x.(timer)) }
func (q *timerQueue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = timer{}
	*q = (*q)[:last]
	return t
}
