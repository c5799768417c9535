package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// table collects rows and writes them aligned. On a terminal it fits the width by
// cutting the widest cells, so that no line wraps; elsewhere cells are whole.
type table struct {
	header []string
	rows   [][]string
}

func newTable(header ...string) *table { return &table{header: header} }

func (t *table) add(cells ...string) {
	row := make([]string, len(t.header))
	for i := range row {
		if i < len(cells) {
			row[i] = printable(cells[i])
		}
		if row[i] == "" {
			row[i] = "-"
		}
	}
	t.rows = append(t.rows, row)
}

// columnGap separates two columns.
const columnGap = 2

// leastWidth is what a column keeps when a terminal is too narrow.
const leastWidth = 8

func (t *table) write(w io.Writer, s screen) error {
	widths := make([]int, len(t.header))
	for i, name := range t.header {
		name = printable(name)
		t.header[i] = name
		widths[i] = utf8.RuneCountInString(name)
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	fit(widths, s.width)
	out := bufio.NewWriter(w)
	t.line(out, t.header, widths, func(_, cell string) string { return s.paint(bold, cell) })
	for _, row := range t.rows {
		t.line(out, row, widths, s.cell)
	}
	return out.Flush()
}

func (t *table) line(out *bufio.Writer, row []string, widths []int, paint func(column, cell string) string) {
	for i, cell := range row {
		cell = cut(cell, widths[i])
		pad := widths[i] - utf8.RuneCountInString(cell)
		out.WriteString(paint(t.header[i], cell))
		if i < len(row)-1 {
			out.WriteString(strings.Repeat(" ", pad+columnGap))
		}
	}
	out.WriteByte('\n')
}

// fit takes from the widest column until the line is no longer than the width, but
// leaves every column enough to be told from others.
func fit(widths []int, width int) {
	if width <= 0 || len(widths) == 0 {
		return
	}
	total := columnGap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for ; total > width; total-- {
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= leastWidth {
			return
		}
		widths[widest]--
	}
}

func cut(cell string, width int) string {
	if utf8.RuneCountInString(cell) <= width {
		return cell
	}
	runes := []rune(cell)
	return string(runes[:width-1]) + "…"
}

// printable keeps a value of the graph from moving the cursor or the colours of a
// terminal: control characters are shown as escapes.
func printable(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case hidden(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

// SGR codes of the few colours in use.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (s screen) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// cell colours what people look for: what is up, and what is not.
func (s screen) cell(column, cell string) string {
	if column != "State" && column != "Status" {
		return cell
	}
	switch cell {
	case "UP", "running":
		return s.paint(green, cell)
	case "DOWN", "LOWERLAYERDOWN", "failed":
		return s.paint(red, cell)
	}
	return cell
}
