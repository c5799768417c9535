package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/bus/bustest"
)

// buses are all the NATS that weft runs on; every test of this file holds on each.
var buses = []struct {
	name   string
	stream bool // JetStream is there
	file   bool
	start  func(t *testing.T) func(member string) *Conn
}{
	{"embedded on disk", true, true, func(t *testing.T) func(string) *Conn { return embedded(t, t.TempDir()) }},
	{"embedded in memory", true, false, func(t *testing.T) func(string) *Conn { return embedded(t, "") }},
	{"Debian's 2.9", true, true, func(t *testing.T) func(string) *Conn {
		url := bustest.Debian(t, "")
		return func(member string) *Conn { return connect(t, ConnOptions{Member: member, URL: url}) }
	}},
	{"Debian's 2.9 without JetStream", false, false, func(t *testing.T) func(string) *Conn {
		url := bustest.Debian(t, `accounts { A { users: [ { user: a, password: b } ] } }`)
		return func(member string) *Conn {
			return connect(t, ConnOptions{Member: member, URL: url, User: "a", Password: "b"})
		}
	}},
}

func embedded(t *testing.T, dir string) func(string) *Conn {
	server := startServer(t, ServerOptions{Dir: dir})
	return func(member string) *Conn { return connect(t, ConnOptions{Member: member, Server: server}) }
}

func onEachBus(t *testing.T, test func(t *testing.T, stream bool, dial func(member string) *Conn, opts FeedOptions)) {
	for _, b := range buses {
		t.Run(b.name, func(t *testing.T) {
			test(t, b.stream, b.start(t), FeedOptions{Stream: StreamOptions{File: b.file, MaxBytes: 512 << 20}})
		})
	}
}

func TestBatchesArriveInOrderWithTheMomentsOfTheStream(t *testing.T) {
	onEachBus(t, func(t *testing.T, stream bool, dial func(string) *Conn, opts FeedOptions) {
		hub, agent := dial(AnalyzerMember("hub")), dial("h1.example")
		f, in := feed(t, hub, opts)
		other, also := feed(t, dial(AnalyzerMember("hub2")), opts)
		if stream {
			eventually(t, 5*time.Second, "stream delivers", func() bool { return f.State().Stream && other.State().Stream })
		}
		p := publisher(t, agent, PublisherOptions{Acks: true, WindowBytes: 10_000})
		const n = 1000
		for seq := range uint64(n) {
			send(t, p, batch("x@h1.example", seq+1))
		}
		eventually(t, 10*time.Second, "all batches arrive at both", func() bool { return in.len() == n && also.len() == n })
		eventually(t, 5*time.Second, "all are acknowledged", func() bool { frames, _ := p.InFlight(); return frames == 0 })
		for i, seq := range in.sequences("x@h1.example") {
			if seq != uint64(i+1) {
				t.Fatalf("batch %d is number %d", i, seq)
			}
		}
		for i, d := range in.list {
			if d.Token != "h1=2Eexample" || d.At.IsZero() == stream {
				t.Fatalf("delivery %+v", d)
			}
			if !d.At.Equal(also.list[i].At) {
				t.Fatalf("moments differ: %s and %s", d.At, also.list[i].At)
			}
		}
	})
}

func TestBatchOverThePayloadLimitArrivesWhole(t *testing.T) {
	onEachBus(t, func(t *testing.T, _ bool, dial func(string) *Conn, opts FeedOptions) {
		_, in := feed(t, dial(AnalyzerMember("hub")), opts)
		p := publisher(t, dial("h1"), PublisherOptions{Acks: true})
		var events []graph.Event
		for i := range 5000 {
			events = append(events, graph.Event{Op: graph.PutNode, ID: fmt.Sprint("n", i), Metadata: graph.NewMetadata(
				graph.F("Name", graph.String(fmt.Sprint(i, strings.Repeat("x", 1000)))))})
		}
		eventually(t, 5*time.Second, "subscriptions are there", func() bool {
			send(t, p, batch("warm@h1", 1))
			return in.len() > 0
		})
		send(t, p, batch("x@h1", 1, events...)) // 5 MB: six messages
		send(t, p, batch("x@h1", 2))
		eventually(t, 10*time.Second, "batches arrive", func() bool { return slices.Equal(in.sequences("x@h1"), []uint64{1, 2}) })
		for _, b := range in.got {
			if b.Origin == "x@h1" && b.Seq == 1 && (len(b.Events) != 5000 || b.Events[4999].ID != "n4999") {
				t.Fatalf("%d events arrived", len(b.Events))
			}
		}
	})
}

func TestPublisherWithoutAnyAnalyzerIsTold(t *testing.T) {
	server := startServer(t, ServerOptions{}) // no feed: no stream either
	p := publisher(t, connect(t, ConnOptions{Member: "h1", Server: server}), PublisherOptions{Acks: true, WindowBytes: 1000})
	var err error
	eventually(t, 5*time.Second, "publishing fails", func() bool {
		err = p.Publish(t.Context(), batch("x@h1", 1))
		return err != nil
	})
	if !errors.Is(err, ErrLost) {
		t.Errorf("error %v", err)
	}
}

