// Package datagram receives UDP datagrams in a network namespace, for the listeners of sFlow and NetFlow.
//
// One goroutine calls Read and Close; Wake and Lost may be called from any. No goroutine outlives Listen. A socket
// stays in the namespace in which it was opened, and keeps it alive, until Close.
package datagram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Largest is the length of the largest datagram, in bytes.
const Largest = 65535

// receiveBuffer is what the kernel is asked to keep of what was not read yet, in bytes.
const receiveBuffer = 4 << 20

// Socket receives datagrams.
type Socket struct {
	conn    *net.UDPConn
	control [64]byte
	lost    atomic.Uint64
	mu      sync.Mutex // orders deadlines
	woken   bool
}

// Listen opens a socket at an address of a namespace: the path of its file, or "" for the namespace of the process.
func Listen(namespace string, address netip.AddrPort) (*Socket, error) {
	if namespace == "" {
		return listen(address)
	}
	type result struct {
		socket *Socket
		err    error
	}
	done := make(chan result)
	go func() { // on a thread that ends with it when it cannot come back
		runtime.LockOSThread()
		s, back, err := listenIn(namespace, address)
		if back {
			runtime.UnlockOSThread()
		}
		done <- result{s, err}
	}()
	r := <-done
	return r.socket, r.err
}

// listenIn enters the namespace, opens the socket, and says whether the thread came back.
func listenIn(namespace string, address netip.AddrPort) (s *Socket, back bool, err error) {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, true, fmt.Errorf("own namespace: %w", err)
	}
	defer own.Close()
	other, err := os.Open(namespace)
	if err != nil {
		return nil, true, fmt.Errorf("namespace: %w", err)
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, true, fmt.Errorf("enter namespace %s: %w", namespace, err)
	}
	s, err = listen(address)
	return s, unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil, err
}

func listen(address netip.AddrPort) (*Socket, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address))
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(receiveBuffer) // the kernel may give less; what it loses is counted
	raw, err := conn.SyscallConn()
	if err == nil {
		cerr := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
		})
		err = errors.Join(err, cerr)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("count what the kernel loses: %w", err)
	}
	return &Socket{conn: conn}, nil
}

// Addr is where the socket listens.
func (s *Socket) Addr() netip.AddrPort {
	a := s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Read waits up to wait for a datagram and puts it into the buffer. It gives 0 bytes and no error when none came or
// Wake was called; an empty datagram looks the same.
func (s *Socket) Read(buffer []byte, wait time.Duration) (int, netip.AddrPort, error) {
	s.mu.Lock()
	if s.woken {
		s.woken = false
		s.mu.Unlock()
		return 0, netip.AddrPort{}, nil
	}
	err := s.conn.SetReadDeadline(time.Now().Add(wait))
	s.mu.Unlock()
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	n, controls, _, from, err := s.conn.ReadMsgUDPAddrPort(buffer, s.control[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.mu.Lock()
		s.woken = false
		s.mu.Unlock()
		return 0, netip.AddrPort{}, nil
	}
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	s.count(s.control[:controls])
	return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), nil
}

// count reads the kernel's count of lost datagrams, which comes with the next one that is not (socket(7), SO_RXQ_OVFL).
func (s *Socket) count(control []byte) {
	order := binary.NativeEndian
	if len(control) < unix.CmsgLen(4) {
		return
	}
	head := unix.CmsgLen(0)
	if int32(order.Uint32(control[head-8:])) == unix.SOL_SOCKET && int32(order.Uint32(control[head-4:])) == unix.SO_RXQ_OVFL { //nolint:gosec // fields of the kernel
		s.lost.Store(uint64(order.Uint32(control[head:])))
	}
}

// Wake makes a Read that waits return now, and the next one if none does.
func (s *Socket) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.woken = true
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // fails on a closed socket only, which needs no waking
}

// Lost is how many datagrams the kernel dropped because they were not read in time.
func (s *Socket) Lost() uint64 { return s.lost.Load() }

// Close closes the socket.
func (s *Socket) Close() error { return s.conn.Close() }
