package flowquery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/flowquery/row"
	"github.com/weft-net/weft/internal/flowstore"
)

// flowOf is a flow of a host that was last seen at a time, with as many bytes.
func flowOf(host string, last int64) *flow.Flow {
	return &flow.Flow{
		UUID: fmt.Sprintf("%s-%d", host, last), NodeTID: "tid-" + host, Application: "TCP", Last: last,
		Metric: &flow.Metric{ABPackets: 1, ABBytes: last},
	}
}

func flowsOf(host string, lasts ...int64) *held {
	h := &held{}
	for _, last := range lasts {
		h.flows = append(h.flows, flowOf(host, last))
	}
	return h
}

func TestSilentHostIsNamedAndTheOthersAnswer(t *testing.T) {
	stuck := flowsOf("stuck", 3)
	stuck.stuck = true
	for name, c := range map[string]struct {
		silent string
		live   *held
		want   []string
	}{
		"nobody is there":             {"gone", nil, []string{"a-1", "z-2"}},
		"nothing comes":               {"stuck", &held{stuck: true}, []string{"a-1", "z-2"}},
		"the end of it does not come": {"stuck", stuck, []string{"a-1", "z-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 500*time.Millisecond)
			w.agent("z", flowsOf("z", 2))
			w.agent(c.silent, c.live)
			w.agent("a", flowsOf("a", 1))
			got, warnings := w.run("G.Flows()")
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("flows %q, want %q", got, c.want)
			}
			if len(warnings) != 1 || !strings.Contains(warnings[0], "host "+c.silent+" did not answer within 500ms") {
				t.Errorf("warnings %q", warnings)
			}
			if asked, silent := w.source.Stats(); asked != 3 || silent != 1 {
				t.Errorf("%d asked, %d silent", asked, silent)
			}
		})
	}
}

// A host that hangs must not hold up what others say, however much that is.
func TestSilentHostDoesNotCutLongAnswersOfOthers(t *testing.T) {
	w := newWorld(t, 2*time.Second)
	w.agent("a", &held{stuck: true})
	long := &held{}
	const flows = 40_000 // tens of parts
	for i := range int64(flows) {
		long.flows = append(long.flows, flowOf("b", i))
	}
	w.agent("b", long)
	got, warnings := w.run("G.Flows()")
	if len(got) != flows {
		t.Errorf("%d flows of %d", len(got), flows)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "host a ") {
		t.Errorf("warnings %q", warnings)
	}
}

func TestWhatAHostRefusesIsTold(t *testing.T) {
	w := newWorld(t, time.Second)
	w.agent("a", flowsOf("a", 1))
	var warnings []string
	for _, err := range w.source.flows(t.Context(), []string{"a"}, flowsVerb, []byte("no query"), func(text string) { warnings = append(warnings, text) }) {
		t.Errorf("error %v", err)
	}
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "host a: ") {
		t.Errorf("warnings %q", warnings)
	}
}

func TestAnalyzerThatJustStartedSaysThatHostsMayBeMissing(t *testing.T) {
	w := newWorld(t, 5*time.Second)
	w.agent("a", flowsOf("a", 1))
	for _, w.young = range []bool{true, false} {
		for _, query := range []string{"G.Flows()", "G.Flows().Count()", "G.V().Has('Name','a').Flows()"} {
			warnings := w.exec(query).Warnings()
			if w.young != (len(warnings) == 1 && strings.Contains(warnings[0], "hosts may still be joining")) {
				t.Errorf("%s: warnings %q", query, warnings)
			}
		}
	}
}

func TestAnswersAreMergedInOrder(t *testing.T) {
	for query, want := range map[string]string{
		"G.Flows().Sort('Last')":                                        "a-1 b-2 a-3 c-4 b-5 a-6",
		"G.Flows().Sort(DESC,'Last')":                                   "a-6 b-5 c-4 a-3 b-2 a-1",
		"G.Flows().Sort('Last').Limit(3)":                               "a-1 b-2 a-3",
		"G.Flows().Sort(DESC,'Metric.ABBytes').Limit(2)":                "a-6 b-5",
		"G.Flows().Sort('Last').Range(2,5)":                             "a-3 c-4 b-5",
		"G.Flows().Has('Last',GT(2)).Sort('Last').Limit(2)":             "a-3 c-4",
		"G.V().Has('Name',WITHIN('a','c')).Flows().Sort('Last')":        "a-1 a-3 c-4 a-6",
		"G.V().Has('Name','c').Flows().Sort('Last')":                    "c-4",
		"G.Flows().Has('NodeTID','tid-b').Sort('Last')":                 "b-2 b-5",
		"G.Flows().Dedup('NodeTID').Has('Last',GT(9)).Sort('Last')":     "",
		"G.Flows().Has('Application','UDP').Sort('Last').Limit(1)":      "",
		"G.V().Has('Name','nobody').Flows().Sort('Last').Dedup('UUID')": "",
	} {
		t.Run(query, func(t *testing.T) {
			w := newWorld(t, 5*time.Second)
			w.agent("b", flowsOf("b", 5, 2))
			w.agent("c", flowsOf("c", 4))
			w.agent("a", flowsOf("a", 3, 6, 1))
			got, warnings := w.run(query)
			if text := strings.Join(got, " "); text != want {
				t.Errorf("flows %s, want %s", text, want)
			}
			if len(warnings) > 0 {
				t.Errorf("warnings %q", warnings)
			}
		})
	}
}

