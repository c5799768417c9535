package analyzer

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
)

// hostWith is the node of a host whose agent counted packets for capture c in the books with the number.
func hostWith(host, number string, packets int64) graph.Event {
	fields := []graph.Field{graph.F("Name", graph.String(host)), graph.F("Type", graph.String("host"))}
	if number != "" {
		fields = append(fields, graph.F("CaptureSums", graph.List(graph.Object(graph.NewMetadata(
			graph.F("ID", graph.String("c")), graph.F("Books", graph.String(number)),
			graph.F("Ledger", graph.Object(graph.NewMetadata(graph.F("Received", graph.Int(packets)), graph.F("Counted", graph.Int(packets)), graph.F("FlowsLive", graph.Int(1))))),
		)))))
	}
	return graph.Event{Op: graph.PutNode, ID: host, Host: host, Metadata: graph.NewMetadata(fields...)}
}

// counted is a node on which the agent counted packets for capture c.
func counted(host, id string, packets int64) graph.Event {
	return port(host, id, graph.F("Captures", graph.List(graph.Object(graph.NewMetadata(
		graph.F("ID", graph.String("c")), graph.F("State", graph.String("active")), graph.F("PacketsReceived", graph.Int(packets)),
	)))))
}

func (h *hub) awaitSum(what string, want uint64) {
	h.t.Helper()
	eventually(h.t, 15*time.Second, fmt.Sprintf("%s: the sum on %s is %d", what, h.member, want), func() bool {
		infos := h.Captures()
		return len(infos) == 1 && infos[0].Ledger.Received == want
	})
}

// TestSumsOutliveNodesAgentsHostsAndAnalyzers follows the sum of one capture on two hosts as two analyzers show it.
func TestSumsOutliveNodesAgentsHostsAndAnalyzers(t *testing.T) {
	first := newHub(t, hubOptions{host: "h-1"})
	second := newHub(t, hubOptions{host: "h-2", beside: first})
	h1, h2 := newOrdered(t, first, "h1"), newOrdered(t, first, "h2")
	for _, h := range []*hub{first, second} {
		create(t, h, api.KindCapture, "c", `{"UUID":"c","GremlinQuery":"G.V().Has('Type','device')"}`)
	}
	both := func(what string, want uint64) {
		t.Helper()
		first.awaitSum(what, want)
		second.awaitSum(what, want)
	}
	h1.has(hostWith("h1", "", 0), counted("h1", "a", 10))
	both("a host that says no sum", 10)
	h1.has(hostWith("h1", "b1", 12))
	both("a host that knows of more than its nodes", 12)
	h2.has(hostWith("h2", "b2", 100), counted("h2", "z", 100))
	both("two hosts", 112)
	h1.has(graph.Event{Op: graph.DeleteNode, ID: "a"})
	eventually(t, 5*time.Second, "the node is gone", func() bool { return !has(first.graph, "a", "h1", "h2", "z") })
	both("a node that is gone", 112)
	h1.has(hostWith("h1", "b3", 5))
	both("an agent with empty books", 117)
	h1.has(hostWith("h1", "b3", 6))
	both("which it fills", 118)
	for _, h := range []*hub{first, second} {
		h.drop(h2.name)
	}
	both("a host that is gone", 118)
	if l := first.Captures()[0].Ledger; l.FlowsLive != 1 {
		t.Errorf("%d flows are live, those of h1's newest books alone should be: %+v", l.FlowsLive, l)
	}
	kept := func(want ...string) []byte {
		t.Helper()
		var data []byte
		eventually(t, 15*time.Second, fmt.Sprintf("the books %q are kept", want), func() bool {
			data, _ = first.store.Get(t.Context(), kindCaptureSum, "c")
			s := newSums()
			if len(data) == 0 || s.heard("c", data) != nil || len(s.stored["c"]) != len(want) {
				return false
			}
			for _, number := range want {
				if l, there := s.stored["c"][number]; !there || l.FlowsLive != 0 {
					return false
				}
			}
			return true
		})
		return data
	}
	data := kept("b1", "b2", "b3")
	if all, err := second.store.List(t.Context(), kindCaptureSum); err != nil || len(all) > 0 {
		t.Errorf("the second analyzer wrote too: %s, %v", all, err)
	}

	// An analyzer that begins now has the store, and what the graph has.
	third := newHub(t, hubOptions{host: "h-3", beside: first})
	create(t, third, kindCaptureSum, "c", string(data))
	create(t, third, api.KindCapture, "c", `{"UUID":"c","GremlinQuery":"G.V().Has('Type','device')"}`)
	h1.has(hostWith("h1", "b3", 7))
	both("it counts on", 119)
	h1.say(8, 1, true, hostWith("h1", "b3", 7))
	third.awaitSum("another analyzer", 119)

	h2.say(8, 1, true, hostWith("h2", "b2", 101))
	both("a host that comes back", 120)
	third.awaitSum("a host that comes back", 120)

	if err := first.store.Delete(t.Context(), api.KindCapture, "c"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "nothing is kept for a deleted capture", func() bool {
		all, err := first.store.List(t.Context(), kindCaptureSum)
		return err == nil && len(all) == 0
	})
}

