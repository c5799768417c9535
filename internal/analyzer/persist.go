package analyzer

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
)

// vault keeps what persistent origins said: for each a snapshot with the place in the stream
// that it reflects. What came after is read from the stream itself, so that a batch costs
// nothing extra and one that was applied survives kill -9.
type vault struct {
	turn     sync.Mutex // an origin is opened, or forgotten
	mu       sync.Mutex
	saved    map[string]bool // by full name of the origin
	restored bool            // what the last process left has been read
	last     time.Time
	// waiting is what restored origins say of elements that are not there yet, because
	// the agents that own them have not come back; by full name of the origin.
	waiting map[string][]graph.Event
	due     chan struct{} // of size 1: the stream is back, and knows nothing of what was said meanwhile
}

const (
	vaultName   = "weft_origins"
	saveBytes   = 16 << 20 // said since the last snapshot, at least, before there is another
	saveTick    = time.Second
	savedFormat = 1
	slowStorage = 10 * time.Second
	// longestStart is how long a start waits for the stream, which takes milliseconds.
	longestStart = 2 * time.Second
)

func (a *Analyzer) openVault() (*bus.Vault, error) {
	if !a.conn.Connected() {
		return nil, bus.ErrDisconnected
	}
	return a.conn.Vault(vaultName, a.opts.Stream.File, a.opts.Stream.Replicas)
}

// persist makes an origin one that survives. Its first snapshot is what tells the next
// process to look for it in the stream, so it is written before anything is said.
func (a *Analyzer) persist(o *origin) {
	o.mu.Lock()
	o.persist = true
	o.mu.Unlock()
	a.vault.turn.Lock()
	defer a.vault.turn.Unlock()
	a.vault.mu.Lock()
	known := a.vault.saved[o.name]
	a.vault.mu.Unlock()
	if known || a.feed == nil || !a.feed.State().Persistent {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), slowStorage)
	defer cancel()
	if err := a.saveOrigin(ctx, o); err != nil {
		a.log.Warn("origin not kept yet", "origin", o.name, "error", err)
	}
}

// save writes snapshots now and then.
func (a *Analyzer) save(ctx context.Context) {
	tick := time.NewTicker(saveTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.vault.due:
			a.saveAll(true)
		case <-tick.C:
			a.sayWaiting(ctx)
			if a.feed.State().Persistent {
				a.saveAll(false)
			}
			a.forgetEmpty()
		}
	}
}

// saveAll saves the origins that need it; all that changed when the process ends, or when the
// stream was away.
func (a *Analyzer) saveAll(all bool) {
	if !a.feed.State().Persistent {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), slowStorage)
	defer cancel()
	a.writers.mu.Lock()
	order := a.writers.order[:len(a.writers.order):len(a.writers.order)]
	a.writers.mu.Unlock()
	a.vault.mu.Lock()
	old := time.Since(a.vault.last) > a.opts.SaveEvery
	if old {
		a.vault.last = time.Now()
	}
	a.vault.mu.Unlock()
	for _, o := range order {
		o.mu.Lock()
		unsaved, persist, size := o.unsaved, o.persist, o.saved
		o.mu.Unlock()
		a.vault.mu.Lock()
		known := a.vault.saved[o.name]
		a.vault.mu.Unlock()
		if !persist || known && (unsaved == 0 || unsaved < a.saveAfter(size) && !old && !all) {
			continue
		}
		if err := a.saveOrigin(ctx, o); err != nil {
			a.log.Warn("origin not saved", "origin", o.name, "error", err)
		}
	}
}

// forgetEmpty forgets origins that nobody writes any more and that the graph has nothing of.
func (a *Analyzer) forgetEmpty() {
	list := a.writers.idle(a.opts.Forget)
	if len(list) == 0 {
		return
	}
	holds := map[string]bool{}
	for _, s := range a.graph.Origins() {
		holds[s.Name] = s.Nodes+s.Edges+s.Layers > 0
	}
	for _, o := range list {
		o.mu.Lock()
		settled := len(o.pending) == 0
		o.mu.Unlock()
		if !settled || holds[o.name] {
			continue
		}
		if err := a.forget(o); err != nil {
			a.log.Debug("origin not forgotten yet", "origin", o.name, "error", err)
			return
		}
	}
}

