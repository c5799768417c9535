// Package resource keeps what REST clients create: nodes, edges and rules, as bytes by kind
// and id. A [Store] holds everything in memory, and writes through to a key-value bucket
// of JetStream where there is one, so that reading is cheap and does not depend on a disk,
// what was created survives a restart, and several analyzers on one NATS see the same.
//
// Any goroutine may use a Store. Times to live are kept in the values and expired by
// [Store.Expire], which its owner calls now and then: NATS 2.9 cannot do it. Close ends the
// watching of the bucket; channels from Watch end with their contexts.
package resource

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
)

// Bucket is where a Store keeps things.
type Bucket = nats.KeyValue

// Options describe a Store.
type Options struct {
	Bucket Bucket // nil: memory only
	Disk   Disk   // of an embedded server, which remembers that its disk was full; nil: none
	Now    func() time.Time
	Logger *slog.Logger
}

// Disk is what the bucket is stored on; *bus.Server is one.
type Disk interface {
	Room() error             // nil unless it is full
	RestartJetStream() error // how a bucket recovers that could not be written
}

// Store implements api.Store.
type Store struct {
	opts Options

	mu       sync.Mutex
	bucket   Bucket
	stuck    error                      // why the bucket could not be written; until Recover has written to it
	items    map[string]map[string]item // by kind and id
	watchers map[*watcher]bool
	closed   bool
	follow   chan struct{} // closed when the watching of the bucket is to end
	done     sync.WaitGroup
}

type item struct {
	data     []byte // nil: deleted here, and the bucket has not said so yet
	expires  int64  // ms; 0 = never
	revision uint64 // of the bucket
}

type watcher struct {
	kind   string
	events []api.StoreEvent
	more   chan struct{} // of size 1
}

// New opens a Store and reads what the bucket holds.
func New(ctx context.Context, opts Options) (*Store, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		opts: opts, bucket: opts.Bucket,
		items: map[string]map[string]item{}, watchers: map[*watcher]bool{},
	}
	if s.bucket != nil {
		if err := s.Rewatch(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Persistent says whether what is created is kept outside of this process.
func (s *Store) Persistent() bool { return s.kept() != nil }

func (s *Store) kept() Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bucket
}

// Attach gives a store that began in memory its bucket. What was created meanwhile goes
// there, unless the bucket has something of that kind and id.
func (s *Store) Attach(ctx context.Context, bucket Bucket) error {
	s.mu.Lock()
	if s.bucket != nil {
		s.mu.Unlock()
		return nil
	}
	mine := map[string]item{}
	for kind, items := range s.items {
		for id, it := range items {
			mine[key(kind, id)] = it
		}
	}
	s.mu.Unlock()
	for k, it := range mine {
		if _, err := bucket.Create(k, appendItem(it)); err != nil && !errors.Is(err, nats.ErrKeyExists) {
			return fmt.Errorf("resource store: %w", err)
		}
	}
	s.mu.Lock()
	s.bucket = bucket
	s.mu.Unlock()
	return s.Rewatch(ctx)
}

// Rewatch reads the bucket again and follows it from there, after JetStream was away.
func (s *Store) Rewatch(ctx context.Context) error {
	bucket := s.kept()
	if bucket == nil {
		return nil
	}
	w, err := bucket.WatchAll()
	if err != nil {
		return fmt.Errorf("resource store: %w", err)
	}
	stop := make(chan struct{})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errors.Join(nats.ErrConnectionClosed, w.Stop())
	}
	if s.follow != nil {
		close(s.follow)
	}
	s.follow = stop
	s.mu.Unlock()
	initial := make(chan struct{})
	s.done.Go(func() { s.watch(w, stop, initial) })
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	select {
	case <-initial:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		return errors.New("resource store: the bucket did not answer within 10 s")
	}
}

func (s *Store) watch(w nats.KeyWatcher, stop, initial chan struct{}) {
	defer func() { _ = w.Stop() }() // fails only with its connection
	for {
		select {
		case <-stop:
			return
		case entry, ok := <-w.Updates():
			switch {
			case !ok:
				return
			case entry == nil: // all that was there has been seen
				select {
				case <-initial:
				default:
					close(initial)
				}
			default:
				s.heard(entry)
			}
		}
	}
}

