package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server is one running weft process.
type server struct {
	address string
	ready   time.Duration // from the start of the process to the first 200 of /readyz
	command *exec.Cmd
	ended   chan struct{}
	log     *tail
	http    *http.Client
}

// start runs weft with a role on a free port and waits until it is ready. It keeps nothing on disk, so that the disk
// is not what is measured.
func (b *bench) start(ctx context.Context, role string, args ...string) (*server, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	s := &server{
		address: address,
		ended:   make(chan struct{}),
		log:     &tail{},
		http: &http.Client{Transport: &http.Transport{
			DisableCompression: true, MaxIdleConnsPerHost: 4, MaxIdleConns: 16,
		}},
	}
	args = append([]string{role, "--listen", address, "--data-dir", "memory"}, args...)
	s.command = exec.Command(b.weft, args...)
	s.command.Stdout, s.command.Stderr = s.log, s.log
	started := time.Now()
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.ended)
		_ = s.command.Wait() // the status of a process that was told to stop says nothing
	}()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		if s.get(ctx, "/readyz") == nil {
			s.ready = time.Since(started)
			return s, nil
		}
		select {
		case <-ticker.C:
		case <-s.ended:
			return nil, fmt.Errorf("weft %s ended: %s", role, s.log)
		case <-ctx.Done():
			s.stop()
			return nil, fmt.Errorf("weft %s is not ready: %s", role, s.log)
		}
	}
}

func (s *server) get(ctx context.Context, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		return err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return nil
}

// stop ends the process and waits for it. It is safe to call twice.
func (s *server) stop() {
	_ = s.command.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		_ = s.command.Process.Kill()
		<-s.ended
	}
	s.http.CloseIdleConnections()
}

// cpu is what the process has used so far, user and system.
func (s *server) cpu() (time.Duration, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.command.Process.Pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold spaces; what follows it does not.
	_, rest, ok := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, errors.New("unexpected /proc stat")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that weft runs on
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

func (s *server) memory() (rss int64, err error) { return memoryOf(s.command.Process.Pid, "VmRSS") }

// memoryOf reads one line of /proc/PID/status, in bytes.
func memoryOf(pid int, key string) (int64, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/%d/status", key, pid)
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }

func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// tail keeps the last of what a process said, for an error message.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, data...)
	if extra := len(t.data) - 2000; extra > 0 {
		t.data = append(t.data[:0], t.data[extra:]...)
	}
	return len(data), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.data))
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
