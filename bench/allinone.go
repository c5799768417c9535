package main

import (
	"context"
	"time"
)

// allinone measures how soon the whole of weft answers, and what it costs when nothing happens.
func allinone(ctx context.Context, b *bench) ([]figure, error) {
	var ready []time.Duration
	for range 5 {
		s, err := b.start(ctx, "allinone")
		if err != nil {
			return nil, err
		}
		ready = append(ready, s.ready)
		s.stop()
	}
	s, err := b.start(ctx, "allinone")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	idle := 10 * time.Second
	if b.short {
		idle = 2 * time.Second
	}
	if err := pause(ctx, idle); err != nil {
		return nil, err
	}
	before, err := s.cpu()
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, idle); err != nil {
		return nil, err
	}
	after, err := s.cpu()
	if err != nil {
		return nil, err
	}
	rss, err := s.memory()
	if err != nil {
		return nil, err
	}
	worst := ready[0]
	for _, d := range ready {
		worst = max(worst, d)
	}
	return []figure{
		judged(within(worst.Seconds(), 0.3), "%.2f s", worst.Seconds()),
		judged(within(megabytes(rss), 80), "%.0f MB", megabytes(rss)),
		info("ready is the slowest of %d starts; %.2f %% of a core when idle", len(ready), 100*(after-before).Seconds()/idle.Seconds()),
	}, nil
}
