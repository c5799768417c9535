package apitest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weft-net/weft/internal/api"
)

// Store keeps resources in memory.
type Store struct {
	mu       sync.Mutex
	data     map[[2]string][]byte
	watchers map[*watcher]struct{}
}

type watcher struct {
	kind   string
	events chan api.StoreEvent
	ctx    context.Context
}

// Get implements api.Store.
func (s *Store) Get(_ context.Context, kind, id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.data[[2]string{kind, id}]
	if !ok {
		return nil, fmt.Errorf("%s %q: %w", kind, id, api.ErrNotFound)
	}
	return slices.Clone(data), nil
}

// List implements api.Store.
func (s *Store) List(_ context.Context, kind string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][]byte)
	for key, data := range maps.All(s.data) {
		if key[0] == kind {
			all[key[1]] = slices.Clone(data)
		}
	}
	return all, nil
}

// Create implements api.Store.
func (s *Store) Create(_ context.Context, kind, id string, data []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.data[[2]string{kind, id}]; there {
		return fmt.Errorf("%s %q: %w", kind, id, api.ErrExists)
	}
	s.put(kind, id, data)
	if ttl > 0 {
		time.AfterFunc(ttl, func() { _ = s.Delete(context.Background(), kind, id) })
	}
	return nil
}

// Put implements api.Store.
func (s *Store) Put(_ context.Context, kind, id string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(kind, id, data)
	return nil
}

func (s *Store) put(kind, id string, data []byte) {
	if s.data == nil {
		s.data = make(map[[2]string][]byte)
	}
	s.data[[2]string{kind, id}] = slices.Clone(data)
	s.tell(kind, api.StoreEvent{ID: id, Data: data})
}

// Delete implements api.Store.
func (s *Store) Delete(_ context.Context, kind, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := [2]string{kind, id}
	if _, there := s.data[key]; !there {
		return fmt.Errorf("%s %q: %w", kind, id, api.ErrNotFound)
	}
	delete(s.data, key)
	s.tell(kind, api.StoreEvent{ID: id})
	return nil
}

// Watch implements api.Store.
func (s *Store) Watch(ctx context.Context, kind string) (<-chan api.StoreEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &watcher{kind: kind, events: make(chan api.StoreEvent, 1000), ctx: ctx}
	for key, data := range s.data {
		if key[0] == kind {
			w.events <- api.StoreEvent{ID: key[1], Data: slices.Clone(data)}
		}
	}
	if s.watchers == nil {
		s.watchers = make(map[*watcher]struct{})
	}
	s.watchers[w] = struct{}{}
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
		close(w.events)
	})
	return w.events, nil
}

// tell reports a change; a watcher that lets a thousand pile up misses the next.
func (s *Store) tell(kind string, event api.StoreEvent) {
	for w := range s.watchers {
		if w.kind != kind {
			continue
		}
		select {
		case w.events <- event:
		default:
		}
	}
}
