package bus

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// Who cannot reach the bus reads why in the log, once, and nothing secret.
func TestUnreachableBusIsToldOnceWithTheRemedy(t *testing.T) {
	server := secured(t, TLSFiles{})
	for name, c := range map[string]struct {
		opts ConnOptions
		want string
	}{
		"nobody there":   {ConnOptions{URL: "nats://u:sesame@127.0.0.1:1"}, "is an analyzer there that listens for agents"},
		"wrong password": {ConnOptions{URL: "nats://" + server.Addr(), User: "a", Password: "sesame"}, "refuses these credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var text bytes.Buffer
			c.opts.Member = "a"
			c.opts.Logger = slog.New(slog.NewTextHandler(lockedWriter{&mu, &text}, nil))
			conn, err := Connect(c.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			read := func() string {
				mu.Lock()
				defer mu.Unlock()
				return text.String()
			}
			eventually(t, 5*time.Second, "reason in the log", func() bool { return strings.Contains(read(), c.want) })
			if log := read(); strings.Contains(log, "sesame") || strings.Count(log, c.want) != 1 {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

func TestRepeats(t *testing.T) {
	var r repeats
	if !r.first("a:1") || r.first("a:23") || !r.first("b") {
		t.Error("a fault is told once, from whatever port it came")
	}
	r.last["a:"] = time.Now().Add(-repeatEvery)
	if !r.first("a:4") {
		t.Error("and again after a minute")
	}
	for i := range 10 * maxRepeats {
		r.first(strings.Repeat("x", i+1))
	}
	if len(r.last) > maxRepeats {
		t.Errorf("%d faults remembered", len(r.last))
	}
}

func TestNATSRepeatsItselfOnceAMinute(t *testing.T) {
	var text bytes.Buffer
	l := natsLog{slog.New(slog.NewTextHandler(&text, nil)), &repeats{}}
	for port := range 100 {
		l.Errorf("127.0.0.1:%d - cid:%d - authentication error", 40000+port, port)
	}
	if n := strings.Count(text.String(), "authentication error"); n != 1 {
		t.Errorf("told %d times:\n%s", n, text.String())
	}
}
