package analyzer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/capture/order"
	"github.com/weft-net/weft/skydive"
)

// captures finds out which nodes are to be captured, and tells the hosts: each host gets its whole desired state
// whenever its heartbeats show that it follows another one. All analyzers compute the same from the same store and
// graph; the first by name sends.
//
// What a host does is not cut back while the graph may lack a part: not before the host's own part is there, and
// not in the first seconds of this process, when the store may still be read.
type captures struct {
	a *Analyzer

	mu      sync.Mutex
	byID    map[string]*captured
	desired map[string]order.Orders // by host
	sent    map[string]*dispatch    // by host
	hosts   map[string]bool         // that run captures, or shall
	sums    sums
}

// captured is one capture and the nodes that its query gives now.
type captured struct {
	capture skydive.Capture // without what changes by itself
	query   *gremlin.Query
	filter  *gremlin.Filter       // nil: evaluate as a whole
	nodes   map[string]graph.Node // by id, as of when they matched
	since   graph.Moment          // nodes that came later are fresh if they match at once
	fresh   map[string]bool       // of nodes
	added   map[string]bool       // not evaluated yet, for want of a filter
	dirty   bool
	next    time.Time // when it may be evaluated as a whole again
	err     error     // why the last evaluation failed
}

// dispatch is the last attempt to tell a host.
type dispatch struct {
	hash    uint64
	at      time.Time
	running bool
	told    time.Time // when a failure was last logged
}

const (
	captureTick   = 25 * time.Millisecond
	captureDelay  = 200 * time.Millisecond
	captureSettle = 5 * time.Second // after the start, before a host is told to capture less
	orderTimeout  = 5 * time.Second
	orderRepeat   = 2 * time.Second // while heartbeats do not show that an order arrived
	ordersVerb    = "orders"
	mostAdded     = 1 << 16
)

func newCaptures(a *Analyzer) *captures {
	return &captures{
		a: a, byID: map[string]*captured{}, desired: map[string]order.Orders{}, sent: map[string]*dispatch{}, hosts: map[string]bool{},
		sums: newSums(),
	}
}

func (c *captures) run(ctx context.Context) {
	events, err := c.a.opts.Store.Watch(ctx, api.KindCapture)
	if err != nil {
		c.a.log.Warn("captures are not followed", "error", err)
		return
	}
	kept, err := c.a.opts.Store.Watch(ctx, kindCaptureSum)
	if err != nil {
		c.a.log.Warn("what captures counted on hosts that are gone is not followed", "error", err)
		return
	}
	sub := c.a.graph.Subscribe()
	defer sub.Close()
	var looked time.Time
	var sending sync.WaitGroup
	defer sending.Wait()
	tick := time.NewTicker(captureTick)
	defer tick.Stop()
	for {
		changed := false
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if ok {
				c.change(e)
				changed = true
			}
		case e, ok := <-kept:
			if ok {
				c.heardSum(e)
			}
		case <-tick.C:
		}
		if c.follow(ctx, sub) || changed {
			c.compute()
		}
		followed := c.a.members.orders()
		c.look(followed)
		if c.a.leads() {
			c.dispatch(ctx, &sending, followed)
		}
		if time.Since(looked) > sumTick {
			looked = time.Now()
			c.keepSums(ctx, c.a.leads())
		}
	}
}

// change takes a change of the store.
func (c *captures) change(e api.StoreEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Data == nil {
		delete(c.byID, e.ID)
		return
	}
	one := &captured{
		nodes: map[string]graph.Node{}, fresh: map[string]bool{}, added: map[string]bool{}, since: c.a.graph.View().Moment(), dirty: true,
	}
	if err := json.Unmarshal(e.Data, &one.capture); err != nil {
		c.a.log.Warn("capture not readable", "id", e.ID, "error", err)
		return
	}
	one.capture.UUID, one.capture.Count = e.ID, 0
	query, err := gremlin.Parse(one.capture.GremlinQuery)
	if err != nil {
		one.err = fmt.Errorf("query: %w", err)
	} else {
		one.query = query
		one.filter, _ = query.Filter()
	}
	c.byID[e.ID] = one
}

// follow brings the nodes of every capture up to date with the graph. It reports whether any set of nodes changed.
func (c *captures) follow(ctx context.Context, sub *graph.Subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := false
	for range ruleCommits {
		commit, ok, err := sub.TryNext()
		if err != nil { // the place is lost: look at everything
			sub.Resync()
			for _, one := range c.byID {
				one.dirty = true
			}
			break
		}
		if !ok {
			break
		}
		for _, one := range c.byID {
			changed = one.take(commit) || changed
		}
	}
	now := time.Now()
	for _, one := range c.byID {
		if one.dirty && one.query != nil && !now.Before(one.next) {
			one.dirty, one.next = false, now.Add(captureDelay)
			changed = c.evaluate(ctx, one) || changed
		}
	}
	return changed
}

