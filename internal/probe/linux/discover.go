package linux

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The waits of the search for namespaces.
const (
	scanPause     = 10 * time.Second       // between two scans of /proc
	scanPauseDeaf = 2 * time.Second        // where the kernel does not tell of processes
	mountPatience = 2 * time.Second        // a name may be there before its namespace is mounted
	orphanPause   = 100 * time.Millisecond // a namespace without a known process may be going
)

// An identity is what tells one namespace from another.
type identity struct {
	inode, device uint64
	nsid          int
}

// errNotYet says that a name is there, but no namespace.
var errNotYet = errors.New("not a network namespace")

// identify looks at the namespace at path and gives it an id.
func (v *visitor) identify(path string, want int) (identity, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return identity{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	var sys unix.Statfs_t
	if err := errors.Join(unix.Fstat(fd, &st), unix.Fstatfs(fd, &sys)); err != nil {
		return identity{}, err
	}
	if sys.Type != unix.NSFS_MAGIC {
		return identity{}, errNotYet
	}
	if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err == nil && kind != unix.CLONE_NEWNET {
		return identity{}, errNotYet
	}
	id := identity{inode: st.Ino, device: st.Dev}
	id.nsid, err = v.conn.giveID(fd, want)
	return id, err
}

// meet looks at the namespace at a path and adds it, with whatever reference add records.
// first says that the first Replace waits for it.
func (l *loop) meet(path string, first bool, add func(*space)) {
	want := l.nextID
	l.nextID++
	since := time.Now()
	if first {
		l.unread++
	}
	var try func()
	try = func() {
		l.visitors.do(func(v *visitor) {
			id, err := v.identify(path, want)
			l.post(func() {
				if errors.Is(err, errNotYet) && time.Since(since) < mountPatience {
					l.after(max(time.Millisecond, time.Since(since)/2), try)
				} else {
					l.met(id, err, add)
				}
				if first {
					first = false
					if l.unread--; l.unread == 0 {
						l.start()
					}
				}
			})
		})
	}
	try()
}

func (l *loop) met(id identity, err error, add func(*space)) {
	if err != nil || id.inode == l.own.inode {
		return
	}
	s := l.spaces[id.inode]
	if s != nil && s.nsid != id.nsid {
		l.removeSpace(s) // its end was not said yet, and its inode is in use again
		s = nil
	}
	if s != nil {
		add(s)
		l.touchSpace(s)
		if !s.whole {
			l.read(s)
		}
		return
	}
	if other := l.byID[id.nsid]; other != nil {
		l.removeSpace(other) // likewise its id
	}
	s = l.newSpace(id.inode, id.device, id.nsid)
	add(s)
	l.spaces[id.inode], l.byID[id.nsid] = s, s
	l.count.spaces.Inc()
	if !l.started {
		l.unread++
	} else {
		s.counted = true
	}
	l.read(s)
}

// Names

// nameAppeared and nameGone follow the files of the directories of named namespaces.
func (l *loop) nameAppeared(path string) {
	l.names[path] = struct{}{}
	l.meet(path, false, func(s *space) { l.addName(s, path) })
}

// addName records a name, unless it has gone while its namespace was looked at.
func (l *loop) addName(s *space, path string) {
	if _, ok := l.names[path]; ok {
		s.named[path] = struct{}{}
	}
}

func (l *loop) nameGone(path string) {
	delete(l.names, path)
	for _, s := range l.spaces {
		if _, ok := s.named[path]; ok {
			delete(s.named, path)
			l.touchSpace(s)
			l.orphaned(s)
		}
	}
}

// listNames makes the names those that are in dir now.
func (l *loop) listNames(dir string, first bool) {
	there := make(map[string]struct{})
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("named namespaces cannot be listed", "directory", dir, "error", err)
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		there[path] = struct{}{}
		if _, known := l.names[path]; !known {
			l.names[path] = struct{}{}
			l.meet(path, first, func(s *space) { l.addName(s, path) })
		}
	}
	for path := range maps.Clone(l.names) {
		if _, ok := there[path]; !ok && filepath.Dir(path) == dir {
			l.nameGone(path)
		}
	}
}

