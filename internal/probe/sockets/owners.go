package sockets

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A process holds sockets.
type process struct {
	pid        int
	path, name string // /proc/PID/exe and /proc/PID/comm
}

// An owner is what is known of the holder of an inode.
type owner struct {
	process *process // nil: nobody was found
	tries   int
}

// mostTries is how often the holder of a socket is looked for: a process that starts while /proc is
// read may be missed once, and the kernel's own sockets have no holder at all.
const mostTries = 2

// owners remembers which process holds which socket. One goroutine uses it.
type owners struct {
	root    string // "/proc"
	inodes  map[uint32]owner
	held    map[int]*process
	rest    time.Time     // no walk before
	walks   int           // through the descriptors, for tests and the metrics
	lasted  time.Duration // the last one
	now     func() time.Time
	readBuf []byte
}

func newOwners() *owners {
	return &owners{
		root: "/proc", inodes: map[uint32]owner{}, held: map[int]*process{}, now: time.Now, readBuf: make([]byte, 64),
	}
}

// resolve brings the memory up to date with the sockets that are there and the processes that live.
func (o *owners) resolve(all []socket, pids []int) {
	for pid := range o.held {
		if _, lives := slices.BinarySearch(pids, pid); !lives {
			delete(o.held, pid)
		}
	}
	present := make(map[uint32]owner, len(all))
	wanted := map[uint32]struct{}{}
	for _, s := range all {
		known := o.inodes[s.inode]
		if known.process != nil && o.held[known.process.pid] != known.process {
			known = owner{} // it has ended; a child may hold the socket
		}
		present[s.inode] = known
		if known.process == nil && known.tries < mostTries {
			wanted[s.inode] = struct{}{}
		}
	}
	o.inodes = present
	if start := o.now(); len(wanted) > 0 && !start.Before(o.rest) {
		o.walk(wanted, pids)
		end := o.now()
		o.lasted = end.Sub(start)
		o.rest = end.Add(restFactor * o.lasted)
	}
}

// walk looks through the descriptors of processes until all that is wanted was found.
func (o *owners) walk(wanted map[uint32]struct{}, pids []int) {
	o.walks++
	for inode := range wanted {
		known := o.inodes[inode]
		known.tries++
		o.inodes[inode] = known
	}
	for _, pid := range pids {
		if len(wanted) == 0 {
			return
		}
		dir, err := os.Open(o.root + "/" + strconv.Itoa(pid) + "/fd")
		if err != nil {
			continue // it has gone, or is not for us to see
		}
		o.walkProcess(dir, wanted, pid)
		dir.Close()
	}
}

func (o *owners) walkProcess(dir *os.File, wanted map[uint32]struct{}, pid int) {
	names, err := dir.Readdirnames(-1)
	if err != nil && len(names) == 0 {
		return
	}
	fd := int(dir.Fd())
	for _, name := range names {
		n, err := unix.Readlinkat(fd, name, o.readBuf)
		if err != nil {
			continue
		}
		inode, ok := socketInode(o.readBuf[:n])
		if !ok {
			continue
		}
		if _, asked := wanted[inode]; asked {
			delete(wanted, inode)
			o.inodes[inode] = owner{process: o.holder(pid)}
		}
	}
}

// socketInode reads what a descriptor of a socket links to: socket:[123].
func socketInode(link []byte) (uint32, bool) {
	text, ok := strings.CutPrefix(string(link), "socket:[")
	if !ok {
		return 0, false
	}
	text, ok = strings.CutSuffix(text, "]")
	inode, err := strconv.ParseUint(text, 10, 32)
	return uint32(inode), ok && err == nil
}

// holder describes a process, once in its life.
func (o *owners) holder(pid int) *process {
	if p := o.held[pid]; p != nil {
		return p
	}
	dir := o.root + "/" + strconv.Itoa(pid)
	p := &process{pid: pid}
	if path, err := os.Readlink(dir + "/exe"); err == nil {
		p.path = strings.TrimSuffix(path, " (deleted)")
	}
	if name, err := os.ReadFile(dir + "/comm"); err == nil {
		p.name = strings.TrimSpace(string(name))
	}
	o.held[pid] = p
	return p
}