// take follows one commit.
func (one *captured) take(commit *graph.Commit) (changed bool) {
	for i := range commit.Changes {
		ch := &commit.Changes[i]
		if ch.Sample {
			continue
		}
		isNew := ch.Kind == graph.NodeAdded && commit.Moment > one.since
		if one.filter == nil {
			one.dirty = true
			if isNew && len(one.added) < mostAdded {
				one.added[ch.Node.ID()] = true
			}
			continue
		}
		if ch.Kind != graph.NodeAdded && ch.Kind != graph.NodeUpdated && ch.Kind != graph.NodeDeleted {
			continue
		}
		id := ch.Node.ID()
		_, was := one.nodes[id]
		is := ch.Kind != graph.NodeDeleted && one.filter.Node(ch.Node)
		if is {
			one.nodes[id] = ch.Node
		} else {
			delete(one.nodes, id)
			delete(one.fresh, id)
		}
		if is && isNew {
			one.fresh[id] = true
		}
		changed = changed || was != is
	}
	return changed
}

// evaluate asks the query anew.
func (c *captures) evaluate(ctx context.Context, one *captured) bool {
	result, err := c.a.opts.Engine.Exec(ctx, one.query)
	if err != nil {
		if one.err == nil && ctx.Err() == nil {
			c.a.log.Warn("query of a capture failed", "capture", one.capture.UUID, "error", err)
		}
		one.err, one.dirty = err, true
		one.next = time.Now().Add(time.Second)
		return false
	}
	one.err = nil
	list, _ := result.Graph()
	nodes := make(map[string]graph.Node, len(list))
	changed := len(list) != len(one.nodes)
	for _, n := range list {
		nodes[n.ID()] = n
		if _, was := one.nodes[n.ID()]; !was {
			changed = true
			if one.added[n.ID()] {
				one.fresh[n.ID()] = true
			}
		}
	}
	one.nodes = nodes
	clear(one.added)
	maps.DeleteFunc(one.fresh, func(id string, _ bool) bool { _, is := nodes[id]; return !is })
	return changed
}

// compute makes the orders of each host.
func (c *captures) compute() {
	c.mu.Lock()
	defer c.mu.Unlock()
	desired := map[string]order.Orders{}
	for host := range c.desired { // a host that had orders gets empty ones
		desired[host] = order.Orders{}
	}
	for _, one := range c.byID {
		byHost := map[string]order.Order{}
		for id, n := range one.nodes {
			tid, _ := n.Field("TID")
			if host := n.Host(); host != "" && tid.Str() != "" {
				o := byHost[host]
				o.Capture, o.Nodes = one.capture, append(o.Nodes, order.Node{ID: id, TID: tid.Str()})
				if one.fresh[id] {
					o.Fresh = append(o.Fresh, id)
				}
				byHost[host] = o
			}
		}
		for host, here := range byHost {
			o := desired[host]
			o.Captures = append(o.Captures, here)
			desired[host] = o
		}
	}
	for host, o := range desired {
		o.From, o.Keep = c.a.member, c.others(o.Captures)
		o.Seal()
		desired[host] = o
	}
	c.desired = desired
}

// others are the captures that are not among these.
func (c *captures) others(these []order.Order) (ids []string) {
	for id := range c.byID {
		if !slices.ContainsFunc(these, func(o order.Order) bool { return o.Capture.UUID == id }) {
			ids = append(ids, id)
		}
	}
	return ids
}

// nothing is what a host gets that shall capture nothing. The caller holds mu.
func (c *captures) nothing() order.Orders {
	none := order.Orders{From: c.a.member, Keep: c.others(nil)}
	none.Seal()
	return none
}

// look finds the hosts that run captures: by their heartbeats, and by what they are to do, as after a start the graph
// may be here before the first heartbeat.
func (c *captures) look(followed map[string]following) {
	c.mu.Lock()
	defer c.mu.Unlock()
	none := c.nothing()
	clear(c.hosts)
	for host, want := range c.desired {
		if len(want.Captures) > 0 {
			c.hosts[host] = true
		}
	}
	for host, has := range followed {
		if has.hash != 0 && has.hash != none.Hash {
			c.hosts[host] = true
		}
	}
}

