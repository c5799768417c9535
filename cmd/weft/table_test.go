package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func render(t *testing.T, tab *table, s screen) string {
	t.Helper()
	var out strings.Builder
	if err := tab.write(&out, s); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTableAligns(t *testing.T) {
	tab := newTable("Name", "Type", "State")
	tab.add("v0", "veth", "UP")
	tab.add("a long name", "", "DOWN")
	tab.add("größer", "bridge")
	want := `Name         Type    State
v0           veth    UP
a long name  -       DOWN
größer       bridge  -
`
	if diff := cmp.Diff(want, render(t, tab, screen{})); diff != "" {
		t.Error(diff)
	}
}

// On a terminal no line is longer than the screen, however long the cells are; the
// widest columns pay.
func TestTableFitsTheScreen(t *testing.T) {
	tab := newTable("ID", "Name", "Type")
	tab.add(strings.Repeat("0123456789", 5), "eth0", "device")
	tab.add("x", strings.Repeat("n", 30), "y")
	for _, width := range []int{40, 60, 79, 200} {
		for line := range strings.Lines(render(t, tab, screen{terminal: true, width: width})) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("%d columns on a screen of %d: %q", n, width, line)
			}
		}
	}
	want := `ID              Name             Type
0123456789012…  eth0             device
x               nnnnnnnnnnnnnn…  y
`
	got := render(t, tab, screen{terminal: true, width: 40})
	if !strings.Contains(got, "…") || !strings.Contains(got, "device") {
		t.Errorf("the short column was cut:\n%s\nwant such as\n%s", got, want)
	}
}

// A terminal that is too narrow for anything wraps: a table of single letters helps
// nobody.
func TestTableKeepsAMinimum(t *testing.T) {
	tab := newTable("ID", "Name")
	tab.add("0123456789", "0123456789")
	if diff := cmp.Diff("ID        Name\n0123456…  0123456…\n", render(t, tab, screen{terminal: true, width: 5})); diff != "" {
		t.Error(diff)
	}
}

func TestColoursAreForTerminalsThatWantThem(t *testing.T) {
	tab := newTable("Name", "State")
	tab.add("v0", "UP")
	tab.add("v1", "DOWN")
	if got := render(t, tab, screen{terminal: true}); strings.Contains(got, "\x1b") {
		t.Errorf("colours although they are off: %q", got)
	}
	want := "\x1b[1mName\x1b[0m  \x1b[1mState\x1b[0m\nv0    \x1b[32mUP\x1b[0m\nv1    \x1b[31mDOWN\x1b[0m\n"
	if diff := cmp.Diff(want, render(t, tab, screen{terminal: true, colour: true})); diff != "" {
		t.Error(diff)
	}
}

// A name in the graph must not be able to talk to somebody's terminal.
func TestControlCharactersAreShown(t *testing.T) {
	tab := newTable("Name")
	tab.add("\x1b[2Jboo\u202e\n\t\x00")
	if diff := cmp.Diff("Name\n\\x1b[2Jboo\\u202e\\n\\t\\x00\n", render(t, tab, screen{})); diff != "" {
		t.Error(diff)
	}
}

func TestScreenHonoursNoColour(t *testing.T) {
	if s := screenOf(openNull(t), []string{"TERM=xterm"}); s != (screen{}) {
		t.Errorf("/dev/null is taken for a terminal: %+v", s)
	}
}
