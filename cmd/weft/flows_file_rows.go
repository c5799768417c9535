package main

import (
	"bufio"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weft-net/weft/flow"
)

// flowWriter writes flows one by one; it keeps no more than a screenful of them.
type flowWriter interface {
	flow(f *flow.Flow) error
	// settle writes what was kept back, and the header of no flows.
	settle() error
}

func newFlowWriter(format string, out *bufio.Writer, s screen) (flowWriter, error) {
	switch format {
	case "", "table":
		return &flowTable{out: out, screen: s}, nil
	case "json":
		return &flowLines{out: out}, nil
	case "csv":
		return &flowCSV{out: out}, nil
	}
	return nil, usagef("--format %s: write table, json or csv", format)
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

// csvHeader names the columns as queries do.
var csvHeader = [...]string{
	"UUID", "LayersPath", "Application", "Link.A", "Link.B", "Network.Protocol", "Network.A", "Network.B",
	"Transport.Protocol", "Transport.A", "Transport.B", "Metric.ABPackets", "Metric.ABBytes", "Metric.BAPackets",
	"Metric.BABytes", "Metric.RTT", "Start", "Last", "FinishType", "TrackingID", "L3TrackingID", "ParentUUID",
}

// flowCSV writes RFC 4180 with a header. Times are ms since the epoch, the RTT is in ns.
type flowCSV struct {
	out   *bufio.Writer
	begun bool
	line  []byte
}

func (w *flowCSV) begin() error {
	if w.begun {
		return nil
	}
	w.begun = true
	_, err := w.out.WriteString(strings.Join(csvHeader[:], ",") + "\n")
	return err
}

func (w *flowCSV) flow(f *flow.Flow) error {
	if err := w.begin(); err != nil {
		return err
	}
	b := w.line[:0]
	text := func(s string) { b = append(appendCSV(b, s), ',') }
	number := func(n int64) { b = append(strconv.AppendInt(b, n, 10), ',') }
	text(f.UUID)
	text(f.LayersPath)
	text(f.Application)
	if l := f.Link; l != nil {
		text(l.A)
		text(l.B)
	} else {
		b = append(b, ",,"...)
	}
	if n := f.Network; n != nil {
		text(n.Protocol.String())
		text(n.A)
		text(n.B)
	} else {
		b = append(b, ",,,"...)
	}
	if t := f.Transport; t != nil {
		text(t.Protocol.String())
		number(t.A)
		number(t.B)
	} else {
		b = append(b, ",,,"...)
	}
	if m := f.Metric; m != nil {
		for _, n := range [...]int64{m.ABPackets, m.ABBytes, m.BAPackets, m.BABytes, m.RTT} {
			number(n)
		}
	} else {
		b = append(b, ",,,,0,"...)
	}
	number(f.Start)
	number(f.Last)
	number(int64(f.FinishType))
	text(f.TrackingID)
	text(f.L3TrackingID)
	w.line = append(appendCSV(b, f.ParentUUID), '\n')
	_, err := w.out.Write(w.line)
	return err
}

// appendCSV appends a field, in quotes where it needs them.
func appendCSV(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c == ',' || c == '"' || c == '\n' || c == '\r' || c == ' ' && i == 0 {
			return append(append(append(b, '"'), strings.ReplaceAll(s, `"`, `""`)...), '"')
		}
	}
	return append(b, s...)
}

func (w *flowCSV) settle() error { return w.begin() }

// flowColumns are those of the table; numbers stand to the right.
var flowColumns = [...]struct {
	name  string
	right bool
}{
	{"Start", false},
	{"Application", false},
	{"A", false},
	{"B", false},
	{"Packets A>B", true},
	{"Bytes A>B", true},
	{"Packets B>A", true},
	{"Bytes B>A", true},
	{"Duration", true},
	{"RTT", true},
	{"End", false},
}

