package main

import (
	"log/slog"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

// gcPercent is what GOGC is now.
func gcPercent() int {
	percent := debug.SetGCPercent(100)
	debug.SetGCPercent(percent)
	return percent
}

func TestALargeHeapIsSweptEarlier(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 100, 100 << 20: 100, 400 << 20: 100, 512 << 20: 70, 1 << 30: 40, 64 << 30: 40,
	} {
		if got := percentFor(live); got != want {
			t.Errorf("%d MB: %d, want %d", live>>20, got, want)
		}
	}
}

func TestGosOwnVariablesDecide(t *testing.T) {
	percent, limit := gcPercent(), debug.SetMemoryLimit(-1)
	stop := paceGC([]string{"GOGC=77", "GOMEMLIMIT=1GiB"}, slog.New(slog.DiscardHandler))
	defer stop()
	if gcPercent() != percent || debug.SetMemoryLimit(-1) != limit {
		t.Error("changed all the same")
	}
}

func TestMemoryLimitOfTheControlGroup(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for _, try := range []struct {
		name string
		root fstest.MapFS
		want int64 // 0: none
	}{
		{"no control groups", fstest.MapFS{}, 0},
		{"version 1", fstest.MapFS{"proc/self/cgroup": file("9:memory:/a\n")}, 0},
		{"no limit", fstest.MapFS{
			"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("max\n"),
		}, 0},
		{"own", fstest.MapFS{
			"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("1000\n"),
			"sys/fs/cgroup/a/memory.max": file("2000\n"),
		}, 1000},
		{"of a parent", fstest.MapFS{
			"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("max\n"),
			"sys/fs/cgroup/a/memory.max": file("2000\n"),
		}, 2000},
		{"container", fstest.MapFS{
			"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("3000\n"),
		}, 3000},
	} {
		got, ok := groupLimit(try.root)
		if ok != (try.want != 0) || ok && got != try.want {
			t.Errorf("%s: %d %t, want %d", try.name, got, ok, try.want)
		}
	}
}
