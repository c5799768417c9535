package linux

import (
	"hash/maphash"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/internal/testenv"
)

// BenchmarkMeasure reads the counters of a namespace with a veth pair, as is done once an
// interval.
func BenchmarkMeasure(b *testing.B) {
	ns := testenv.NewNamespace(b)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	v, nsid := visit(b, ns)
	seed := maphash.MakeSeed()
	known := map[int]uint64{}
	for b.Loop() {
		s, err := readStats(v.conn, nsid, known, seed)
		if err != nil || len(s.all) != 3 {
			b.Fatal(s, err)
		}
		for index, m := range s.all {
			known[index] = m.hash
		}
	}
}

// BenchmarkRead reads all of such a namespace, as is done when it is found.
func BenchmarkRead(b *testing.B) {
	ns := testenv.NewNamespace(b)
	ns.IP("link", "add", "v0", "type", "veth", "peer", "name", "v1")
	v, _ := visit(b, ns)
	for b.Loop() {
		err := v.enter(ns.Path, ns.Inode(), func() error {
			_, err := v.readInside(1000, maphash.MakeSeed())
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func visit(b *testing.B, ns *testenv.Namespace) (*visitor, int) {
	b.Helper()
	v, err := newVisitor()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(v.close)
	fd, err := unix.Open(ns.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	nsid, err := v.conn.giveID(fd, firstID+rand.IntN(lastID-firstID))
	if err != nil {
		b.Fatal(err)
	}
	return v, nsid
}
