// Command bench measures weft against the figures that it has to reach, and prints them as a table with the target
// beside each. Every run is kept as dated text under results.
//
//	make bench                      the whole table, some minutes
//	make bench ARGS=-short          the same rows at a tenth of the size, to see that they work
//	make bench ARGS='-only publish' the rows whose name matches
//
// The servers that it measures are real processes of bin/weft on a free port of the loopback; the graph in process is
// measured in a child process of its own, so that nobody else's memory counts. One row runs at a time. What the table
// says of Skydive was measured once on a machine of this size and is quoted, since Skydive does not build here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

type bench struct {
	weft    string // the binary under test
	short   bool
	packets int    // of the capture files
	profile string // where some rows leave a CPU profile of the server
	log     io.Writer
}

// scale is n, or a tenth of it in a short run.
func (b *bench) scale(n int) int {
	if b.short {
		return max(n/10, 1)
	}
	return n
}

func (b *bench) logf(format string, args ...any) { fmt.Fprintf(b.log, format+"\n", args...) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var (
		b     = &bench{log: os.Stderr}
		only  = flags.String("only", "", "run the rows whose name matches this regular expression")
		out   = flags.String("out", "results", "directory of the results; empty: not kept")
		child = flags.String("child", "", "internal: what a child process measures")
		size  = flags.Int("size", 0, "internal: how much it measures")
		count = flags.Int("packets", 0, "internal: in how many packets")
		flows = flags.Int("flows", 0, "internal: of how many flows")
	)
	flags.StringVar(&b.weft, "weft", "../bin/weft", "the binary to measure")
	flags.BoolVar(&b.short, "short", false, "a tenth of the size")
	flags.IntVar(&b.packets, "file-packets", 10_000_000, "packets of the capture files")
	flags.StringVar(&b.profile, "profile", "", "write a CPU profile of the server of a row that has one: publish-sustained, flow-query or flow-subscriber")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *child != "" {
		return runChild(*child, *size, *count, *flows)
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	path, err := filepath.Abs(b.weft)
	if err != nil {
		return err
	}
	b.weft = path
	machine := describeMachine(ctx, b)
	table := &table{}
	began := time.Now()
	var failed error
	for _, row := range rows() {
		if !pattern.MatchString(row.name) {
			continue
		}
		b.logf("running %s", row.name)
		started := time.Now()
		rowContext, cancel := context.WithTimeout(ctx, 10*time.Minute)
		figures, err := row.run(rowContext, b)
		cancel()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", row.name, err))
			table.fail(row, err)
			continue
		}
		b.logf("  %.1f s", time.Since(started).Seconds())
		table.add(row, figures)
	}
	report := machine
	if *only != "" {
		report += fmt.Sprintf("rows that match %s, ", *only)
	}
	report += fmt.Sprintf("in %.0f s, load average %s at the end\n\n", time.Since(began).Seconds(), loadAverage()) + table.String()
	fmt.Print("\n" + report)
	if *out != "" && len(table.lines) > 0 && !b.short {
		name := filepath.Join(*out, time.Now().UTC().Format("2006-01-02T1504")+".txt")
		if err := os.WriteFile(name, []byte(report), 0o644); err != nil {
			return errors.Join(failed, err)
		}
		b.logf("kept as bench/%s", name)
	}
	return failed
}
