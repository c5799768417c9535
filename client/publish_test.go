package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/skydive"
)

func publish(t *testing.T, f *fake, o client.PublishOptions) *client.Publisher {
	t.Helper()
	p, err := f.client().Publish(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

func (f *fake) types() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var types []string
	for _, m := range f.received {
		types = append(types, m.Type)
	}
	return types
}

func TestPublisherSendsInOrderAndFlushes(t *testing.T) {
	for _, protocol := range []string{skydive.ProtocolJSON, skydive.ProtocolProtobuf} {
		f := newFake(t)
		f.weft = true
		p := publish(t, f, client.PublishOptions{Protocol: protocol, ClientType: "lab", HostID: "me", Persistence: skydive.DeleteOnDisconnect})
		ctx := t.Context()
		for _, err := range []error{
			p.NodeAdded(ctx, node("n1", 1)), p.NodeAdded(ctx, node("n2", 1)), p.EdgeAdded(ctx, edge("e1", "n1", "n2")),
			p.NodeUpdated(ctx, node("n1", 2)), p.EdgeUpdated(ctx, edge("e1", "n1", "n2")),
			p.NodePartiallyUpdated(ctx, &skydive.PartialUpdate{ID: "n1", Revision: 3}), p.EdgePartiallyUpdated(ctx, &skydive.PartialUpdate{ID: "e1"}),
			p.EdgeDeleted(ctx, edge("e1", "n1", "n2")), p.NodeDeleted(ctx, node("n1", 3)),
			p.Sync(ctx, &skydive.Graph{Nodes: []*skydive.Node{node("n9", 1)}}), p.Send(ctx, skydive.MsgNodeAdded, skydive.RawJSON(`{"ID":"raw"}`)),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		reply, err := p.Flush(ctx)
		if err != nil || reply.Committed != 11 || reply.Rejected != 0 {
			t.Errorf("flush gave %+v, %v", reply, err)
		}
		const want = "NodeAdded NodeAdded EdgeAdded NodeUpdated EdgeUpdated NodePartiallyUpdated EdgePartiallyUpdated EdgeDeleted NodeDeleted Sync NodeAdded FlushRequest"
		if got := strings.Join(f.types(), " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		var n skydive.Node
		if err := f.received[0].Obj.Decode(&n); err != nil || n.ID != "n1" || n.Metadata.Str("Name") != "n1" {
			t.Errorf("first message %s: %v", f.received[0].Obj, err)
		}
		uuids := map[string]bool{}
		for _, m := range f.received {
			if len(m.UUID) != 36 || m.Status != 200 || m.Namespace != "Graph" {
				t.Errorf("envelope %+v", m)
			}
			uuids[m.UUID] = true
		}
		if len(uuids) != len(f.received) {
			t.Error("a UUID was used twice")
		}
		h := f.handshook[0]
		if h.Get("X-Client-Type") != "lab" || h.Get("X-Host-ID") != "me" || h.Get("X-Persistence-Policy") != "DeleteOnDisconnect" {
			t.Errorf("handshake %v", h)
		}
	}
}

func TestPublisherFlushesSkydiveBySync(t *testing.T) {
	f := newFake(t)
	p := publish(t, f, client.PublishOptions{})
	if err := p.NodeAdded(t.Context(), node("n1", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.types(), " "); got != "NodeAdded SyncRequest" {
		t.Errorf("sent %s", got)
	}
}

func TestSingleMessageIsNotHeldBack(t *testing.T) {
	f := newFake(t)
	p := publish(t, f, client.PublishOptions{})
	for i := range 3 {
		if err := p.NodeAdded(t.Context(), node(fmt.Sprint(i), 1)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "message arrives without a flush", func() bool { return len(f.types()) == i+1 })
	}
}

func TestRefusedMessagesAreReported(t *testing.T) {
	f := newFake(t)
	f.weft = true
	errs := make(chan *client.PublishError, 10)
	p := publish(t, f, client.PublishOptions{OnError: func(e *client.PublishError) { errs <- e }})
	if err := p.EdgeAdded(t.Context(), edge("e1", "n1", "nowhere")); err != nil {
		t.Fatal(err)
	}
	reply, err := p.Flush(t.Context())
	if err != nil || reply.Rejected != 1 || p.Rejected() != 1 {
		t.Errorf("flush gave %+v, %v; %d rejected", reply, err, p.Rejected())
	}
	e := <-errs
	if e.Status != 400 || e.ID != "e1" || e.UUID != f.received[0].UUID || e.Error() != `element "e1" refused: child node is not known` {
		t.Errorf("got %+v", e)
	}
}

func TestWhatCannotBeEncodedIsNotSent(t *testing.T) {
	f := newFake(t)
	p := publish(t, f, client.PublishOptions{})
	err := p.NodeAdded(t.Context(), &skydive.Node{ID: "n1", Metadata: skydive.Metadata{"C": make(chan int)}})
	if err == nil || !strings.Contains(err.Error(), `publish NodeAdded: node "n1": "C": value of type chan int`) {
		t.Errorf("got %v", err)
	}
	if err := p.NodeAdded(t.Context(), node("n2", 1)); err != nil {
		t.Errorf("the publisher is broken: %v", err)
	}
}

func TestManyGoroutinesPublish(t *testing.T) {
	f := newFake(t)
	f.weft = true
	p := publish(t, f, client.PublishOptions{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				if err := p.NodeAdded(t.Context(), node(fmt.Sprint(g, "-", i), 1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if reply, err := p.Flush(t.Context()); err != nil || reply.Committed != 2000 {
		t.Errorf("flush gave %+v, %v", reply, err)
	}
}

// A server that does not read makes the sender wait, and the sender can stop waiting.
func TestSlowServerHoldsTheSenderBack(t *testing.T) {
	f := newFake(t)
	f.ignore = true
	p := publish(t, f, client.PublishOptions{})
	big := node("n", 1)
	big.Metadata["Fill"] = strings.Repeat("x", 100_000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stuck := make(chan error)
	var sent int
	go func() {
		for {
			if err := p.NodeAdded(ctx, big); err != nil {
				stuck <- err
				return
			}
			if sent++; sent == 1000 {
				stuck <- errors.New("100 MB were queued")
				return
			}
		}
	}()
	select {
	case err := <-stuck:
		t.Fatal(err)
	case <-time.After(200 * time.Millisecond): // it may not end by itself
	}
	cancel()
	if err := <-stuck; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if p.Err() != nil {
		t.Errorf("the connection is gone: %v", p.Err())
	}
}

func TestLostConnectionIsReported(t *testing.T) {
	f := newFake(t)
	f.weft = true
	p := publish(t, f, client.PublishOptions{})
	if _, err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.cut()
	<-p.Done()
	if p.Err() == nil || !strings.Contains(p.Err().Error(), "/ws/publisher: connection lost") {
		t.Errorf("got %v", p.Err())
	}
	if _, err := p.Flush(t.Context()); err == nil {
		t.Error("a flush without a connection succeeded")
	}
	if err := p.NodeAdded(t.Context(), node("n", 1)); err == nil {
		t.Error("a message was sent without a connection")
	}
}

func TestFlushThatIsNotAnsweredEndsWithItsContext(t *testing.T) {
	f := newFake(t)
	p := publish(t, f, client.PublishOptions{Ack: client.AckFlush}) // which Skydive does not know
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no acknowledgement") {
		t.Errorf("got %v", err)
	}
	if p.Err() != nil {
		t.Errorf("the connection is gone: %v", p.Err())
	}
}

func TestClosedPublisherSaysSo(t *testing.T) {
	f := newFake(t)
	f.weft = true
	p := publish(t, f, client.PublishOptions{})
	if err := p.NodeAdded(t.Context(), node("n", 1)); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	if got := strings.Join(f.types(), " "); got != "NodeAdded FlushRequest" {
		t.Errorf("sent %s", got)
	}
	if err := p.NodeAdded(t.Context(), node("n", 1)); !errors.Is(err, client.ErrClosed) || !errors.Is(p.Err(), client.ErrClosed) {
		t.Errorf("got %v and %v", err, p.Err())
	}
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

func TestPublisherEndsWithItsContext(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	p, err := f.client().Publish(ctx, client.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("enough")
	cancel(why)
	<-p.Done()
	if !errors.Is(p.Err(), why) {
		t.Errorf("got %v", p.Err())
	}
	_ = p.Close(t.Context())
}

func TestRateIsBounded(t *testing.T) {
	f := newFake(t)
	p := publish(t, f, client.PublishOptions{MaxRate: 1000})
	begin := time.Now()
	for range 120 { // 20 at once, then one a millisecond
		if err := p.NodeAdded(t.Context(), node("n", 1)); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took < 90*time.Millisecond {
		t.Errorf("120 messages at 1000 a second took %v", took)
	}
}
