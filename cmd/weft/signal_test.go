package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// stubborn is a program that does not stop at the first signal; it ends with its
// standard input, should the second one not end it.
func stubborn() {
	ctx, stop := untilSignal(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Println("up")
	<-ctx.Done()
	fmt.Println("asked")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// The first signal asks, the second one ends the process at once.
func TestSecondSignalEndsTheProcess(t *testing.T) {
	path, err := exec.LookPath("stubborn")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(scriptPatience, func() { in.Close() })
	defer watchdog.Stop()
	lines := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("said %q, want %q", lines.Text(), want)
		}
	}
	expect("up")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect("asked")
	// The signals get their usual effect back a moment after the first one, as a user's
	// second one does: the next of these that comes after it ends the process.
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for waiting := true; waiting; {
		select {
		case <-again.C:
			_ = cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended
		case err = <-ended:
			waiting = false
		}
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, want the signal", err)
	}
}