// flowTable writes aligned columns. Their widths are those of the first rows, which are kept back until there are
// enough; later rows may stand out.
type flowTable struct {
	out    *bufio.Writer
	screen screen
	widths [len(flowColumns)]int
	begun  bool
	text   []byte // of the rows kept back, cell after cell
	ends   []int  // where each cell ends in it
}

// rowsForWidths is how many rows decide about the widths.
const rowsForWidths = 500

func (w *flowTable) flow(f *flow.Flow) error {
	w.row(f)
	switch {
	case w.begun:
		return w.write()
	case len(w.ends) == rowsForWidths*len(flowColumns):
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
	for i, c := range flowColumns {
		w.widths[i] = len(c.name)
	}
	for i, start := 0, 0; i < len(w.ends); i++ {
		at := i % len(flowColumns)
		w.widths[at] = max(w.widths[at], utf8.RuneCount(w.text[start:w.ends[i]]))
		start = w.ends[i]
	}
	if err := w.header(); err != nil {
		return err
	}
	return w.write()
}

func (w *flowTable) header() error {
	for i, c := range flowColumns {
		pad := strings.Repeat(" ", w.widths[i]-len(c.name))
		name, gap := w.screen.paint(bold, c.name), strings.Repeat(" ", columnGap)
		switch {
		case c.right:
			name = pad + name
		case i < len(flowColumns)-1:
			name += pad
		}
		if i == len(flowColumns)-1 {
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
		at := i % len(flowColumns)
		cell := w.text[start:end]
		pad := min(max(w.widths[at]-utf8.RuneCount(cell), 0), len(blanks))
		if flowColumns[at].right {
			w.out.WriteString(blanks[:pad]) //nolint:errcheck // the error stays, and the last write of the row gives it
			pad = 0
		}
		w.out.Write(cell) //nolint:errcheck // likewise
		var err error
		if at == len(flowColumns)-1 {
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

// row appends the cells of a flow.
func (w *flowTable) row(f *flow.Flow) {
	start := len(w.text)
	cell := func() {
		if len(w.text) == start {
			w.text = append(w.text, '-')
		}
		start = len(w.text)
		w.ends = append(w.ends, start)
	}
	w.text = time.UnixMilli(f.Start).UTC().AppendFormat(w.text, "2006-01-02T15:04:05.000Z")
	cell()
	w.text = append(w.text, printable(f.Application)...)
	cell()
	w.text = appendEnd(w.text, f, true)
	cell()
	w.text = appendEnd(w.text, f, false)
	cell()
	m := f.Metric
	if m == nil {
		m = &flow.Metric{}
	}
	for _, n := range [...]int64{m.ABPackets, m.ABBytes, m.BAPackets, m.BABytes} {
		w.text = strconv.AppendInt(w.text, n, 10)
		cell()
	}
	w.text = append(strconv.AppendFloat(w.text, float64(f.Last-f.Start)/1e3, 'f', 3, 64), " s"...)
	cell()
	if m.RTT > 0 {
		w.text = append(strconv.AppendFloat(w.text, float64(m.RTT)/1e6, 'f', 3, 64), " ms"...)
	}
	cell()
	if f.FinishType != flow.NotFinished {
		w.text = append(w.text, f.FinishType.String()...)
	}
	cell()
}

// appendEnd writes one end of a flow: address and port, as far as it has them.
func appendEnd(b []byte, f *flow.Flow, a bool) []byte {
	layer := f.Network
	if layer == nil {
		layer = f.Link
	}
	if layer == nil {
		return b
	}
	address := layer.A
	if !a {
		address = layer.B
	}
	if f.Transport == nil || f.Network == nil {
		return append(b, address...)
	}
	port := f.Transport.A
	if !a {
		port = f.Transport.B
	}
	if strings.Contains(address, ":") {
		b = append(append(append(b, '['), address...), ']')
	} else {
		b = append(b, address...)
	}
	return strconv.AppendInt(append(b, ':'), port, 10)
}
