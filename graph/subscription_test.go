package graph_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-net/weft/graph"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSubscriptionFollowsWithoutGap(t *testing.T) {
	g := graph.New(graph.Options{})
	apply(t, g, "p", putNode("0"))
	sub := g.Subscribe()
	defer sub.Close()
	apply(t, g, "p", putNode("1", name("x")))
	apply(t, g, "p", putNode("1", name("y")))
	want(t, "state before", ids(sub.View().Nodes()), []string{"0"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := sub.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "first", c.Changes[0].Kind, graph.NodeAdded)
	want(t, "before", c.Changes[0].Before.IsZero(), true)
	want(t, "as then", string(c.Changes[0].Node.Metadata().AppendJSON(nil)), `{"Name":"x"}`)
	c, err = sub.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "second", c.Changes[0].Kind, graph.NodeUpdated)
	want(t, "before", string(c.Changes[0].Before.Metadata().AppendJSON(nil)), `{"Name":"x"}`)
	if c, ok, err := sub.TryNext(); c != nil || ok || err != nil {
		t.Fatal(c, ok, err)
	}
}

func TestWaitingSubscribersAllWake(t *testing.T) {
	g := graph.New(graph.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	const subscribers, commits = 50, 200
	var wg sync.WaitGroup
	for range subscribers {
		sub := g.Subscribe()
		wg.Go(func() {
			defer sub.Close()
			for i := range commits {
				c, err := sub.Next(ctx)
				if err != nil {
					t.Errorf("commit %d: %v", i, err)
					return
				}
				if id := c.Changes[0].Node.ID(); id != strconv.Itoa(i) {
					t.Errorf("commit %d: %s", i, id)
					return
				}
			}
		})
	}
	for i := range commits {
		apply(t, g, "p", putNode(strconv.Itoa(i)))
	}
	wg.Wait()
	s := g.Stats()
	want(t, "left", s.Subscribers, 0)
	want(t, "log of nobody", s.LogCommits, 0)
}

func TestSlowSubscriberLosesItsPlaceAndResyncs(t *testing.T) {
	for what, opts := range map[string]graph.Options{
		"by count": {LogSize: 8}, "by bytes": {LogBytes: 2000},
	} {
		t.Run(what, func(t *testing.T) {
			g := graph.New(opts)
			sub := g.Subscribe()
			defer sub.Close()
			for i := range 100 {
				apply(t, g, "p", putNode(strconv.Itoa(i)))
			}
			_, err := sub.Next(t.Context())
			if !errors.Is(err, graph.ErrLagged) {
				t.Fatal(err)
			}
			if _, _, err := sub.TryNext(); !errors.Is(err, graph.ErrLagged) {
				t.Fatal(err)
			}
			want(t, "resync", sub.Resync().NodeCount(), 100)
			apply(t, g, "p", putNode("next"))
			c, err := sub.Next(t.Context())
			if err != nil || c.Changes[0].Node.ID() != "next" {
				t.Fatal(c, err)
			}
			s := g.Stats()
			want(t, "lagged", s.Lagged, 1)
			if s.LogCommits > 100 || s.LogBytes > 4000 {
				t.Errorf("log of %d commits, %d bytes", s.LogCommits, s.LogBytes)
			}
		})
	}
}

func TestCloseEndsNext(t *testing.T) {
	g := graph.New(graph.Options{})
	sub := g.Subscribe()
	errs := make(chan error)
	go func() {
		_, err := sub.Next(context.Background())
		errs <- err
	}()
	sub.Close()
	sub.Close()
	if err := <-errs; !errors.Is(err, graph.ErrClosed) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := g.Subscribe()
	defer other.Close()
	if _, err := other.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
