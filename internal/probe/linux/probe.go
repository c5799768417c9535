package linux

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/internal/probe"
)

// Name is the probe's name in the table of probes and in the settings.
const Name = "linux"

// Probe watches this host's kernel. See the package comment.
type Probe struct {
	env probe.Env
}

// New builds the probe. It looks at nothing before Run.
func New(env probe.Env) (probe.Probe, error) {
	if env.Host == "" {
		return nil, fmt.Errorf("probe %s: the host has no name", Name)
	}
	return &Probe{env: env.WithDefaults()}, nil
}

// Name returns "linux".
func (p *Probe) Name() string { return Name }

// Run implements [probe.Probe].
func (p *Probe) Run(ctx context.Context, sink probe.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	l := newLoop(ctx, p.env, sink)
	unregister, err := l.count.register(p.env.Registry)
	if err != nil {
		cancel()
		unregister()
		return fmt.Errorf("metrics of probe %s: %w", Name, err)
	}
	defer unregister()

	var readers sync.WaitGroup
	var closers []func()
	defer func() { // in this order: what waits for the loop gives up, what waits for the kernel wakes
		cancel()
		for _, f := range closers {
			f()
		}
		readers.Wait()
	}()

	l.visitors, err = startVisitors(ctx, min(8, 2*runtime.GOMAXPROCS(0)))
	closers = append(closers, l.visitors.wait)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("probe %s: %w", Name, err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return fmt.Errorf("own network namespace: %w", err)
	}
	l.own = l.newSpace(st.Ino, st.Dev, -1)
	l.own.own, l.own.tid = true, ""
	l.host = readHost(p.env.Host, "/")

	if l.all = canEnter(); l.all {
		l.all = l.identifyOwn() == nil
	}
	e, err := listen(eventGroups(), l.limits.ReceiveBuffer)
	if err != nil {
		return err
	}
	closers = append(closers, e.close)
	l.spaces[l.own.inode] = l.own
	l.all = l.all && e.all
	if !l.all {
		l.log.Warn("only the own network namespace is shown: run as root, or with CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_BROADCAST and CAP_SYS_PTRACE, to see those of containers too")
	}
	readers.Go(func() { l.readEvents(e) })

	l.unread++
	l.read(l.own)
	if l.all {
		w, err := watchNames(l.limits.NamespaceDirs)
		if err != nil {
			return err
		}
		closers = append(closers, w.close)
		for _, dir := range l.limits.NamespaceDirs {
			l.listNames(dir, true)
		}
		readers.Go(func() { w.run(l) })
		if !l.limits.NamedOnly {
			if processes := l.followProcesses(); processes != nil {
				closers = append(closers, processes.close)
				readers.Go(func() { l.readProcesses(processes, l.own.inode) })
			}
		}
	}
	l.measureEvery(p.env.Settings.Linux.MetricInterval)
	l.after(firstReading, l.start)
	l.run()
	return nil
}

// followProcesses looks for the namespaces of processes, now and from time to time, and
// returns the socket through which the kernel tells of processes, if it does.
func (l *loop) followProcesses() *events {
	pause := scanPause
	processes, err := listenProcesses()
	if err != nil {
		pause = scanPauseDeaf
		l.log.Info("the kernel does not tell of processes: their namespaces are looked for every two seconds", "error", err)
	}
	l.scanned(scanProcesses(l.own.inode), true)
	l.scanEvery(pause)
	return processes
}

// canEnter reports whether this process may enter other network namespaces.
func canEnter() bool {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return unix.Setns(fd, unix.CLONE_NEWNET) == nil
}

// identifyOwn gives the probe's own namespace an id in itself, so that others can say that
// they mean it. It is done before events are heard: from then on the kernel marks the own
// ones with it.
func (l *loop) identifyOwn() error {
	v, err := newVisitor()
	if err != nil {
		return err
	}
	defer v.close()
	id, err := v.conn.giveID(v.home, l.nextID)
	l.nextID++
	if err == nil && id >= 0 {
		l.own.nsid, l.byID[id] = id, l.own
	}
	return err
}

func (l *loop) scanEvery(pause time.Duration) {
	l.after(pause, func() {
		l.scanSoon()
		l.scanEvery(pause)
	})
}