// heard takes a change from the bucket, which may be one of our own.
func (s *Store) heard(entry nats.KeyValueEntry) {
	kind, id, ok := parseKey(entry.Key())
	if !ok {
		return
	}
	it := item{revision: entry.Revision()}
	if entry.Operation() == nats.KeyValuePut {
		var err error
		if it, err = parseItem(entry.Value(), entry.Revision()); err != nil {
			s.opts.Logger.Warn("resource not readable", "kind", kind, "id", id, "error", err)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have, known := s.items[kind][id]
	if known && it.revision <= have.revision {
		return
	}
	s.set(kind, id, it)
	if it.data == nil {
		delete(s.items[kind], id)
	}
}

// set changes an item and tells the watchers.
func (s *Store) set(kind, id string, it item) {
	had := s.items[kind][id].data != nil
	if s.items[kind] == nil {
		s.items[kind] = map[string]item{}
	}
	s.items[kind][id] = it
	if !had && it.data == nil {
		return
	}
	for w := range s.watchers {
		if w.kind == kind {
			w.push(api.StoreEvent{ID: id, Data: it.data})
		}
	}
}

// Get implements api.Store.
func (s *Store) Get(_ context.Context, kind, id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.items[kind][id]; it.data != nil && !s.expired(it) {
		return it.data, nil
	}
	return nil, notFound(kind, id)
}

// List implements api.Store.
func (s *Store) List(_ context.Context, kind string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][]byte, len(s.items[kind]))
	for id, it := range s.items[kind] {
		if it.data != nil && !s.expired(it) {
			all[id] = it.data
		}
	}
	return all, nil
}

// Create implements api.Store.
func (s *Store) Create(_ context.Context, kind, id string, data []byte, ttl time.Duration) error {
	s.mu.Lock()
	have := s.items[kind][id]
	now := s.opts.Now()
	s.mu.Unlock()
	if have.data != nil && !expired(have, now) {
		return fmt.Errorf("%s %q: %w", kind, id, api.ErrExists)
	}
	it := item{data: full(data)}
	if ttl > 0 {
		it.expires = now.Add(ttl).UnixMilli()
	}
	write := func(b Bucket) (uint64, error) { return b.Create(key(kind, id), appendItem(it)) }
	if have.data != nil { // expired, but not swept up yet
		write = func(b Bucket) (uint64, error) { return b.Update(key(kind, id), appendItem(it), have.revision) }
	}
	err := s.put(kind, id, it, write)
	if errors.Is(err, nats.ErrKeyExists) {
		return fmt.Errorf("%s %q: %w", kind, id, api.ErrExists)
	}
	return err
}

// Put implements api.Store.
func (s *Store) Put(_ context.Context, kind, id string, data []byte) error {
	s.mu.Lock()
	it := item{data: full(data), expires: s.items[kind][id].expires}
	s.mu.Unlock()
	return s.put(kind, id, it, func(b Bucket) (uint64, error) { return b.Put(key(kind, id), appendItem(it)) })
}

