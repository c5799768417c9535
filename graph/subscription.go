package graph

import (
	"context"
	"sync/atomic"
)

// Subscription follows the commits of a graph, in order and without a gap. It belongs to one goroutine; Close may be
// called from any.
type Subscription struct {
	g      *Graph
	view   *View
	at     uint64 // the number of the last commit taken
	lagged bool
	closed chan struct{}
	over   atomic.Bool
}

// Subscribe begins to follow the graph: View is the state before the first commit that Next gives. A subscriber that
// is slower than the bounded log of commits loses its place, which Next says with ErrLagged; it costs the writer
// nothing.
func (g *Graph) Subscribe() *Subscription {
	s := &Subscription{g: g, closed: make(chan struct{})}
	g.mu.Lock() // from the next commit on, the writer logs
	g.log.subscribers.Add(1)
	s.restart()
	g.mu.Unlock()
	return s
}

// restart takes the newest state.
func (s *Subscription) restart() {
	st := s.g.state.Load()
	s.view = s.g.viewOf(st)
	s.at = st.logged
	s.lagged = false
}

// View is the state that the commits follow: as of Subscribe or the last Resync.
func (s *Subscription) View() *View { return s.view }

// Resync takes a new place at the newest state, after ErrLagged or for any reason.
func (s *Subscription) Resync() *View {
	s.restart()
	return s.view
}

// TryNext gives the next commit if there is one.
func (s *Subscription) TryNext() (*Commit, bool, error) {
	l := &s.g.log
	for {
		if s.over.Load() {
			return nil, false, ErrClosed
		}
		if s.lagged {
			return nil, false, ErrLagged
		}
		// The published state, not the log's head: a commit is given when views show it.
		if s.at >= s.g.state.Load().logged {
			return nil, false, nil
		}
		c, ok := l.get(s.at + 1)
		if !ok {
			s.lagged = true
			l.lagged.Add(1)
			return nil, false, ErrLagged
		}
		s.at++
		if len(c.Changes) > 0 {
			return c, true, nil
		}
	}
}

// Next waits for the next commit. ErrLagged says that the place is lost: call Resync, and start from its View.
func (s *Subscription) Next(ctx context.Context) (*Commit, error) {
	l := &s.g.log
	for {
		c, ok, err := s.TryNext()
		if ok || err != nil {
			return c, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.waiting.Add(1)
		baton := l.currentBaton()
		if s.at < s.g.state.Load().logged { // a commit came before the writer could see that we wait
			l.waiting.Add(-1)
			continue
		}
		select {
		case <-baton:
			baton <- struct{}{}
			l.waiting.Add(-1)
		case <-s.closed:
			l.waiting.Add(-1)
			return nil, ErrClosed
		case <-ctx.Done():
			l.waiting.Add(-1)
			return nil, ctx.Err()
		}
	}
}

// Close ends the subscription, and with it a Next that waits.
func (s *Subscription) Close() {
	if s.over.Swap(true) {
		return
	}
	close(s.closed)
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	if s.g.log.subscribers.Add(-1) == 0 {
		s.g.log.reset()
	}
}
