package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"
)

// pipe is a connection that can be held up, and that counts writes.
type pipe struct {
	mu     sync.Mutex
	got    bytes.Buffer
	writes int
	fail   error
	hold   chan struct{} // writes wait until it is closed
	closed chan struct{}
	once   sync.Once
}

func newPipe() *pipe {
	p := &pipe{hold: make(chan struct{}), closed: make(chan struct{})}
	close(p.hold)
	return p
}

func (p *pipe) Read([]byte) (int, error) { <-p.closed; return 0, io.EOF }

func (p *pipe) Write(b []byte) (int, error) {
	select {
	case <-p.hold:
	case <-p.closed:
		return 0, io.ErrClosedPipe
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return 0, p.fail
	}
	p.writes++
	return p.got.Write(b)
}

func (p *pipe) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

func (p *pipe) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got.Len()
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
		wait := time.NewTimer(time.Millisecond)
		<-wait.C
	}
}

func TestMessagesGatherWhileAWriteIsOnItsWay(t *testing.T) {
	p := newPipe()
	p.hold = make(chan struct{})
	b := newSendBuffer(p)
	defer func() { _ = b.Close() }()
	message := bytes.Repeat([]byte("x"), 400)
	for range 500 {
		if err := b.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write(message); err != nil {
			t.Fatal(err)
		}
	}
	close(p.hold)
	waitFor(t, "all is written", func() bool { return p.len() == 500*400 })
	if p.writes > 2 {
		t.Errorf("500 messages took %d writes", p.writes)
	}
}

func TestSmallFramesKeepTheirPlace(t *testing.T) {
	p := newPipe()
	p.hold = make(chan struct{})
	b := newSendBuffer(p)
	defer func() { _ = b.Close() }()
	first := bytes.Repeat([]byte("a"), 1000)
	_, _ = b.Write(first)
	_, _ = b.Write([]byte("pong"))
	_, _ = b.Write(bytes.Repeat([]byte("b"), 1000))
	close(p.hold)
	_, _ = b.Write([]byte("end"))
	waitFor(t, "all is written", func() bool { return p.len() == 2007 })
	want := string(first) + "pong" + string(bytes.Repeat([]byte("b"), 1000)) + "end"
	if p.got.String() != want {
		t.Error("the order is wrong")
	}
}

func TestSendersWaitForRoom(t *testing.T) {
	p := newPipe()
	p.hold = make(chan struct{})
	b := newSendBuffer(p)
	_, _ = b.Write(make([]byte, 1000))
	waitFor(t, "the writer is held", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.pending) == 0
	})
	_, _ = b.Write(make([]byte, highWater))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("tired")
	waited := make(chan error)
	go func() { waited <- b.wait(ctx) }()
	cancel(why)
	if err := <-waited; !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	go func() { waited <- b.wait(t.Context()) }()
	close(p.hold)
	if err := <-waited; err != nil {
		t.Errorf("with room: %v", err)
	}
	_ = b.Close()
	if err := b.wait(t.Context()); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("after Close: %v", err)
	}
}

func TestCloseEndsAWriteThatIsStuck(t *testing.T) {
	p := newPipe()
	p.hold = make(chan struct{})
	b := newSendBuffer(p)
	_, _ = b.Write(make([]byte, 1000))
	waited := make(chan error)
	go func() {
		for {
			if err := b.wait(context.Background()); err != nil {
				waited <- err
				return
			}
			_, _ = b.Write(make([]byte, 10_000))
		}
	}()
	_ = b.Close() // must return
	<-waited
}

func TestErrorOfWritingSticks(t *testing.T) {
	p := newPipe()
	p.fail = errors.New("reset")
	b := newSendBuffer(p)
	defer func() { _ = b.Close() }()
	_, _ = b.Write(make([]byte, 1000))
	<-p.closed // the reader is told
	if _, err := b.Write(make([]byte, 1000)); !errors.Is(err, p.fail) {
		t.Errorf("got %v", err)
	}
	if err := b.wait(t.Context()); !errors.Is(err, p.fail) {
		t.Errorf("got %v", err)
	}
}
