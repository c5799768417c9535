package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// kept collects what a flow feed delivers.
type kept struct {
	mu   sync.Mutex
	got  []string
	past int
}

func (k *kept) handle(d FlowDelivery) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.got = append(k.got, d.Token+":"+string(d.Data))
	if d.Past {
		k.past++
	}
}

func (k *kept) list() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := slices.Clone(k.got)
	slices.Sort(list)
	return list
}

// acked collects acknowledgements.
type acked struct {
	mu  sync.Mutex
	got map[uint64]int
}

func (a *acked) add(_, seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.got == nil {
		a.got = map[uint64]int{}
	}
	a.got[seq]++
}

func (a *acked) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.got)
}

func flowFeed(t *testing.T, c *Conn, k *kept, past time.Duration) *FlowFeed {
	t.Helper()
	f, err := c.FlowFeed(FlowFeedOptions{
		Stream: StreamOptions{File: true}, Past: past, Handle: k.handle, Logger: testLog(t), HoldTime: 300 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func flowSender(t *testing.T, c *Conn, a *acked) *FlowSender {
	t.Helper()
	s, err := c.FlowSender(FlowSenderOptions{AckTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.OnAck(a.add)
	return s
}

func TestFlowBatchesComeOnceAndAgainAfterARestart(t *testing.T) {
	server := startServer(t, ServerOptions{Dir: t.TempDir()})
	analyzer := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	agent := connect(t, ConnOptions{Member: "leaf.1", Server: server})
	if err := server.StartJetStream(); err != nil {
		t.Fatal(err)
	}
	var first, second kept
	feed := flowFeed(t, analyzer, &first, time.Hour)
	eventually(t, 5*time.Second, "the stream", func() bool { return feed.State().Stream })
	var acks acked
	sender := flowSender(t, agent, &acks)
	var want []string
	for i := range uint64(100) {
		text := fmt.Sprintf("batch %03d", i)
		want = append(want, Token("leaf.1")+":"+text)
		for range 2 { // as after a lost acknowledgement
			if err := sender.PublishFlows(t.Context(), 7, i+1, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, 5*time.Second, "acknowledgements", func() bool { return acks.len() == 100 })
	if got := first.list(); !slices.Equal(got, want) {
		t.Errorf("delivered %d: %q", len(got), got)
	}
	if first.past != 0 {
		t.Errorf("%d batches of the past", first.past)
	}
	feed.Close()

	feed = flowFeed(t, analyzer, &second, time.Hour)
	defer feed.Close()
	eventually(t, 5*time.Second, "the past", func() bool { return len(second.list()) == 100 })
	if got := second.list(); !slices.Equal(got, want) || second.past != 100 {
		t.Errorf("after the restart %d, of the past %d", len(got), second.past)
	}
}

func TestFlowBatchesWithoutAStreamAreAcknowledgedDirectly(t *testing.T) {
	server := startServer(t, ServerOptions{})
	if err := server.ns.ShutdownJetStream(); err != nil {
		t.Fatal(err)
	}
	analyzer := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	agent := connect(t, ConnOptions{Member: "leaf", Server: server})
	var k kept
	feed := flowFeed(t, analyzer, &k, time.Hour) // this one does not start JetStream again
	defer feed.Close()
	var acks acked
	if err := flowSender(t, agent, &acks).PublishFlows(t.Context(), 1, 1, []byte("x")); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the acknowledgement", func() bool { return acks.len() == 1 })
	if feed.State().Stream {
		t.Error("there is no stream")
	}
}

func TestFlowBatchesWithoutAnAnalyzerAreNotLostInSilence(t *testing.T) {
	server := startServer(t, ServerOptions{})
	agent := connect(t, ConnOptions{Member: "leaf", Server: server})
	var acks acked
	sender := flowSender(t, agent, &acks)
	eventually(t, 5*time.Second, "an error", func() bool {
		return errors.Is(sender.PublishFlows(t.Context(), 1, 1, []byte("x")), ErrLost)
	})
	if n := acks.len(); n != 0 {
		t.Errorf("%d acknowledgements", n)
	}
}

func TestNoFlowBatch(t *testing.T) {
	server := startServer(t, ServerOptions{})
	analyzer := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	agent := connect(t, ConnOptions{Member: "leaf", Server: server})
	var k kept
	feed := flowFeed(t, analyzer, &k, time.Hour)
	defer feed.Close()
	for _, data := range [][]byte{nil, {1}, bytes.Repeat([]byte{9}, 40)} {
		if err := agent.publish(FlowSubject("leaf"), "weft.graph.other", data); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 5*time.Second, "the count", func() bool { return feed.Stats().Bad == 3 })
	if got := k.list(); len(got) > 0 {
		t.Errorf("delivered %q", got)
	}
}

func TestSeenRemembersGapsAndForgetsThemAtLast(t *testing.T) {
	var s seen
	for _, seq := range []uint64{3, 1, 5} {
		if !s.add(seq) {
			t.Errorf("%d was new", seq)
		}
	}
	for _, seq := range []uint64{3, 1, 5} {
		if s.add(seq) {
			t.Errorf("%d came twice", seq)
		}
	}
	if !s.add(2) || !s.add(4) || s.low != 5 || len(s.above) != 0 {
		t.Errorf("after the gaps were filled: %+v", s)
	}
	for seq := uint64(10); seq < 10+mostAhead+2; seq++ {
		s.add(seq)
	}
	if len(s.above) > mostAhead || s.add(7) {
		t.Errorf("beyond the bound: low %d, %d above", s.low, len(s.above))
	}
}

func TestAskBringsAnAnswerInParts(t *testing.T) {
	server := startServer(t, ServerOptions{})
	analyzer := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	agent := connect(t, ConnOptions{Member: "leaf", Server: server})
	said := make(chan int, 1)
	stop, err := agent.OnAsk("count", 4, func(_ context.Context, data []byte, say func([]byte) error) error {
		n := 0
		defer func() { said <- n }()
		if string(data) == "bad" {
			return errors.New("bad request: write a number")
		}
		for ; n < 1000; n++ {
			if err := say(fmt.Appendf(nil, "%s %d", data, n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	flush(t, agent)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	n := 0
	for part, err := range analyzer.Ask(ctx, "leaf", "count", []byte("all")) {
		if want := fmt.Sprintf("all %d", n); err != nil || string(part) != want {
			t.Fatalf("part %q (%v), want %q", part, err, want)
		}
		n++
	}
	if n != 1000 || <-said != 1000 {
		t.Errorf("%d parts", n)
	}
	for range analyzer.Ask(ctx, "leaf", "count", []byte("few")) {
		break
	}
	if n := <-said; n > partsAhead {
		t.Errorf("%d parts for one who wants one", n)
	}
	var remote *RemoteError
	for _, err := range analyzer.Ask(ctx, "leaf", "count", []byte("bad")) {
		if !errors.As(err, &remote) || remote.Text != "bad request: write a number" {
			t.Errorf("error %v", err)
		}
	}
	<-said
	if remote == nil {
		t.Error("no error of the other end")
	}
}

func TestAskOfNobodyIsSilence(t *testing.T) {
	server := startServer(t, ServerOptions{})
	analyzer := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, err := range analyzer.Ask(ctx, "nobody", "count", nil) {
		if !errors.Is(err, ErrSilent) {
			t.Errorf("error %v", err)
		}
	}
}

func TestAgentWithCredentialsSendsItsFlowsAndAnswersInParts(t *testing.T) {
	server := startServer(t, ServerOptions{Listen: "127.0.0.1:0", Credentials: []Credential{{Host: "leaf", Password: "secret"}, {Host: "other", Password: "secret"}}})
	analyzer := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	agent := connect(t, ConnOptions{Member: "leaf", URL: "nats://" + server.Addr(), User: "leaf", Password: "secret"})
	eventually(t, 5*time.Second, "the agent", agent.Connected)
	var k kept
	feed := flowFeed(t, analyzer, &k, time.Hour)
	defer feed.Close()
	var acks acked
	sender := flowSender(t, agent, &acks)
	if err := sender.PublishFlows(t.Context(), 1, 1, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if err := agent.publish(FlowSubject("other"), "", appendFlowFrame(nil, flowFrame{1, 2, []byte("forged")})); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the acknowledgement", func() bool { return acks.len() == 1 })
	stop, err := agent.OnAsk("flows", 4, func(_ context.Context, _ []byte, say func([]byte) error) error {
		for range 50 {
			if err := say([]byte("x")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	flush(t, agent)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	n := 0
	for _, err := range analyzer.Ask(ctx, "leaf", "flows", nil) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if got := k.list(); n != 50 || !slices.Equal(got, []string{"leaf:mine"}) {
		t.Errorf("%d parts; flows %q", n, got)
	}
}

func FuzzFlowFrame(f *testing.F) {
	f.Add(appendFlowFrame(nil, flowFrame{1, 2, []byte("data")}))
	f.Add([]byte{flowVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		fr, err := parseFlowFrame(data)
		if err == nil && !bytes.Equal(appendFlowFrame(nil, fr), data) {
			t.Errorf("%x became %+v", data, fr)
		}
		_, _, _ = parsePart(data, 0)
	})
}
