package testenv

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// NamespaceDir is where iproute2 keeps named network namespaces.
const NamespaceDir = "/run/netns"

// namePrefix starts the name of every namespace made here; the maker's pid follows.
const namePrefix = "weft"

// Namespace is a named network namespace that ends with the test.
type Namespace struct {
	Name string
	Path string
	t    testing.TB
}

// NewNamespace makes a network namespace with a unique name and its loopback up.
func NewNamespace(t testing.TB) *Namespace {
	t.Helper()
	return NewNamespaces(t, 1)[0]
}

// NewNamespaces makes n network namespaces, faster than one after the other.
func NewNamespaces(t testing.TB, n int) []*Namespace {
	t.Helper()
	Root(t)
	sweep()
	stem := fmt.Sprintf("%s-%d-%s", namePrefix, os.Getpid(), random())
	all := make([]*Namespace, n)
	for i := range all {
		name := stem
		if n > 1 {
			name = fmt.Sprintf("%s-%d", stem, i)
		}
		all[i] = &Namespace{Name: name, Path: filepath.Join(NamespaceDir, name), t: t}
	}
	t.Cleanup(func() { _ = each(all, (*Namespace).remove) }) // what stays is swept by the next run
	// The first one is made by ip, which prepares the directory's mount the way that other
	// programs expect; the rest by system calls.
	IP(t, "netns", "add", all[0].Name)
	if err := each(all[1:], (*Namespace).create); err != nil {
		t.Fatalf("namespaces: %v", err)
	}
	if err := each(all, func(ns *Namespace) error { return ns.do(loopbackUp) }); err != nil {
		t.Fatalf("loopback up: %v", err)
	}
	return all
}

// Delete removes the namespace's name now; the kernel deletes the namespace when nothing
// else holds it.
func (ns *Namespace) Delete() {
	ns.t.Helper()
	if err := ns.remove(); err != nil {
		ns.t.Fatalf("namespace %s: %v", ns.Name, err)
	}
}

// IP runs ip(8) in the namespace and returns what it printed.
func (ns *Namespace) IP(args ...string) string {
	ns.t.Helper()
	return IP(ns.t, append([]string{"-n", ns.Name}, args...)...)
}

// Bridge runs bridge(8) in the namespace.
func (ns *Namespace) Bridge(args ...string) string {
	ns.t.Helper()
	return run(ns.t, "bridge", append([]string{"-n", ns.Name}, args...)...)
}

// Exec prepares a command that runs in the namespace.
func (ns *Namespace) Exec(command ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", ns.Name}, command...)...)
}

// Do calls f on a thread that is in the namespace. Goroutines that f starts are not in it;
// sockets that f opens stay in it for good.
func (ns *Namespace) Do(f func() error) {
	ns.t.Helper()
	if err := ns.do(f); err != nil {
		ns.t.Fatalf("in namespace %s: %v", ns.Name, err)
	}
}

// Inode identifies the namespace, as in the node's metadata.
func (ns *Namespace) Inode() uint64 {
	ns.t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(ns.Path, &st); err != nil {
		ns.t.Fatalf("namespace %s: %v", ns.Name, err)
	}
	return st.Ino
}

// IP runs ip(8) and returns what it printed.
func IP(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, "ip", args...)
}

// IPBatch runs many commands of ip(8) in the namespace, in one process, a line each.
func (ns *Namespace) IPBatch(lines ...string) {
	ns.t.Helper()
	batch(ns.t, []string{"-n", ns.Name}, lines)
}

func batch(t testing.TB, args, lines []string) {
	t.Helper()
	cmd := exec.Command("ip", append(args, "-batch", "-")...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip -batch: %v\n%s", err, out)
	}
}

func run(t testing.TB, program string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, "%s: install iproute2", program)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (ns *Namespace) do(f func() error) error {
	return onThread(func() error {
		fd, err := unix.Open(ns.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", ns.Path, err)
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter %s: %w", ns.Path, err)
		}
		return f()
	})
}

func (ns *Namespace) create() error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		file, err := os.OpenFile(ns.Path, os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		file.Close()
		self := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		if err := unix.Mount(self, ns.Path, "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", ns.Path, err)
		}
		return nil
	})
}

func (ns *Namespace) remove() error { return removeName(ns.Path) }

func removeName(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// onThread calls f on a thread of its own, which comes back to its network namespace and
// ends with it. Ending would not be enough: the runtime keeps the process's first thread,
// and so the namespace that this thread is in.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			done <- err
			return
		}
		err = f()
		done <- errors.Join(err, unix.Setns(home, unix.CLONE_NEWNET), unix.Close(home))
	}()
	return <-done
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// each calls f for all namespaces, some at a time, and returns the first error.
func each(all []*Namespace, f func(*Namespace) error) error {
	var (
		group sync.WaitGroup
		slots = make(chan struct{}, 8)
		once  sync.Once
		first error
	)
	for _, ns := range all {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := f(ns); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	group.Wait()
	return first
}

// sweep removes the namespaces of processes that are gone.
func sweep() {
	entries, err := os.ReadDir(NamespaceDir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		rest, ours := strings.CutPrefix(entry.Name(), namePrefix+"-")
		if !ours {
			continue
		}
		digits, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(digits)
		if err != nil || pid == os.Getpid() {
			continue
		}
		if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			_ = removeName(filepath.Join(NamespaceDir, entry.Name()))
		}
	}
}

func random() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
