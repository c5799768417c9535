package app

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/internal/testenv"
	"github.com/weft-net/weft/skydive"
)

// TestLedgerIsExactOnAFullDisk lets the reports of many flows fill the agent's disk, and kills the analyzer and the agent
// with -9. What the analyzer has in flows is what the ledger counts, to the packet.
func TestLedgerIsExactOnAFullDisk(t *testing.T) {
	w := newWire(t)
	dir := t.TempDir()
	if err := unix.Mount("weft-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", 4<<20)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	name := fmt.Sprint("weft", os.Getpid())
	s := newCaptureStageIn(t, name, dir)
	w.joinQuietly(name)
	s.awaitActive()
	before := w.passed(name)
	full := func() bool {
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			t.Fatal(err)
		}
		return fs.Bavail*uint64(fs.Bsize) < 512<<10 // less than what is reported at once
	}

	w.scatter(1, 10000)
	s.awaitReported(1000)
	s.analyzer.kill()
	for from := 10001; !full(); from += 10000 {
		if from > 50001 {
			t.Fatal("the disk is never full")
		}
		w.scatter(from, 10000)
		pause(1500 * time.Millisecond) // the agent reports every second
	}
	s.analyzer.start()
	testenv.Eventually(t, 30*time.Second, func() string { // more than were reported before
		var count int
		if err := s.call(http.MethodPost, "/api/topology", map[string]string{"GremlinQuery": "G.At(NOW, FOREVER).Flows().Count()"}, &count); err != nil {
			return err.Error()
		}
		if count < 15000 {
			return fmt.Sprintf("%d flows are reported", count)
		}
		return ""
	})
	w.scatter(1, 5000)
	pause(1500 * time.Millisecond)
	s.agent.kill()
	s.agent.start()
	w.scatter(1, 10)
	pause(1500 * time.Millisecond)

	var ledger skydive.CaptureLedger
	testenv.Eventually(t, 20*time.Second, func() string {
		var err error
		if ledger, err = s.ledger(); err != nil {
			return err.Error()
		}
		packets, past, live, err := s.packetsOfFlows()
		if err != nil {
			return err.Error()
		}
		dropped := uint64(0)
		for _, n := range ledger.Drops {
			dropped += n
		}
		if passed := w.passed(name) - before; int64(ledger.Received) != passed || ledger.Received != ledger.Counted+dropped || int64(ledger.Counted) != packets {
			return fmt.Sprintf("%d packets passed, %d are in %d flows of the past and %d live ones: ledger %+v", passed, packets, past, live, ledger)
		}
		return ""
	})
	t.Logf("ledger %+v", ledger)
}

// scatter sends a datagram to each of so many ports, from a port of its own for each 10,000.
func (w *wire) scatter(from, n int) {
	w.t.Helper()
	var conn *net.UDPConn
	w.near.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(w.nearA)})
		return err
	})
	defer conn.Close()
	far := netip.MustParseAddr(w.farA)
	for port := from; port < from+n; port++ {
		// An error is an answer that came: nobody listens.
		if _, err := conn.WriteToUDPAddrPort([]byte("hello"), netip.AddrPortFrom(far, uint16(port))); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			w.t.Fatal(err)
		}
		if port%200 == 0 {
			pause(2 * time.Millisecond) // the ring is read meanwhile
		}
	}
}
