package bus

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually waits for a condition.
func eventually(t testing.TB, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	testenv.Eventually(t, limit, func() string {
		if cond() {
			return ""
		}
		return what + ": not yet"
	})
}

// testLog shows the log of a test that fails.
func testLog(t testing.TB) *slog.Logger {
	var mu sync.Mutex
	var text bytes.Buffer
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if t.Failed() {
			t.Log("log:\n" + text.String())
		}
	})
	return slog.New(slog.NewTextHandler(lockedWriter{&mu, &text}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// startServer starts an embedded server for a test.
func startServer(t testing.TB, opts ServerOptions) *Server {
	t.Helper()
	opts.Host, opts.Logger = "hub", testLog(t)
	s, err := StartServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func connect(t testing.TB, opts ConnOptions) *Conn {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = testLog(t)
	}
	c, err := Connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// inbox collects what a feed delivers.
type inbox struct {
	mu   sync.Mutex
	list []Delivery
	got  []*graph.Batch
}

func (b *inbox) handle(d Delivery) {
	batch, err := graph.DecodeBatch(d.Data)
	if err != nil {
		panic(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list, b.got = append(b.list, d), append(b.got, batch)
}

func (b *inbox) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.got)
}

func (b *inbox) last() (Delivery, *graph.Batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.list[len(b.list)-1], b.got[len(b.got)-1]
}

// sequences are the numbers of the batches of an origin, in order of delivery.
func (b *inbox) sequences(origin string) (list []uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.got {
		if one.Origin == origin {
			list = append(list, one.Seq)
		}
	}
	return list
}

func feed(t testing.TB, c *Conn, opts FeedOptions) (*Feed, *inbox) {
	t.Helper()
	in := &inbox{}
	if opts.Handle == nil {
		opts.Handle = in.handle
	}
	if opts.Logger == nil {
		opts.Logger = testLog(t)
	}
	f, err := c.Feed(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f, in
}

func publisher(t testing.TB, c *Conn, opts PublisherOptions) *Publisher {
	t.Helper()
	p, err := c.Publisher(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// batch is a small batch of an origin.
func batch(origin string, seq uint64, events ...graph.Event) *graph.Batch {
	if len(events) == 0 {
		events = []graph.Event{{Op: graph.PutNode, ID: fmt.Sprint("n", seq), Metadata: graph.NewMetadata(graph.F("Name", graph.Int(int64(seq))))}}
	}
	return &graph.Batch{Origin: origin, Epoch: 1, Seq: seq, Events: events}
}

func send(t testing.TB, p *Publisher, b *graph.Batch) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Publish(ctx, b); err != nil {
		t.Fatal(err)
	}
}

// flush waits until the server has heard everything that the connection said.
func flush(t testing.TB, c *Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}
