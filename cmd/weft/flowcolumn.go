package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/weft-net/weft/flow"
)

// flowColumn is a column of the table of flows: cell appends what it shows of one, nothing where there is none.
type flowColumn struct {
	name  string
	right bool // of numbers
	cell  func(b []byte, f *flow.Flow) []byte
}

// shortID is how much of a long id a terminal shows.
const shortID = 8

// usualColumns are those of a table for which none were chosen. A program reads ids whole; on a terminal those that are
// alike in most rows are cut.
func usualColumns(nodes bool, s screen) []flowColumn {
	metric := func(name string, of func(m *flow.Metric) int64) flowColumn {
		return flowColumn{name, true, func(b []byte, f *flow.Flow) []byte {
			if f.Metric == nil {
				return append(b, '0')
			}
			return strconv.AppendInt(b, of(f.Metric), 10)
		}}
	}
	columns := []flowColumn{
		{"Start", false, func(b []byte, f *flow.Flow) []byte {
			return time.UnixMilli(f.Start).UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
		}},
		{"Application", false, func(b []byte, f *flow.Flow) []byte { return append(b, printable(f.Application)...) }},
		{"A", false, func(b []byte, f *flow.Flow) []byte { return appendEnd(b, f, true) }},
		{"B", false, func(b []byte, f *flow.Flow) []byte { return appendEnd(b, f, false) }},
		metric("Packets A>B", func(m *flow.Metric) int64 { return m.ABPackets }),
		metric("Bytes A>B", func(m *flow.Metric) int64 { return m.ABBytes }),
		metric("Packets B>A", func(m *flow.Metric) int64 { return m.BAPackets }),
		metric("Bytes B>A", func(m *flow.Metric) int64 { return m.BABytes }),
		{"Duration", true, func(b []byte, f *flow.Flow) []byte {
			return append(strconv.AppendFloat(b, float64(f.Last-f.Start)/1e3, 'f', 3, 64), " s"...)
		}},
		{"RTT", true, func(b []byte, f *flow.Flow) []byte {
			if f.Metric == nil || f.Metric.RTT <= 0 {
				return b
			}
			return append(strconv.AppendFloat(b, float64(f.Metric.RTT)/1e6, 'f', 3, 64), " ms"...)
		}},
		{"End", false, func(b []byte, f *flow.Flow) []byte {
			if f.FinishType == flow.NotFinished {
				return b
			}
			return append(b, f.FinishType.String()...)
		}},
		{"UUID", false, func(b []byte, f *flow.Flow) []byte { return append(b, printable(f.UUID)...) }},
	}
	if !nodes {
		return columns
	}
	id := func(b []byte, id string) []byte {
		if id = printable(id); s.terminal && len(id) > shortID+1 {
			return append(append(b, id[:shortID]...), "…"...)
		}
		return append(b, id...)
	}
	return append(columns,
		flowColumn{"CaptureID", false, func(b []byte, f *flow.Flow) []byte { return id(b, f.CaptureID) }},
		flowColumn{"NodeTID", false, func(b []byte, f *flow.Flow) []byte { return id(b, f.NodeTID) }},
	)
}

// chosenColumns are columns of fields.
func chosenColumns(names []string) ([]flowColumn, error) {
	if len(names) == 0 {
		return nil, nil
	}
	known := newFlowNames()
	columns := make([]flowColumn, 0, len(names))
	for i, name := range names {
		name = strings.TrimSpace(name)
		names[i] = name
		kind, ok := known.kind(name)
		if !ok {
			return nil, usagef("--columns: %s", known.unknown(name, nil))
		}
		columns = append(columns, flowColumn{name, kind == flow.KindInt, func(b []byte, f *flow.Flow) []byte {
			v, _ := f.Field(name)
			switch v.Kind {
			case flow.KindInt:
				return strconv.AppendInt(b, v.Num, 10)
			case flow.KindBool:
				return strconv.AppendBool(b, v.Num != 0)
			}
			return append(b, printable(v.Str)...)
		}})
	}
	return columns, nil
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
