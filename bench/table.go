package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"
)

// row is one line of the table: what has to be reached, and how it is measured.
type row struct {
	name    string // for -only
	what    string
	target  string
	skydive string // measured once, on two cores; quoted
	run     func(context.Context, *bench) ([]figure, error)
}

// figure is one measurement. A row may have several; those without a limit are for information.
type figure struct {
	text string
	met  verdict
}

type verdict int

const (
	noTarget verdict = iota
	reached
	missed
)

// within judges a measurement that must not be above its limit, atLeast one that must not be below.
func within[T int64 | float64](value, limit T) verdict {
	if value <= limit {
		return reached
	}
	return missed
}

func atLeast[T int64 | float64](value, limit T) verdict { return within(-value, -limit) }

func info(format string, args ...any) figure { return figure{text: fmt.Sprintf(format, args...)} }

func judged(met verdict, format string, args ...any) figure {
	return figure{text: fmt.Sprintf(format, args...), met: met}
}

type table struct{ lines [][]string }

func (t *table) add(r row, figures []figure) {
	verdict, notes := "", []string(nil)
	var main []string
	for _, f := range figures {
		switch {
		case f.met == noTarget:
			notes = append(notes, f.text)
			continue
		case f.met == missed:
			verdict = "MISSED"
		case verdict == "":
			verdict = "reached"
		}
		main = append(main, f.text)
	}
	t.lines = append(t.lines, []string{r.what, r.target, strings.Join(main, ", "), verdict, r.skydive})
	for _, note := range notes {
		t.lines = append(t.lines, []string{"  " + note})
	}
}

func (t *table) fail(r row, err error) {
	t.lines = append(t.lines, []string{r.what, r.target, "FAILED: " + err.Error(), "MISSED", r.skydive})
}

// String lays the table out in columns. A line with one cell is a remark on the row above it.
func (t *table) String() string {
	lines := slices.Insert(slices.Clone(t.lines), 0, []string{"what", "target", "measured", "", "Skydive (quoted)"})
	widths := make([]int, 5)
	for _, line := range lines {
		for i, cell := range line {
			if len(line) > 1 {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	var out strings.Builder
	for i, line := range lines {
		if len(line) == 1 {
			out.WriteString(line[0] + "\n")
			continue
		}
		var text strings.Builder
		for j, cell := range line {
			text.WriteString(cell + strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell)+2))
		}
		out.WriteString(strings.TrimRight(text.String(), " ") + "\n")
		if i == 0 {
			out.WriteString(strings.Repeat("-", len(strings.TrimRight(text.String(), " "))) + "\n")
		}
	}
	return out.String()
}

// loadAverage is how many tasks wanted a core during the last minute.
func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(data), " ")
	return load
}

// describeMachine says on what the figures were measured.
func describeMachine(ctx context.Context, b *bench) string {
	model := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(data), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel := ""
	if data, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = strings.TrimSpace(string(data))
	}
	version := "weft (no binary)"
	if out, err := exec.CommandContext(ctx, b.weft, "version").Output(); err == nil {
		version, _, _ = strings.Cut(string(out), "\n")
	}
	size := ""
	if b.short {
		size = ", a tenth of the size: not figures to quote"
	}
	return fmt.Sprintf("%s, %s, Linux %s\n%s, %d cores, load average %s at the start%s\n",
		version, runtime.Version(), kernel, model, runtime.NumCPU(), loadAverage(), size)
}