// dispatch tells the hosts that follow other orders.
func (c *captures) dispatch(ctx context.Context, sending *sync.WaitGroup, followed map[string]following) {
	c.mu.Lock()
	defer c.mu.Unlock()
	none := c.nothing()
	early := time.Since(c.a.mono) < captureSettle
	now := time.Now()
	for host, has := range followed {
		want, known := c.desired[host]
		if !known {
			want = none
		}
		if has.away || has.hash == want.Hash || has.hash == 0 && len(want.Captures) == 0 {
			continue
		}
		if has.hash != 0 && has.hash != none.Hash && (early || !has.whole) {
			continue // it may follow orders that are right, and that cannot be known yet
		}
		d := c.sent[host]
		if d == nil {
			d = &dispatch{}
			c.sent[host] = d
		}
		if d.running || d.hash == want.Hash && now.Sub(d.at) < orderRepeat {
			continue
		}
		d.hash, d.at, d.running = want.Hash, now, true
		sending.Go(func() { c.send(ctx, host, want, d) })
	}
	for host := range c.sent {
		if _, there := followed[host]; !there {
			delete(c.sent, host)
		}
	}
}

// send tells one host.
func (c *captures) send(ctx context.Context, host string, orders order.Orders, d *dispatch) {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	data, err := orders.Encode()
	if err == nil {
		for _, askErr := range c.a.conn.Ask(ctx, host, ordersVerb, data) {
			err = askErr
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d.running = false
	if err != nil && ctx.Err() == nil && time.Since(d.told) > time.Minute {
		d.told = time.Now()
		c.a.log.Warn("captures not ordered; trying again", "host", host, "error", err)
	}
}

// following is what a host's heartbeats tell.
type following struct {
	hash  uint64
	away  bool
	whole bool // its part of the graph is here
}

// orders says what the hosts follow.
func (m *members) orders() map[string]following {
	m.mu.Lock()
	defer m.mu.Unlock()
	hosts := make(map[string]following, len(m.byName))
	for name, one := range m.byName {
		if !bus.IsAnalyzer(name) {
			hosts[name] = following{one.beat.Orders, one.away, len(one.claims) == 0 && len(one.at) > 0}
		}
	}
	return hosts
}

// CaptureHosts are the hosts that run captures, or shall.
func (a *Analyzer) CaptureHosts() []string {
	a.captures.mu.Lock()
	defer a.captures.mu.Unlock()
	return slices.Sorted(maps.Keys(a.captures.hosts))
}

// Settling reports whether this analyzer began so lately that hosts which run captures may be unknown to it.
func (a *Analyzer) Settling() bool { return time.Since(a.mono) < captureSettle }

// Captures says what became of each capture, by the nodes that its query gives and what the agents say of them.
func (a *Analyzer) Captures() []api.CaptureInfo {
	c := a.captures
	followed := a.members.orders()
	view := a.graph.View()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sums.look(view)
	infos := make([]api.CaptureInfo, 0, len(c.byID))
	for _, id := range slices.Sorted(maps.Keys(c.byID)) {
		one := c.byID[id]
		info := api.CaptureInfo{ID: id}
		sum, said := c.sums.sum(id)
		info.Ledger = sum
		for _, nodeID := range slices.Sorted(maps.Keys(one.nodes)) {
			n, ok := view.Node(nodeID)
			if !ok {
				n = one.nodes[nodeID]
			}
			node := captureNode(n, id)
			if has, there := followed[node.Host]; node.State != "failed" && (!there || has.away) {
				node.State, node.Error = "waiting", "the agent of host "+node.Host+" does not answer"
			}
			if node.State == "active" {
				info.Active++
			}
			if !said[node.Host] { // nothing was counted yet, or the host has no node of its own
				info.Ledger = info.Ledger.Add(node.Ledger)
			}
			info.Nodes = append(info.Nodes, node)
		}
		slices.SortStableFunc(info.Nodes, func(x, y api.CaptureNode) int {
			return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.Name, y.Name))
		})
		infos = append(infos, info)
	}
	return infos
}

var (
	errNoHost = errors.New("no agent has this node: capture on what the probes of a host found")
	errNoTID  = errors.New("the node has no TID: capture on what the probes of a host found")
)

// captureNode reads what the agent says of a capture on a node.
func captureNode(n graph.Node, id string) api.CaptureNode {
	text := func(key string) string { v, _ := n.Field(key); return v.Str() }
	node := api.CaptureNode{
		ID: n.ID(), TID: text("TID"), Host: n.Host(), Name: text("Name"), Type: text("Type"),
		State: "waiting", Error: "the agent has not begun yet",
	}
	switch {
	case node.Host == "":
		node.State, node.Error = "failed", errNoHost.Error()
		return node
	case node.TID == "":
		node.State, node.Error = "failed", errNoTID.Error()
		return node
	}
	list, _ := n.Field("Captures")
	if list.Kind() != graph.KindList {
		return node
	}
	for v := range list.All() {
		said := v.Object()
		if textOf(said, "ID") != id {
			continue
		}
		node.State, node.Error = textOf(said, "State"), textOf(said, "Error")
		node.Ledger = ledgerOf(said)
	}
	return node
}
