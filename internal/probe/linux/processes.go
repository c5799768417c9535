package linux

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The process connector of the kernel: linux/connector.h, linux/cn_proc.h.
const (
	connectorProcesses = 1 // CN_IDX_PROC, CN_VAL_PROC
	connectorListen    = 1 // PROC_CN_MCAST_LISTEN
	connectorHeader    = 20
	processFork        = 0x00000001
	processExec        = 0x00000002
	processComm        = 0x00000200
	processExit        = 0x80000000
)

// A processEvent is the start, the change or the end of a process.
type processEvent struct {
	what uint32
	pid  int
}

// decodeProcess reads struct cn_msg with struct proc_event. Events of threads are not taken.
func decodeProcess(b []byte) (processEvent, bool) {
	if len(b) < connectorHeader+16 || u32(b) != connectorProcesses || u32(b[4:]) != connectorProcesses {
		return processEvent{}, false
	}
	b = b[connectorHeader:]
	e := processEvent{what: u32(b)}
	ids := b[16:] // after what, cpu and the time
	var thread, process uint32
	switch e.what {
	case processFork: // parent thread, parent, child thread, child
		if len(ids) < 16 {
			return processEvent{}, false
		}
		thread, process = u32(ids[8:]), u32(ids[12:])
	case processExec, processComm, processExit:
		if len(ids) < 8 {
			return processEvent{}, false
		}
		thread, process = u32(ids), u32(ids[4:])
	default:
		return processEvent{}, false
	}
	e.pid = int(process)
	return e, thread == process
}

// listenProcesses subscribes to the process connector. It needs root, and the first
// network, user and pid namespaces.
func listenProcesses() (*events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("process connector: %w", err)
	}
	e, err := newEvents(fd, unix.NETLINK_CONNECTOR, []int{connectorProcesses}, 4<<20)
	if err != nil {
		return nil, fmt.Errorf("process connector: %w", err)
	}
	if err := e.subscribe(); err != nil {
		e.close()
		return nil, fmt.Errorf("process connector: %w", err)
	}
	return e, nil
}

// subscribe sends the request to start, and waits for the answer.
func (e *events) subscribe() error {
	b := make([]byte, unix.NLMSG_HDRLEN+connectorHeader+4)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.NLMSG_DONE)
	body := b[unix.NLMSG_HDRLEN:]
	binary.NativeEndian.PutUint32(body, connectorProcesses)
	binary.NativeEndian.PutUint32(body[4:], connectorProcesses)
	binary.NativeEndian.PutUint16(body[16:], 4)
	binary.NativeEndian.PutUint32(body[connectorHeader:], connectorListen)
	var err error
	failed := e.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return true
	})
	return errors.Join(failed, err)
}

// readProcesses tells the loop of processes in other namespaces until the socket is closed.
func (l *loop) readProcesses(e *events, own uint64) {
	buf := make([]byte, 64<<10)
	elsewhere := make(map[int]uint64) // processes that the loop was told of
	for {
		n, _, err := e.receive(buf)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			clear(elsewhere) // who ended is not known; the scan finds out
			l.post(l.scanSoon)
			continue
		case err != nil:
			return // closed
		}
		for m := range messages(buf[:n]) {
			p, ok := decodeProcess(m.data)
			if !ok {
				continue
			}
			if p.what == processExit {
				if _, told := elsewhere[p.pid]; told {
					delete(elsewhere, p.pid)
					l.post(func() { l.processGone(p.pid) })
				}
				continue
			}
			inode := processNamespace(p.pid)
			if inode == 0 || inode == own {
				continue
			}
			if before, told := elsewhere[p.pid]; told && before == inode && p.what == processFork {
				continue
			}
			elsewhere[p.pid] = inode
			f := found{inode: inode, pid: p.pid, comm: processName(p.pid)}
			l.post(func() { l.processSeen(f, false) })
		}
	}
}
