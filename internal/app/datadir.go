package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockDir makes the data directory and takes it for this process alone. The lock is the
// kernel's (flock): it goes with the process, however that ends.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w: choose another with --data-dir, or --data-dir memory to keep nothing", err)
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w: choose another with --data-dir, or --data-dir memory to keep nothing", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer file.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s: lock: %w: choose another with --data-dir", dir, err)
		}
		by := "another weft"
		if pid, err := os.ReadFile(path); err == nil && len(pid) > 0 {
			by += " (process " + strings.TrimSpace(string(pid)) + ")"
		}
		return nil, fmt.Errorf("data directory %s is in use by %s: stop that one, or choose another with --data-dir", dir, by)
	}
	// The number is for people only: a disk that is too full for it does not matter.
	if file.Truncate(0) == nil {
		_, _ = fmt.Fprintf(file, "%d\n", os.Getpid())
	}
	return func() { _ = file.Close() }, nil
}