// forget forgets an origin here and on the disk.
func (a *Analyzer) forget(o *origin) error {
	a.vault.turn.Lock()
	defer a.vault.turn.Unlock()
	a.vault.mu.Lock()
	saved, waits := a.vault.saved[o.name], len(a.vault.waiting[o.name]) > 0
	a.vault.mu.Unlock()
	if waits {
		return nil
	}
	if saved {
		v, err := a.openVault()
		if err != nil {
			return err
		}
		if err := v.Delete(o.name); err != nil {
			return err
		}
		a.vault.mu.Lock()
		delete(a.vault.saved, o.name)
		a.vault.mu.Unlock()
	}
	a.writers.forget(o)
	return nil
}

// saveAfter is how much an origin says before it is saved again: as much as the last
// snapshot was large, so that a large one costs no more than what is said, and little
// enough for the stream to hold it.
func (a *Analyzer) saveAfter(size int) int {
	return max(saveBytes, min(size, int(a.opts.Stream.MaxBytes/4)))
}

func (a *Analyzer) saveOrigin(ctx context.Context, o *origin) error {
	// What is read first is contained in the view that is taken after it: to replay a
	// batch that the snapshot has already does no harm, to miss one would.
	o.mu.Lock()
	b := graph.Batch{Origin: o.name, Epoch: o.epoch, Seq: o.seq - uint64(len(o.pending)), Snapshot: true}
	after, unsaved, touched := o.streamSeq, o.unsaved, o.touched
	if after == 0 {
		after = a.feedSequence()
	}
	o.mu.Unlock()
	if touched { // else there is nothing of it: no need to look through the graph
		b.Events = bus.Collect(a.graph.View(), o.name)
	}
	a.vault.mu.Lock()
	b.Events = append(b.Events, a.vault.waiting[o.name]...)
	a.vault.mu.Unlock()
	v, err := a.openVault()
	if err != nil {
		return err
	}
	data := graph.AppendBatch(appendSaved(nil, after), &b)
	if err := v.Save(ctx, o.name, data); err != nil {
		return err
	}
	o.mu.Lock()
	o.unsaved -= unsaved
	o.saved = len(data)
	o.mu.Unlock()
	a.vault.mu.Lock()
	a.vault.saved[o.name] = true
	a.vault.mu.Unlock()
	return nil
}

func (a *Analyzer) feedSequence() uint64 {
	if a.feed == nil {
		return 0
	}
	return a.feed.Sequence()
}

// A saved snapshot is a version byte, the sequence in the stream (uvarint) and a batch.
func appendSaved(dst []byte, after uint64) []byte {
	return binary.AppendUvarint(append(dst, savedFormat), after)
}

func parseSaved(data []byte) (after uint64, b *graph.Batch, err error) {
	if len(data) == 0 || data[0] != savedFormat {
		return 0, nil, errors.New("unknown form: saved by another version of weft")
	}
	after, n := binary.Uvarint(data[1:])
	if n <= 0 {
		return 0, nil, errors.New("cut off")
	}
	b, err = graph.DecodeBatch(data[1+n:])
	return after, b, err
}

