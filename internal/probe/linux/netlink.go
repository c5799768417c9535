package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A message is one netlink message without its header.
type message struct {
	kind uint16
	data []byte
}

// messages splits what one read of a netlink socket returned. It stops at the first
// message that does not fit.
func messages(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= unix.NLMSG_HDRLEN {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return
			}
			m := message{kind: binary.NativeEndian.Uint16(b[4:]), data: b[unix.NLMSG_HDRLEN:size:size]}
			if !yield(m) {
				return
			}
			b = b[min(align(size), len(b)):]
		}
	}
}

// attributes splits a run of netlink attributes, the flags taken off their types. It stops
// at the first one that does not fit.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofNlAttr || size > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(kind, b[unix.SizeofNlAttr:size:size]) {
				return
			}
			b = b[min(align(size), len(b)):]
		}
	}
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

func u32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// A request is a netlink request under construction.
type request struct{ b []byte }

func newRequest(kind, flags uint16, body []byte) *request {
	r := &request{b: make([]byte, unix.NLMSG_HDRLEN, 64)}
	binary.NativeEndian.PutUint16(r.b[4:], kind)
	binary.NativeEndian.PutUint16(r.b[6:], flags|unix.NLM_F_REQUEST)
	r.b = append(r.b, body...)
	return r
}

func (r *request) attribute(kind uint16, value int) *request {
	r.b = binary.NativeEndian.AppendUint16(r.b, unix.SizeofNlAttr+4)
	r.b = binary.NativeEndian.AppendUint16(r.b, kind)
	r.b = binary.NativeEndian.AppendUint32(r.b, uint32(int32(value)))
	return r
}

// A conn asks the kernel and waits for the answers. It belongs to one goroutine; it stays
// in the namespace of the thread that opened it.
type conn struct {
	fd  int
	seq uint32
	buf []byte
}

// answerTimeout bounds the wait for one answer of the kernel.
const answerTimeout = 5 * time.Second

func dial(buf []byte) (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	timeout := unix.NsecToTimeval(int64(answerTimeout))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	// Strict checking is what makes the kernel look at the attributes of a dump request.
	// A kernel without it (before 4.20) answers for its own namespace.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return &conn{fd: fd, buf: buf}, nil
}

func (c *conn) close() { unix.Close(c.fd) }

// errInterrupted says that what was dumped changed meanwhile.
var errInterrupted = errors.New("dump interrupted")

// do sends a request and calls each for every message of the answer, whose data is good
// until each returns. Errors of the kernel are unix.Errno.
func (c *conn) do(r *request, each func(message)) error {
	c.seq++
	binary.NativeEndian.PutUint32(r.b, uint32(len(r.b)))
	binary.NativeEndian.PutUint32(r.b[8:], c.seq)
	if err := unix.Sendto(c.fd, r.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var interrupted bool
	for {
		n, _, err := unix.Recvfrom(c.fd, c.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		for b := c.buf[:n]; len(b) >= unix.NLMSG_HDRLEN; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return fmt.Errorf("netlink answer of %d bytes with a message of %d", n, size)
			}
			kind, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
			seq := binary.NativeEndian.Uint32(b[8:])
			data := b[unix.NLMSG_HDRLEN:size:size]
			b = b[min(align(size), len(b)):]
			if seq != c.seq {
				continue // the rest of an answer that was given up
			}
			interrupted = interrupted || flags&unix.NLM_F_DUMP_INTR != 0
			switch kind {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				if errno := -int32(u32(data)); errno != 0 {
					return unix.Errno(errno)
				}
				if interrupted {
					return errInterrupted
				}
				return nil
			}
			each(message{kind: kind, data: data})
			if flags&unix.NLM_F_MULTI == 0 {
				return nil
			}
		}
	}
}

// dump does a dump request, again when what was dumped changed meanwhile; start is called
// before each attempt.
func (c *conn) dump(kind uint16, body []byte, start func(), each func(message)) error {
	return c.dumpIn(-1, 0, kind, body, start, each)
}

// dumpIn is dump for another namespace: attr is the attribute that names it, target its id.
func (c *conn) dumpIn(target int, attr, kind uint16, body []byte, start func(), each func(message)) error {
	var err error
	for range 4 {
		start()
		r := newRequest(kind, unix.NLM_F_DUMP, body)
		if target >= 0 {
			r.attribute(attr, target)
		}
		if err = c.do(r, each); !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return nil // a dump that changes all the time is followed by events that say how
}

// An events socket receives multicast messages, of all namespaces that have an id.
type events struct {
	file *os.File
	raw  syscall.RawConn
	oob  []byte
	all  bool // hears all namespaces
}

// listen opens the events socket in the namespace of the calling thread.
func listen(groups []int, buffer int) (*events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink event socket: %w", err)
	}
	e, err := newEvents(fd, unix.NETLINK_ROUTE, groups, buffer)
	if err != nil {
		return nil, err
	}
	// Kernels before 5.3 have no next hop objects, and no group for them.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_NEXTHOP)
	e.all = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1) == nil
	return e, nil
}

// newEvents takes over fd.
func newEvents(fd, family int, groups []int, buffer int) (*events, error) {
	// SO_RCVBUFFORCE goes beyond the system's limit and needs root; the other does not.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netlink event socket: %w", err)
	}
	for _, group := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("netlink group %d of family %d: %w", group, family, err)
		}
	}
	file := os.NewFile(uintptr(fd), "netlink")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("netlink event socket: %w", err)
	}
	return &events{file: file, raw: raw, oob: make([]byte, 256)}, nil
}

// receive waits for a datagram, reads it into buf and returns its length and the id of the
// namespace that sent it, -1 for the socket's own. Only the kernel's datagrams are taken.
// It fails with unix.ENOBUFS when messages were lost, with os.ErrClosed after close.
func (e *events) receive(buf []byte) (n, nsid int, err error) { return e.read(buf, true) }

// tryReceive is receive that fails with unix.EAGAIN instead of waiting.
func (e *events) tryReceive(buf []byte) (n, nsid int, err error) { return e.read(buf, false) }

func (e *events) read(buf []byte, wait bool) (n, nsid int, err error) {
	for {
		var oobn int
		var from unix.Sockaddr
		failed := e.raw.Read(func(fd uintptr) bool {
			n, oobn, _, from, err = unix.Recvmsg(int(fd), buf, e.oob, unix.MSG_DONTWAIT)
			return !wait || !errors.Is(err, unix.EAGAIN)
		})
		switch {
		case failed != nil:
			return 0, 0, failed
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, 0, err
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue
		}
		return n, senderID(e.oob[:oobn]), nil
	}
}

// senderID finds the namespace's id in a datagram's control messages.
func senderID(oob []byte) int {
	if len(oob) == 0 {
		return -1
	}
	controls, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1
	}
	for _, c := range controls {
		if c.Header.Level == unix.SOL_NETLINK && c.Header.Type == unix.NETLINK_LISTEN_ALL_NSID {
			return int(int32(u32(c.Data)))
		}
	}
	return -1
}

func (e *events) close() { e.file.Close() }
