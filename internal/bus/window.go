package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ErrLost says that batches were lost on their way, or may have been: what was published
// before must be said again with a snapshot.
var ErrLost = errors.New("batches lost on the way to the analyzer")

// window is what a sender has sent and nobody has acknowledged. It bounds the bytes, and is given up as a whole: when
// nothing is heard for a time, or when nobody listens. A sender adds what it sends; the goroutine that hears
// acknowledgements takes it off.
type window[K comparable] struct {
	most    int            // bytes; room waits beyond
	silence time.Duration  // after which it is given up
	silent  *atomic.Uint64 // times that it was

	mu     sync.Mutex
	flight map[K]int // sizes
	order  []K       // as they were added; those that are not in flight any more are skipped
	bytes  int
	lost   error         // why it was given up, until room has said so
	moved  chan struct{} // closed and replaced when there is something new for room
	heard  time.Time     // of the last acknowledgement, or of the first that is in flight
}

// newWindow makes a window; 0 is 4 MiB, and 5 s.
func newWindow[K comparable](most int, silence time.Duration, silent *atomic.Uint64) *window[K] {
	if most == 0 {
		most = 4 << 20
	}
	if silence == 0 {
		silence = 5 * time.Second
	}
	return &window[K]{most: most, silence: silence, silent: silent, flight: map[K]int{}, moved: make(chan struct{})}
}

// room waits until there is room for more. ErrLost is said once for each time that the window was given up.
func (w *window[K]) room(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if err := w.lost; err != nil {
			w.lost = nil
			return err
		}
		if len(w.flight) > 0 && time.Since(w.heard) > w.silence {
			w.clear(nil)
			w.silent.Add(1)
			return fmt.Errorf("%w: no acknowledgement for %s", ErrLost, w.silence)
		}
		if w.bytes < w.most {
			return nil
		}
		moved, silent := w.moved, time.NewTimer(time.Until(w.heard.Add(w.silence))+time.Millisecond)
		w.mu.Unlock()
		select {
		case <-moved:
		case <-silent.C:
		case <-ctx.Done():
		}
		silent.Stop()
		w.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// add notes what is about to be sent; what is sent again counts once.
func (w *window[K]) add(key K, size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.flight) == 0 {
		w.heard = time.Now()
	}
	w.bytes += size - w.flight[key]
	w.flight[key] = size
	w.order = append(w.order, key)
}

// drop forgets what is in flight, of which the sender knows more than the window.
func (w *window[K]) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clear(nil)
}

// unheard gives the window up: nobody takes what is sent, not even a stream.
func (w *window[K]) unheard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.flight) > 0 {
		w.clear(fmt.Errorf("%w: no analyzer listens", ErrLost))
	}
}

// clear forgets what is in flight; lost is what room says next. The caller holds mu.
func (w *window[K]) clear(lost error) {
	clear(w.flight)
	w.order, w.bytes, w.lost = w.order[:0], 0, lost
	w.move()
}

func (w *window[K]) move() {
	close(w.moved)
	w.moved = make(chan struct{})
}

// acked takes one off.
func (w *window[K]) acked(key K) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.take(key)
	w.skip()
	w.heard = time.Now()
	w.move()
}

// ackedThrough takes off all that were added first, as long as they are covered.
func (w *window[K]) ackedThrough(covered func(K) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.flight)
	for w.skip(); len(w.order) > 0 && covered(w.order[0]); w.skip() {
		w.take(w.order[0])
	}
	if len(w.flight) == n {
		return // it was before the window was given up
	}
	w.heard = time.Now()
	w.move()
}

func (w *window[K]) take(key K) {
	w.bytes -= w.flight[key]
	delete(w.flight, key)
}

// skip passes over what is not in flight at the front of the order.
func (w *window[K]) skip() {
	n := 0
	for n < len(w.order) {
		if _, there := w.flight[w.order[n]]; there {
			break
		}
		n++
	}
	if w.order = w.order[n:]; len(w.order) == 0 {
		w.order = nil
	}
}

// inFlight says how many are not acknowledged, and their bytes.
func (w *window[K]) inFlight() (n, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.flight), w.bytes
}