// Processes

// A found namespace is one that a process is in.
type found struct {
	inode uint64
	pid   int
	comm  string
}

// processSeen takes a process that is in another namespace than the probe.
func (l *loop) processSeen(f found, first bool) {
	s := l.spaces[f.inode]
	if s == nil {
		l.meet(processPath(f.pid), first, func(s *space) { l.addProcess(s, f) })
		return
	}
	l.addProcess(s, f)
	if !s.whole {
		l.read(s)
	}
}

// addProcess takes a process as the way into a namespace, unless there is another one.
func (l *loop) addProcess(s *space, f found) {
	if s.pid == 0 || s.pid == f.pid {
		l.setProcess(s, f.pid, f.comm)
	}
}

func (l *loop) setProcess(s *space, pid int, comm string) {
	if s.pid == pid && s.comm == comm {
		return
	}
	if l.pids[s.pid] == s {
		delete(l.pids, s.pid)
	}
	s.pid, s.comm = pid, comm
	if pid != 0 {
		l.pids[pid] = s
	}
	l.touchSpace(s)
}

// processGone takes the end of a process.
func (l *loop) processGone(pid int) {
	if s := l.pids[pid]; s != nil {
		l.setProcess(s, 0, "")
		l.orphaned(s)
	}
}

// orphaned looks for another way into a namespace that has lost one, if the kernel does
// not say in a moment that it has gone.
func (l *loop) orphaned(s *space) {
	if _, ok := s.path(); ok {
		return
	}
	l.after(orphanPause, func() {
		if _, ok := s.path(); !ok && !s.gone {
			l.scanSoon()
		}
	})
}

// scanSoon has /proc scanned, if that is not under way.
func (l *loop) scanSoon() {
	if !l.all || l.scanning || l.limits.NamedOnly {
		return
	}
	l.scanning = true
	l.visitors.do(func(*visitor) {
		all := scanProcesses(l.own.inode)
		l.post(func() { l.scanned(all, false) })
	})
}

// scanned takes the namespaces that processes are in.
func (l *loop) scanned(all []found, first bool) {
	l.scanning = false
	alive := make(map[uint64]found, len(all))
	for _, f := range all {
		alive[f.inode] = f
	}
	for _, s := range l.spaces {
		if f, ok := alive[s.inode]; ok {
			if s.pid != 0 && processNamespace(s.pid) != s.inode {
				l.setProcess(s, 0, "")
			}
			l.addProcess(s, f)
			continue
		}
		l.setProcess(s, 0, "")
		if _, ok := s.path(); !ok {
			l.read(s) // from outside: fails when it has gone
		}
	}
	for _, f := range all {
		if l.spaces[f.inode] == nil {
			l.processSeen(f, first)
		}
	}
}

// scanProcesses finds the namespaces of all processes but own, and of each the process
// with the lowest id.
func scanProcesses(own uint64) []found {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	lowest := make(map[uint64]int)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		inode := processNamespace(pid)
		if inode == 0 || inode == own {
			continue
		}
		if other, ok := lowest[inode]; !ok || pid < other {
			lowest[inode] = pid
		}
	}
	all := make([]found, 0, len(lowest))
	for inode, pid := range lowest {
		all = append(all, found{inode: inode, pid: pid, comm: processName(pid)})
	}
	slices.SortFunc(all, func(a, b found) int { return a.pid - b.pid })
	return all
}

// processNamespace returns the inode of a process's network namespace, 0 when there is no
// such process or it may not be looked at.
func processNamespace(pid int) uint64 {
	target, err := os.Readlink(processPath(pid))
	if err != nil {
		return 0
	}
	digits, ok := strings.CutPrefix(target, "net:[")
	if !ok {
		return 0
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(digits, "]"), 10, 64)
	if err != nil {
		return 0
	}
	return inode
}

func processName(pid int) string {
	name := strings.TrimSpace(readFile("/proc/" + strconv.Itoa(pid) + "/comm"))
	if name == "" {
		return "process"
	}
	return name
}
