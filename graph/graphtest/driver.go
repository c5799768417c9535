package graphtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weft-net/weft/graph"
)

// Driver applies random batches to a graph and to the Model, and compares.
type Driver struct {
	Graph *graph.Graph
	Model *Model

	gen    *Generator
	rand   *rand.Rand
	clock  clock
	sub    *graph.Subscription
	mirror map[string]string // what the subscriber knows
	steps  int

	mu    sync.Mutex
	dumps []dump // what readers saw
}

// dump is a view as a reader rendered it.
type dump struct {
	from, to graph.Moment
	text     string
}

// clock is moved by the driver and read by the graph.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}

// NewDriver makes a driver over a fresh graph; the same seed does the same. The options' clock is the driver's.
func NewDriver(seed uint64, nodes int, opts graph.Options) *Driver {
	d := &Driver{
		Model: NewModel(), gen: NewGenerator(seed, nodes), rand: rand.New(rand.NewPCG(seed, 2)),
		mirror: map[string]string{},
	}
	d.clock.t = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	opts.Now = d.clock.now
	opts.OrphanAge = 1 << 62 // the model's edges wait for ever
	d.Graph = graph.New(opts)
	d.sub = d.Graph.Subscribe()
	return d
}

// Close ends the driver's subscription.
func (d *Driver) Close() { d.sub.Close() }

// Step applies one batch to both and compares what is cheap; every few steps it compares the past too.
func (d *Driver) Step() error {
	d.steps++
	now := graph.MomentOf(d.clock.advance(time.Duration(1+d.rand.IntN(2000)) * time.Millisecond))
	b := d.gen.Batch()
	if d.rand.IntN(2) == 0 { // through the codec, in parts
		var err error
		if b, err = graph.JoinBatch(graph.SplitBatch(b, 100)...); err != nil {
			return fmt.Errorf("codec: %w", err)
		}
	}
	before := len(d.Model.Past)
	res, err := d.Graph.ApplyAt(now, b)
	var gap *graph.GapError
	if err != nil && !errors.As(err, &gap) {
		return fmt.Errorf("apply: %w", err)
	}
	status, inOrder := d.Model.Apply(now, b)
	if status != res.Status || inOrder != (gap == nil) {
		return fmt.Errorf("batch %d/%d of %s: status %d, gap %t; want %d, in order %t",
			b.Epoch, b.Seq, b.Origin, res.Status, gap != nil, status, inOrder)
	}
	if changed := len(d.Model.Past) > before; changed && res.Changes == 0 {
		return fmt.Errorf("no change counted of batch %+v", b)
	}
	if err := d.compare("live", d.Graph.View(), d.Model.At(now)); err != nil {
		return fmt.Errorf("after %s: %w", describe(b), err)
	}
	if err := d.replay(); err != nil {
		return fmt.Errorf("after %s: %w", describe(b), err)
	}
	if d.rand.IntN(8) == 0 {
		if d.rand.IntN(4) == 0 {
			d.Graph.Trim()
		}
		return d.comparePast(now)
	}
	return nil
}

func describe(b *graph.Batch) string {
	s := fmt.Sprintf("%s snapshot=%v", b.Origin, b.Snapshot)
	for _, ev := range b.Events {
		s += fmt.Sprintf("\n  op %d %s edge=%v rev=%d rank=%d %s>%s %s %v", ev.Op, ev.ID, ev.Edge, ev.Revision, ev.Rank,
			ev.Parent, ev.Child, ev.Metadata.AppendJSON(nil), ev.Patch)
	}
	return s
}

// comparePast compares a past moment and an interval.
func (d *Driver) comparePast(now graph.Moment) error {
	at := func() graph.Moment { return now - graph.Moment(d.rand.Int64N(int64(200*time.Second))) }
	m := at()
	v, err := d.Graph.At(m)
	if err != nil {
		return d.windowError(err, m)
	}
	if err := d.compare("past", v, d.Model.At(m)); err != nil {
		return err
	}
	from, to := at(), at()
	if from > to {
		from, to = to, from
	}
	if v, err = d.Graph.Between(from, to); err != nil {
		return d.windowError(err, from)
	}
	// What ended keeps its last version, and an edge shows its nodes in theirs.
	return d.compare("interval", v, d.Model.Between(from, to))
}

