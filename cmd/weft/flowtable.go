package main

import (
	"bufio"
	"strings"
	"unicode/utf8"

	"github.com/weft-net/weft/flow"
)

// flowTable writes aligned columns. Their widths are those of the first rows, which are kept back until there are
// enough; later rows may stand out.
type flowTable struct {
	out     *bufio.Writer
	screen  screen
	columns []flowColumn
	widths  []int
	begun   bool
	text    []byte // of the rows kept back, cell after cell
	ends    []int  // where each cell ends in it
}

// rowsForWidths is how many rows decide about the widths.
const rowsForWidths = 500

func newFlowTable(out *bufio.Writer, s screen, columns []flowColumn) *flowTable {
	return &flowTable{out: out, screen: s, columns: columns, widths: make([]int, len(columns))}
}

func (w *flowTable) flow(f *flow.Flow) error {
	for i := range w.columns {
		start := len(w.text)
		w.text = w.columns[i].cell(w.text, f)
		if len(w.text) == start {
			w.text = append(w.text, '-')
		}
		w.ends = append(w.ends, len(w.text))
	}
	switch {
	case w.begun:
		return w.write()
	case len(w.ends) == rowsForWidths*len(w.columns):
		return w.settle()
	}
	return nil
}

// settle fixes the widths and writes what was kept back.
func (w *flowTable) settle() error {
	if w.begun {
		return nil
	}
	w.begun = true
	for i, c := range w.columns {
		w.widths[i] = utf8.RuneCountInString(c.name)
	}
	for i, start := 0, 0; i < len(w.ends); i++ {
		at := i % len(w.columns)
		w.widths[at] = max(w.widths[at], utf8.RuneCount(w.text[start:w.ends[i]]))
		start = w.ends[i]
	}
	if err := w.header(); err != nil {
		return err
	}
	return w.write()
}

func (w *flowTable) header() error {
	last := len(w.columns) - 1
	for i, c := range w.columns {
		pad := strings.Repeat(" ", w.widths[i]-utf8.RuneCountInString(c.name))
		name, gap := w.screen.paint(bold, c.name), strings.Repeat(" ", columnGap)
		switch {
		case c.right:
			name = pad + name
		case i < last:
			name += pad
		}
		if i == last {
			gap = "\n"
		}
		if _, err := w.out.WriteString(name + gap); err != nil {
			return err
		}
	}
	return nil
}

const blanks = "                                                                "

// write writes the rows that are kept and forgets them.
func (w *flowTable) write() error {
	start := 0
	for i, end := range w.ends {
		at := i % len(w.columns)
		cell := w.text[start:end]
		pad := min(max(w.widths[at]-utf8.RuneCount(cell), 0), len(blanks))
		if w.columns[at].right {
			w.out.WriteString(blanks[:pad]) //nolint:errcheck // the error stays, and the last write of the row gives it
			pad = 0
		}
		w.out.Write(cell) //nolint:errcheck // likewise
		var err error
		if at == len(w.columns)-1 {
			err = w.out.WriteByte('\n')
		} else {
			_, err = w.out.WriteString(blanks[:min(pad+columnGap, len(blanks))])
		}
		if err != nil {
			return err
		}
		start = end
	}
	w.text, w.ends = w.text[:0], w.ends[:0]
	return nil
}
