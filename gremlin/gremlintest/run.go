package gremlintest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/gremlin"
)

// Run runs every script of a folder, each as a test of its name, and then each against the past.
func Run(t *testing.T, fsys fs.FS) {
	t.Helper()
	scripts, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) == 0 {
		t.Fatal("no *.script in the folder")
	}
	for _, s := range scripts {
		t.Run(strings.TrimSuffix(s.Name, ".script"), func(t *testing.T) {
			for _, err := range s.Check() {
				t.Error(err)
			}
		})
	}
}

// question is an eval that was answered, to be asked again later.
type question struct {
	command command
	clock   time.Duration
	moment  graph.Moment
	options gremlin.Options
	flows   []*flow
}

// Check runs one script, as it goes and then against the past, and gives what is not as the script says. A mistake in
// the script itself ends it.
func (s *Script) Check() (failures []error) {
	w := newWorld()
	var options gremlin.Options
	var asked []question
	for _, c := range s.commands {
		var err error
		switch c.verb {
		case "load":
			err = w.apply(c.body)
		case "at":
			var d time.Duration
			if d, err = clockTime(c.rest); err == nil {
				if d < w.clock {
					err = fmt.Errorf("the clock is already at %s", w.clock)
				}
				w.clock = d
			}
			if err == nil {
				err = w.apply(c.body)
			}
		case "options":
			err = parseOptions(&options, c.rest)
		case "eval":
			q := question{c, w.clock, max(w.graph.Now(), w.graph.Earliest()), options, slices.Clone(w.flows.flows)}
			asked = append(asked, q)
			if err := w.ask(q, w.graph.View(), true); err != nil {
				failures = append(failures, fmt.Errorf("%s:%d: %s\n%w", s.Name, c.line, c.rest, err))
			}
		}
		if err != nil {
			return append(failures, fmt.Errorf("%s:%d: %w", s.Name, c.line, err))
		}
	}
	if err := w.wipe(); err != nil {
		return append(failures, fmt.Errorf("%s: wiping the graph: %w", s.Name, err))
	}
	if n := w.graph.View().NodeCount(); n != 0 {
		return append(failures, fmt.Errorf("%s: %d nodes are left after everything was deleted", s.Name, n))
	}
	for _, q := range asked {
		v, err := w.graph.At(q.moment)
		if err == nil {
			err = w.ask(q, v, false)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s:%d: asked of the past: %s\n%w", s.Name, q.command.line, q.command.rest, err))
		}
	}
	return failures
}

