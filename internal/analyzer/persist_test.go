package analyzer

import (
	"fmt"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
)

// abandon ends a hub as a crash would: nothing is saved at the end.
func (h *hub) abandon() {
	h.writers.mu.Lock()
	for _, o := range h.writers.order {
		o.mu.Lock()
		o.persist = false
		o.mu.Unlock()
	}
	h.writers.mu.Unlock()
	h.stop()
}

func TestPersistentOriginsSurvive(t *testing.T) {
	for how, end := range map[string]func(*hub){"a clean stop": func(h *hub) { h.stop() }, "a crash": (*hub).abandon} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			h := newHub(t, hubOptions{dir: dir}).streams()
			kept, lost := h.Origin("kept", api.OriginOptions{Persist: true}), h.Origin("lost", api.OriginOptions{})
			say(t, lost, node("l"))
			say(t, kept, node("a"), node("b"), edge("a", "b"))
			say(t, kept, graph.Event{Op: graph.PatchNode, ID: "a", Patch: []graph.PathOp{{Path: "Tag", Value: graph.String("patched")}}})
			say(t, kept, node("c"), graph.Event{Op: graph.DeleteNode, ID: "b"})
			before, _ := h.graph.View().Node("a")
			end(h)

			h = newHub(t, hubOptions{dir: dir})
			if !has(h.graph, "a", "c") {
				t.Fatalf("graph after the restart: %v", ids(h.graph))
			}
			after, _ := h.graph.View().Node("a")
			if v, _ := after.Field("Tag"); v.Str() != "patched" {
				t.Errorf("a is %s", after.Metadata().AppendJSON(nil))
			}
			if before.CreatedAt() != after.CreatedAt() && how == "a clean stop" {
				t.Errorf("a was created at %d, now %d", before.CreatedAt(), after.CreatedAt())
			}
			// It goes on from there, and can be emptied for good.
			kept = h.Origin("kept", api.OriginOptions{Persist: true})
			say(t, kept, graph.Event{Op: graph.DeleteNode, ID: "a"})
			end(h)
			h = newHub(t, hubOptions{dir: dir})
			if !has(h.graph, "c") {
				t.Fatalf("graph after the second restart: %v", ids(h.graph))
			}
		})
	}
}

func TestSavedSnapshotsAndTheStreamAddUp(t *testing.T) {
	dir := t.TempDir()
	h := newHub(t, hubOptions{dir: dir, analyzer: Options{SaveEvery: 50 * time.Millisecond}}).streams()
	w := h.Origin("kept", api.OriginOptions{Persist: true})
	for i := range 300 {
		say(t, w, node(fmt.Sprint("n", i)))
		if i == 150 {
			o := w.(*origin)
			eventually(t, 10*time.Second, "a snapshot is saved meanwhile", func() bool {
				o.mu.Lock()
				defer o.mu.Unlock()
				return o.unsaved == 0
			})
		}
	}
	h.abandon()
	h = newHub(t, hubOptions{dir: dir})
	if n := h.graph.View().NodeCount(); n != 300 {
		t.Errorf("%d nodes after the crash", n)
	}
}

func TestRestoredLayersAndEdgesWaitForTheirElements(t *testing.T) {
	dir := t.TempDir()
	h := newHub(t, hubOptions{dir: dir}).streams()
	f := newFake(t, h, "h1")
	f.say(1, 1, true, node("x"), node("y"))
	eventually(t, 5*time.Second, "agent's nodes", func() bool { return has(h.graph, "x", "y") })
	say(t, h.Origin("user", api.OriginOptions{Persist: true}), edge("x", "y"),
		graph.Event{Op: graph.PutLayer, ID: "x", Rank: graph.RankUser, Metadata: graph.NewMetadata(graph.F("Note", graph.String("mine")))})
	h.stop()

	h = newHub(t, hubOptions{dir: dir})
	h.stop() // the agent does not come: nothing is forgotten
	h = newHub(t, hubOptions{dir: dir})
	f = newFake(t, h, "h1")
	f.say(1, 2, true, node("x"), node("y"))
	eventually(t, 5*time.Second, "layer and edge are back", func() bool {
		n, _ := h.graph.View().Node("x")
		v, _ := n.Field("Note")
		return v.Str() == "mine" && has(h.graph, "x", "x-y", "y")
	})
}

func TestWhatIsSaidAtOnceSurvivesACrash(t *testing.T) {
	dir := t.TempDir()
	h := newHub(t, hubOptions{dir: dir})
	say(t, h.Origin("user", api.OriginOptions{Persist: true}), node("x"))
	h.abandon()
	if h = newHub(t, hubOptions{dir: dir}); !has(h.graph, "x") {
		t.Errorf("graph after the crash: %v", ids(h.graph))
	}
}

func TestWithoutADiskNothingIsKept(t *testing.T) {
	h := newHub(t, hubOptions{})
	say(t, h.Origin("kept", api.OriginOptions{Persist: true}), node("a"))
	if s := h.Bus(); s.Persistent || s.Reason == "" {
		t.Errorf("state %+v", s)
	}
}

func TestSavedFormsThatAreNone(t *testing.T) {
	for _, data := range [][]byte{nil, {0}, {savedFormat}, {savedFormat, 0x80}, {savedFormat, 1, 2, 3}} {
		if _, b, err := parseSaved(data); err == nil {
			t.Errorf("%v became %+v", data, b)
		}
	}
	want := &graph.Batch{Origin: "a@b", Snapshot: true}
	after, b, err := parseSaved(graph.AppendBatch(appendSaved(nil, 77), want))
	if err != nil || after != 77 || b.Origin != "a@b" || !b.Snapshot {
		t.Errorf("%d, %+v, %v", after, b, err)
	}
}

func FuzzParseSaved(f *testing.F) {
	f.Add(graph.AppendBatch(appendSaved(nil, 77), &graph.Batch{Origin: "a@b", Events: []graph.Event{node("x")}}))
	f.Add([]byte{savedFormat, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, b, err := parseSaved(data); err == nil {
			newFold().apply(b)
		}
	})
}
