package main

import (
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	garbageBytes = 400 << 20 // that a heap of any size may hold beside what lives
	leastPercent = 40        // of what lives, in a large heap: less costs too much time
	heapEvery    = time.Second
	limitPart    = 0.9 // of a control group's memory: the rest is what Go does not count
)

// paceGC keeps the memory that the process takes near what it needs, without a setting: a
// heap of a gigabyte does not wait until it is two before it is swept, and a control group's
// limit makes collections more frequent before it makes the kernel kill. Whoever sets GOGC or
// GOMEMLIMIT, Go's own variables, decides instead. What it returns ends that.
func paceGC(env []string, log *slog.Logger) (stop func()) {
	if getenv(env, "GOMEMLIMIT") == "" {
		if limit, ok := groupLimit(os.DirFS("/")); ok {
			limit = int64(limitPart * float64(limit))
			debug.SetMemoryLimit(limit)
			log.Info("memory is limited by the control group", "target", limit)
		}
	}
	if getenv(env, "GOGC") != "" {
		return func() {}
	}
	ended := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(heapEvery)
		defer tick.Stop()
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		percent := 100
		for {
			select {
			case <-ended:
				debug.SetGCPercent(100)
				return
			case <-tick.C:
			}
			metrics.Read(live)
			if p := percentFor(live[0].Value.Uint64()); p != percent {
				percent = p
				debug.SetGCPercent(p)
			}
		}
	})
	return func() { close(ended); running.Wait() }
}

// percentFor is the GOGC of a heap in which so many bytes live, in steps of ten.
func percentFor(live uint64) int {
	percent := int(garbageBytes * 100 / max(live, garbageBytes))
	return max(percent/10*10, leastPercent)
}

// groupLimit is the least memory limit of the control groups (version 2) that this process
// is in; see https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.max.
func groupLimit(root fs.FS) (limit int64, ok bool) {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	group, found := "", false
	for line := range strings.Lines(string(text)) {
		if g, v2 := strings.CutPrefix(strings.TrimSpace(line), "0::/"); v2 {
			group, found = g, true
		}
	}
	if !found {
		return 0, false
	}
	limit = math.MaxInt64
	for dir := path.Join("sys/fs/cgroup", group); strings.HasPrefix(dir, "sys/fs/cgroup"); dir = path.Dir(dir) {
		text, err := fs.ReadFile(root, path.Join(dir, "memory.max"))
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil { // else "max"
			limit = min(limit, n)
		}
	}
	return limit, limit < math.MaxInt64
}
