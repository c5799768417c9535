package bus

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A stream that is too slow again and again is told of once, left for longer each time, and told of when it is well.
func TestSlowFlowStreamIsToldOfOnce(t *testing.T) {
	var said bytes.Buffer
	f := &FlowFeed{log: slog.New(slog.NewTextHandler(&said, nil)), opts: FlowFeedOptions{HoldTime: time.Second, Stream: StreamOptions{Name: "weft_flow"}}}
	now := time.Now()
	last := time.Duration(0)
	for range 5 {
		f.state = State{Stream: true, Since: now}
		f.waiting = []unacknowledged{{reply: "x", at: now.Add(-time.Minute)}}
		f.c = &Conn{}
		f.overdue()
		if f.state.Stream || f.pause <= last {
			t.Fatalf("stream %v, paused %v after %v", f.state.Stream, f.pause, last)
		}
		last = f.pause
	}
	if n := strings.Count(said.String(), "\n"); n != 1 || !strings.Contains(said.String(), "longer than 1s to store a batch") {
		t.Errorf("%d lines: %s", n, said.String())
	}
	f.state = State{Stream: true, Since: now}
	f.steady(now.Add(flowSteady / 2))
	f.steady(now.Add(2 * flowSteady))
	f.steady(now.Add(2 * flowSteady))
	if n := strings.Count(said.String(), "\n"); n != 2 || !strings.Contains(said.String(), "again\" stream=weft_flow left=5") || f.pause != 0 {
		t.Errorf("%d lines: %s", n, said.String())
	}
}

// An analyzer that starts reads what came before first. That takes longer than HoldTime, and the stream is not to blame:
// it is not left, and what comes meanwhile is acknowledged when it is in there.
func TestFlowStreamThatBringsThePastIsNotLeft(t *testing.T) {
	server := startServer(t, ServerOptions{Dir: t.TempDir()})
	analyzer := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	agent := connect(t, ConnOptions{Member: "leaf", Server: server})
	if err := server.StartJetStream(); err != nil {
		t.Fatal(err)
	}
	var before kept
	feed := flowFeed(t, analyzer, &before, time.Hour)
	eventually(t, 5*time.Second, "the stream", func() bool { return feed.State().Stream })
	var acks acked
	sender := flowSender(t, agent, &acks)
	const past = 30
	for seq := range uint64(past) {
		if err := sender.PublishFlows(t.Context(), 1, seq+1, []byte("past")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 5*time.Second, "acknowledgements", func() bool { return acks.len() == past })
	feed.Close()

	var slow kept
	feed, err := analyzer.FlowFeed(FlowFeedOptions{
		Stream: StreamOptions{File: true}, Past: time.Hour, Logger: testLog(t), HoldTime: 300 * time.Millisecond,
		Handle: func(d FlowDelivery) {
			<-time.After(50 * time.Millisecond) // as if it were long
			slow.handle(d)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	eventually(t, 5*time.Second, "the first batch of the past", func() bool { return len(slow.list()) > 0 })
	if err := sender.PublishFlows(t.Context(), 1, past+1, []byte("now")); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "all batches", func() bool { return len(slow.list()) == past+1 && acks.len() == past+1 })
	if stats := feed.Stats(); stats.Unstored > 0 || !feed.State().Stream {
		t.Errorf("%d acknowledged without the stream, which is %+v", stats.Unstored, feed.State())
	}
}

// What the stream passed over is late however busy the stream is; what it may still bring is not.
func TestFlowBatchThatTheStreamPassedOverIsLate(t *testing.T) {
	now := time.Now()
	key := func(token string, seq uint64) arrivalKey { return arrivalKey{spoolKey{token, 1}, seq} }
	f := &FlowFeed{
		c: &Conn{}, log: slog.New(slog.DiscardHandler), opts: FlowFeedOptions{HoldTime: time.Second}, state: State{Stream: true}, moved: now,
		waiting: []unacknowledged{
			{key: key("a", 1), reply: "x", at: now.Add(-time.Minute)},
			{key: key("b", 1), reply: "x", at: now.Add(-time.Minute)},
			{key: key("a", 2), reply: "x", at: now.Add(-time.Minute)},
		},
	}
	f.overdue()
	if len(f.waiting) != 3 || !f.state.Stream {
		t.Fatalf("%d wait, stream %v", len(f.waiting), f.state.Stream)
	}
	if !f.arrived(key("a", 2)) || f.arrived(key("a", 2)) || f.arrived(key("c", 1)) {
		t.Error("a batch is acknowledged once, and only if it waits")
	}
	f.overdue()
	if len(f.waiting) != 2 || f.waiting[0].key != key("b", 1) || f.stats.Unstored != 1 || f.state.Stream {
		t.Errorf("waiting %+v, %d unstored, stream %v", f.waiting, f.stats.Unstored, f.state.Stream)
	}
}
