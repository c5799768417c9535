package api

import (
	"runtime"
	"time"
)

// DefaultLimits are the bounds of a server that nobody configured.
func DefaultLimits() Limits {
	return Limits{
		MaxBody:        64 << 20,
		MaxDepth:       64,
		QueueBytes:     16 << 20,
		RequestTimeout: 60 * time.Second,
		BodyRate:       16 << 10,
		BodyGrace:      10 * time.Second,
		HeaderTimeout:  10 * time.Second,
		IdleTimeout:    2 * time.Minute,
		WriteTimeout:   10 * time.Second,
		PingDelay:      2 * time.Second,
		PongTimeout:    5 * time.Second,
		RefilterDelay:  100 * time.Millisecond,
		MaxConns:       20_000,
		MaxWebSockets:  10_000,
		MaxFilters:     1000,
		Queries:        4 * runtime.GOMAXPROCS(0),
	}
}

// withDefaults fills what is zero.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	fill(&l.MaxBody, d.MaxBody)
	fill(&l.MaxDepth, d.MaxDepth)
	fill(&l.QueueBytes, d.QueueBytes)
	fill(&l.RequestTimeout, d.RequestTimeout)
	fill(&l.BodyRate, d.BodyRate)
	fill(&l.BodyGrace, d.BodyGrace)
	fill(&l.HeaderTimeout, d.HeaderTimeout)
	fill(&l.IdleTimeout, d.IdleTimeout)
	fill(&l.WriteTimeout, d.WriteTimeout)
	fill(&l.PingDelay, d.PingDelay)
	fill(&l.PongTimeout, d.PongTimeout)
	fill(&l.RefilterDelay, d.RefilterDelay)
	fill(&l.MaxConns, d.MaxConns)
	fill(&l.MaxWebSockets, d.MaxWebSockets)
	fill(&l.MaxFilters, d.MaxFilters)
	fill(&l.Queries, d.Queries)
	return l
}

func fill[T ~int | ~int64](value *T, standard T) {
	if *value <= 0 {
		*value = standard
	}
}
