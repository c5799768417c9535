package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The layout of linux/inet_diag.h: struct inet_diag_req_v2, struct inet_diag_msg.
const (
	requestLength = 56
	messageLength = 72
)

// States of TCP that the kernel numbers in include/net/tcp_states.h; UDP uses the first and CLOSE.
var stateNames = [...]string{
	1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1", 5: "FIN_WAIT2", 6: "TIME_WAIT",
	7: "CLOSE", 8: "CLOSE_WAIT", 9: "LAST_ACK", 10: "LISTEN", 11: "CLOSING", 12: "SYN_RECV",
}

const (
	stateTimeWait  = 6
	stateListen    = 10
	stateNewSynRcv = 12
	// What is asked for: all but those that no process holds.
	wantedStates = (1<<len(stateNames) - 1) &^ (1<<3 | 1<<stateTimeWait | 1<<stateNewSynRcv)
)

// A socket is one socket as the kernel describes it.
type socket struct {
	local, remote netip.AddrPort
	netns         uint64 // inode of the network namespace; 0 is the probe's own
	inode         uint32
	protocol      uint8 // IPPROTO_TCP, IPPROTO_UDP
	state         uint8
}

// request is the question for all sockets of a family (AF_INET, AF_INET6) and a protocol.
func request(family, protocol uint8) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN+requestLength)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := b[unix.NLMSG_HDRLEN:]
	body[0], body[1] = family, protocol
	binary.NativeEndian.PutUint32(body[4:], wantedStates)
	return b
}

// errShort says that the kernel's answer is not what its header promises.
var errShort = errors.New("malformed answer of sock_diag")

// parse reads what one read of the netlink socket returned and appends its sockets. done is true
// after the end of the dump. An error of the kernel comes as syscall.Errno.
func parse(dst []socket, b []byte, protocol uint8) (all []socket, done bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return dst, false, errShort
		}
		body := b[unix.NLMSG_HDRLEN:size]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return dst, true, kernelError(body)
		case unix.NLMSG_ERROR:
			if err := kernelError(body); err != nil {
				return dst, true, err
			}
		case unix.SOCK_DIAG_BY_FAMILY:
			s, ok := parseSocket(body, protocol)
			if !ok {
				return dst, false, errShort
			}
			if s.inode != 0 {
				dst = append(dst, s)
			}
		}
		b = b[min((size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(b)):]
	}
	if len(b) > 0 {
		return dst, false, errShort
	}
	return dst, false, nil
}

// kernelError reads the number at the head of NLMSG_ERROR and, for a dump, of NLMSG_DONE.
func kernelError(body []byte) error {
	if len(body) < 4 {
		return nil
	}
	if code := int32(binary.NativeEndian.Uint32(body)); code < 0 {
		return syscall.Errno(-code)
	}
	return nil
}

// parseSocket reads struct inet_diag_msg; the attributes behind it are not asked for.
func parseSocket(b []byte, protocol uint8) (socket, bool) {
	if len(b) < messageLength {
		return socket{}, false
	}
	address := func(b []byte) (netip.Addr, bool) { return netip.Addr{}, false }
	switch b[0] {
	case unix.AF_INET:
		address = func(b []byte) (netip.Addr, bool) { return netip.AddrFromSlice(b[:4]) }
	case unix.AF_INET6:
		address = func(b []byte) (netip.Addr, bool) {
			a, ok := netip.AddrFromSlice(b[:16])
			return a.Unmap(), ok
		}
	}
	local, ok := address(b[8:])
	remote, too := address(b[24:])
	return socket{
		local:    netip.AddrPortFrom(local, binary.BigEndian.Uint16(b[4:])),
		remote:   netip.AddrPortFrom(remote, binary.BigEndian.Uint16(b[6:])),
		inode:    binary.NativeEndian.Uint32(b[68:]),
		protocol: protocol,
		state:    b[1],
	}, ok && too
}

// kinds are the questions of one reading.
var kinds = [...]struct{ family, protocol uint8 }{
	{unix.AF_INET, unix.IPPROTO_TCP},
	{unix.AF_INET6, unix.IPPROTO_TCP},
	{unix.AF_INET, unix.IPPROTO_UDP},
	{unix.AF_INET6, unix.IPPROTO_UDP},
}

// dump appends the sockets of the namespace that the calling thread is in. buf is scratch space.
func dump(dst []socket, buf []byte) ([]socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return dst, fmt.Errorf("sock_diag socket: %w", err)
	}
	defer unix.Close(fd)
	patience := unix.NsecToTimeval(int64(answerPatience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		return dst, os.NewSyscallError("setsockopt", err)
	}
	for _, kind := range kinds {
		if err := unix.Sendto(fd, request(kind.family, kind.protocol), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return dst, fmt.Errorf("sock_diag request: %w", err)
		}
		for done := false; !done; {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return dst, fmt.Errorf("sock_diag answer: %w", err)
			}
			dst, done, err = parse(dst, buf[:n], kind.protocol)
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) {
				break // a kernel without IPv6, or without the diag module of that protocol
			}
			if err != nil {
				return dst, fmt.Errorf("sock_diag: %w", err)
			}
		}
	}
	return dst, nil
}
