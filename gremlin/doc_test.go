package gremlin_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/weft-net/weft/gremlin"
)

// TestReference: the reference page names every step and predicate, and every query on it parses.
func TestReference(t *testing.T) {
	data, err := os.ReadFile("../docs/gremlin.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, name := range append(gremlin.StepNames(), gremlin.PredicateNames()...) {
		if !regexp.MustCompile("`[.]?" + name + "[(`]").MatchString(page) {
			t.Errorf("docs/gremlin.md does not describe %s", name)
		}
	}
	queries := 0
	for _, line := range strings.Split(page, "\n") {
		if !strings.HasPrefix(line, "G.") && line != "G" {
			continue
		}
		text, _, _ := strings.Cut(line, "   ")
		queries++
		if _, err := gremlin.Parse(text); err != nil {
			t.Errorf("docs/gremlin.md: %s: %v", text, err)
		}
	}
	if queries < 10 {
		t.Errorf("only %d queries found", queries)
	}
}
