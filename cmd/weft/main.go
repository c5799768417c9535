// Command weft is the whole of weft in one file: the servers (allinone, analyzer,
// agent) and the client commands (query, listen, dump, add, …) that talk to them,
// or to Skydive, over the API. Called by the name skydive-ws-client it takes that
// tool's arguments.
//
// Each file holds one group of commands; what they share is in shell.go (streams,
// environment, terminal), exit.go (errors and exit codes), connect.go (flags that say
// which analyzer) and table.go (what people read). Standard output carries the answer
// and nothing else; everything said on the side goes to standard error.
//
// A command runs on the main goroutine until its context ends, which the first
// SIGINT or SIGTERM does; the second one kills the process. No state outlives a run.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() { os.Exit(mainExit()) }

// mainExit runs the program as the process it is in and gives its exit code.
func mainExit() int {
	ctx, stop := untilSignal(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	sh := &shell{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Environ(),
		screen: screenOf(os.Stdout, os.Environ()), errScreen: screenOf(os.Stderr, os.Environ()),
	}
	return sh.run(ctx, os.Args)
}

// run is the program: argv[0] chooses the personality.
func (sh *shell) run(ctx context.Context, argv []string) int {
	root := newRoot(sh)
	if name := strings.TrimSuffix(filepath.Base(argv[0]), ".exe"); name == wsClientName {
		root = newWSClient(sh)
	}
	root.SetArgs(argv[1:])
	root.SetIn(sh.in)
	root.SetOut(sh.out)
	root.SetErr(sh.err)
	cmd, err := root.ExecuteContextC(ctx)
	return sh.exit(ctx, cmd, err)
}

// untilSignal gives a context that ends at the first of the signals. After it the
// signals have their usual effect again, so that a second one ends the process at once.
func untilSignal(parent context.Context, signals ...os.Signal) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, signals...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