func TestOnlyHostsOfTheNodesAreAskedWithTheWholeQuestion(t *testing.T) {
	w := newWorld(t, 5*time.Second)
	a, b := flowsOf("a", 1), flowsOf("b", 2)
	a.asked, b.asked = make(chan gremlin.FlowQuery, 1), make(chan gremlin.FlowQuery, 1)
	w.agent("a", a)
	w.agent("b", b)
	if got, _ := w.run("G.V().Has('Name','b').Flows().Sort(DESC,'Last').Range(2,7)"); len(got) != 0 {
		t.Errorf("flows %q", got)
	}
	q := <-b.asked
	if q.SortBy != "Last" || !q.SortDesc || q.Offset != 2 || q.Limit != 5 || !q.Live || !slices.Equal(q.NodeTIDs, []string{"tid-b"}) {
		t.Errorf("the agent got %+v", q)
	}
	if len(a.asked) > 0 {
		t.Error("host a was asked")
	}
}

func TestQuestionEndsWithItsContext(t *testing.T) {
	w := newWorld(t, time.Minute)
	stuck := &held{stuck: true, asked: make(chan gremlin.FlowQuery, 1)}
	w.agent("a", stuck)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-stuck.asked; cancel() }()
	var last error
	for _, err := range w.source.Flows(ctx, gremlin.FlowQuery{Live: true, AllNodes: true, Limit: -1}) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("error %v", last)
	}
}

func idOf(f *flow.Flow) gremlin.FlowID { return gremlin.FlowIDOf(row.Row{Flow: f}) }

// Captures on one node see the same flow, with the same UUID: the packets that each of them kept are its own.
func TestRawPacketsAreOfTheCaptureThatKeptThem(t *testing.T) {
	w := newWorld(t, 10*time.Second)
	live := &held{packets: map[gremlin.FlowID][]flow.RawPacket{}}
	for _, capture := range []string{"c1", "c2", "c3"} {
		f := flowOf("a", 1)
		f.CaptureID, f.RawPacketsCaptured = capture, 2
		live.flows = append(live.flows, f)
		for n := range int64(2) {
			live.packets[idOf(f)] = append(live.packets[idOf(f)], flow.RawPacket{
				Timestamp: 1, Nanos: 7*n + 1, Index: n, LinkType: flow.LinkEthernet, Data: []byte(capture),
			})
		}
	}
	w.agent("a", live)
	local, store := Local(live), flowstore.NewMemory(flowstore.MemoryOptions{})
	w.source.opts.Store = store
	if err := store.Append(t.Context(), flowstore.Batch{At: time.Now(), Flows: reportsOf(live)}); err != nil {
		t.Fatal(err)
	}
	past := gremlin.FlowQuery{AllNodes: true, To: graph.EndOfMilli(1 << 40)}
	for name, ask := range map[string]func([]gremlin.Flow) (map[gremlin.FlowID][]gremlin.RawPacket, error){
		"an agent": func(f []gremlin.Flow) (map[gremlin.FlowID][]gremlin.RawPacket, error) {
			return local.RawPackets(t.Context(), gremlin.FlowQuery{Live: true}, f, "")
		},
		"an analyzer": func(f []gremlin.Flow) (map[gremlin.FlowID][]gremlin.RawPacket, error) {
			return w.source.RawPackets(t.Context(), gremlin.FlowQuery{Live: true}, f, "")
		},
		"the past": func(f []gremlin.Flow) (map[gremlin.FlowID][]gremlin.RawPacket, error) {
			return w.source.RawPackets(t.Context(), past, f, "")
		},
	} {
		var rows []gremlin.Flow
		for _, f := range live.flows[:2] {
			rows = append(rows, row.Row{Flow: f}, row.Row{Flow: f}) // each once, however often it is asked for
		}
		got, err := ask(rows)
		if err != nil || len(got) != 2 {
			t.Fatalf("%s: packets of %d flows (%v)", name, len(got), err)
		}
		for id, list := range got {
			if len(list) != 2 || string(list[0].Data) != id.CaptureID || list[0].Nanos != 1 || list[1].Nanos != 8 {
				t.Errorf("%s: %v has %+v", name, id, list)
			}
		}
	}
	for text, want := range map[string]int{
		"G.Flows().RawPackets()":                                   6,
		"G.Flows().Has('CaptureID', 'c2').RawPackets()":            2,
		"G.Flows().Has('CaptureID', 'c2').RawPackets().BPF('arp')": 0,
	} {
		query, err := gremlin.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.engine.Exec(t.Context(), query)
		if err != nil || len(got.Packets()) != want {
			t.Errorf("%s: %d packets, want %d (%v)", text, len(got.Packets()), want, err)
		}
	}
}

