package analyzer

import (
	"fmt"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
)

func create(t *testing.T, h *hub, kind, id, rule string) {
	t.Helper()
	if err := h.store.Create(t.Context(), kind, id, []byte(rule), 0); err != nil {
		t.Fatal(err)
	}
}

// field is the value of a node's key, as text; "" when there is none.
func field(h *hub, id, key string) string {
	n, ok := h.graph.View().Node(id)
	if !ok {
		return "no node"
	}
	v, ok := n.Field(key)
	if !ok {
		return ""
	}
	return v.String()
}

func TestNodeRuleFollowsTheGraph(t *testing.T) {
	for name, query := range map[string]string{
		"each node by itself": `G.V().Has('Type', 'device', 'MTU', GT(1500))`,
		"as a whole":          `G.V().Has('Name', 'root').Out().Has('MTU', GT(1500))`,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, hubOptions{})
			w := h.Origin("me", api.OriginOptions{})
			mtu := func(id string, mtu int64) graph.Event { return node(id, graph.F("MTU", graph.Int(mtu))) }
			say(t, w, node("root"), mtu("big", 9000), mtu("small", 1500), edge("root", "big"), edge("root", "small"))
			create(t, h, api.KindNodeRule, "jumbo", fmt.Sprintf(`{"UUID":"jumbo","Action":"update","Query":%q,"Metadata":{"Class":{"Jumbo":true}}}`, query))
			eventually(t, 5*time.Second, "what is there is marked", func() bool { return field(h, "big", "Class.Jumbo") == "true" })
			if got := field(h, "small", "Class"); got != "" {
				t.Errorf("small has Class %s", got)
			}
			say(t, w, mtu("small", 4000), mtu("new", 4000), edge("root", "new"))
			eventually(t, 5*time.Second, "what changes and comes is marked", func() bool {
				return field(h, "small", "Class.Jumbo") == "true" && field(h, "new", "Class.Jumbo") == "true"
			})
			// A refresh by the owner does not erase the mark, the end of the match does.
			say(t, w, mtu("new", 5000), mtu("small", 1500))
			eventually(t, 5*time.Second, "what no longer matches is not marked", func() bool {
				return field(h, "small", "Class") == "" && field(h, "new", "Class.Jumbo") == "true"
			})
			say(t, w, graph.Event{Op: graph.DeleteNode, ID: "new"})
			say(t, w, mtu("new", 6000), edge("root", "new"))
			eventually(t, 5*time.Second, "what comes again is marked", func() bool { return field(h, "new", "Class.Jumbo") == "true" })
			if err := h.store.Delete(t.Context(), api.KindNodeRule, "jumbo"); err != nil {
				t.Fatal(err)
			}
			eventually(t, 5*time.Second, "marks go with the rule", func() bool {
				return field(h, "new", "Class") == "" && field(h, "big", "Class") == ""
			})
		})
	}
}

func TestNodeRuleCreatesANode(t *testing.T) {
	h := newHub(t, hubOptions{})
	create(t, h, api.KindNodeRule, "r", `{"UUID":"r","Action":"create","Metadata":{"Name":"cloud","Type":"fabric"}}`)
	id := ruleID("r")
	eventually(t, 5*time.Second, "node is there", func() bool { return field(h, id, "Name") == "cloud" })
	// An operator may delete it, the rule makes it again.
	say(t, h.Origin("user", api.OriginOptions{}), graph.Event{Op: graph.DeleteNode, ID: id, Rank: graph.RankUser})
	eventually(t, 5*time.Second, "node is there again", func() bool { return field(h, id, "Name") == "cloud" })
	if err := h.store.Put(t.Context(), api.KindNodeRule, "r", []byte(`{"UUID":"r","Action":"create","Metadata":{"Name":"fog","Type":"fabric"}}`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "node follows the rule", func() bool { return field(h, id, "Name") == "fog" })
	if err := h.store.Delete(t.Context(), api.KindNodeRule, "r"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "node goes with the rule", func() bool { return has(h.graph) })
}

func TestEdgeRuleJoinsWhatMatches(t *testing.T) {
	for name, dst := range map[string]string{
		"each node by itself": `G.V().Has('Role', 'leaf')`,
		"as a whole":          `G.V().Has('Role', 'leaf').Dedup('@ID')`,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, hubOptions{})
			w := h.Origin("me", api.OriginOptions{})
			role := func(id, role string) graph.Event { return node(id, graph.F("Role", graph.String(role))) }
			say(t, w, role("s1", "spine"), role("s2", "spine"), role("l1", "leaf"))
			create(t, h, api.KindEdgeRule, "fabric", fmt.Sprintf(
				`{"UUID":"fabric","Src":"G.V().Has('Role', 'spine')","Dst":%q,"Metadata":{"RelationType":"layer2"}}`, dst))
			edges := func(want ...[2]string) func() bool {
				return func() bool {
					v := h.graph.View()
					for _, pair := range want {
						e, ok := v.Edge(ruleID("fabric", pair[0], pair[1]))
						if !ok || e.Parent() != pair[0] || e.Child() != pair[1] {
							return false
						}
						if r, _ := e.Field("RelationType"); r.Str() != "layer2" {
							return false
						}
					}
					return v.EdgeCount() == len(want)
				}
			}
			eventually(t, 5*time.Second, "what is there is joined", edges([2]string{"s1", "l1"}, [2]string{"s2", "l1"}))
			say(t, w, role("l2", "leaf"))
			eventually(t, 5*time.Second, "what comes is joined", edges([2]string{"s1", "l1"}, [2]string{"s2", "l1"}, [2]string{"s1", "l2"}, [2]string{"s2", "l2"}))
			say(t, w, role("s1", "spare"), graph.Event{Op: graph.DeleteNode, ID: "l1"})
			eventually(t, 5*time.Second, "what goes is not", edges([2]string{"s2", "l2"}))
			if err := h.store.Delete(t.Context(), api.KindEdgeRule, "fabric"); err != nil {
				t.Fatal(err)
			}
			eventually(t, 5*time.Second, "edges go with the rule", edges())
		})
	}
}

