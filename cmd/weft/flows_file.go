package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/pcapfile"
	"github.com/weft-net/weft/internal/capture/filter"
)

// flowsFileOptions says what to make of capture files.
type flowsFileOptions struct {
	format   string // "table" (or ""), "json" (a flow a line) or "csv"
	columns  []string
	filter   string // a tcpdump expression; "": every packet
	maxFlows int    // flows live at once; 0: as many as memory allows
	decode   flowsDecoding
}

// Bounds of what lies between the goroutine that reads and the one that counts.
const (
	batchesAhead = 4
	filterKeeps  = 256 << 10 // bytes of a packet that a filter may look at
	outputBuffer = 64 << 10
	progressStep = 100 * time.Millisecond
)

// isCaptureFile says whether an argument of 'weft flows' names a capture file rather than a filter.
func isCaptureFile(arg string) bool {
	if arg == "-" {
		return true
	}
	name := strings.TrimSuffix(strings.TrimSuffix(arg, ".gz"), ".zst")
	if strings.HasSuffix(name, ".pcap") || strings.HasSuffix(name, ".pcapng") {
		return true
	}
	info, err := os.Stat(arg)
	return err == nil && !info.IsDir()
}

// runFlowsFile prints the flows of capture files, in the order in which they end. The files are read as one capture:
// a flow may begin in one and end in the next. One goroutine reads ahead, this one counts and writes. What was
// damaged is told at the end, after the flows of all that could be read.
func runFlowsFile(cmd *cobra.Command, sh *shell, files []string, o flowsFileOptions) error {
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	options, err := o.decode.options(flow.Options{MaxFlows: o.maxFlows, Update: -1, ExtraTCPMetric: true})
	if err != nil {
		return err
	}
	in, err := newFileReader(sh, files, o.filter)
	if err != nil {
		return err
	}
	bar := newFlowsBar(sh, in)
	out := bufio.NewWriterSize(barWriter{sh.out, bar}, outputBuffer)
	rows, err := flowRows{format: o.format, columns: o.columns}.writer(out, sh.screen)
	if err != nil {
		return err
	}
	started := time.Now()
	var failed error
	unread := map[flow.LinkType]int{}
	printed := false            // a flow, so that the widths of a table can be known
	options.EndsOnly = !in.live // whoever watches sees a connection soon after its end
	options.Report = func(f *flow.Flow, why flow.Reason) {
		if (why == flow.Ended || why == flow.Evicted) && failed == nil {
			printed, failed = true, rows.flow(f)
		}
	}
	table := flow.NewTable(options)
	go in.run(ctx)
	for {
		full, more := in.next(ctx)
		if !more {
			break
		}
		for _, run := range full.Runs {
			table.Add(run.Link, run.Packets)
			if !run.Link.Known() {
				unread[run.Link] += len(run.Packets)
			}
		}
		if last := full.Runs[len(full.Runs)-1].Packets; len(last) > 0 {
			table.Advance(last[len(last)-1].Time)
		}
		in.free <- full
		bar.update()
		if len(in.full) == 0 && in.live && printed && failed == nil {
			failed = errors.Join(rows.settle(), out.Flush()) // nothing waits: whoever watches sees what there is
		}
		if failed != nil || ctx.Err() != nil {
			break
		}
	}
	stop()
	if cmd.Context().Err() != nil {
		bar.clear()
		return cmd.Context().Err()
	}
	<-in.done
	if len(in.errs) == len(files) && table.Ledger().Received+in.filtered == 0 {
		bar.clear()
		return errors.Join(in.errs...) // there was nothing to make flows of: a header would say that there was
	}
	if failed == nil {
		table.Close()
	}
	if failed == nil {
		failed = errors.Join(rows.settle(), out.Flush())
	}
	bar.clear()
	if failed != nil {
		return fmt.Errorf("write: %w", failed)
	}
	sh.sayFlows(table.Ledger(), in, time.Since(started))
	for _, link := range slices.Sorted(maps.Keys(unread)) {
		sh.note("link type %d is not read: %d packets are in no flow", link, unread[link])
	}
	return errors.Join(in.errs...)
}

// sayFlows tells what became of the packets.
func (sh *shell) sayFlows(l flow.Ledger, in *fileReader, took time.Duration) {
	filtered := ""
	if in.filtered > 0 {
		filtered = fmt.Sprintf(" of %d", l.Received+in.filtered)
	}
	sh.note("%d%s packets in %.2f s (%.2f million/s): %d counted in %d flows, %d dropped%s", l.Received, filtered,
		took.Seconds(), float64(l.Received+in.filtered)/1e6/max(took.Seconds(), 1e-9), l.Counted, l.Flows, l.Dropped(),
		named(len(l.Drops), func(i int) (string, uint64) { return flow.Cause(i).String(), l.Drops[i] }))
	if faults := named(len(l.Faults), func(i int) (string, uint64) { return flow.Fault(i).String(), l.Faults[i] }); faults != "" {
		sh.note("counted, but not sound:%s", faults)
	}
	if l.FlowsEvicted > 0 {
		sh.note("%d flows ended before their time to make room for others", l.FlowsEvicted)
	}
	if in.lost > 0 {
		sh.note("%d packets are not in the files: the program that captured says it lost them", in.lost)
	}
}