// reportsOf makes a report of each flow with its packets.
func reportsOf(live *held) (reports []*flow.Flow) {
	for _, f := range live.flows {
		f = f.Clone()
		f.LastRawPackets = live.packets[idOf(f)]
		reports = append(reports, f)
	}
	return reports
}

func TestRawPacketsOfManyFlows(t *testing.T) {
	w := newWorld(t, 10*time.Second)
	const flows, packets = 500, 5
	for _, host := range []string{"a", "b"} {
		live := &held{packets: map[gremlin.FlowID][]flow.RawPacket{}}
		for i := range int64(flows) {
			f := flowOf(host, i)
			f.RawPacketsCaptured = packets
			live.flows = append(live.flows, f)
			for n := range int64(packets) {
				live.packets[idOf(f)] = append(live.packets[idOf(f)], flow.RawPacket{
					Timestamp: i, Index: n, LinkType: flow.LinkEthernet, Data: fmt.Appendf(make([]byte, 0, 200), "%-200s", fmt.Sprint(f.UUID, " ", n)),
				})
			}
		}
		big := flowOf(host, 1_000_000) // its packets are more than a part of an answer
		big.RawPacketsCaptured = 300
		live.flows = append(live.flows, big)
		for n := range int64(300) {
			live.packets[idOf(big)] = append(live.packets[idOf(big)], flow.RawPacket{Index: n, LinkType: flow.LinkEthernet, Data: make([]byte, 1500)})
		}
		w.agent(host, live)
	}
	w.agent("gone", nil)
	all := slices.Collect(func(yield func(gremlin.Flow) bool) {
		for f, err := range w.source.Flows(t.Context(), gremlin.FlowQuery{Live: true, AllNodes: true, Limit: -1}) {
			if err != nil {
				t.Error(err)
			} else if !yield(f) {
				return
			}
		}
	})
	got, err := w.source.RawPackets(t.Context(), gremlin.FlowQuery{Live: true}, all, "")
	if err != nil || len(all) != 2*flows+2 || len(got) != len(all) {
		t.Fatalf("packets of %d of %d flows (%v)", len(got), len(all), err)
	}
	for id, list := range got {
		uuid, want := id.UUID, packets
		if strings.HasSuffix(uuid, "-1000000") {
			want = 300
		}
		if len(list) != want {
			t.Errorf("%s: %d packets, want %d", uuid, len(list), want)
		}
		for n, p := range list {
			if p.Index != int64(n) || want == packets && strings.TrimSpace(string(p.Data)) != fmt.Sprint(uuid, " ", n) {
				t.Fatalf("%s: packet %d is %d, %q", uuid, n, p.Index, p.Data)
			}
		}
	}
	// Of each kind one question a host: 3 for the flows, and 2 for the packets, for no flow is of the third.
	if asked, silent := w.source.Stats(); asked != 5 || silent != 1 {
		t.Errorf("%d asked, %d silent", asked, silent)
	}
	if _, err := w.source.RawPackets(t.Context(), gremlin.FlowQuery{Live: true}, all[:1], "no such word"); err == nil {
		t.Error("a bad expression is no error")
	}
	none, err := w.source.RawPackets(t.Context(), gremlin.FlowQuery{Live: true}, all[:1], "arp")
	if err != nil || len(none) != 0 {
		t.Errorf("packets %v (%v)", none, err)
	}
}
