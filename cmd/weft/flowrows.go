package main

import (
	"bufio"

	"github.com/weft-net/weft/flow"
)

// flowRows say how flows are printed.
type flowRows struct {
	format  string   // "table" (or ""), "json" (a flow a line) or "csv"
	columns []string // fields of the table and of CSV; none: the usual ones
	nodes   bool     // flows of an analyzer: the table says of which node and capture each is
}

// flowWriter writes flows one by one; it keeps no more than a screenful of them.
type flowWriter interface {
	flow(f *flow.Flow) error
	// settle writes what was kept back, and the header of no flows.
	settle() error
}

// writer makes the writer, or says what is wrong with the format or the columns.
func (o flowRows) writer(out *bufio.Writer, s screen) (flowWriter, error) {
	chosen, err := chosenColumns(o.columns)
	if err != nil {
		return nil, err
	}
	switch o.format {
	case "", "table":
		if len(chosen) == 0 {
			chosen = usualColumns(o.nodes, s)
		}
		return newFlowTable(out, s, chosen), nil
	case "json":
		if len(chosen) > 0 {
			return nil, usagef("--columns with --format json: JSON has every field, write table or csv")
		}
		return &flowLines{out: out}, nil
	case "csv":
		return &flowCSV{out: out, columns: o.columns}, nil
	}
	return nil, usagef("--format %s: write table, json or csv", o.format)
}

// flowLines writes a JSON object a line.
type flowLines struct {
	out  *bufio.Writer
	line []byte
}

func (w *flowLines) flow(f *flow.Flow) error {
	w.line = append(f.AppendJSON(w.line[:0]), '\n')
	_, err := w.out.Write(w.line)
	return err
}

func (w *flowLines) settle() error { return nil }