// named lists what is not zero, as " (ring 3, table 1)".
func named(n int, value func(i int) (string, uint64)) string {
	var list []string
	for i := range n {
		if name, count := value(i); count > 0 {
			list = append(list, fmt.Sprintf("%s %d", name, count))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// fileReader reads capture files ahead of who counts. All fields below done are its goroutine's until done is closed.
type fileReader struct {
	sh         *shell
	files      []string
	expression string
	total      int64                // bytes of all files; 0: not known
	live       bool                 // standard input is among them
	read       atomic.Int64         // bytes read so far
	full       chan *pcapfile.Batch // closed at the end
	free       chan *pcapfile.Batch
	done       chan struct{}

	errs     []error
	filtered uint64 // packets that the filter kept out
	lost     uint64 // packets that the writers of the files say they lost
	programs map[flow.LinkType]*filter.Program
}

func newFileReader(sh *shell, files []string, expression string) (*fileReader, error) {
	in := &fileReader{
		sh: sh, files: files, expression: expression,
		full: make(chan *pcapfile.Batch, batchesAhead), free: make(chan *pcapfile.Batch, batchesAhead), done: make(chan struct{}),
		programs: map[flow.LinkType]*filter.Program{},
	}
	for range batchesAhead {
		in.free <- &pcapfile.Batch{}
	}
	if expression != "" {
		if _, err := in.program(flow.LinkEthernet); err != nil {
			return nil, &usageError{pointed("--filter", err)}
		}
	}
	for _, name := range files {
		if name == "-" {
			if in.live {
				return nil, usagef("standard input ('-') can be read once")
			}
			in.live = true
			continue
		}
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, &exitError{exitNotFound, err}
		case err != nil:
			return nil, err
		case info.Mode().IsRegular():
			in.total += info.Size()
		}
	}
	if in.live {
		in.total = 0
	}
	return in, nil
}

// program is the filter for packets of a link type.
func (in *fileReader) program(link flow.LinkType) (*filter.Program, error) {
	if p, ok := in.programs[link]; ok {
		return p, nil
	}
	p, err := filter.Compile(in.expression, link, filterKeeps)
	if err != nil {
		return nil, err
	}
	in.programs[link] = p
	return p, nil
}

// run reads the files one after the other, until the context ends.
func (in *fileReader) run(ctx context.Context) {
	defer close(in.done)
	defer close(in.full)
	for _, name := range in.files {
		if err := in.file(ctx, name); err != nil {
			if ctx.Err() != nil {
				return
			}
			in.errs = append(in.errs, fmt.Errorf("%s: %w", orElse(strings.TrimPrefix(name, "-"), "standard input"), err))
		}
	}
}

func (in *fileReader) file(ctx context.Context, name string) error {
	src, _, err := in.sh.openInput(name)
	if err != nil {
		return err
	}
	defer src.Close()
	r, err := pcapfile.Open(&tally{src, &in.read})
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		var batch *pcapfile.Batch
		select {
		case batch = <-in.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := r.Next(batch)
		if err == nil && in.expression != "" {
			err = in.filter(batch)
		}
		if err != nil {
			in.free <- batch // it came from there: there is room
			in.lost += r.Lost()
			if errors.Is(err, io.EOF) && !errors.As(err, new(*pcapfile.DamageError)) {
				return nil
			}
			return err
		}
		if len(batch.Runs) == 0 {
			in.free <- batch
			continue
		}
		in.full <- batch // as many fit as there are
	}
}

// next waits for a batch; there is none after the last one, nor when the context ends: a file that is a pipe may keep
// its reader waiting for ever, to be opened or to be written to.
func (in *fileReader) next(ctx context.Context) (full *pcapfile.Batch, more bool) {
	select {
	case full, more = <-in.full:
		return full, more
	case <-ctx.Done():
		return nil, false
	}
}

// filter leaves in the batch what passes, in the place where it is.
func (in *fileReader) filter(batch *pcapfile.Batch) error {
	kept := batch.Runs[:0]
	for _, run := range batch.Runs {
		program, err := in.program(run.Link)
		if err != nil {
			return fmt.Errorf("packets of link type %d: %w", run.Link, err)
		}
		passed := slices.DeleteFunc(run.Packets, func(p flow.Packet) bool { return !program.Match(p.Data, p.Length) })
		in.filtered += uint64(len(run.Packets) - len(passed))
		if len(passed) > 0 {
			kept = append(kept, pcapfile.Run{Link: run.Link, Packets: passed})
		}
	}
	batch.Runs = kept
	return nil
}

// tally counts what is read through it, for another goroutine.
type tally struct {
	io.Reader
	n *atomic.Int64
}

func (t *tally) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	t.n.Add(int64(n))
	return n, err
}

// flowsBar shows on a terminal how far the files are read. It belongs to the goroutine that counts.
type flowsBar struct {
	bar   *progressbar.ProgressBar // nil: nobody watches
	in    *fileReader
	shown time.Time
}

func newFlowsBar(sh *shell, in *fileReader) *flowsBar {
	b := &flowsBar{in: in, shown: time.Now().Add(progressAfter)}
	if !sh.errScreen.terminal {
		return b
	}
	total := in.total
	if total == 0 {
		total = -1
	}
	b.bar = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(sh.err),
		progressbar.OptionSetDescription("reading"),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine of its own
		progressbar.OptionClearOnFinish(),
	)
	return b
}

func (b *flowsBar) update() {
	if b.bar == nil {
		return
	}
	if now := time.Now(); now.Sub(b.shown) >= progressStep {
		b.shown = now
		_ = b.bar.Set64(b.in.read.Load())
	}
}

// clear takes the bar away; it comes again with the next update.
func (b *flowsBar) clear() {
	if b.bar != nil && b.bar.IsStarted() {
		_ = b.bar.Clear()
	}
}

// barWriter takes the bar away before something else is written to what may be the same terminal.
type barWriter struct {
	out io.Writer
	bar *flowsBar
}

func (w barWriter) Write(p []byte) (int, error) {
	w.bar.clear()
	return w.out.Write(p)
}
