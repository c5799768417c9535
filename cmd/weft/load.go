package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/skydive"
)

// loadMode is what a load does with the elements of its file.
type loadMode int

const (
	loadAdd loadMode = iota
	loadUpdate
	loadDelete
)

// names of a mode: the command, what is going on, what was done.
func (m loadMode) verb() string   { return [...]string{"add", "update", "delete"}[m] }
func (m loadMode) doing() string  { return [...]string{"adding", "updating", "deleting"}[m] }
func (m loadMode) done() string   { return [...]string{"added", "updated", "deleted"}[m] }
func (m loadMode) effect() string { return [...]string{"Add", "Update", "Delete"}[m] }

// message is the type of the message for one element.
func (m loadMode) message(edge bool) string {
	if edge {
		return [...]string{skydive.MsgEdgeAdded, skydive.MsgEdgeUpdated, skydive.MsgEdgeDeleted}[m]
	}
	return [...]string{skydive.MsgNodeAdded, skydive.MsgNodeUpdated, skydive.MsgNodeDeleted}[m]
}

// rule is what is particular to the mode, a line or two of the help.
func (m loadMode) rule() string {
	switch m {
	case loadUpdate:
		return `Of an
element that another origin owns (such as a link that the kernel shows) only what the
file says differently is laid over it; 'weft delete' takes that away again.`
	case loadDelete:
		return `Only
what 'weft add' or 'weft update' said under the same --host and --client-type goes.`
	}
	return `Edges
may stand before their nodes.`
}

func newLoads(conn *connection) []*cobra.Command {
	return []*cobra.Command{newLoad(conn, loadAdd), newLoad(conn, loadUpdate), newLoad(conn, loadDelete)}
}