func TestRuleThatDefeatsItselfComesToRest(t *testing.T) {
	h := newHub(t, hubOptions{})
	say(t, h.Origin("me", api.OriginOptions{}), node("a"))
	create(t, h, api.KindNodeRule, "r", `{"UUID":"r","Action":"update","Query":"G.V().HasNot('Seen')","Metadata":{"Seen":true}}`)
	eventually(t, 5*time.Second, "node is marked", func() bool { return field(h, "a", "Seen") == "true" })
	before := h.graph.Now()
	timer := time.NewTimer(300 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	if h.graph.Now() != before || field(h, "a", "Seen") != "true" {
		t.Error("the rule changes the graph again and again")
	}
}

func TestRulesThatFeedEachOtherAreHeldBack(t *testing.T) {
	for name, query := range map[string]string{
		"each node by itself": `G.V().Has('a', 1)`,
		"as a whole":          `G.V().Has('a', 1).Dedup('@ID')`,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, hubOptions{})
			w := h.Origin("me", api.OriginOptions{})
			say(t, w, node("x"))
			create(t, h, api.KindNodeRule, "one", `{"UUID":"one","Action":"update","Query":"G.V().HasNot('b')","Metadata":{"a":1}}`)
			create(t, h, api.KindNodeRule, "two", fmt.Sprintf(`{"UUID":"two","Action":"update","Query":%q,"Metadata":{"b":1}}`, query))
			eventually(t, 10*time.Second, "rules are held back", func() bool { return h.counters.holds.Load() >= 2 })
			// What has nothing to do with it is followed all the same.
			say(t, w, node("y", graph.F("b", graph.Int(1))), node("z", graph.F("a", graph.Int(1)), graph.F("b", graph.Int(1))))
			eventually(t, 10*time.Second, "another node is marked", func() bool { return field(h, "z", "b") == "1" && field(h, "y", "a") == "" })
			if n := h.graph.Stats().Changes; n > 100 {
				t.Errorf("%d changes", n)
			}
		})
	}
}

func TestFlips(t *testing.T) {
	var f flips
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var waits []time.Duration
	for range 12 {
		for f.count("x", now) == 0 {
			now = now.Add(100 * time.Millisecond)
		}
		if !f.held("x", now) || f.held("y", now) || len(f.due(now)) > 0 {
			t.Fatal("x is not held, or y is")
		}
		waits = append(waits, f.byID["x"].wait)
		now = now.Add(f.byID["x"].wait)
		if due := f.due(now); len(due) != 1 || len(f.due(now)) != 0 || f.held("x", now) {
			t.Fatalf("due %v", due)
		}
	}
	if waits[0] != firstHold || waits[1] != 2*firstHold || waits[11] != longestHold {
		t.Errorf("waits %v", waits)
	}
	f.count("slow", now)
	now = now.Add(3 * longestHold)
	if f.due(now); len(f.byID) > 0 {
		t.Errorf("left: %v", f.byID)
	}
}

func TestRulesThatMakeNoSenseAreLeftOut(t *testing.T) {
	for name, rule := range map[string]string{
		"no JSON": "{", "no query": `{"Action":"update"}`, "bad query": `{"Action":"update","Query":"V()"}`,
		"edges": `{"Action":"update","Query":"G.E()"}`,
	} {
		if r, err := compileRule(api.KindNodeRule, "r", []byte(rule), "h"); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for name, rule := range map[string]string{
		"no JSON": "[]", "no source": `{"Dst":"G.V()"}`, "no destination": `{"Src":"G.V()"}`,
	} {
		if r, err := compileRule(api.KindEdgeRule, "r", []byte(rule), "h"); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestStatusInSkydivesShape(t *testing.T) {
	h := newHub(t, hubOptions{}).streams()
	newFake(t, h, "h1").beat(0, 0)
	eventually(t, 5*time.Second, "agent is listed", func() bool {
		s := h.Status().(map[string]any)
		return fmt.Sprint(s["Agents"]) != "map[]"
	})
	s := h.Status().(map[string]any)
	for _, key := range []string{"Agents", "Peers", "Alerts", "Captures", "Probes", "Hosts", "Bus"} {
		if s[key] == nil {
			t.Errorf("status has no %s", key)
		}
	}
	if b := s["Bus"].(BusStatus); b.Persistence != "off" || b.Reason == "" || !b.Stream {
		t.Errorf("bus %+v", b)
	}
}
