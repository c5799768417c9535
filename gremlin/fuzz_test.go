package gremlin_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/gremlin/gremlintest"
)

// scriptQueries are the questions of all scripts.
func scriptQueries(t testing.TB) []string {
	t.Helper()
	scripts, err := gremlintest.Load(os.DirFS("testdata"))
	if err != nil {
		t.Fatal(err)
	}
	return gremlintest.Queries(scripts)
}

// FuzzParse: any text parses or gives a SyntaxError that points into it; what parses has a canonical form that parses
// to itself.
func FuzzParse(f *testing.F) {
	for _, q := range scriptQueries(f) {
		f.Add(q)
	}
	f.Add("G.V().Has('a',\n REGEX('\\d+'))\r\n.Count()")
	f.Add("G.V().Has('a', WITHIN(WITHIN(WITHIN(1))))")
	f.Add("G.V().Has('\\u00")
	f.Add("G.V().Limit(9223372036854775808)")
	f.Add("G.At(1e300, 1e300)")
	f.Fuzz(func(t *testing.T, text string) {
		q, err := gremlin.Parse(text)
		if err != nil {
			checkSyntaxError(t, text, err)
			return
		}
		canonical := q.String()
		again, err := gremlin.Parse(canonical)
		if err != nil {
			t.Fatalf("%q gave %q, which does not parse: %v", text, canonical, err)
		}
		if again.String() != canonical {
			t.Fatalf("%q gave %q, which gave %q", text, canonical, again.String())
		}
		if again.Kind() != q.Kind() {
			t.Fatalf("%q gives %s, its canonical form %s", text, q.Kind(), again.Kind())
		}
	})
}

func checkSyntaxError(t *testing.T, text string, err error) {
	t.Helper()
	var syntax *gremlin.SyntaxError
	if !errors.As(err, &syntax) {
		t.Fatalf("%q: %T instead of a SyntaxError: %v", text, err, err)
	}
	lines := strings.Split(text, "\n")
	if syntax.Line < 1 || syntax.Line > len(lines) {
		t.Fatalf("%q: line %d of %d", text, syntax.Line, len(lines))
	}
	if width := utf8.RuneCountInString(lines[syntax.Line-1]); syntax.Column < 1 || syntax.Column > width+1 {
		t.Fatalf("%q: column %d of %d", text, syntax.Column, width)
	}
	if syntax.Expected == "" {
		t.Fatalf("%q: an error that expects nothing: %v", text, err)
	}
}

// TestStringsRoundTrip: any string in a query means itself after quoting.
func TestStringsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[a-z'"\\\n\t\r é😀ud0-9]{1,20}`).Draw(t, "string")
		plain := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s)
		q, err := gremlin.Parse("G.V('" + plain + "')")
		if err != nil {
			t.Fatal(err)
		}
		again, err := gremlin.Parse(q.String())
		if err != nil {
			t.Fatal(err)
		}
		if again.String() != q.String() {
			t.Fatalf("%q turned into %q", q, again)
		}
	})
}

// TestPositions: errors count lines and characters, not bytes.
func TestPositions(t *testing.T) {
	for _, c := range []struct {
		text         string
		line, column int
	}{
		{"G.V()\n .Has('é', x)", 2, 12},
		{"G\r\n.V()\r\n.Oops()", 3, 2},
		{"G.V().Has('a\nb', x)", 2, 5},
		{"G.V().Has('\xff')", 1, 12},
		{"", 1, 1},
		{"\n\n  x", 3, 3},
	} {
		_, err := gremlin.Parse(c.text)
		var syntax *gremlin.SyntaxError
		if !errors.As(err, &syntax) {
			t.Fatalf("%q: %v", c.text, err)
		}
		if syntax.Line != c.line || syntax.Column != c.column {
			t.Errorf("%q: %v, expected line %d, column %d", c.text, err, c.line, c.column)
		}
	}
}

// TestBounds: what is too long, too deep or too much is refused before it costs anything.
func TestBounds(t *testing.T) {
	for name, text := range map[string]string{
		"length":    "G.V('" + strings.Repeat("x", 300<<10) + "')",
		"steps":     "G.V()" + strings.Repeat(".Out()", 300),
		"nesting":   "G.V().Has('a'," + strings.Repeat("WITHIN(", 1000) + strings.Repeat(")", 1000) + ")",
		"arguments": "G.V().Has('a', WITHIN(" + strings.Repeat("1 ", 20000) + "))",
	} {
		_, err := gremlin.Parse(text)
		var syntax *gremlin.SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(syntax.Expected, "at most") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNames: completion knows every step by each of its names.
func TestNames(t *testing.T) {
	names := strings.Join(gremlin.StepNames(), " ")
	for _, want := range []string{"Context", "At", "Has", "ShortestPathTo", "CaptureNode", "Node", "MoreThan", "SubGraph"} {
		if !strings.Contains(names, want) {
			t.Errorf("%s is missing in %s", want, names)
		}
	}
	if got := gremlin.PredicateNames(); len(got) != 16 {
		t.Errorf("%d predicates: %v", len(got), got)
	}
}
