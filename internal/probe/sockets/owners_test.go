package sockets

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
)

// A tree is a /proc of processes that are made up: their descriptors link to sockets that need not be there.
type tree struct {
	t    *testing.T
	root string
	o    *owners
	pids []int
	now  time.Time
}

func newTree(t *testing.T) *tree {
	tr := &tree{t: t, root: t.TempDir(), o: newOwners(), now: time.Unix(1000, 0)}
	tr.o.root = tr.root
	tr.o.now = func() time.Time { return tr.now }
	return tr
}

// add makes a process, the pids ascending.
func (tr *tree) add(pid int, name string, inodes ...int) {
	tr.t.Helper()
	dir := filepath.Join(tr.root, strconv.Itoa(pid))
	if err := os.MkdirAll(filepath.Join(dir, "fd"), 0o755); err != nil {
		tr.t.Fatal(err)
	}
	link := func(from, to string) {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			tr.t.Fatal(err)
		}
	}
	link("exe", "/usr/bin/"+name+" (deleted)")
	if err := os.WriteFile(filepath.Join(dir, "comm"), []byte(name+"\n"), 0o600); err != nil {
		tr.t.Fatal(err)
	}
	link("fd/0", "/dev/null")
	link("fd/1", "pipe:[77]")
	for i, inode := range inodes {
		link("fd/"+strconv.Itoa(i+2), "socket:["+strconv.Itoa(inode)+"]")
	}
	tr.pids = append(tr.pids, pid)
}

func (tr *tree) resolve(inodes ...uint32) {
	all := make([]socket, len(inodes))
	for i, inode := range inodes {
		all[i].inode = inode
	}
	tr.now = tr.now.Add(time.Minute)
	tr.o.resolve(all, tr.pids)
}

func (tr *tree) holder(inode uint32) string {
	if p := tr.o.inodes[inode].process; p != nil {
		return p.name
	}
	return ""
}

func TestAHolderIsLookedForOnce(t *testing.T) {
	tr := newTree(t)
	tr.add(10, "sshd", 100, 101)
	tr.add(20, "nginx", 200)
	tr.resolve(100, 200)
	tr.resolve(100, 200)
	if tr.o.walks != 1 {
		t.Errorf("/proc was looked through %d times, want 1", tr.o.walks)
	}
	tr.resolve(100, 200, 101)
	if tr.o.walks != 2 {
		t.Errorf("/proc was looked through %d times after a new socket, want 2", tr.o.walks)
	}
	for inode, want := range map[uint32]string{100: "sshd", 101: "sshd", 200: "nginx"} {
		if got := tr.holder(inode); got != want {
			t.Errorf("socket %d is held by %q, want %q", inode, got, want)
		}
	}
	if got := tr.o.inodes[100].process.path; got != "/usr/bin/sshd" {
		t.Errorf("the program is %s", got)
	}
}

func TestWhatNobodyHoldsIsLookedForTwice(t *testing.T) {
	tr := newTree(t)
	tr.add(10, "sshd", 100)
	for range 5 {
		tr.resolve(999)
	}
	if tr.o.walks != mostTries {
		t.Errorf("/proc was looked through %d times, want %d", tr.o.walks, mostTries)
	}
	rows, total := tr.o.rows([]socket{{inode: 999, protocol: unix.IPPROTO_UDP, state: 7}}, 10)
	if total != 1 || rows[0].process.pid != 0 {
		t.Errorf("the socket is shown as %+v", rows)
	}
}

func TestAChildInheritsWhatItsParentLeft(t *testing.T) {
	tr := newTree(t)
	tr.add(10, "parent", 100)
	tr.add(20, "child", 100)
	tr.resolve(100)
	if got := tr.holder(100); got != "parent" {
		t.Errorf("held by %s, want the first process", got)
	}
	tr.pids = []int{20} // the parent has ended
	if err := os.RemoveAll(filepath.Join(tr.root, "10")); err != nil {
		t.Fatal(err)
	}
	tr.resolve(100)
	if got := tr.holder(100); got != "child" {
		t.Errorf("held by %q, want the child", got)
	}
}

func TestSocketsThatWentAreForgotten(t *testing.T) {
	tr := newTree(t)
	tr.add(10, "sshd", 100, 101)
	tr.resolve(100, 101)
	tr.resolve(101)
	if len(tr.o.inodes) != 1 {
		t.Errorf("%d sockets are remembered, want 1", len(tr.o.inodes))
	}
	tr.pids = nil
	tr.resolve()
	if len(tr.o.inodes)+len(tr.o.held) != 0 {
		t.Errorf("%d sockets and %d processes are remembered, want none", len(tr.o.inodes), len(tr.o.held))
	}
}

// A walk through a /proc of many thousand descriptors may last: the next one waits, and what it
// would find is not shown without its process meanwhile.
func TestAWalkIsFollowedByARest(t *testing.T) {
	tr := newTree(t)
	tr.add(10, "sshd", 100, 101)
	calls := 0
	tr.o.now = func() time.Time { // each walk lasts three seconds
		calls++
		if calls%2 == 0 {
			tr.now = tr.now.Add(3 * time.Second)
		}
		return tr.now
	}
	tr.resolve(100)
	tr.o.now = func() time.Time { return tr.now }
	all := []socket{{inode: 100}, {inode: 101}}
	tr.resolve(100, 101) // a minute later
	if rows, _ := tr.o.rows(all, 10); len(rows) != 1 || tr.o.walks != 1 {
		t.Errorf("%d sockets are shown after %d walks, want one of each", len(rows), tr.o.walks)
	}
	tr.resolve(100, 101)
	tr.resolve(100, 101)
	if rows, _ := tr.o.rows(all, 10); len(rows) != 2 || tr.holder(101) != "sshd" {
		t.Errorf("%d sockets are shown, want both", len(rows))
	}
}

func TestListenersComeBeforeTheNewestWhenThereAreTooMany(t *testing.T) {
	o := newOwners()
	var all []socket
	for i := range 10 {
		s := socket{
			inode: uint32(i + 1), protocol: unix.IPPROTO_TCP, state: 1,
			local: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(9000-i)),
		}
		if i == 0 {
			s.state = stateListen
		}
		o.inodes[s.inode] = owner{process: &process{pid: 7, name: "server"}}
		all = append(all, s)
	}
	shown, total := o.rows(all, 3)
	var inodes []uint32
	for _, r := range shown {
		inodes = append(inodes, r.inode)
	}
	if total != 10 || len(inodes) != 3 || inodes[0] != 10 || inodes[1] != 9 || inodes[2] != 1 {
		t.Errorf("shown are %v of %d, want 10 9 1 (in the order of ports) of 10", inodes, total)
	}
	m := describe(shown, total)
	if count, _ := m.Get("SocketsCount"); count.Int() != 10 {
		t.Errorf("SocketsCount is %v", count)
	}
	if m := describe(shown, 3); m.Len() != 1 {
		t.Errorf("without omission the layer is %s", m.AppendJSON(nil))
	}
	if m := describe(nil, 0); !m.Equal(graph.NewMetadata()) {
		t.Errorf("without sockets the layer is %s", m.AppendJSON(nil))
	}
}
