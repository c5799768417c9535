package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
	"testing"

	"github.com/weft-net/weft/flow"
)

// Any reader of CSV gets back what was written, whatever is in the texts and whichever layers a flow has.
func TestCSVIsReadBack(t *testing.T) {
	whole := flow.Flow{
		UUID: "u", LayersPath: "Ethernet/IPv4/TCP", Application: "TCP", TrackingID: "t", L3TrackingID: "l", ParentUUID: "p", CaptureID: "c", NodeTID: "n",
		Link:      &flow.Layer{A: "02:00:00:00:00:01", B: "02:00:00:00:00:02"},
		Network:   &flow.Layer{Protocol: flow.IPv4, A: "10.0.0.1", B: "10.0.0.2"},
		Transport: &flow.TransportLayer{Protocol: flow.TCP, A: 1, B: 65535},
		Metric:    &flow.Metric{ABPackets: 1, ABBytes: 2, BAPackets: 3, BABytes: 4, RTT: 5},
		Start:     6, Last: 7, FinishType: flow.FinishFIN,
	}
	cases := []flow.Flow{whole, {UUID: "bare"}}
	for _, text := range []string{`a,b`, `say "x"`, "two\nlines", " before", "after ", "ö", `"`} {
		f := whole
		f.Application = text
		cases = append(cases, f)
	}
	var out bytes.Buffer
	buffer := bufio.NewWriter(&out)
	w, err := flowRows{format: "csv"}.writer(buffer, screen{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range cases {
		if err := w.flow(&cases[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.settle(); err != nil {
		t.Fatal(err)
	}
	if err := buffer.Flush(); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll() // it checks that all rows have as many fields as the first
	if err != nil || len(rows) != len(cases)+1 {
		t.Fatalf("%d rows, want %d: %v", len(rows), len(cases)+1, err)
	}
	if got := strings.Join(rows[0], ","); got != strings.Join(csvHeader[:], ",") {
		t.Errorf("header %s", got)
	}
	for i, row := range rows[1:] {
		for j, name := range csvHeader {
			want := ""
			switch value, _ := cases[i].Field(name); value.Kind {
			case flow.KindInt:
				want = strconv.FormatInt(value.Num, 10)
			default:
				want = value.Str
			}
			if want == "" && name == "Metric.RTT" {
				want = "0"
			}
			if row[j] != want {
				t.Errorf("flow %d: %s is %q, want %q", i, name, row[j], want)
			}
		}
	}
}
