package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/skydive"
)

const publishSize = 10_000

// publishPlain is a client such as Skydive's for Python: one frame an element, no acknowledgement, as fast as the
// socket takes them. The clock runs until a query sees every element.
func publishPlain(ctx context.Context, b *bench) ([]figure, error) {
	s, err := b.start(ctx, "analyzer")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	size := b.scale(publishSize)
	messages, err := frames(size, size)
	if err != nil {
		return nil, err
	}
	conn, err := dialPublisher(ctx, s, "bench-plain")
	if err != nil {
		return nil, err
	}
	defer conn.close()
	seen, err := s.elements(ctx)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	if err := conn.write(ctx, messages); err != nil {
		return nil, err
	}
	written := time.Since(started)
	took, lost, err := allVisible(ctx, s, started, seen+2*size)
	if err != nil {
		return nil, err
	}
	return []figure{
		judged(within(took.Seconds(), 1), "%.2f s", took.Seconds()),
		judged(within(float64(lost), 0), "%d lost", lost),
		info("%.2f s until the last frame was handed to the kernel", written.Seconds()),
	}, nil
}

// elements is how many nodes and edges the graph holds.
func (s *server) elements(ctx context.Context) (int, error) {
	nodes, err := s.count(ctx, "G.V().Count()")
	if err != nil {
		return 0, err
	}
	edges, err := s.count(ctx, "G.E().Count()")
	return nodes + edges, err
}

// allVisible waits until queries see that many elements, and says when that was and how many are missing.
func allVisible(ctx context.Context, s *server, started time.Time, want int) (took time.Duration, lost int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	best, changed := 0, time.Now()
	for {
		got, err := s.elements(ctx)
		if err != nil {
			return 0, 0, err
		}
		now := time.Now()
		switch {
		case got == want:
			return now.Sub(started), 0, nil
		case got > best:
			best, changed = got, now
		case now.Sub(changed) > 5*time.Second:
			return now.Sub(started), want - got, nil // nothing came for a while: the rest is lost
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return 0, 0, fmt.Errorf("waiting for %d elements, %d are there: %w", want, best, err)
		}
	}
}

// publisher is a WebSocket on which frames are written as they are, one an element.
type publisher struct {
	conn    *websocket.Conn
	replies chan []byte // what the server says: errors, and replies to flush requests
	ended   chan struct{}
}

func dialPublisher(ctx context.Context, s *server, name string) (*publisher, error) {
	conn, err := dial(ctx, s, skydive.PathPublisher, name, nil)
	if err != nil {
		return nil, err
	}
	p := &publisher{conn: conn, replies: make(chan []byte, 100), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for {
			_, data, err := conn.Read(ctx) // pings are answered here, too
			if err != nil {
				return
			}
			select {
			case p.replies <- data:
			default: // nobody waits for it
			}
		}
	}()
	return p, nil
}

func (p *publisher) write(ctx context.Context, frames [][]byte) error {
	for _, frame := range frames {
		if err := p.conn.Write(ctx, websocket.MessageText, frame); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// flush waits until everything written before is committed and visible, and says what the server made of it.
func (p *publisher) flush(ctx context.Context) (skydive.FlushReply, error) {
	var reply skydive.FlushReply
	request, err := skydive.NewMessage(skydive.NamespaceGraph, skydive.MsgFlushRequest, "bench-flush", nil)
	if err != nil {
		return reply, err
	}
	text, err := request.AppendJSON(nil)
	if err != nil {
		return reply, err
	}
	if err := p.write(ctx, [][]byte{text}); err != nil {
		return reply, err
	}
	for {
		select {
		case data := <-p.replies:
			message, err := skydive.DecodeMessage(data, skydive.ProtocolJSON)
			if err != nil {
				return reply, err
			}
			switch message.Type {
			case skydive.MsgError:
				return reply, fmt.Errorf("the server refused a message: %s", message.Obj)
			case skydive.MsgFlushReply:
				return reply, message.Obj.Decode(&reply)
			}
		case <-p.ended:
			return reply, errors.New("the server closed the publisher's socket")
		case <-ctx.Done():
			return reply, ctx.Err()
		}
	}
}

func (p *publisher) close() {
	_ = p.conn.CloseNow() // nothing is left to say
	<-p.ended
}

// fill publishes size nodes and size edges and waits until they are there.
func (s *server) fill(ctx context.Context, size int) error {
	messages, err := frames(size, size)
	if err != nil {
		return err
	}
	p, err := dialPublisher(ctx, s, "bench-fill")
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.write(ctx, messages); err != nil {
		return err
	}
	reply, err := p.flush(ctx)
	if err == nil && reply.Rejected > 0 {
		err = fmt.Errorf("%d of %d elements were rejected", reply.Rejected, 2*size)
	}
	return err
}

// dial opens a WebSocket as a Skydive client does, with its library's default settings.
func dial(ctx context.Context, s *server, path, clientType string, header http.Header) (*websocket.Conn, error) {
	if header == nil {
		header = make(http.Header)
	}
	header.Set(skydive.HeaderHostID, clientType)
	header.Set(skydive.HeaderClientType, clientType)
	header.Set(skydive.HeaderClientProtocol, skydive.ProtocolJSON)
	conn, response, err := websocket.Dial(ctx, "ws://"+s.address+path, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		if response != nil {
			err = errors.Join(err, errors.New(response.Status))
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	conn.SetReadLimit(256 << 20)
	return conn, nil
}
