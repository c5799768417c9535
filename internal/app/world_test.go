package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
)

// thing is a node, or an edge when it has a parent, of a world.
type thing struct {
	ID, Parent, Child string
	Metadata          map[string]any
}

// change is what a world tells those who watch it: everything at first, then what changed.
type change struct {
	Whole bool
	Put   []thing
	Gone  []thing
}

// worldSize is how many elements a world has about.
const worldSize = 1000

// world is the truth about one host, as a kernel is: it changes whether or not somebody
// watches, and who connects hears what is there and then each change.
type world struct {
	host     string
	listener net.Listener
	done     sync.WaitGroup

	mu       sync.Mutex
	rand     *rand.Rand
	things   map[string]thing
	next     int
	watchers map[chan change]bool
}

func newWorld(t *testing.T, host string, seed uint64) *world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		host: host, listener: l, rand: rand.New(rand.NewPCG(seed, 1)),
		things: map[string]thing{}, watchers: map[chan change]bool{},
	}
	w.things[host] = thing{ID: host, Metadata: map[string]any{"Name": host, "Type": "host"}}
	w.done.Go(w.serve)
	t.Cleanup(func() {
		l.Close()
		w.mu.Lock()
		for c := range w.watchers {
			close(c)
		}
		clear(w.watchers)
		w.mu.Unlock()
		w.done.Wait()
	})
	return w
}

func (w *world) serve() {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.done.Go(func() { w.tell(conn) })
	}
}

func (w *world) tell(conn net.Conn) {
	defer conn.Close()
	changes := make(chan change, 100_000)
	w.mu.Lock()
	all := change{Whole: true, Put: slices.Collect(maps.Values(w.things))}
	w.watchers[changes] = true
	w.mu.Unlock()
	out := json.NewEncoder(conn)
	err := out.Encode(all)
	for c := range changes {
		if err != nil {
			break
		}
		err = out.Encode(c)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watchers, changes)
}

// step changes a few things at once.
func (w *world) step() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var c change
	for range 1 + w.rand.IntN(4) {
		ids := slices.Sorted(maps.Keys(w.things))
		some := w.things[ids[w.rand.IntN(len(ids))]]
		dice := w.rand.IntN(10)
		if len(ids) > worldSize && dice < 3 {
			dice = 9 // shrink
		}
		switch {
		case dice < 4 || len(ids) < 20: // a new node below the host
			w.next++
			n := thing{ID: fmt.Sprintf("%s/%d", w.host, w.next), Metadata: map[string]any{
				"Name": fmt.Sprint("eth", w.next), "Type": "device", "MTU": 1500, "Addresses": []any{"10.0.0.1/8"},
			}}
			e := thing{ID: n.ID + "-owner", Parent: w.host, Child: n.ID, Metadata: map[string]any{"RelationType": "ownership"}}
			w.things[n.ID], w.things[e.ID] = n, e
			c.Put = append(c.Put, n, e)
		case dice < 7: // a node changes
			if some.Parent == "" {
				some.Metadata = maps.Clone(some.Metadata)
				some.Metadata["MTU"], some.Metadata["State"] = 1000+w.rand.IntN(8000), []string{"UP", "DOWN"}[w.rand.IntN(2)]
				w.things[some.ID] = some
				c.Put = append(c.Put, some)
			}
		case dice < 8: // an edge between two nodes
			other := w.things[ids[w.rand.IntN(len(ids))]]
			if some.Parent == "" && other.Parent == "" {
				e := thing{ID: some.ID + "+" + other.ID, Parent: some.ID, Child: other.ID, Metadata: map[string]any{"RelationType": "layer2"}}
				w.things[e.ID] = e
				c.Put = append(c.Put, e)
			}
		default: // something goes, and with a node its edges
			if some.ID == w.host {
				continue
			}
			delete(w.things, some.ID)
			c.Put = slices.DeleteFunc(c.Put, func(p thing) bool { return p.ID == some.ID || p.Parent == some.ID || p.Child == some.ID })
			c.Gone = append(c.Gone, some)
			for id, e := range w.things {
				if e.Parent == some.ID || e.Child == some.ID {
					delete(w.things, id)
				}
			}
		}
	}
	c.Put = slices.DeleteFunc(c.Put, func(p thing) bool { _, there := w.things[p.ID]; return !there })
	for watcher := range w.watchers {
		watcher <- c
	}
}

// change goes on changing the world, about 200 times a second, until stopped.
func (w *world) change() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.step()
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

func (w *world) truth() map[string]thing {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.things)
}

// fakeProbe watches a world.
type fakeProbe struct{ host, kernel string }

func (*fakeProbe) Name() string { return "fake" }

func (p *fakeProbe) Run(ctx context.Context, sink probe.Sink) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", p.kernel)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := json.NewDecoder(bufio.NewReaderSize(conn, 1<<20))
	for {
		var c change
		if err := in.Decode(&c); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		var nodes, edges, gone []graph.Event
		for _, x := range c.Gone {
			op := graph.DeleteNode
			if x.Parent != "" {
				op = graph.DeleteEdge
			}
			gone = append(gone, graph.Event{Op: op, ID: x.ID})
		}
		for _, x := range c.Put {
			metadata, err := graph.MetadataOf(x.Metadata)
			if err != nil {
				return err
			}
			e := graph.Event{Op: graph.PutNode, ID: x.ID, Host: p.host, Origin: "fake." + p.host, Metadata: metadata, Parent: x.Parent, Child: x.Child}
			if x.Parent != "" {
				e.Op = graph.PutEdge
				edges = append(edges, e)
			} else {
				nodes = append(nodes, e)
			}
		}
		events := append(append(gone, nodes...), edges...)
		if c.Whole {
			sink.Replace(events)
		} else {
			sink.Commit(events...)
		}
	}
}
