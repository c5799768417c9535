package sockets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// A place is a path that leads into a network namespace.
type place struct {
	path  string // "" is the probe's own
	inode uint64
}

// processes lists /proc: the ids of all processes, ascending.
func processes() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// places finds each network namespace once: the own one, those with a name, those of processes.
func places(dirs []string, pids []int) []place {
	var all []place
	seen := map[uint64]struct{}{}
	add := func(path, stat string, named bool) {
		var st unix.Stat_t
		if unix.Stat(stat, &st) != nil {
			return // it has gone, or is not for us to see
		}
		if named && !isNamespace(stat) {
			return
		}
		if _, again := seen[st.Ino]; !again {
			seen[st.Ino] = struct{}{}
			all = append(all, place{path, st.Ino})
		}
	}
	add("", "/proc/thread-self/ns/net", false)
	for _, pid := range pids {
		path := "/proc/" + strconv.Itoa(pid) + "/ns/net"
		add(path, path, false)
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // no names are kept there
		}
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			add(path, path, true)
		}
	}
	return all
}

// isNamespace tells whether a named namespace is mounted at a path: the file is there before, and other files may be too.
func isNamespace(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && fs.Type == unix.NSFS_MAGIC
}

// visit reads the sockets of all places on a thread that enters one after the other. Places that
// went meanwhile are no errors. refused is the first namespace that could not be entered.
func visit(all []place) (found []socket, refused, err error) {
	type result struct {
		found        []socket
		refused, err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			done <- result{err: fmt.Errorf("own namespace: %w", err)}
			return
		}
		defer unix.Close(home)
		var r result
		buf := make([]byte, 64<<10)
		away := false
		for _, p := range all {
			if p.path != "" {
				if err := enter(p); err != nil {
					if r.refused == nil && errors.Is(err, unix.EPERM) {
						r.refused = err
					}
					continue
				}
				away = true
			}
			before := len(r.found)
			if r.found, err = dump(r.found, buf); err != nil {
				r.err = errors.Join(r.err, err)
			}
			if p.path != "" {
				for i := range r.found[before:] {
					r.found[before+i].netns = p.inode
				}
			}
		}
		if away {
			if err := unix.Setns(home, unix.CLONE_NEWNET); err != nil {
				// The thread stays locked, and so ends with this goroutine, where nobody misses it.
				r.err = errors.Join(r.err, fmt.Errorf("return to the own namespace: %w", err))
				done <- r
				return
			}
		}
		runtime.UnlockOSThread()
		done <- r
	}()
	r := <-done
	return r.found, r.refused, r.err
}

// errOther says that a path leads to another namespace than it did.
var errOther = errors.New("another namespace is there now")

func enter(p place) error {
	fd, err := unix.Open(p.path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Ino != p.inode {
		return errOther
	}
	return unix.Setns(fd, unix.CLONE_NEWNET)
}
