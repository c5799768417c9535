package linux

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// visitors are threads that enter namespaces, look at what is there and come back. What
// they are given to do is done in order, several at a time.
type visitors struct {
	mu      sync.Mutex
	jobs    []func(*visitor)
	wake    chan struct{}
	threads sync.WaitGroup
}

// A visitor is one of the threads.
type visitor struct {
	home     int   // descriptor of the namespace that it comes back to
	conn     *conn // at home
	buf      []byte
	features []string
	lost     bool // could not come back: the thread must end
}

// startVisitors starts n threads, which end with ctx. They start in the namespace of the
// calling thread.
func startVisitors(ctx context.Context, n int) (*visitors, error) {
	v := &visitors{wake: make(chan struct{}, n)}
	started := make(chan error, n)
	for range n {
		v.threads.Go(func() { v.run(ctx, started) })
	}
	for range n {
		select {
		case err := <-started:
			if err != nil {
				return v, err
			}
		case <-ctx.Done(): // a thread that finds it ended says nothing
			return v, ctx.Err()
		}
	}
	return v, nil
}

// wait returns when all threads have ended.
func (v *visitors) wait() { v.threads.Wait() }

// do adds a job. The jobs that wait are few: each namespace has at most one of each sort.
func (v *visitors) do(job func(*visitor)) {
	v.mu.Lock()
	v.jobs = append(v.jobs, job)
	v.mu.Unlock()
	select {
	case v.wake <- struct{}{}:
	default: // all threads are awake
	}
}

func (v *visitors) next() (func(*visitor), bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.jobs) == 0 {
		v.jobs = nil
		return nil, false
	}
	job := v.jobs[0]
	v.jobs = v.jobs[1:]
	return job, true
}

func (v *visitors) run(ctx context.Context, started chan<- error) {
	for first := true; ctx.Err() == nil; first = false {
		thread, err := newVisitor()
		if first {
			started <- err
		}
		if err != nil {
			return
		}
		v.work(ctx, thread)
		thread.close()
		if thread.lost {
			// The goroutine is still locked to a thread that is elsewhere: another goroutine
			// takes over, and the thread ends with this one.
			v.threads.Go(func() { v.run(ctx, make(chan error, 1)) })
			return
		}
	}
}

// work runs jobs until ctx ends or the thread is lost.
func (v *visitors) work(ctx context.Context, thread *visitor) {
	for {
		job, ok := v.next()
		if !ok {
			select {
			case <-v.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		job(thread)
		if thread.lost || ctx.Err() != nil {
			return
		}
	}
}

func newVisitor() (*visitor, error) {
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("own namespace: %w", err)
	}
	v := &visitor{home: home, buf: make([]byte, 64<<10)}
	if v.conn, err = dial(v.buf); err != nil {
		unix.Close(home)
		return nil, err
	}
	return v, nil
}

func (v *visitor) close() {
	v.conn.close()
	unix.Close(v.home)
}

// errOther says that a path leads to another namespace than it did.
var errOther = errors.New("another namespace is there now")

// enter calls f on a thread that is in the namespace at path, whose inode must be as
// given. Path "" is the visitor's own namespace.
func (v *visitor) enter(path string, inode uint64, f func() error) error {
	if path == "" {
		return f()
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Ino != inode {
		return errOther
	}
	runtime.LockOSThread()
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if back := unix.Setns(v.home, unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, and so ends with its goroutine, in the wrong namespace.
		v.lost = true
		return errors.Join(err, fmt.Errorf("return from %s: %w", path, back))
	}
	runtime.UnlockOSThread()
	return err
}
