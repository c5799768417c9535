package client

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/weft-net/weft/skydive"
)

func message(namespace, typ, uuid string) []byte {
	m := skydive.Message{Namespace: namespace, Type: typ, UUID: uuid, Status: 200}
	frame, err := m.AppendJSON(nil)
	if err != nil {
		panic(err)
	}
	return frame
}

// drain gives the UUIDs of what is queued, "mark" for a mark.
func drain(t *testing.T, q *queue) []string {
	t.Helper()
	var got []string
	ended := errors.New("ended")
	q.end(ended)
	for {
		it, err := q.pop(t.Context())
		if errors.Is(err, ended) {
			q.err = nil
			return got
		}
		if it.mark {
			got = append(got, fmt.Sprintf("mark(%d)", it.lost))
			continue
		}
		m, err := skydive.DecodeMessage(it.frame, "")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.UUID)
	}
}

func TestOnlyWhatTheAwaitedGraphDoesNotHoldPasses(t *testing.T) {
	q := newQueue(10, 1<<20, "", true)
	q.asked["filter"] = true
	q.await("graph", true)
	q.push(message("Graph", "NodeAdded", "superseded"))
	q.push(message("Alert", "Alert", "alert"))
	q.push(message("Graph", "SyncReply", "stale"))
	q.push(message("Graph", "SyncReply", "filter"))
	q.push(message("Graph", "SyncReply", "graph"))
	q.push(message("Graph", "NodeAdded", "after"))
	if got := fmt.Sprint(drain(t, q)); got != "[alert filter graph after]" {
		t.Errorf("got %s", got)
	}
	if q.stats.Superseded != 2 || q.stats.Received != 6 || len(q.asked) != 0 {
		t.Errorf("stats %+v, asked %v", q.stats, q.asked)
	}
}

func TestFullQueueDropsUntilItIsTold(t *testing.T) {
	q := newQueue(2, 1<<20, "", false)
	for i := range 5 {
		q.push(message("Graph", "NodeAdded", fmt.Sprint(i)))
	}
	if got := fmt.Sprint(drain(t, q)); got != "[0 1 mark(3)]" {
		t.Errorf("got %s", got)
	}
	q.push(message("Graph", "NodeAdded", "5"))
	if got := fmt.Sprint(drain(t, q)); got != "[5]" {
		t.Errorf("got %s", got)
	}
}

func TestNothingComesBetweenAMarkAndItsGraph(t *testing.T) {
	q := newQueue(1, 1<<20, "", true)
	q.push(message("Graph", "NodeAdded", "0"))
	q.push(message("Graph", "NodeAdded", "1"))
	if got := fmt.Sprint(drain(t, q)); got != "[0 mark(0)]" { // the count is told with the graph
		t.Errorf("got %s", got)
	}
	q.push(message("Graph", "NodeAdded", "2"))
	q.await("graph", true)
	q.push(message("Graph", "SyncReply", "graph"))
	it, err := q.pop(t.Context())
	if err != nil || !it.reply || !it.resync || it.lost != 2 {
		t.Errorf("got %+v, %v", it, err)
	}
}

func TestMarkKnowsThatAGraphIsComing(t *testing.T) {
	q := newQueue(1, 1<<20, "", true)
	q.push(message("Graph", "NodeAdded", "0"))
	q.push(message("Graph", "NodeAdded", "1"))
	q.await("graph", true) // after a reconnect
	q.push(message("Graph", "SyncReply", "graph"))
	var marks int
	for range 3 {
		it, err := q.pop(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if it.mark {
			marks++
			if !it.resync {
				t.Error("the mark asks for another graph")
			}
		}
	}
	if marks != 1 {
		t.Errorf("%d marks", marks)
	}
}

func TestHugeMessageIsTakenWhenNothingWaits(t *testing.T) {
	q := newQueue(10, 10, "", false)
	q.push(message("Graph", "NodeAdded", "huge"))
	if got := fmt.Sprint(drain(t, q)); got != "[huge]" {
		t.Errorf("got %s", got)
	}
}

func TestPopEndsWithItsContext(t *testing.T) {
	q := newQueue(10, 10, "", false)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := q.pop(ctx); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
