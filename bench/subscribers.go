package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-net/weft/skydive"
)

const (
	subscriberCount = 100
	changesPerTick  = 10
	tick            = 10 * time.Millisecond // so 1,000 changes a second
)

// subscribers measures what filters cost: a hundred clients, each with a filter of its own on one of a hundred groups
// of nodes, while one publisher changes a thousand nodes a second, all groups in turn. Every subscriber must get every
// change of its group, and no other.
func subscribers(ctx context.Context, b *bench) ([]figure, error) {
	s, err := loaded(ctx, b)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	audience, err := listen(ctx, s)
	if err != nil {
		return nil, err
	}
	defer audience.close()
	p, err := dialPublisher(ctx, s, "bench-changes")
	if err != nil {
		return nil, err
	}
	defer p.close()
	ticks := b.scale(1000)
	updates, err := updateFrames(ticks * changesPerTick)
	if err != nil {
		return nil, err
	}
	before, err := s.cpu()
	if err != nil {
		return nil, err
	}
	started := time.Now()
	for i := range ticks {
		if err := p.write(ctx, updates[i*changesPerTick:(i+1)*changesPerTick]); err != nil {
			return nil, err
		}
		if err := pause(ctx, time.Until(started.Add(time.Duration(i+1)*tick))); err != nil {
			return nil, err
		}
	}
	took := time.Since(started)
	after, err := s.cpu()
	if err != nil {
		return nil, err
	}
	if _, err := p.flush(ctx); err != nil {
		return nil, err
	}
	if err := audience.await(ctx, len(updates)); err != nil {
		return nil, err
	}
	share := 100 * (after - before).Seconds() / took.Seconds()
	return []figure{
		judged(within(share, 30), "%.1f %%", share),
		info("%d changes in %.1f s, each seen by the one subscriber whose filter it passes: %d messages", len(updates), took.Seconds(), audience.updated.Load()),
	}, nil
}

// updateFrames changes the nodes in turn. The revision grows with each, or the update would be stale.
func updateFrames(count int) ([][]byte, error) {
	var frames [][]byte
	for i := range count {
		changed := node(i % publishSize)
		changed.Metadata["MTU"] = 1400 + i/publishSize
		changed.Metadata["Speed"] = i
		changed.Revision = int64(i/publishSize + 1)
		message, err := skydive.NewMessage(skydive.NamespaceGraph, skydive.MsgNodeUpdated, "", changed)
		if err != nil {
			return nil, err
		}
		text, err := message.AppendJSON(nil)
		if err != nil {
			return nil, err
		}
		frames = append(frames, text)
	}
	return frames, nil
}

// audience is all subscribers of the row.
type audience struct {
	updated atomic.Int64
	other   atomic.Int64
	cancel  context.CancelFunc
	readers sync.WaitGroup
}

func listen(ctx context.Context, s *server) (*audience, error) {
	a := &audience{}
	ctx, a.cancel = context.WithCancel(ctx)
	for i := range subscriberCount {
		header := make(http.Header)
		header.Set(skydive.HeaderGremlinFilter, "G.V().Has('Group', "+strconv.Itoa(i)+").SubGraph()")
		conn, err := dial(ctx, s, skydive.PathSubscriber, "bench-subscriber-"+strconv.Itoa(i), header)
		if err != nil {
			a.close()
			return nil, err
		}
		a.readers.Go(func() {
			defer conn.CloseNow()
			for {
				_, data, err := conn.Read(ctx)
				if err != nil {
					return
				}
				if bytes.Contains(data, []byte(`"`+skydive.MsgNodeUpdated+`"`)) {
					a.updated.Add(1)
				} else {
					a.other.Add(1)
				}
			}
		})
	}
	return a, nil
}

// await waits until the subscribers have seen that many changes together.
func (a *audience) await(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("not all changes came"))
	defer cancel()
	for int(a.updated.Load()) < want {
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("the subscribers saw %d of %d changes: %w", a.updated.Load(), want, context.Cause(ctx))
		}
	}
	if got := int(a.updated.Load()); got != want {
		return fmt.Errorf("the subscribers saw %d changes, there were %d", got, want)
	}
	return nil
}

func (a *audience) close() {
	a.cancel()
	a.readers.Wait()
}
