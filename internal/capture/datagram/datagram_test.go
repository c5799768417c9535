package datagram_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-net/weft/internal/capture/datagram"
	"github.com/weft-net/weft/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A socket hears its own namespace, and the thread that opened it is back in the test's.
func TestListenInANamespace(t *testing.T) {
	ns := testenv.NewNamespace(t)
	s, err := datagram.Listen(ns.Path, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ns.Do(func() error {
		conn, err := net.Dial("udp", s.Addr().String())
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("hello"))
		return err
	})
	buffer := make([]byte, datagram.Largest)
	n, from, err := s.Read(buffer, 10*time.Second)
	if err != nil || string(buffer[:n]) != "hello" || from.Addr().String() != "127.0.0.1" {
		t.Errorf("%q from %v: %v", buffer[:n], from, err)
	}
	if s.Lost() != 0 {
		t.Errorf("%d lost", s.Lost())
	}
}

func TestListenRefuses(t *testing.T) {
	if _, err := datagram.Listen("/nonexistent", netip.MustParseAddrPort("127.0.0.1:0")); err == nil {
		t.Error("listens in a namespace that is not there")
	}
}
