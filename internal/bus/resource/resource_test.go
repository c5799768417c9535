package resource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is the time of a test.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}
func (c *clock) now() time.Time        { return time.Unix(0, c.ns.Load()) }
func (c *clock) pass(by time.Duration) { c.ns.Add(int64(by)) }

// onEachStore runs a test on a store in memory, and on one over a bucket.
func onEachStore(t *testing.T, test func(t *testing.T, c *clock, open func() *Store)) {
	t.Run("memory", func(t *testing.T) {
		c := newClock()
		var one *Store // a store in memory is its own second opening
		test(t, c, func() *Store {
			if one == nil {
				one = open(t, Options{Now: c.now})
			}
			return one
		})
	})
	t.Run("bucket", func(t *testing.T) {
		c := newClock()
		bucket := newBucket(t)
		test(t, c, func() *Store { return open(t, Options{Now: c.now, Bucket: bucket}) })
	})
}

func newBucket(t *testing.T) nats.KeyValue {
	t.Helper()
	server, err := bus.StartServer(bus.ServerOptions{Host: "hub", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	conn, err := bus.Connect(bus.ConnOptions{Member: bus.AnalyzerMember("hub"), Server: server})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	bucket, err := conn.Bucket("weft_resources", true, 1)
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

func open(t *testing.T, opts Options) *Store {
	t.Helper()
	s, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestStore(t *testing.T) {
	onEachStore(t, func(t *testing.T, _ *clock, open func() *Store) {
		ctx, s := t.Context(), open()
		var _ api.Store = s
		if _, err := s.Get(ctx, api.KindNode, "n 1.>"); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("get of nothing: %v", err)
		}
		if err := s.Delete(ctx, api.KindNode, "n 1.>"); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("delete of nothing: %v", err)
		}
		if err := s.Create(ctx, api.KindNode, "n 1.>", []byte("one"), 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Create(ctx, api.KindNode, "n 1.>", []byte("two"), 0); !errors.Is(err, api.ErrExists) {
			t.Errorf("second creation: %v", err)
		}
		if err := s.Create(ctx, api.KindEdge, "n 1.>", nil, 0); err != nil {
			t.Errorf("the same id of another kind, without data: %v", err)
		}
		if err := s.Put(ctx, api.KindNode, "n 1.>", []byte("three")); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(ctx, api.KindNode, "", []byte("no id")); err != nil {
			t.Fatal(err)
		}
		again := open()
		if data, err := again.Get(ctx, api.KindNode, "n 1.>"); err != nil || string(data) != "three" {
			t.Errorf("get: %q, %v", data, err)
		}
		all, err := again.List(ctx, api.KindNode)
		if err != nil || !slices.Equal(slices.Sorted(maps.Keys(all)), []string{"", "n 1.>"}) {
			t.Errorf("list: %q, %v", all, err)
		}
		if n := again.Counts(); n[api.KindNode] != 2 || n[api.KindEdge] != 1 {
			t.Errorf("counts: %v", n)
		}
		if err := s.Delete(ctx, api.KindNode, "n 1.>"); err != nil {
			t.Fatal(err)
		}
		if err := s.Create(ctx, api.KindNode, "n 1.>", []byte("four"), 0); err != nil {
			t.Errorf("creation after deletion: %v", err)
		}
		if data, err := s.Get(ctx, api.KindNode, "n 1.>"); err != nil || string(data) != "four" {
			t.Errorf("get: %q, %v", data, err)
		}
	})
}

func TestTimeToLive(t *testing.T) {
	onEachStore(t, func(t *testing.T, c *clock, open func() *Store) {
		ctx, s := t.Context(), open()
		for id, ttl := range map[string]time.Duration{"short": time.Minute, "long": time.Hour, "ever": 0} {
			if err := s.Create(ctx, api.KindNode, id, []byte(id), ttl); err != nil {
				t.Fatal(err)
			}
		}
		c.pass(59 * time.Second)
		if err := s.Put(ctx, api.KindNode, "short", []byte("patched")); err != nil { // its time goes on
			t.Fatal(err)
		}
		if n, err := s.Expire(); n != 0 || err != nil {
			t.Errorf("expired %d too early, %v", n, err)
		}
		c.pass(time.Second)
		if _, err := s.Get(ctx, api.KindNode, "short"); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("what is due is still there: %v", err)
		}
		if err := s.Create(ctx, api.KindNode, "short", []byte("new"), time.Minute); err != nil {
			t.Errorf("creation where something was due: %v", err)
		}
		c.pass(time.Hour)
		again := open()
		if n, err := again.Expire(); n != 2 || err != nil {
			t.Errorf("expired %d, %v", n, err)
		}
		if all, _ := again.List(ctx, api.KindNode); len(all) != 1 || all["ever"] == nil {
			t.Errorf("left: %q", all)
		}
	})
}

func TestWatch(t *testing.T) {
	onEachStore(t, func(t *testing.T, c *clock, open func() *Store) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := open()
		if err := s.Create(ctx, api.KindNodeRule, "r1", []byte("one"), 0); err != nil {
			t.Fatal(err)
		}
		events, err := open().Watch(ctx, api.KindNodeRule)
		if err != nil {
			t.Fatal(err)
		}
		expect := func(id, data string) {
			t.Helper()
			select {
			case e := <-events:
				if e.ID != id || string(e.Data) != data || (data == "") != (e.Data == nil) {
					t.Fatalf("event %s %q, want %s %q", e.ID, e.Data, id, data)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("no event %s %q", id, data)
			}
		}
		expect("r1", "one")
		if err := s.Put(ctx, api.KindEdgeRule, "other kind", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := s.Create(ctx, api.KindNodeRule, "r2", []byte("two"), time.Minute); err != nil {
			t.Fatal(err)
		}
		expect("r2", "two")
		if err := s.Put(ctx, api.KindNodeRule, "r1", []byte("changed")); err != nil {
			t.Fatal(err)
		}
		expect("r1", "changed")
		if err := s.Delete(ctx, api.KindNodeRule, "r1"); err != nil {
			t.Fatal(err)
		}
		expect("r1", "")
		c.pass(time.Minute)
		if _, err := s.Expire(); err != nil {
			t.Fatal(err)
		}
		expect("r2", "")
		cancel()
		for range events { //nolint:revive // until it is closed
		}
	})
}

func TestSlowWatcherHoldsNoMoreThanThereIs(t *testing.T) {
	s := open(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := s.Watch(ctx, api.KindNode)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		if err := s.Put(ctx, api.KindNode, "n", bytes.Repeat([]byte("x"), i%7)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(ctx, api.KindNode, "end", []byte("end")); err != nil {
		t.Fatal(err)
	}
	n := 0
	for e := range events {
		n++
		if e.ID == "end" {
			break
		}
	}
	if n > 2500 {
		t.Errorf("%d events were held for one resource", n)
	}
}

func TestTwoStoresOnOneBucketAgree(t *testing.T) {
	bucket := newBucket(t)
	a, b := open(t, Options{Bucket: bucket}), open(t, Options{Bucket: bucket})
	ctx := t.Context()
	if err := a.Create(ctx, api.KindNode, "n", []byte("a"), 0); err != nil {
		t.Fatal(err)
	}
	if err := b.Create(ctx, api.KindNode, "n", []byte("b"), 0); !errors.Is(err, api.ErrExists) {
		t.Errorf("creation of what another analyzer created: %v", err)
	}
	testenv.Eventually(t, 5*time.Second, func() string {
		if data, err := b.Get(ctx, api.KindNode, "n"); err != nil || string(data) != "a" {
			return "b does not know yet"
		}
		return ""
	})
	if err := b.Delete(ctx, api.KindNode, "n"); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 5*time.Second, func() string {
		if _, err := a.Get(ctx, api.KindNode, "n"); !errors.Is(err, api.ErrNotFound) {
			return "a does not know yet"
		}
		return ""
	})
}

// broken is a bucket that stops to store while its disk is full, and stays so until JetStream
// is restarted.
type broken struct {
	nats.KeyValue
	full, wedged bool
	writes       int
	restarts     int
}

func (b *broken) write() error {
	b.writes++
	if b.wedged = b.wedged || b.full; b.wedged {
		return nats.ErrTimeout
	}
	return nil
}

func (b *broken) Put(key string, value []byte) (uint64, error) {
	if err := b.write(); err != nil {
		return 0, err
	}
	return b.KeyValue.Put(key, value)
}

func (b *broken) Create(key string, value []byte) (uint64, error) {
	if err := b.write(); err != nil {
		return 0, err
	}
	return b.KeyValue.Create(key, value)
}

func (b *broken) Delete(key string, _ ...nats.DeleteOpt) error {
	if err := b.write(); err != nil {
		return err
	}
	return b.KeyValue.Delete(key)
}

func (b *broken) Room() error {
	if b.full {
		return fmt.Errorf("%w: make room in /var", bus.ErrFull)
	}
	return nil
}

func (b *broken) RestartJetStream() error {
	b.restarts++
	b.wedged = b.full
	return nil
}

func TestFullDiskFailsWritesAndLeavesReads(t *testing.T) {
	b := &broken{KeyValue: newBucket(t)}
	ctx := t.Context()
	s := open(t, Options{Bucket: b, Disk: b})
	if err := s.Create(ctx, api.KindNode, "n", []byte("kept"), 0); err != nil {
		t.Fatal(err)
	}
	b.full, b.writes = true, 0
	for what, err := range map[string]error{
		"create": s.Create(ctx, api.KindNode, "m", []byte("x"), 0),
		"put":    s.Put(ctx, api.KindNode, "n", []byte("x")),
		"delete": s.Delete(ctx, api.KindNode, "n"),
	} {
		if !errors.Is(err, api.ErrFull) || !strings.Contains(err.Error(), "make room in /var") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if b.writes != 1 {
		t.Errorf("%d writes waited for a bucket that was known not to store", b.writes)
	}
	if data, err := s.Get(ctx, api.KindNode, "n"); err != nil || string(data) != "kept" {
		t.Errorf("get: %q, %v", data, err)
	}
	if err := s.Recover(ctx); err != nil || b.restarts != 0 {
		t.Errorf("recovery on a full disk: %v, %d restarts", err, b.restarts)
	}
	b.full = false
	if err := s.Put(ctx, api.KindNode, "n", []byte("x")); !errors.Is(err, api.ErrAway) {
		t.Errorf("before the recovery: %v", err)
	}
	if err := s.Recover(ctx); err != nil || b.restarts != 1 {
		t.Errorf("recovery: %v, %d restarts", err, b.restarts)
	}
	if err := s.Create(ctx, api.KindNode, "m", []byte("x"), 0); err != nil {
		t.Errorf("after the recovery: %v", err)
	}
	if all, err := s.List(ctx, api.KindNode); err != nil || len(all) != 2 {
		t.Errorf("list: %q, %v", all, err)
	}
}

func FuzzParseItem(f *testing.F) {
	f.Add(appendItem(item{data: []byte("x"), expires: 1}))
	f.Add([]byte{itemVersion, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		it, err := parseItem(value, 1)
		if err != nil {
			return
		}
		again, err := parseItem(appendItem(it), 1)
		if err != nil || again.expires != it.expires || !bytes.Equal(again.data, it.data) {
			t.Fatalf("%+v became %+v, %v", it, again, err)
		}
	})
}