func TestPublisherWaitsForRoomInItsWindow(t *testing.T) {
	server := startServer(t, ServerOptions{})
	hub, agent := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server}), connect(t, ConnOptions{Member: "h1", Server: server})
	// Somebody listens, so that nobody is told that nobody does, but acknowledges nothing.
	sub, err := hub.nc.SubscribeSync(graphPrefix + "*")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	flush(t, hub)
	p := publisher(t, agent, PublisherOptions{Acks: true, WindowBytes: 500, AckTimeout: 200 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for seq := uint64(1); err == nil && seq < 1000; seq++ {
		err = p.Publish(ctx, batch("x@h1", seq))
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the window never filled: %v", err)
	}
	if err := p.Publish(t.Context(), batch("x@h1", 999)); !errors.Is(err, ErrLost) {
		t.Fatalf("silence is reported as %v", err)
	}
	if agent.Counters().LostAcks.Load() != 1 {
		t.Error("the lost window is not counted")
	}
}

func TestFeedGoesOnWithoutTheStreamAndReturns(t *testing.T) {
	server := startServer(t, ServerOptions{Dir: t.TempDir()})
	hub := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	agent := connect(t, ConnOptions{Member: "h1", Server: server})
	f, in := feed(t, hub, FeedOptions{Stream: StreamOptions{File: true}, HoldTime: 300 * time.Millisecond})
	p := publisher(t, agent, PublisherOptions{Acks: true})
	eventually(t, 5*time.Second, "persistence on", func() bool { return f.State().Persistent })

	var seq uint64
	say := func() { seq++; send(t, p, batch("x@h1", seq)) }
	say()
	eventually(t, 5*time.Second, "batch through the stream", func() bool { return in.len() == 1 })

	if err := server.ns.ShutdownJetStream(); err != nil { // as NATS itself does
		t.Fatal(err)
	}
	for range 10 {
		say()
	}
	eventually(t, 5*time.Second, "batches arrive directly", func() bool { return in.len() == 11 })
	if d, _ := in.last(); !d.At.IsZero() {
		t.Errorf("a direct batch has the stream's time %s", d.At)
	}
	eventually(t, 5*time.Second, "all are acknowledged", func() bool { frames, _ := p.InFlight(); return frames == 0 })
	// It returns by itself.
	eventually(t, 10*time.Second, "persistence on again", func() bool { say(); return f.State().Persistent })
	for range 10 {
		say()
	}
	eventually(t, 5*time.Second, "batches through the stream again", func() bool {
		d, b := in.last()
		return b.Seq == seq && !d.At.IsZero()
	})
	for i, got := range in.sequences("x@h1") {
		if got != uint64(i+1) {
			t.Fatalf("delivery %d is batch %d", i, got)
		}
	}
	if n := hub.Counters().Switches.Load(); n < 3 {
		t.Errorf("%d switches counted", n)
	}
}

func TestReplayOfWhatTheStreamHolds(t *testing.T) {
	for _, b := range buses[:3] {
		t.Run(b.name, func(t *testing.T) {
			dial := b.start(t)
			hub := dial(AnalyzerMember("hub"))
			opts := FeedOptions{Stream: StreamOptions{File: b.file, MaxBytes: 100 << 20}}
			f, in := feed(t, hub, opts)
			eventually(t, 5*time.Second, "stream delivers", func() bool { return f.State().Stream })
			own, agent := publisher(t, hub, PublisherOptions{}), publisher(t, dial("h1"), PublisherOptions{Acks: true})
			var after uint64
			for seq := range uint64(20) {
				send(t, own, batch("a@analyzer:hub", seq+1))
				send(t, agent, batch("x@h1", seq+1))
				eventually(t, 5*time.Second, "batches arrive", func() bool { return in.len() == int(2*seq)+2 })
				if seq == 9 {
					after = f.Sequence()
				}
			}
			var replayed inbox
			if err := hub.Replay(opts.Stream, hub.Member(), after, replayed.handle); err != nil {
				t.Fatal(err)
			}
			if got := replayed.sequences("a@analyzer:hub"); len(got) != 10 || got[0] != 11 || len(replayed.got) != 10 {
				t.Errorf("replayed %v of %d", got, len(replayed.got))
			}
			if err := hub.Replay(opts.Stream, "nobody", 0, func(Delivery) { t.Error("a batch of nobody") }); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestGarbageOnAGraphSubjectIsCountedAndToldOnce(t *testing.T) {
	server := startServer(t, ServerOptions{})
	hub := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	var mu sync.Mutex
	var text bytes.Buffer
	feed(t, hub, FeedOptions{Logger: slog.New(slog.NewTextHandler(lockedWriter{&mu, &text}, nil))})
	agent := connect(t, ConnOptions{Member: "h1", Server: server})
	for range 10 {
		if err := agent.publish(GraphSubject("h1"), "", []byte("garbage")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 5*time.Second, "all are counted", func() bool { return hub.Counters().BadFrames.Load() == 10 })
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(text.String(), "subject=weft.graph.h1"); n != 1 {
		t.Errorf("told %d times:\n%s", n, text.String())
	}
}