func parseOptions(o *gremlin.Options, text string) (err error) {
	for _, word := range split(text) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "MaxResults":
			o.MaxResults, err = strconv.Atoi(value)
		case "Deadline":
			o.Deadline, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("unknown option %q", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ask executes a query on a view and compares the answer with what the script says.
func (w *world) ask(q question, v *graph.View, live bool) error {
	parsed, err := gremlin.Parse(q.command.rest)
	if err != nil {
		return checkError(q.command.body, err)
	}
	text := parsed.String()
	again, err := gremlin.Parse(text)
	if err != nil {
		return fmt.Errorf("the canonical form %s does not parse: %w", text, err)
	}
	if again.String() != text {
		return fmt.Errorf("the canonical form %s turns into %s", text, again)
	}
	options := q.options
	options.Now = func() time.Time { return Start.Add(q.clock) }
	if len(q.flows) > 0 {
		options.Flows = &flowTable{q.flows}
	}
	result, err := gremlin.New(w.graph, options).ExecOn(context.Background(), parsed, v)
	if err != nil {
		return checkError(q.command.body, err)
	}
	return check(q.command.body, result, live)
}

func checkError(body []bodyLine, err error) error {
	for _, l := range body {
		want, ok := strings.CutPrefix(l.text, "error ")
		if part, partly := strings.CutPrefix(want, "~ "); ok && partly && strings.Contains(err.Error(), part) {
			return nil
		}
		if ok && err.Error() == want {
			return nil
		}
	}
	return fmt.Errorf("error: %w", err)
}

// check compares a result with the expectations below an eval.
func check(body []bodyLine, r *gremlin.Result, live bool) error {
	if len(body) == 0 {
		return fmt.Errorf("nothing is expected of the answer: %s", render(r))
	}
	var paths [][]string
	checked := false
	for _, l := range body {
		ordered := false
		what, rest, _ := strings.Cut(l.text, " ")
		if what == "ordered" {
			ordered = true
			what, rest, _ = strings.Cut(rest, " ")
		}
		var err error
		switch what {
		case "plan":
			if live {
				err = checkPlan(r, rest)
			}
			if err != nil {
				return fmt.Errorf("line %d: %w", l.line, err)
			}
			continue
		case "path":
			paths = append(paths, split(rest))
		case "error":
			err = fmt.Errorf("expected an error, got %s", render(r))
		case "nodes", "edges", "graph", "values", "rows", "json":
			err = checkResult(what, rest, ordered, r)
		default:
			err = fmt.Errorf("unknown expectation %q", what)
		}
		checked = true
		if err != nil {
			return fmt.Errorf("line %d: %w", l.line, err)
		}
	}
	if !checked {
		return fmt.Errorf("only the plan is expected; say what the answer is")
	}
	if paths != nil {
		return checkPaths(paths, r)
	}
	return nil
}

func checkPlan(r *gremlin.Result, want string) error {
	for _, step := range r.Explain().Steps {
		if step.Index != "" {
			if step.Index != want {
				return fmt.Errorf("plan: %s used %q, expected %q", step.Text, step.Index, want)
			}
			return nil
		}
	}
	return fmt.Errorf("plan: no step looked anything up, expected %q", want)
}

func checkResult(what, rest string, ordered bool, r *gremlin.Result) error {
	nodes, edges := r.Graph()
	switch what {
	case "nodes":
		if r.Kind() != gremlin.KindNodes {
			return fmt.Errorf("expected nodes, got %s: %s", r.Kind(), render(r))
		}
		return sameWords(split(rest), nodeIDs(nodes), ordered)
	case "edges":
		if r.Kind() != gremlin.KindEdges {
			return fmt.Errorf("expected edges, got %s: %s", r.Kind(), render(r))
		}
		return sameWords(split(rest), edgeIDs(edges), ordered)
	case "graph":
		if !r.IsGraph() {
			return fmt.Errorf("expected a graph, got %s: %s", r.Kind(), render(r))
		}
		wantNodes, wantEdges, _ := strings.Cut(rest, "/")
		if err := sameWords(split(wantNodes), nodeIDs(nodes), false); err != nil {
			return err
		}
		return sameWords(split(strings.TrimSpace(wantEdges)), edgeIDs(edges), false)
	case "values":
		var want, got []string
		for _, word := range split(rest) {
			want = append(want, canonical([]byte(word)))
		}
		for _, v := range r.Values() {
			got = append(got, canonical(v.AppendJSON(nil)))
		}
		return sameWords(want, got, ordered)
	case "rows":
		if rest != strconv.Itoa(r.Len()) {
			return fmt.Errorf("expected %s rows, got %d", rest, r.Len())
		}
		return nil
	}
	if got := canonical([]byte(render(r))); got != canonical([]byte(rest)) {
		return fmt.Errorf("expected %s\n     got %s", canonical([]byte(rest)), got)
	}
	return nil
}

func checkPaths(want [][]string, r *gremlin.Result) error {
	var got [][]string
	for _, path := range r.Paths() {
		got = append(got, nodeIDs(path))
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("expected the paths %v, got %v", want, got)
	}
	return nil
}

func nodeIDs(nodes []graph.Node) []string {
	var ids []string
	for _, n := range nodes {
		ids = append(ids, n.ID())
	}
	return ids
}

func edgeIDs(edges []graph.Edge) []string {
	var ids []string
	for _, e := range edges {
		ids = append(ids, e.ID())
	}
	return ids
}

func sameWords(want, got []string, ordered bool) error {
	w, g := slices.Clone(want), slices.Clone(got)
	if !ordered {
		slices.Sort(w)
		slices.Sort(g)
	}
	if !slices.Equal(w, g) {
		return fmt.Errorf("expected %v, got %v", w, g)
	}
	return nil
}

// render writes the result as JSON, both ways, which must agree.
func render(r *gremlin.Result) string {
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		return "WriteJSON: " + err.Error()
	}
	if text, err := r.AppendJSON(nil); err != nil || !bytes.Equal(text, b.Bytes()) {
		return "AppendJSON and WriteJSON differ"
	}
	return b.String()
}

// canonical writes JSON with sorted keys; what is not JSON stays as it is.
func canonical(text []byte) string {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		return string(text)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return string(text)
	}
	return string(out)
}