func (d *Driver) windowError(err error, asked graph.Moment) error {
	var w *graph.WindowError
	if !errors.As(err, &w) {
		return err
	}
	if asked >= w.Earliest || w.Earliest > d.Graph.Earliest() {
		return fmt.Errorf("refused %d: %w", asked, err)
	}
	return nil
}

// compare compares everything that a view tells with the model's state.
func (d *Driver) compare(what string, v *graph.View, want State) error {
	wantText := want.String()
	if got := Render(v); got != wantText {
		return fmt.Errorf("%s view: %s", what, difference(got, wantText))
	}
	if v.NodeCount() != len(want.Nodes) || v.EdgeCount() != len(want.Edges) {
		return fmt.Errorf("%s view: counts %d, %d; want %d, %d", what, v.NodeCount(), v.EdgeCount(), len(want.Nodes), len(want.Edges))
	}
	for id, e := range want.Nodes {
		n, ok := v.Node(id)
		if !ok || line(n.Element, "", "") != e.String() {
			return fmt.Errorf("%s view: node %s by id: %v", what, id, ok)
		}
		if err := compareAround(v, n, want); err != nil {
			return fmt.Errorf("%s view: %w", what, err)
		}
	}
	if _, ok := v.Node("nobody"); ok {
		return fmt.Errorf("%s view: an unknown node", what)
	}
	if err := compareIndexes(v, want); err != nil {
		return fmt.Errorf("%s view: %w", what, err)
	}
	return nil
}

// difference shows the lines that are on one side only.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	only := func(a, b []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(a), func(l string) bool { return slices.Contains(b, l) }), "\n")
	}
	return fmt.Sprintf("got\n%s\nwant\n%s", only(g, w), only(w, g))
}

func compareAround(v *graph.View, n graph.Node, want State) error {
	var got, exp []string
	for e, child := range v.Out(n) {
		got = append(got, "out "+e.ID()+" "+child.ID())
	}
	for e, parent := range v.In(n) {
		got = append(got, "in "+e.ID()+" "+parent.ID())
	}
	for _, e := range want.Edges {
		if e.Parent == n.ID() && want.Nodes[e.Child] != nil {
			exp = append(exp, "out "+e.ID+" "+e.Child)
		}
		if e.Child == n.ID() && want.Nodes[e.Parent] != nil {
			exp = append(exp, "in "+e.ID+" "+e.Parent)
		}
	}
	slices.Sort(got)
	slices.Sort(exp)
	if !slices.Equal(got, exp) {
		return fmt.Errorf("around %s: got %v, want %v", n.ID(), got, exp)
	}
	return nil
}

func compareIndexes(v *graph.View, want State) error {
	lookups := []struct {
		key  string
		vals []graph.Value
	}{
		{"Name", []graph.Value{graph.String("eth0")}},
		{"Name", []graph.Value{graph.String("lo"), graph.String("br0"), graph.Int(3)}},
		{"Type", []graph.Value{graph.String("veth")}},
		{"IPV4", []graph.Value{graph.String("10.0.0.1"), graph.String("10.0.0.2")}},
		{"@Host", []graph.Value{graph.String("h2")}},
		{"Deep.A", []graph.Value{graph.Int(1)}},
	}
	for _, l := range lookups {
		seq, estimate, ok := v.Lookup(l.key, l.vals...)
		if !ok {
			continue // not indexed in this graph
		}
		var got, exp []string
		for n := range seq {
			got = append(got, n.ID())
		}
		for id, e := range want.Nodes {
			if has(e, l.key, l.vals) {
				exp = append(exp, id)
			}
		}
		slices.Sort(got)
		slices.Sort(exp)
		if !slices.Equal(got, exp) {
			return fmt.Errorf("%s in %v: got %v, want %v", l.key, l.vals, got, exp)
		}
		if estimate < len(got) {
			return fmt.Errorf("%s in %v: estimate %d of %d", l.key, l.vals, estimate, len(got))
		}
	}
	return nil
}

