package gremlin_test

import (
	"os"
	"strings"
	"testing"

	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/gremlin/gremlintest"
)

// TestScripts runs testdata/*.script, now and against the past.
func TestScripts(t *testing.T) {
	gremlintest.Run(t, os.DirFS("testdata"))
}

// TestScriptsAreComplete: the scripts use every step and every predicate, in a query that has an answer.
func TestScriptsAreComplete(t *testing.T) {
	var used strings.Builder
	for _, text := range scriptQueries(t) {
		if q, err := gremlin.Parse(text); err == nil {
			used.WriteString("." + q.String() + "\n" + text + "\n")
		}
	}
	for _, name := range gremlin.StepNames() {
		if !strings.Contains(used.String(), "."+name+"(") && name != "G" {
			t.Errorf("no script uses the step %s", name)
		}
	}
	for _, name := range gremlin.PredicateNames() {
		if !strings.Contains(used.String(), " "+name+"(") {
			t.Errorf("no script uses the predicate %s", name)
		}
	}
}
