package afpacket

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/flow"
)

// place is the namespace that a ring was opened in, by its path and by what the path led to.
type place struct {
	path   string
	device uint64
	inode  uint64
}

// gone reports whether the path leads there no more.
func (p place) gone() bool {
	if p.path == "" {
		return false
	}
	var stat unix.Stat_t
	err := unix.Stat(p.path, &stat)
	if err != nil {
		return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ESRCH)
	}
	return stat.Ino != p.inode || uint64(stat.Dev) != p.device //nolint:unconvert // Dev is 32 bits wide on some machines
}

// inNamespace calls f on a thread that is in the namespace; sockets that f opens stay in it for good.
// The thread comes back before the runtime may use it for anything else.
func inNamespace(path string, f func(place) error) error {
	if path == "" {
		return f(place{})
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		back, err := enter(path, f)
		if back {
			runtime.UnlockOSThread()
		} // else the thread ends with the goroutine
		done <- err
	}()
	return <-done
}

func enter(path string, f func(place) error) (back bool, err error) {
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true, fmt.Errorf("own namespace: %w", err)
	}
	defer unix.Close(home)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true, &fs.PathError{Op: "open network namespace", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return true, &fs.PathError{Op: "stat network namespace", Path: path, Err: err}
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return true, &fs.PathError{Op: "enter network namespace", Path: path, Err: err}
	}
	err = f(place{path: path, device: uint64(stat.Dev), inode: stat.Ino}) //nolint:unconvert // as above
	if setErr := unix.Setns(home, unix.CLONE_NEWNET); setErr != nil {
		return false, errors.Join(err, fmt.Errorf("leave namespace: %w", setErr))
	}
	return true, err
}

// device is what a ring needs to know of an interface.
type device struct {
	name     string
	index    int
	hardware uint16 // ARPHRD_
	up       bool
}

func (d device) loopback() bool { return d.hardware == unix.ARPHRD_LOOPBACK }

// link says how packets begin. Of what is not Ethernet the kernel takes the link header off, and IP is
// left: tunnels, PPP and the like.
func (d device) link() flow.LinkType {
	if d.hardware == unix.ARPHRD_ETHER || d.hardware == unix.ARPHRD_LOOPBACK {
		return flow.LinkEthernet
	}
	return flow.LinkRaw
}

// lookup finds an interface in the namespace of the thread.
func lookup(name string, index int) (device, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return device{}, fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	if index != 0 {
		if name, err = nameOf(fd, index); err != nil {
			return device{}, err
		}
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return device{}, fmt.Errorf("interface %q: not a name of an interface", name)
	}
	found := device{name: name}
	for _, call := range []struct {
		number uint
		take   func()
	}{
		{unix.SIOCGIFINDEX, func() { found.index = int(request.Uint32()) }},
		{unix.SIOCGIFFLAGS, func() { found.up = request.Uint16()&unix.IFF_UP != 0 }},
		{unix.SIOCGIFHWADDR, func() { found.hardware = request.Uint16() }},
	} {
		if err := unix.IoctlIfreq(fd, call.number, request); err != nil {
			return device{}, missing(fmt.Sprintf("interface %q", name), err)
		}
		call.take()
	}
	if index != 0 && found.index != index {
		return device{}, fmt.Errorf("interface %d: renamed meanwhile: %w", index, fs.ErrNotExist)
	}
	return found, nil
}

// missing makes the kernel's ways to say that there is no such interface one.
func missing(what string, err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("%s: %w", what, fs.ErrNotExist)
	}
	return fmt.Errorf("%s: %w", what, os.NewSyscallError("ioctl", err))
}
