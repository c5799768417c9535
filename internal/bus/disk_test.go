package bus

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/internal/testenv"
)

// tinyDisk is a directory on a file system of its own.
func tinyDisk(t *testing.T, size int) string {
	t.Helper()
	testenv.Root(t)
	dir := t.TempDir()
	if err := unix.Mount("weft-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestFullDiskTurnsPersistenceOffAndLosesNothing(t *testing.T) {
	dir := tinyDisk(t, 32<<20)
	server := startServer(t, ServerOptions{Dir: filepath.Join(dir, "bus")})
	hub := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	f, in := feed(t, hub, FeedOptions{Stream: StreamOptions{File: true}, HoldTime: 300 * time.Millisecond})
	eventually(t, 5*time.Second, "persistence on", func() bool { return f.State().Persistent })
	p := publisher(t, connect(t, ConnOptions{Member: "h1", Server: server}), PublisherOptions{Acks: true})

	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	var seq uint64
	say := func() { seq++; send(t, p, batch("x@h1", seq)) }
	eventually(t, 10*time.Second, "persistence off", func() bool { say(); return !f.State().Persistent })
	t.Log("reason:", f.State().Reason)
	for range 100 {
		say()
	}
	eventually(t, 10*time.Second, "all batches arrive", func() bool { return in.len() == int(seq) })

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "persistence on again", func() bool { say(); return f.State().Persistent })
	eventually(t, 10*time.Second, "all batches arrive", func() bool { return in.len() == int(seq) })
	for i, got := range in.sequences("x@h1") {
		if got != uint64(i+1) {
			t.Fatalf("delivery %d is batch %d", i, got)
		}
	}
}

func TestFullDiskAtTheStart(t *testing.T) {
	dir := tinyDisk(t, 1<<20)
	fill(t, filepath.Join(dir, "ballast"))
	server := startServer(t, ServerOptions{Dir: filepath.Join(dir, "bus")})
	hub := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	f, in := feed(t, hub, FeedOptions{Stream: StreamOptions{File: true}})
	send(t, publisher(t, hub, PublisherOptions{}), batch("x@analyzer:hub", 1))
	eventually(t, 5*time.Second, "batch arrives", func() bool { return in.len() == 1 })
	eventually(t, 5*time.Second, "reason is known", func() bool {
		s := f.State()
		return !s.Persistent && s.Reason != "starting"
	})
	t.Log("reason:", f.State().Reason)
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = file.Write(block)
	}
}
