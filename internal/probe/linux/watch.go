package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A nameWatch follows the directories of named namespaces through inotify. A directory
// that does not exist is waited for in its parent.
type nameWatch struct {
	file *os.File
	dirs []string
	live map[int32]string // watched directories
	wait map[int32]string // watched parents
}

func watchNames(dirs []string) (*nameWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	w := &nameWatch{
		file: os.NewFile(uintptr(fd), "inotify"), dirs: dirs,
		live: make(map[int32]string), wait: make(map[int32]string),
	}
	for _, dir := range dirs {
		w.watch(dir)
	}
	return w, nil
}

func (w *nameWatch) close() { w.file.Close() }

// watch watches a directory or else its parent, and reports whether it is the former.
func (w *nameWatch) watch(dir string) bool {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return false
	}
	var added bool
	_ = raw.Control(func(fd uintptr) {
		const inside = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ONLYDIR
		if id, err := unix.InotifyAddWatch(int(fd), dir, inside); err == nil {
			w.live[int32(id)], added = dir, true
		} else if id, err := unix.InotifyAddWatch(int(fd), filepath.Dir(dir), unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR); err == nil {
			w.wait[int32(id)] = filepath.Dir(dir)
		}
	})
	return added
}

// run hands what it sees to the loop until the watch is closed.
func (w *nameWatch) run(l *loop) {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return // closed
		}
		var changes []func()
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			id := int32(u32(b))
			mask := binary.NativeEndian.Uint32(b[4:])
			size := unix.SizeofInotifyEvent + int(u32(b[12:]))
			if size > len(b) {
				break
			}
			name := unix.ByteSliceToString(b[unix.SizeofInotifyEvent:size])
			b = b[size:]
			changes = append(changes, w.event(l, id, mask, name)...)
		}
		if len(changes) > 0 {
			l.post(func() {
				for _, change := range changes {
					change()
				}
			})
		}
	}
}

// event returns what the loop has to do about one event.
func (w *nameWatch) event(l *loop, id int32, mask uint32, name string) (changes []func()) {
	list := func(dir string) { changes = append(changes, func() { l.listNames(dir, false) }) }
	if mask&unix.IN_Q_OVERFLOW != 0 {
		for _, dir := range w.dirs {
			list(dir)
		}
		return changes
	}
	if dir, ok := w.live[id]; ok {
		path := filepath.Join(dir, name)
		switch {
		case mask&unix.IN_IGNORED != 0: // the directory is gone
			delete(w.live, id)
			w.watch(dir)
			list(dir)
		case mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0:
			changes = append(changes, func() { l.nameAppeared(path) })
		case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
			changes = append(changes, func() { l.nameGone(path) })
		}
		return changes
	}
	if parent, ok := w.wait[id]; ok {
		for _, dir := range w.dirs {
			if filepath.Dir(dir) == parent && filepath.Base(dir) == name && w.watch(dir) {
				list(dir)
			}
		}
	}
	return changes
}