func (s *Store) put(kind, id string, it item, write func(Bucket) (uint64, error)) error {
	bucket := s.kept()
	if bucket != nil {
		revision, err := s.attempt(func() (uint64, error) { return write(bucket) })
		if err != nil {
			return fmt.Errorf("%s %q cannot be kept: %w", kind, id, err)
		}
		it.revision = revision
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.items[kind][id]; bucket == nil || have.revision < it.revision {
		s.set(kind, id, it)
	}
	return nil
}

// Delete implements api.Store.
func (s *Store) Delete(_ context.Context, kind, id string) error {
	s.mu.Lock()
	have := s.items[kind][id]
	s.mu.Unlock()
	if have.data == nil || s.expired(have) {
		return notFound(kind, id)
	}
	return s.remove(kind, id, have)
}

func (s *Store) remove(kind, id string, have item) error {
	bucket := s.kept()
	if bucket != nil {
		if _, err := s.attempt(func() (uint64, error) { return 0, bucket.Delete(key(kind, id)) }); err != nil {
			return fmt.Errorf("%s %q cannot be deleted: %w", kind, id, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.items[kind][id]; now.data != nil && now.revision == have.revision {
		// The revision stays until the bucket reports the deletion, so that an older
		// value which is still on its way does not come back.
		s.set(kind, id, item{revision: now.revision})
		if bucket == nil {
			delete(s.items[kind], id)
		}
	}
	return nil
}

// Expire deletes what has outlived its time, and says how much that was.
func (s *Store) Expire() (n int, err error) {
	type due struct {
		kind, id string
		it       item
	}
	var list []due
	s.mu.Lock()
	for kind, items := range s.items {
		for id, it := range items {
			if it.data != nil && s.expired(it) {
				list = append(list, due{kind, id, it})
			}
		}
	}
	s.mu.Unlock()
	for _, d := range list {
		if err := s.remove(d.kind, d.id, d.it); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (s *Store) expired(it item) bool { return expired(it, s.opts.Now()) }

func expired(it item, now time.Time) bool { return it.expires != 0 && now.UnixMilli() >= it.expires }

// Watch implements api.Store. What a slow watcher has not taken yet is merged by id, so that
// it holds no more than there are resources.
func (s *Store) Watch(ctx context.Context, kind string) (<-chan api.StoreEvent, error) {
	w := &watcher{kind: kind, more: make(chan struct{}, 1)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errors.New("resource store: closed")
	}
	for id, it := range s.items[kind] {
		if it.data != nil {
			w.push(api.StoreEvent{ID: id, Data: it.data})
		}
	}
	s.watchers[w] = true
	s.mu.Unlock()
	out := make(chan api.StoreEvent)
	s.done.Go(func() {
		defer close(out)
		defer func() {
			s.mu.Lock()
			delete(s.watchers, w)
			s.mu.Unlock()
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.more:
			}
			s.mu.Lock()
			events := w.events
			w.events = nil
			s.mu.Unlock()
			for _, e := range events {
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			}
		}
	})
	return out, nil
}

func (w *watcher) push(e api.StoreEvent) {
	w.events = append(w.events, e)
	if len(w.events) > 1024 {
		last := make(map[string]int, len(w.events))
		for i, e := range w.events {
			last[e.ID] = i
		}
		kept := w.events[:0]
		for i, e := range w.events {
			if last[e.ID] == i {
				kept = append(kept, e)
			}
		}
		w.events = kept
	}
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// Close ends the watching of the bucket; end the contexts of Watch before.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	if s.follow != nil {
		close(s.follow)
		s.follow = nil
	}
	s.mu.Unlock()
	s.done.Wait()
}

// Counts says how many resources of each kind there are.
func (s *Store) Counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	for kind := range maps.Keys(s.items) {
		for _, it := range s.items[kind] {
			if it.data != nil {
				n[kind]++
			}
		}
	}
	return n
}

func notFound(kind, id string) error { return fmt.Errorf("%s %q: %w", kind, id, api.ErrNotFound) }

// full makes a copy that is not nil.
func full(data []byte) []byte { return append([]byte{}, data...) }

// A bucket's keys are KIND.TOKEN(id), its values a version byte, the time of expiry (uvarint,
// ms, 0 = never) and the data.
func key(kind, id string) string { return kind + "." + bus.Token(id) }

func parseKey(key string) (kind, id string, ok bool) {
	kind, token, ok := strings.Cut(key, ".")
	if !ok {
		return "", "", false
	}
	id, ok = bus.Untoken(token)
	return kind, id, ok
}

const itemVersion = 1

func appendItem(it item) []byte {
	dst := append(make([]byte, 0, len(it.data)+10), itemVersion)
	return append(binary.AppendUvarint(dst, uint64(it.expires)), it.data...)
}

func parseItem(value []byte, revision uint64) (item, error) {
	if len(value) < 2 || value[0] != itemVersion {
		return item{}, errors.New("unknown form of a resource: it was written by another version of weft")
	}
	expires, n := binary.Uvarint(value[1:])
	if n <= 0 {
		return item{}, errors.New("resource cut off")
	}
	return item{data: full(value[1+n:]), expires: int64(expires), revision: revision}, nil
}
