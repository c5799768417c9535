package analyzer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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
	mu       sync.Mutex
	saved    map[string]bool // by full name of the origin
	restored bool            // what the last process left has been read
	last     time.Time
}

const (
	vaultName   = "weft_origins"
	saveBytes   = 16 << 20 // said since the last snapshot, before there is another
	saveTick    = time.Second
	savedFormat = 1
	slowStorage = 10 * time.Second
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
		case <-tick.C:
			if a.feed.State().Persistent {
				a.saveAll(false)
			}
		}
	}
}

// saveAll saves the origins that need it; all that changed when the process ends.
func (a *Analyzer) saveAll(end bool) {
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
		unsaved, persist := o.unsaved, o.persist
		o.mu.Unlock()
		a.vault.mu.Lock()
		known := a.vault.saved[o.name]
		a.vault.mu.Unlock()
		if !persist || known && (unsaved == 0 || unsaved < saveBytes && !old && !end) {
			continue
		}
		if err := a.saveOrigin(ctx, o); err != nil {
			a.log.Warn("origin not saved", "origin", o.name, "error", err)
		}
	}
}

func (a *Analyzer) saveOrigin(ctx context.Context, o *origin) error {
	// What is read first is contained in the view that is taken after it: to replay a
	// batch that the snapshot has already does no harm, to miss one would.
	o.mu.Lock()
	b := graph.Batch{Origin: o.name, Epoch: o.epoch, Seq: o.seq - uint64(len(o.pending)), Snapshot: true}
	after, unsaved := o.streamSeq, o.unsaved
	if after == 0 {
		after = a.feedSequence()
	}
	o.mu.Unlock()
	b.Events = bus.Collect(a.graph.View(), o.name)
	v, err := a.openVault()
	if err != nil {
		return err
	}
	if err := v.Save(ctx, o.name, graph.AppendBatch(appendSaved(nil, after), &b)); err != nil {
		return err
	}
	o.mu.Lock()
	o.unsaved -= unsaved
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

// restore says again what persistent origins had said.
func (a *Analyzer) restore(ctx context.Context, folds map[string]*fold) {
	waits := map[string]api.Pending{}
	for name, f := range folds {
		o := a.writers.open(a, name)
		o.mu.Lock()
		touched := o.touched
		o.persist = true
		o.mu.Unlock()
		if !touched { // else this process knows better already
			p, err := o.Snapshot(ctx, f.events())
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
	if a.opts.OnStream != nil {
		a.opts.OnStream()
	}
}

// fold adds up the batches of one origin to what it says in the end, without a graph: its
// edges and layers may be on elements of others that are not there yet.
type fold struct {
	epoch, seq uint64
	elements   map[string]*graph.Event // nodes and edges of its own, by id
	order      []string
	layers     map[string]*graph.Event // on elements of others, by kind and id
	said       []string
}

func newFold() *fold {
	f := &fold{}
	f.clear()
	return f
}

func (f *fold) clear() {
	f.elements, f.order = map[string]*graph.Event{}, nil
	f.layers, f.said = map[string]*graph.Event{}, nil
}

func (f *fold) apply(b *graph.Batch) {
	if b.Epoch < f.epoch || b.Epoch == f.epoch && b.Seq <= f.seq && b.Seq > 0 {
		return
	}
	f.epoch, f.seq = b.Epoch, b.Seq
	if b.Snapshot {
		f.clear()
	}
	for i := range b.Events {
		f.event(b.Events[i])
	}
}

func (f *fold) event(e graph.Event) {
	key := e.ID
	onEdge := e.Edge || e.Op == graph.PatchEdge
	if onEdge {
		key = "edge " + e.ID
	}
	switch e.Op {
	case graph.PutNode, graph.PutEdge:
		old := f.elements[e.ID]
		if old == nil {
			f.order = append(f.order, e.ID)
		} else if e.CreatedAt == 0 {
			e.CreatedAt = old.CreatedAt
		}
		f.elements[e.ID] = &e
	case graph.DeleteNode:
		delete(f.elements, e.ID)
		for id, edge := range f.elements {
			if edge.Op == graph.PutEdge && (edge.Parent == e.ID || edge.Child == e.ID) {
				delete(f.elements, id)
			}
		}
	case graph.DeleteEdge:
		delete(f.elements, e.ID)
	case graph.PatchNode, graph.PatchEdge:
		to := f.elements[e.ID]
		if to == nil {
			if to = f.layers[key]; to == nil {
				to = &graph.Event{Op: graph.PutLayer, ID: e.ID, Edge: onEdge, Rank: e.Rank}
				f.layers[key] = to
				f.said = append(f.said, key)
			}
		}
		for _, op := range e.Patch {
			if op.Value.Kind() == graph.KindRemoved && to.Op != graph.PutLayer {
				to.Metadata = to.Metadata.Unset(op.Path)
			} else {
				to.Metadata = to.Metadata.Set(op.Path, op.Value)
			}
		}
		if e.UpdatedAt != 0 {
			to.UpdatedAt = e.UpdatedAt
		}
		to.Revision = max(to.Revision, e.Revision)
	case graph.PutLayer:
		if f.layers[key] == nil {
			f.said = append(f.said, key)
		}
		f.layers[key] = &e
	case graph.DropLayer:
		delete(f.layers, key)
	case graph.PutSample: // old counters are of no use
	}
}

// events are the fold as those of a Snapshot.
func (f *fold) events() []graph.Event {
	var nodes, rest []graph.Event
	for _, id := range f.order {
		if e := f.elements[id]; e != nil {
			if e.Op == graph.PutNode {
				nodes = append(nodes, *e)
			} else {
				rest = append(rest, *e)
			}
			delete(f.elements, id) // deleted and made again: it is in the order twice
		}
	}
	for _, key := range f.said {
		if e := f.layers[key]; e != nil {
			rest = append(rest, *e)
			delete(f.layers, key)
		}
	}
	return append(nodes, rest...)
}

// String says how much is in the fold, for logs.
func (f *fold) String() string {
	return fmt.Sprintf("%d elements, %d layers", len(f.elements), len(f.layers))
}
