package bus

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/internal/bus/bustest"
)

// A part of an answer may be longer than a message of the bus, whatever that takes.
func TestPartsOfAnAnswerMayBeLong(t *testing.T) {
	url := bustest.Debian(t, "max_payload: 64KB")
	server := startServer(t, ServerOptions{})
	for name, both := range map[string][2]ConnOptions{
		"64 KiB": {{Member: AnalyzerMember("hub"), URL: url}, {Member: "leaf", URL: url}},
		"1 MiB":  {{Member: AnalyzerMember("hub"), Server: server}, {Member: "leaf", Server: server}},
	} {
		t.Run(name, func(t *testing.T) {
			analyzer, agent := connect(t, both[0]), connect(t, both[1])
			parts := [][]byte{[]byte("short"), bytes.Repeat([]byte("0123456789"), 300_000), {}, bytes.Repeat([]byte("x"), agent.most()), []byte("last")}
			stop, err := agent.OnAsk("long", 4, func(_ context.Context, _ []byte, say func([]byte) error) error {
				for _, part := range parts {
					if err := say(part); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			flush(t, agent)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			n := 0
			for part, err := range analyzer.Ask(ctx, "leaf", "long", nil) {
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(part, parts[n]) {
					t.Errorf("part %d has %d bytes, want %d", n, len(part), len(parts[n]))
				}
				n++
			}
			if n != len(parts) {
				t.Errorf("%d parts, want %d", n, len(parts))
			}
		})
	}
}

// What is too long is said to be that, with the remedy: the bus is connected all the same.
func TestTooLargeIsNotDisconnected(t *testing.T) {
	c := connect(t, ConnOptions{Member: "leaf", URL: bustest.Debian(t, "max_payload: 64KB")})
	s := flowSender(t, c, &acked{})
	if most := s.MostBytes(); most < 63<<10-flowHeader || most > 64<<10-flowHeader {
		t.Errorf("a batch may have %d bytes", most)
	}
	for what, err := range map[string]error{
		"batch":   s.PublishFlows(t.Context(), 1, 1, make([]byte, 70_000)),
		"message": c.publish("a.subject", "", make([]byte, 70_000)),
	} {
		if !errors.Is(err, ErrTooLarge) || errors.Is(err, ErrDisconnected) || !strings.HasSuffix(err.Error(), "and NATS takes 65536: raise its max_payload") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.PublishFlows(t.Context(), 1, 2, make([]byte, s.MostBytes())); err != nil {
		t.Errorf("a batch as long as may be: %v", err)
	}
}