// TestManyBooksBecomeOne: the analyzer that writes adds up, and the other follows.
func TestManyBooksBecomeOne(t *testing.T) {
	writes, reads := newSums(), newSums()
	var want flow.Ledger
	for i := range mostBooks + 1 {
		l := flow.Ledger{Received: uint64(i), Counted: uint64(i)}
		want = want.Add(l)
		writes.of("c")[fmt.Sprint(i)] = books{ledger: l}
		reads.of("c")[fmt.Sprint(i)] = books{ledger: l}
	}
	writes.of("c")["live"] = books{ledger: flow.Ledger{Received: 7, Counted: 7}, live: true, host: "h1"}
	reads.of("c")["live"] = writes.of("c")["live"]
	for i := range 2 { // and the second time there is no more to add up
		record, urgent := writes.record("c")
		if !maps.Equal(record, map[string]flow.Ledger{oldBooks: want, "live": {Received: 7, Counted: 7}}) || urgent != (i == 0) {
			t.Fatalf("%d books are kept, urgent %v", len(record), urgent)
		}
		data, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*sums{&writes, &reads} {
			if err := s.heard("c", data); err != nil {
				t.Fatal(err)
			}
			if all, said := s.sum("c"); all.Received != want.Received+7 || !said["h1"] || len(s.known["c"]) != 2 {
				t.Errorf("%d in %d books, not %d", all.Received, len(s.known["c"]), want.Received+7)
			}
		}
	}
	if err := reads.heard("c", []byte("{")); err == nil {
		t.Error("a damaged record is no error")
	}
}

// TestOrdersNameTheCapturesToKeep: also those that have no node on the host now.
func TestOrdersNameTheCapturesToKeep(t *testing.T) {
	h := newHub(t, hubOptions{})
	h1 := newOrdered(t, h, "h1")
	h1.has(port("h1", "a"))
	create(t, h, api.KindCapture, "c", `{"UUID":"c","GremlinQuery":"G.V().Has('Name','a')"}`)
	create(t, h, api.KindCapture, "d", `{"UUID":"d","GremlinQuery":"G.V().Has('Name','other')"}`)
	keeps := func(want string) {
		t.Helper()
		eventually(t, 15*time.Second, "orders keep "+want, func() bool {
			h1.mu.Lock()
			defer h1.mu.Unlock()
			return len(h1.got) > 0 && fmt.Sprint(h1.got[len(h1.got)-1].Keep) == want
		})
	}
	keeps("[d]")
	h1.has(graph.Event{Op: graph.DeleteNode, ID: "a"})
	h1.wait("")
	keeps("[c d]")
	if err := h.store.Delete(t.Context(), api.KindCapture, "d"); err != nil {
		t.Fatal(err)
	}
	keeps("[c]")
}
