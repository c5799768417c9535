package gremlintest_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/weft-net/weft/gremlin/gremlintest"
)

const world = `
load
  node a Name=a List=["x y"]
  node b Name=b
  edge ab a -> b
at 5s
  set a Name=z
`

// TestCheck: a script that is right passes, and one that is not says where.
func TestCheck(t *testing.T) {
	for _, c := range []struct{ eval, want string }{
		{"eval G.V()\n  nodes a b", ""},
		{"eval G.V().Has('List', 'x y')\n  nodes a", ""},
		{"eval G.V()\n  nodes a", "s:9: G.V()\nline 10: expected [a], got [a b]"},
		{"eval G.V()\n  edges a", "expected edges, got nodes"},
		{"eval G.E()\n  nodes a", "expected nodes, got edges"},
		{"eval G\n  graph a b / ab\n  plan scan", "no step looked anything up"},
		{"eval G\n  graph a b /", "expected [], got [ab]"},
		{"eval G.V().Sort('Name')\n  ordered nodes a b", "expected [a b], got [b a]"},
		{"eval G.V().Sort('Name')\n  ordered nodes b a", ""},
		{"eval G.V('a').Values('Name')\n  values \"a\"", `expected ["a"], got ["z"]`},
		{"eval G.V().Count()\n  json 3", "expected 3"},
		{"eval G.V().Limit(1)\n  rows 2", "expected 2 rows, got 1"},
		{"eval G.V('a').ShortestPathTo(Metadata('Name', 'b'))\n  path b a", "expected the paths [[b a]], got [[a b]]"},
		{"eval G.V().Has('Name', 'b')\n  nodes b\n  plan scan", `used "index Name", expected "scan"`},
		{"eval G.V('c')\n  nodes", "Node 'c' does not exist"},
		{"eval G.V('c')\n  error ~ does not exist", ""},
		{"eval G.V('c')\n  error other", "Node 'c' does not exist"},
		{"eval G.V()\n  error ~ something", "expected an error"},
		{"eval G.V()", "nothing is expected"},
		{"eval G.V()\n  plan scan", "say what the answer is"},
		{"eval G.V()\n  nudes a", `unknown expectation "nudes"`},
		{"at 1s\n  set a X=1", "the clock is already at 5s"},
		{"at 9s\n  frob a", `unknown verb "frob"`},
		{"at 9s\n  edge x a -> nope", "no node to stand on"},
		{"at 9s\n  set nope X=1", "nope"},
		{"at 9s\n  set a X", "expected key=value"},
		{"options Colour=red", "unknown option"},
	} {
		s, err := gremlintest.Parse("s", world+"\n"+c.eval)
		if err != nil {
			t.Fatal(err)
		}
		failures := s.Check()
		switch {
		case c.want == "" && len(failures) > 0:
			t.Errorf("%s: %v", c.eval, failures)
		case c.want != "" && len(failures) == 0:
			t.Errorf("%s: passes", c.eval)
		case c.want != "" && !strings.Contains(failures[0].Error(), c.want):
			t.Errorf("%s: %v, expected %s", c.eval, failures[0], c.want)
		}
	}
}

// TestPast: what is asked of the past is compared too.
func TestPast(t *testing.T) {
	s, err := gremlintest.Parse("s", world+"eval G.V()\n  nodes a b x")
	if err != nil {
		t.Fatal(err)
	}
	failures := s.Check()
	if len(failures) != 2 || !strings.Contains(failures[1].Error(), "asked of the past") {
		t.Errorf("%v", failures)
	}
}

// TestLoad: scripts are found in folders, and mistakes in them are named.
func TestLoad(t *testing.T) {
	good := fstest.MapFS{"a/b.script": {Data: []byte("eval G.V()\n  nodes")}, "a/c.txt": {Data: []byte("nonsense")}}
	scripts, err := gremlintest.Load(good)
	if err != nil || len(scripts) != 1 || scripts[0].Name != "a/b.script" {
		t.Fatalf("%v, %v", scripts, err)
	}
	if q := gremlintest.Queries(scripts); len(q) != 1 || q[0] != "G.V()" {
		t.Errorf("queries: %q", q)
	}
	for text, want := range map[string]string{
		"  node a":  "bad.script:1: indented line before any command",
		"\nfrobnic": `bad.script:2: unknown command "frobnic"`,
	} {
		_, err := gremlintest.Load(fstest.MapFS{"bad.script": {Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
