package resource

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/weft-net/weft/internal/api"
)

// probeKey is written to see whether the bucket takes something; it is nobody's resource.
const probeKey = "probe"

// attempt writes to the bucket. Where that failed before, it says so at once: each attempt
// would wait for an answer that does not come.
func (s *Store) attempt(write func() (uint64, error)) (uint64, error) {
	s.mu.Lock()
	stuck := s.stuck
	s.mu.Unlock()
	if stuck != nil {
		return 0, s.reason(stuck)
	}
	revision, err := write()
	if !unanswered(err) {
		return revision, err
	}
	if s.opts.Disk != nil {
		s.mu.Lock()
		s.stuck = err
		s.mu.Unlock()
	}
	return 0, s.reason(err)
}

// reason is what a client is told of a write that failed.
func (s *Store) reason(err error) error {
	if s.opts.Disk == nil {
		return fmt.Errorf("%w: %w: see whether persistence is on in the status", api.ErrAway, err)
	}
	if full := s.opts.Disk.Room(); full != nil {
		return fmt.Errorf("%w: %w", api.ErrFull, full)
	}
	return fmt.Errorf("%w: %w: try again in some seconds, and see whether persistence is on in the status", api.ErrAway, err)
}

// unanswered tells a bucket that does not store from one that refuses what it was given.
func unanswered(err error) bool {
	if err == nil || errors.Is(err, nats.ErrKeyExists) || errors.Is(err, nats.ErrMaxPayload) {
		return false
	}
	var refusal *nats.APIError
	return !errors.As(err, &refusal) || refusal.Code >= 500
}

// Recover restarts JetStream when the bucket could not be written and its disk has room
// again: it holds on to the first error of a disk. The owner calls it now and then.
func (s *Store) Recover(ctx context.Context) error {
	s.mu.Lock()
	stuck, bucket := s.stuck, s.bucket
	s.mu.Unlock()
	if stuck == nil || bucket == nil {
		return nil
	}
	if s.full() {
		return nil
	}
	if !s.writable(bucket) {
		if err := s.opts.Disk.RestartJetStream(); err != nil {
			return fmt.Errorf("resource store: %w", err)
		}
		if !s.writable(bucket) {
			return nil // the next call tries again
		}
	}
	if err := s.Rewatch(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.stuck = nil
	s.mu.Unlock()
	s.opts.Logger.Info("what is created through the API is kept again")
	return nil
}

func (s *Store) full() bool { return s.opts.Disk.Room() != nil }

func (s *Store) writable(bucket Bucket) bool {
	_, err := bucket.Put(probeKey, nil)
	return err == nil
}
