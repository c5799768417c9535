package bus

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestWindowCountsWhatIsInFlight(t *testing.T) {
	var silent atomic.Uint64
	through := func(n int) func(int) bool { return func(sent int) bool { return sent <= n } }
	for _, c := range []struct {
		name  string
		do    func(*window[int])
		n     int
		bytes int
	}{
		{"nothing", func(*window[int]) {}, 0, 0},
		{"two", func(w *window[int]) { w.add(1, 10); w.add(2, 5) }, 2, 15},
		{"one again, larger", func(w *window[int]) { w.add(1, 10); w.add(1, 12) }, 1, 12},
		{"acknowledged in any order", func(w *window[int]) { w.add(1, 10); w.add(2, 5); w.add(3, 1); w.acked(2) }, 2, 11},
		{"acknowledged twice", func(w *window[int]) { w.add(1, 10); w.add(2, 5); w.acked(2); w.acked(2) }, 1, 10},
		{"never sent", func(w *window[int]) { w.add(1, 10); w.acked(7) }, 1, 10},
		{"through", func(w *window[int]) { w.add(1, 10); w.add(2, 5); w.add(3, 1); w.ackedThrough(through(2)) }, 1, 1},
		{"through what one was sent twice", func(w *window[int]) { w.add(1, 10); w.add(1, 10); w.add(2, 5); w.ackedThrough(through(1)) }, 1, 5},
		{"through nothing", func(w *window[int]) { w.add(4, 10); w.ackedThrough(through(3)) }, 1, 10},
		{"dropped", func(w *window[int]) { w.add(1, 10); w.drop(); w.add(2, 5) }, 1, 5},
		{"unheard", func(w *window[int]) { w.add(1, 10); w.unheard() }, 0, 0},
	} {
		w := newWindow[int](100, time.Hour, &silent)
		c.do(w)
		if n, bytes := w.inFlight(); n != c.n || bytes != c.bytes {
			t.Errorf("%s: %d in flight, %d bytes; want %d, %d", c.name, n, bytes, c.n, c.bytes)
		}
	}
}

// Whatever is acknowledged in whatever order, nothing is kept of it.
func TestWindowKeepsNothingOfWhatIsAcknowledged(t *testing.T) {
	var silent atomic.Uint64
	w := newWindow[int](1<<30, time.Hour, &silent)
	const all = 1000
	for i := range all {
		w.add(i, i)
	}
	seed := rand.Uint64()
	for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(all) {
		w.acked(i)
	}
	if n, bytes := w.inFlight(); n != 0 || bytes != 0 || len(w.order) != 0 {
		t.Errorf("seed %d: %d in flight, %d bytes, %d in order", seed, n, bytes, len(w.order))
	}
}

func TestWindowMakesTheSenderWait(t *testing.T) {
	for _, c := range []struct {
		name    string
		silence time.Duration
		full    bool
		then    func(*window[int], context.CancelFunc) // while the sender waits, or before it does
		err     error
		text    string
		silent  uint64
	}{
		{"there is room", time.Hour, false, func(*window[int], context.CancelFunc) {}, nil, "", 0},
		{"an acknowledgement makes room", time.Hour, true, func(w *window[int], _ context.CancelFunc) { w.acked(1) }, nil, "", 0},
		{"many do", time.Hour, true, func(w *window[int], _ context.CancelFunc) { w.ackedThrough(func(int) bool { return true }) }, nil, "", 0},
		{"nobody listens", time.Hour, true, func(w *window[int], _ context.CancelFunc) { w.unheard() }, ErrLost, "no analyzer listens", 0},
		{"nobody listened", time.Hour, false, func(w *window[int], _ context.CancelFunc) { w.add(2, 1); w.unheard() }, ErrLost, "no analyzer listens", 0},
		{"silence", 20 * time.Millisecond, true, func(*window[int], context.CancelFunc) {}, ErrLost, "no acknowledgement for 20ms", 1},
		{"the end", time.Hour, true, func(_ *window[int], cancel context.CancelFunc) { cancel() }, context.Canceled, "", 0},
	} {
		var silent atomic.Uint64
		w := newWindow[int](10, c.silence, &silent)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if c.full {
			w.add(1, 10)
			go c.then(w, cancel)
		} else {
			c.then(w, cancel)
		}
		err := w.room(ctx)
		if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.text) || silent.Load() != c.silent {
			t.Errorf("%s: %v, silent %d times; want %v %q, %d", c.name, err, silent.Load(), c.err, c.text, c.silent)
		}
		if errors.Is(c.err, ErrLost) {
			if err := w.room(ctx); err != nil {
				t.Errorf("%s: said again: %v", c.name, err)
			}
		}
		cancel()
	}
}
