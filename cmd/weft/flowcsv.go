package main

import (
	"bufio"
	"strconv"
	"strings"

	"github.com/weft-net/weft/flow"
)

// csvHeader names the columns as queries do.
var csvHeader = [...]string{
	"UUID", "LayersPath", "Application", "Link.A", "Link.B", "Network.Protocol", "Network.A", "Network.B",
	"Transport.Protocol", "Transport.A", "Transport.B", "Metric.ABPackets", "Metric.ABBytes", "Metric.BAPackets",
	"Metric.BABytes", "Metric.RTT", "Start", "Last", "FinishType", "TrackingID", "L3TrackingID", "ParentUUID",
	"CaptureID", "NodeTID",
}

// flowCSV writes RFC 4180 with a header. Times are ms since the epoch, the RTT is in ns.
type flowCSV struct {
	out     *bufio.Writer
	columns []string // fields; none: those of csvHeader
	begun   bool
	line    []byte
}

func (w *flowCSV) begin() error {
	if w.begun {
		return nil
	}
	w.begun = true
	names := w.columns
	if len(names) == 0 {
		names = csvHeader[:]
	}
	_, err := w.out.WriteString(strings.Join(names, ",") + "\n")
	return err
}

func (w *flowCSV) flow(f *flow.Flow) error {
	if err := w.begin(); err != nil {
		return err
	}
	if len(w.columns) > 0 {
		w.line = w.chosen(w.line[:0], f)
	} else {
		w.line = usualCSV(w.line[:0], f)
	}
	_, err := w.out.Write(w.line)
	return err
}

// chosen appends the line of the columns that were asked for. What a flow lacks is empty.
func (w *flowCSV) chosen(b []byte, f *flow.Flow) []byte {
	for i, name := range w.columns {
		if i > 0 {
			b = append(b, ',')
		}
		v, _ := f.Field(name)
		switch v.Kind {
		case flow.KindInt:
			b = strconv.AppendInt(b, v.Num, 10)
		case flow.KindBool:
			b = strconv.AppendBool(b, v.Num != 0)
		default:
			b = appendCSV(b, v.Str)
		}
	}
	return append(b, '\n')
}

// usualCSV appends the line of csvHeader: without a look at names, for files of millions of flows.
func usualCSV(b []byte, f *flow.Flow) []byte {
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
	text(f.ParentUUID)
	text(f.CaptureID)
	return append(appendCSV(b, f.NodeTID), '\n')
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