// has tells whether an element of the model has one of the values.
func has(e *Element, path string, vals []graph.Value) bool {
	var have any
	if path == "@Host" {
		have = e.Host
	} else {
		m := e.Merged()
		head, rest, dotted := strings.Cut(path, ".")
		have = m[head]
		if inner, ok := have.(map[string]any); ok && dotted {
			have = inner[rest]
		} else if dotted {
			return false
		}
	}
	for _, v := range vals {
		if have == v.Any() {
			return true
		}
		if list, ok := have.([]any); ok && slices.Contains(list, v.Any()) {
			return true
		}
	}
	return false
}

// replay applies what the subscriber gets to its mirror, and compares that with the model.
func (d *Driver) replay() error {
	for {
		c, ok, err := d.sub.TryNext()
		if errors.Is(err, graph.ErrLagged) {
			d.mirror = lines(d.sub.Resync())
			continue
		}
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		for _, ch := range c.Changes {
			if err := d.change(ch); err != nil {
				return fmt.Errorf("commit %d: %w", c.Moment, err)
			}
		}
	}
	var all []string
	for _, l := range d.mirror {
		all = append(all, l)
	}
	slices.Sort(all)
	if got, want := strings.Join(all, "\n"), d.Model.At(1<<62).String(); got != want {
		return fmt.Errorf("subscriber: %s", difference(got, want))
	}
	return nil
}

func (d *Driver) change(ch graph.Change) error {
	e, l := ch.Node.Element, ""
	edge := e.IsZero()
	if edge {
		e = ch.Edge.Element
		l = line(e, ch.Edge.Parent(), ch.Edge.Child())
	} else {
		l = line(e, "", "")
	}
	k := key(edge, e.ID())
	old, known := d.mirror[k]
	added := ch.Kind == graph.NodeAdded || ch.Kind == graph.EdgeAdded
	if known == added || ch.Before.IsZero() != added {
		return fmt.Errorf("%s of %s, known: %v", ch.Kind, k, known)
	}
	if !added {
		parent, child := ch.Edge.Parent(), ch.Edge.Child()
		if before := line(ch.Before, parent, child); before != old {
			return fmt.Errorf("%s: before is\n%s\nbut was\n%s", k, before, old)
		}
	}
	if ch.Kind == graph.NodeDeleted || ch.Kind == graph.EdgeDeleted {
		if e.DeletedAt() == 0 {
			return fmt.Errorf("%s deleted without a time", k)
		}
		if !edge {
			for _, other := range d.mirror {
				if strings.HasPrefix(other, "edge ") && (strings.HasSuffix(other, ">"+e.ID()) || strings.Contains(other, " "+e.ID()+">")) {
					return fmt.Errorf("%s deleted before %s", k, other)
				}
			}
		}
		delete(d.mirror, k)
		return nil
	}
	d.mirror[k] = l
	return nil
}

// Render is a view as text, an element a line, sorted.
func Render(v *graph.View) string {
	var all []string
	for _, l := range lines(v) {
		all = append(all, l)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func lines(v *graph.View) map[string]string {
	out := map[string]string{}
	add := func(k, l string) {
		for out[k] != "" {
			k += " again" // an element listed twice shows
		}
		out[k] = l
	}
	for n := range v.Nodes() {
		add(key(false, n.ID()), line(n.Element, "", ""))
	}
	for e := range v.Edges() {
		add(key(true, e.ID()), line(e.Element, e.Parent(), e.Child()))
	}
	return out
}

func line(e graph.Element, parent, child string) string {
	s := fmt.Sprintf("%s host=%s origin=%s owner=%s created=%d updated=%d rev=%d %s", key(parent != "", e.ID()),
		e.Host(), e.Origin(), e.Owner(), e.CreatedAt(), e.UpdatedAt(), e.Revision(), e.Metadata().AppendJSON(nil))
	if parent != "" {
		s += " " + parent + ">" + child
	}
	return s
}
