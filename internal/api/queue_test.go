package api

import (
	"context"
	"errors"
	"io"
	"testing"
)

// waiting returns what would be written, one letter an entry.
func waiting(t *testing.T, q *queue) (text string) {
	t.Helper()
	entries, err := q.take(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.stream != nil {
			text += "*"
			continue
		}
		for _, f := range e.frames {
			text += string(f)
		}
	}
	return text
}

func entry(text string) outgoing {
	return outgoing{frames: []frame{frame(text)}, size: int64(len(text))}
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	q := newQueue(3)
	if err := q.push(entry("large")); err != nil {
		t.Errorf("an entry that is alone: %v", err)
	}
	if err := q.push(entry("x")); !errors.Is(err, errFull) {
		t.Errorf("beyond the bound: %v", err)
	}
	if got := waiting(t, q); got != "large" {
		t.Errorf("got %s", got)
	}
	if err := q.push(entry("y")); err != nil {
		t.Errorf("after it was emptied: %v", err)
	}
}

func TestReplaceKeepsAnswers(t *testing.T) {
	q := newQueue(1000)
	answer := entry("A")
	answer.answer = true
	for _, e := range []outgoing{entry("x"), answer, entry("y")} {
		if err := q.push(e); err != nil {
			t.Fatal(err)
		}
	}
	if dropped := q.replace(entry("S")); dropped != 2 {
		t.Errorf("%d dropped", dropped)
	}
	if got := waiting(t, q); got != "AS" {
		t.Errorf("got %s", got)
	}
}

func TestQueueIsBoundedInEntries(t *testing.T) {
	for name, e := range map[string]outgoing{
		"streams": {stream: func(io.Writer) error { return nil }},
		"frames":  entry(""),
		"nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueue(1 << 20)
			n := 0
			for ; q.push(e) == nil; n++ {
				if n > 10_000 {
					t.Fatal("no end")
				}
			}
			if n < 10 {
				t.Errorf("only %d fit", n)
			}
		})
	}
}

func TestClosedQueueGivesTheRestAndEnds(t *testing.T) {
	q := newQueue(100)
	if err := q.push(entry("x")); err != nil {
		t.Fatal(err)
	}
	q.close()
	if got := waiting(t, q); got != "x" {
		t.Errorf("got %s", got)
	}
	if _, err := q.take(t.Context(), nil); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	if err := q.push(entry("late")); err != nil {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newQueue(1).take(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
