package bus

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestHeartbeatsAndResyncRequests(t *testing.T) {
	server := startServer(t, ServerOptions{})
	hub := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	agent := connect(t, ConnOptions{Member: "h1.example", Server: server})

	var beat atomic.Pointer[Beat]
	if _, err := hub.OnBeat(func(b Beat) { beat.Store(&b) }); err != nil {
		t.Fatal(err)
	}
	var request atomic.Pointer[Resync]
	if _, err := agent.OnResync(func(r Resync) { request.Store(&r) }); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "heartbeat arrives", func() bool {
		if err := agent.Beat(Beat{Instance: agent.Instance(), Origins: []Position{{"linux@h1.example", 7, 3}}}); err != nil {
			t.Fatal(err)
		}
		return beat.Load() != nil
	})
	if b := beat.Load(); b.Member != "h1.example" || len(b.Origins) != 1 || b.Origins[0].Seq != 3 {
		t.Errorf("heartbeat %+v", b)
	}
	eventually(t, 5*time.Second, "request arrives", func() bool {
		if err := hub.RequestResync("h1.example", beat.Load().Origins); err != nil {
			t.Fatal(err)
		}
		return request.Load() != nil
	})
	if r := request.Load(); r.From != "analyzer:hub" || r.Origins[0].Origin != "linux@h1.example" {
		t.Errorf("request %+v", r)
	}
}

func TestHeartbeatOfManyOriginsComesInPages(t *testing.T) {
	server := startServer(t, ServerOptions{})
	hub := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	other := connect(t, ConnOptions{Member: AnalyzerMember("other"), Server: server})
	beats := make(chan Beat, 1000)
	if _, err := hub.OnBeat(func(b Beat) { beats <- b }); err != nil {
		t.Fatal(err)
	}
	flush(t, hub)
	var list []Position
	for i := range 20_000 {
		list = append(list, Position{fmt.Sprintf("%s%d@analyzer:other", strings.Repeat("\x01", i%100), i), 1, uint64(i + 1)})
	}
	if err := other.Beat(Beat{Origins: list}); err != nil {
		t.Fatal(err)
	}
	var got []Position
	for page, pages := 0, 1; page < pages; page++ {
		select {
		case b := <-beats:
			if b.Page != page || b.Pages < 2 {
				t.Fatalf("page %d of %d, want %d", b.Page, b.Pages, page)
			}
			pages = b.Pages
			got = append(got, b.Origins...)
		case <-time.After(5 * time.Second):
			t.Fatalf("no page %d", page)
		}
	}
	if !slices.Equal(got, list) {
		t.Errorf("%d origins arrived of %d", len(got), len(list))
	}
	if pages := paged(nil); len(pages) != 1 || len(pages[0]) != 0 {
		t.Errorf("pages of nothing: %v", pages)
	}
}

func TestHeartbeatsThatLie(t *testing.T) {
	for text, want := range map[string]string{
		`{"Member":"h2"}`: "another member",
		`{"Member":"h1","Origins":[{"Origin":"linux@h2","Epoch":1,"Seq":1}]}`: "another member",
		`{"Member":"h1","Origins":[{"Origin":"linux","Epoch":1,"Seq":1}]}`:    "another member",
		`{"Member":"h1"`: "heartbeat",
		`[]`:             "heartbeat",
	} {
		if _, err := parseBeat("h1", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestResyncRequestsThatAreNone(t *testing.T) {
	for _, text := range []string{
		`{"stream":"weft_graph","seq":12}`, // what a stream answers
		`{"Kind":"resync","From":"h2"}`,    // an agent has no business to ask
		`{"Kind":"resync"}`, `+`, ``,
	} {
		if r, err := parseResync([]byte(text)); err == nil {
			t.Errorf("%q became %+v", text, r)
		}
	}
}

func FuzzParseBeat(f *testing.F) {
	f.Add([]byte(`{"Member":"h1","Instance":"a","Origins":[{"Origin":"linux@h1","Epoch":1,"Seq":2}],"Probes":{"linux":"running"}}`))
	f.Add([]byte(`{"Kind":"resync","From":"analyzer:h","Origins":[{"Origin":"linux@h1"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := parseBeat("h1", data); err == nil && b.Member != "h1" {
			t.Fatalf("heartbeat of %q taken for one of h1", b.Member)
		}
		if r, err := parseResync(data); err == nil && !IsAnalyzer(r.From) {
			t.Fatalf("request of %q taken for one of an analyzer", r.From)
		}
	})
}
