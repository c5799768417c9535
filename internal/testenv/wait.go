package testenv

import (
	"testing"
	"time"
)

// Eventually calls check until it returns "" and fails the test with its last answer when
// that takes longer than limit. It returns how long it took.
func Eventually(t testing.TB, limit time.Duration, check func() string) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		problem := check()
		if problem == "" {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Fatalf("still so after %v: %s", limit, problem)
		}
		<-tick.C
	}
}
