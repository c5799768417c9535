package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A signal at any moment of the start ends the process soon, and that is no failure.
func TestSignalDuringTheStart(t *testing.T) {
	path, err := exec.LookPath("weft")
	if err != nil {
		t.Fatal(err)
	}
	mute := muteServer(t)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 36 {
		args := []string{"allinone", "--listen", "127.0.0.1:0", "--host", "testhost", "--data-dir", "memory"}
		switch round % 6 {
		case 1:
			args[6] = t.TempDir()
		case 2:
			args = append(args, "--nats", "nats://127.0.0.1:1")
		case 3:
			args = append(args, "--nats", "nats://"+mute)
		case 4:
			args[0] = "agent"
			args = append(args, "--nats", "nats://"+mute+",nats://localhost:"+mute[len("127.0.0.1:"):])
		case 5:
			args[0] = "analyzer"
		}
		after := time.Duration(random.IntN(120)) * time.Millisecond
		cmd := exec.Command(path, args...)
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		watchdog := time.AfterFunc(scriptPatience, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) })
		var signalled time.Time
		var once sync.WaitGroup
		once.Add(1)
		time.AfterFunc(after, func() {
			defer once.Done()
			signalled = time.Now()
			_ = cmd.Process.Signal(syscall.SIGTERM)
		})
		once.Wait()
		err := cmd.Wait()
		took := time.Since(signalled)
		watchdog.Stop()
		if took > 2*time.Second {
			t.Errorf("seed %d: %v, signal after %s: ended %s later:\n%s", seed, args, after, took, said.Bytes())
		}
		// Before it hears signals, one ends it as it does any program.
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
			continue
		}
		if err != nil {
			t.Errorf("seed %d: %v, signal after %s: %v:\n%s", seed, args, after, err, said.Bytes())
		}
	}
}

// muteServer takes connections and says nothing.
func muteServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	})
	t.Cleanup(func() {
		l.Close()
		done.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}
