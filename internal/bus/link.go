package bus

import (
	"context"
	"net"
	"sync"
	"time"
)

const dialWithin = 2 * time.Second

// link dials for the NATS library, which holds its lock while it waits for a server: an
// attempt under way ends only when its socket does. A nil link does nothing.
type link struct {
	ctx    context.Context //nolint:containedctx // of the dialer's life: the library's interface has none
	cancel context.CancelFunc
	early  func() // until Connect returns, its GiveUp ends the attempt

	mu      sync.Mutex
	conn    net.Conn // the latest
	settled bool     // it is connected, and ends as the library likes
}

func newLink(giveUp <-chan struct{}) *link {
	l := &link{}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	returned := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-giveUp:
			l.giveUp()
		case <-returned:
		}
	})
	l.early = func() { close(returned); watching.Wait() }
	return l
}

// Dial implements nats.CustomDialer.
func (l *link) Dial(network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialWithin}
	conn, err := d.DialContext(l.ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ctx.Err(); err != nil {
		conn.Close()
		return nil, err
	}
	l.conn, l.settled = conn, false
	return conn, nil
}

// settle notes that the latest connection is one, or is no more.
func (l *link) settle(up bool) {
	if l != nil {
		l.mu.Lock()
		l.settled = up
		l.mu.Unlock()
	}
}

// stay says that Connect returned.
func (l *link) stay() {
	if l != nil {
		l.early()
	}
}

// giveUp ends an attempt under way, and lets no other begin.
func (l *link) giveUp() {
	if l == nil {
		return
	}
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil && !l.settled {
		l.conn.Close()
	}
}
