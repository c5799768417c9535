package bus

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A stream that is too slow again and again is told of once, left for longer each time, and told of when it is well.
func TestSlowFlowStreamIsToldOfOnce(t *testing.T) {
	var said bytes.Buffer
	f := &FlowFeed{log: slog.New(slog.NewTextHandler(&said, nil)), opts: FlowFeedOptions{HoldTime: time.Second, Stream: StreamOptions{Name: "weft_flow"}}}
	now := time.Now()
	last := time.Duration(0)
	for range 5 {
		f.state = State{Stream: true, Since: now}
		f.waiting = []unacknowledged{{reply: "x", at: now.Add(-time.Minute)}}
		f.c = &Conn{}
		f.overdue()
		if f.state.Stream || f.pause <= last {
			t.Fatalf("stream %v, paused %v after %v", f.state.Stream, f.pause, last)
		}
		last = f.pause
	}
	if n := strings.Count(said.String(), "\n"); n != 1 || !strings.Contains(said.String(), "longer than 1s to store a batch") {
		t.Errorf("%d lines: %s", n, said.String())
	}
	f.state = State{Stream: true, Since: now}
	f.steady(now.Add(flowSteady / 2))
	f.steady(now.Add(2 * flowSteady))
	f.steady(now.Add(2 * flowSteady))
	if n := strings.Count(said.String(), "\n"); n != 2 || !strings.Contains(said.String(), "again\" stream=weft_flow left=5") || f.pause != 0 {
		t.Errorf("%d lines: %s", n, said.String())
	}
}