// readSaved reads what the process before left: what each persistent origin had said.
func (a *Analyzer) readSaved(ctx context.Context) (map[string]*fold, error) {
	a.vault.mu.Lock()
	defer a.vault.mu.Unlock()
	if a.vault.restored || !a.opts.Stream.File {
		a.vault.restored = true
		return nil, nil
	}
	v, err := a.openVault()
	if err != nil {
		return nil, err
	}
	folds := map[string]*fold{}
	var first uint64
	err = v.Load(ctx, func(name string, data []byte, err error) {
		if bus.MemberOf(name) != a.member {
			return // of another analyzer
		}
		var after uint64
		var b *graph.Batch
		if err == nil {
			after, b, err = parseSaved(data)
		}
		if err != nil {
			a.log.Warn("saved origin not readable", "origin", name, "error", err)
			return
		}
		if len(folds) == 0 || after < first {
			first = after
		}
		f := newFold()
		f.apply(b)
		folds[name] = f
		a.vault.saved[name] = true
	})
	if err != nil {
		return nil, err
	}
	if len(folds) > 0 {
		err = a.conn.Replay(a.opts.Stream, a.member, first, func(d bus.Delivery) {
			part, err := graph.ReadPart(d.Data)
			if err != nil || folds[part.Origin] == nil {
				return
			}
			if b, err := graph.DecodeBatch(d.Data); err == nil {
				folds[part.Origin].apply(b)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	a.vault.restored = true
	return folds, nil
}

// restore says again what persistent origins had said. What is about elements that are not
// there waits for them.
func (a *Analyzer) restore(ctx context.Context, folds map[string]*fold) {
	waits := map[string]api.Pending{}
	for name, f := range folds {
		o := a.writers.open(a, name)
		o.mu.Lock()
		touched := o.touched
		o.persist = true
		o.mu.Unlock()
		if !touched { // else this process knows better already
			// All of it is said, so that the stream has it for the next process; what the
			// graph cannot take yet is said again.
			events := f.events()
			_, later := present(a.graph.View(), events)
			if len(later) > 0 {
				a.vault.mu.Lock()
				a.vault.waiting[name] = later
				a.vault.mu.Unlock()
			}
			p, err := o.Snapshot(ctx, events)
			if err != nil {
				a.log.Warn("origin not restored", "origin", name, "error", err)
			} else {
				waits[name] = p
			}
		}
		o.Close()
	}
	for name, p := range waits {
		if _, err := p.Wait(ctx); err != nil {
			a.log.Warn("origin not restored yet", "origin", name, "error", err)
		}
	}
}

// present parts the events of a snapshot into those that can be applied now, and those on
// elements, or between nodes, that are not there yet.
func present(v *graph.View, events []graph.Event) (now, later []graph.Event) {
	nodes := map[string]bool{}
	there := func(id string) bool {
		_, ok := v.Node(id)
		return ok || nodes[id]
	}
	for _, e := range events {
		if e.Op == graph.PutNode {
			nodes[e.ID] = true
		}
	}
	for _, e := range events {
		ok := true
		switch {
		case e.Op == graph.PutEdge:
			ok = there(e.Parent) && there(e.Child)
		case e.Op == graph.PutLayer && e.Edge:
			_, ok = v.Edge(e.ID)
		case e.Op == graph.PutLayer:
			ok = there(e.ID)
		}
		if ok {
			now = append(now, e)
		} else {
			later = append(later, e)
		}
	}
	return now, later
}

// sayWaiting says what waited for elements that are there by now. What the origin has said
// itself of an element since is newer, and stays.
func (a *Analyzer) sayWaiting(ctx context.Context) {
	a.vault.mu.Lock()
	names := slices.Sorted(maps.Keys(a.vault.waiting))
	a.vault.mu.Unlock()
	for _, name := range names {
		view := a.graph.View()
		a.vault.mu.Lock()
		now, later := present(view, a.vault.waiting[name])
		a.vault.mu.Unlock()
		now = slices.DeleteFunc(now, func(e graph.Event) bool { return speaks(view, name, e) })
		if len(now) > 0 {
			o := a.writers.open(a, name)
			p, err := o.Commit(ctx, now)
			if err == nil {
				_, err = p.Wait(ctx)
			}
			o.Close()
			if err != nil {
				continue // the next round repeats it
			}
		}
		a.vault.mu.Lock()
		a.vault.waiting[name] = later
		if len(later) == 0 {
			delete(a.vault.waiting, name)
		}
		a.vault.mu.Unlock()
	}
}

// speaks says whether the origin has a say already where the event would put one.
func speaks(v *graph.View, origin string, e graph.Event) bool {
	var el graph.Element
	if e.Edge || e.Op == graph.PutEdge {
		edge, _ := v.Edge(e.ID)
		el = edge.Element
	} else {
		node, _ := v.Node(e.ID)
		el = node.Element
	}
	if el.IsZero() {
		return false
	}
	for l := range el.Layers() {
		if l.Origin == origin {
			return true
		}
	}
	return e.Op == graph.PutEdge
}

// streamBack is called when the stream is there, or back.
func (a *Analyzer) streamBack(ctx context.Context) {
	a.vault.mu.Lock()
	restored := a.vault.restored
	a.vault.mu.Unlock()
	if !restored {
		ctx, cancel := context.WithTimeout(ctx, slowStorage)
		defer cancel()
		folds, err := a.readSaved(ctx)
		if err != nil {
			a.log.Warn("what persistent publishers said is not restored yet", "error", err)
		} else {
			a.restore(ctx, folds)
		}
	}
	select {
	case a.vault.due <- struct{}{}:
	default:
	}
	if a.opts.OnStream != nil {
		a.opts.OnStream()
	}
}

// settled waits until the feed has the stream, or knows why it has not. An origin that is
// opened before could not tell the next process to look for it.
func (a *Analyzer) settled(ctx context.Context) {
	if !a.opts.Stream.File {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, longestStart)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for a.feed.State().Starting {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
