package linux

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A probe that is stopped while it starts does not wait for threads that saw the end first.
func TestVisitorsOfAnEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan error, 1)
	go func() {
		v, err := startVisitors(ctx, 4)
		v.wait()
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting for threads that never start")
	}
}