func newLoad(conn *connection, mode loadMode) *cobra.Command {
	l := load{conn: conn, mode: mode}
	cmd := &cobra.Command{
		Use:   mode.verb() + " FILE",
		Short: mode.effect() + " the nodes and edges of a file",
		Long: mode.effect() + `s the nodes and edges of a file ('-': standard input) and waits until that is visible
to everyone. The file may hold what 'weft dump' writes ({"Nodes":[…],"Edges":[…]}), an
array of nodes and edges, or one after the other; it may be larger than memory. ` + mode.rule() + `
What the analyzer refuses is listed with the reason, the rest is done, and the exit code
is 1.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return l.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVar(&l.clientType, "client-type", "weft", "with the host makes the origin of what is added: TYPE.HOST")
	cmd.Flags().StringVar(&l.host, "host", "", "name to publish under (default: this host's)")
	cmd.Flags().BoolVar(&l.quiet, "quiet", false, "no summary when all went well")
	if mode == loadUpdate {
		cmd.Flags().BoolVar(&l.force, "force", false, "update also what the analyzer has in the same or a newer revision")
	}
	return cmd
}

// load is one run of add, update or delete.
type load struct {
	conn             *connection
	mode             loadMode
	clientType, host string
	force, quiet     bool

	sent     int
	rejected rejections
	held     []element       // sent at the end, see hold
	known    map[string]bool // ids of the nodes that were sent; of add
}

func (l *load) run(ctx context.Context, file string) error {
	sh := l.conn.sh
	in, size, err := sh.openInput(file)
	if err != nil {
		return err
	}
	defer in.Close()
	pub, err := l.conn.publish(ctx, l.clientType, l.host, func(e *client.PublishError) {
		l.rejected.add(e.ID, "", e.Reason)
	})
	if err != nil {
		return err
	}
	defer pub.close(ctx)

	counted := &countingReader{r: in}
	bar := newProgress(sh.err, sh.errScreen, l.mode.doing()+" "+file, size, func() int64 { return counted.n })
	l.known = map[string]bool{}
	err = readElements(counted, func(el element) error {
		bar.update(l.sent)
		if l.hold(el) {
			l.held = append(l.held, el)
			return nil
		}
		return l.send(ctx, pub, el)
	}, func(bad *badElement) error {
		l.rejected.add("", bad.At, bad.Reason.Error())
		return nil
	})
	for _, el := range l.held {
		if err != nil {
			break
		}
		bar.update(l.sent)
		err = l.send(ctx, pub, el)
	}
	if flushErr := pub.flush(ctx); err == nil {
		err = flushErr
	}
	if err == nil {
		err = l.findWaiting(ctx)
	}
	bar.clear()
	if err != nil {
		return fmt.Errorf("%s: %w (%d elements were sent before)", file, err, l.sent)
	}
	return l.summary(file)
}

// hold says whether an element must wait for the end of the file: when adding, an
// edge that came before its nodes, which not every analyzer would keep; when deleting,
// a node, because its edges go with it and would then be unknown.
func (l *load) hold(el element) bool {
	switch l.mode {
	case loadAdd:
		if el.edge {
			return !l.known[el.parent] || !l.known[el.child]
		}
		l.known[el.id] = true
	case loadDelete:
		return !el.edge
	}
	return false
}

// askAtOnce is how many edges one query asks for.
const askAtOnce = 500

// findWaiting looks for edges that were sent although the file does not have both of
// their nodes: if the analyzer does not have them either, an edge waits there for a
// while and then goes, when nobody is left to be told.
func (l *load) findWaiting(ctx context.Context) error {
	var suspects []string
	for _, el := range l.held {
		if el.edge && (!l.known[el.parent] || !l.known[el.child]) {
			suspects = append(suspects, el.id)
		}
	}
	for ids := range slices.Chunk(suspects, askAtOnce) {
		there, err := l.conn.edgesOf(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !there[id] && !l.rejected.has(id) {
				l.rejected.add(id, "", "edge without its nodes: add them, and then it again")
			}
		}
	}
	return nil
}

func (l *load) send(ctx context.Context, pub *publication, el element) error {
	text := el.text
	if l.force {
		var err error
		if text, err = withoutRevision(text); err != nil {
			return err
		}
	}
	l.sent++
	return pub.send(ctx, l.mode.message(el.edge), text)
}

// withoutRevision leaves the member Revision out, which lets the analyzer count on.
func withoutRevision(text jsontext.Value) (jsontext.Value, error) {
	r, err := parseRecord(text)
	if err != nil {
		return nil, err
	}
	out := []byte{'{'}
	for _, key := range r.keys {
		if key == "Revision" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, quoted(key)...), ':'), r.values[key]...)
	}
	return append(out, '}'), nil
}

func (l *load) summary(file string) error {
	sh := l.conn.sh
	bad := l.rejected.count()
	if bad == 0 {
		if !l.quiet {
			sh.note("%d elements of %s %s", l.sent, file, l.mode.done())
		}
		return nil
	}
	for _, line := range l.rejected.lines() {
		sh.note("%s", line)
	}
	hint := ""
	if l.mode == loadUpdate && !l.force && l.rejected.mention("revision") {
		hint = ": to update whatever revision is there, use --force"
	}
	return fmt.Errorf("%s: %d of %d elements were rejected%s", file, bad, l.sent+l.rejected.local, hint)
}

// rejections collects what was refused, by reason, with a bound on what it keeps. Any
// goroutine may add; the rest is for when all are done.
type rejections struct {
	mu      sync.Mutex
	ids     map[string]bool
	reasons []string // in order of occurrence
	by      map[string]*rejection
	total   int
	local   int // of total: found here, never sent
}

type rejection struct {
	count int
	first []string // where, or the ids
}

// Bounds of what is kept of rejections.
const (
	maxReasons  = 20
	maxExamples = 5
)

func (r *rejections) add(id, at, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	if id == "" && at != "" {
		r.local++
		id = at
	}
	// The reason usually names the element; without it equal reasons meet.
	if id != "" {
		reason = strings.ReplaceAll(reason, id, "…")
	}
	if r.by == nil {
		r.by = map[string]*rejection{}
		r.ids = map[string]bool{}
	}
	r.ids[id] = true
	one := r.by[reason]
	if one == nil {
		if len(r.reasons) >= maxReasons {
			reason = "other reasons"
			one = r.by[reason]
		}
		if one == nil {
			one = &rejection{}
			r.by[reason] = one
			r.reasons = append(r.reasons, reason)
		}
	}
	one.count++
	if id != "" && len(one.first) < maxExamples {
		one.first = append(one.first, id)
	}
}

func (r *rejections) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[id]
}

func (r *rejections) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

func (r *rejections) mention(word string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.reasons, func(reason string) bool { return strings.Contains(strings.ToLower(reason), word) })
}

func (r *rejections) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := make([]string, 0, len(r.reasons))
	for _, reason := range r.reasons {
		one := r.by[reason]
		examples := strings.Join(one.first, ", ")
		if one.count > len(one.first) && len(one.first) > 0 {
			examples += ", …"
		}
		if examples != "" {
			examples = ": " + examples
		}
		lines = append(lines, printable(fmt.Sprintf("rejected %d, %s%s", one.count, reason, examples)))
	}
	return lines
}
