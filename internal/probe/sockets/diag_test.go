package sockets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// message makes one netlink message.
func message(kind uint16, body []byte) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(body))
	binary.NativeEndian.PutUint32(b, uint32(unix.NLMSG_HDRLEN+len(body)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	return append(b, body...)
}

// diag makes a struct inet_diag_msg.
func diag(family, state uint8, source, destination string, ports [2]uint16, inode uint32) []byte {
	b := make([]byte, messageLength)
	b[0], b[1] = family, state
	binary.BigEndian.PutUint16(b[4:], ports[0])
	binary.BigEndian.PutUint16(b[6:], ports[1])
	copy(b[8:24], source)
	copy(b[24:40], destination)
	binary.NativeEndian.PutUint32(b[68:], inode)
	return b
}

func number(n int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }

var (
	v4     = diag(unix.AF_INET, 1, "\x0a\x00\x00\x01", "\x0a\x00\x00\x02", [2]uint16{22, 4000}, 77)
	mapped = diag(unix.AF_INET6, 1, strings.Repeat("\x00", 10)+"\xff\xff\x0a\x00\x00\x01", strings.Repeat("\x00", 10)+"\xff\xff\x0a\x00\x00\x02", [2]uint16{22, 4000}, 78)
	v6     = diag(unix.AF_INET6, 10, "\xfd"+strings.Repeat("\x00", 14)+"\x01", "", [2]uint16{80, 0}, 79)
)

func TestAnswersOfTheKernel(t *testing.T) {
	for _, c := range []struct {
		name  string
		input []byte
		want  string
		done  bool
		err   error
	}{
		{name: "nothing"},
		{name: "one socket", input: message(unix.SOCK_DIAG_BY_FAMILY, v4), want: "10.0.0.1:22 10.0.0.2:4000 1 77"},
		{name: "IPv4 on a socket of IPv6", input: message(unix.SOCK_DIAG_BY_FAMILY, mapped), want: "10.0.0.1:22 10.0.0.2:4000 1 78"},
		{name: "IPv6", input: message(unix.SOCK_DIAG_BY_FAMILY, v6), want: "[fd00::1]:80 [::]:0 10 79"},
		{
			name: "two and the end", input: slicesOf(message(unix.SOCK_DIAG_BY_FAMILY, v4), message(unix.SOCK_DIAG_BY_FAMILY, v6), message(unix.NLMSG_DONE, number(0))),
			want: "10.0.0.1:22 10.0.0.2:4000 1 77, [fd00::1]:80 [::]:0 10 79", done: true,
		},
		{name: "attributes behind it", input: message(unix.SOCK_DIAG_BY_FAMILY, append(bytes.Clone(v4), 8, 0, 1, 0, 0, 0, 0, 0)), want: "10.0.0.1:22 10.0.0.2:4000 1 77"},
		{name: "no inode", input: message(unix.SOCK_DIAG_BY_FAMILY, diag(unix.AF_INET, 6, "", "", [2]uint16{}, 0))},
		{name: "another message", input: message(unix.NLMSG_NOOP, v4)},
		{name: "refusal", input: message(unix.NLMSG_ERROR, number(-int32(syscall.ENOENT))), done: true, err: syscall.ENOENT},
		{name: "end with an error", input: message(unix.NLMSG_DONE, number(-int32(syscall.EINTR))), done: true, err: syscall.EINTR},
		{name: "acknowledgement", input: message(unix.NLMSG_ERROR, number(0))},
		{name: "unknown family", input: message(unix.SOCK_DIAG_BY_FAMILY, diag(99, 1, "", "", [2]uint16{}, 5)), err: errShort},
		{name: "cut in the body", input: message(unix.SOCK_DIAG_BY_FAMILY, v4[:50]), err: errShort},
		{name: "cut in the message", input: message(unix.SOCK_DIAG_BY_FAMILY, v4)[:60], err: errShort},
		{name: "cut in the header", input: []byte{20, 0, 0, 0}, err: errShort},
		{name: "length below the header", input: make([]byte, 16), err: errShort},
	} {
		all, done, err := parse(nil, c.input, unix.IPPROTO_TCP)
		var got []string
		for _, s := range all {
			got = append(got, strings.Join([]string{s.local.String(), s.remote.String(), itoa(s.state), itoa(s.inode)}, " "))
		}
		if text := strings.Join(got, ", "); text != c.want || done != c.done || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, done %v, %v; want %q, %v, %v", c.name, text, done, err, c.want, c.done, c.err)
		}
	}
}

// What is asked for leaves out what no process holds, and nothing else.
func TestWantedStates(t *testing.T) {
	for state, name := range stateNames {
		if state == 0 {
			continue
		}
		held := name != "TIME_WAIT" && name != "SYN_RECV"
		if asked := wantedStates>>state&1 == 1; asked != held {
			t.Errorf("%s is asked for: %v", name, asked)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message(unix.SOCK_DIAG_BY_FAMILY, v4))
	f.Add(slicesOf(message(unix.SOCK_DIAG_BY_FAMILY, mapped), message(unix.SOCK_DIAG_BY_FAMILY, v6), message(unix.NLMSG_DONE, number(0))))
	f.Add(message(unix.NLMSG_ERROR, number(-2)))
	f.Add(message(unix.SOCK_DIAG_BY_FAMILY, v4[:71]))
	f.Add(message(unix.NLMSG_DONE, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		all, _, err := parse(nil, b, unix.IPPROTO_UDP)
		if !bytes.Equal(before, b) {
			t.Fatal("the input was changed")
		}
		if len(all) > len(b)/messageLength {
			t.Fatalf("%d sockets in %d bytes", len(all), len(b))
		}
		for _, s := range all {
			if !s.local.IsValid() || !s.remote.IsValid() || s.inode == 0 || s.local.Addr().Is4In6() {
				t.Fatalf("%+v (error %v)", s, err)
			}
		}
	})
}

func FuzzSocketInode(f *testing.F) {
	for _, link := range []string{"socket:[1]", "socket:[4294967296]", "socket:[", "pipe:[3]", "/dev/null", "socket:[]"} {
		f.Add([]byte(link))
	}
	f.Fuzz(func(t *testing.T, link []byte) {
		if inode, ok := socketInode(link); ok && !bytes.Contains(link, []byte(itoa(inode))) {
			t.Fatalf("%q is %d", link, inode)
		}
	})
}

func slicesOf(messages ...[]byte) []byte { return bytes.Join(messages, nil) }

func itoa[T uint8 | uint32](n T) string { return strconv.FormatUint(uint64(n), 10) }
