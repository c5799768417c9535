package bus

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// ConnOptions say where to connect, and as whom.
type ConnOptions struct {
	Member string  // this process's name on the bus
	Server *Server // the embedded server, or
	URL    string  // one or more NATS addresses, separated by commas

	User, Password string
	TLS            TLSFiles

	Logger *slog.Logger
	// OnUp is called when the connection is there, and each time that it is back.
	OnUp func()

	// GiveUp, once closed, ends Connect's own attempt to reach a server, which may otherwise
	// take some seconds for each that is named.
	GiveUp <-chan struct{}
}

// Conn is a connection to the bus that repairs itself for as long as it is open.
type Conn struct {
	opts     ConnOptions
	log      *slog.Logger
	nc       *nats.Conn
	instance uint64
	number   uint64 // of the last frame; guarded by send
	counters Counters
	faults   repeats
	link     *link
	ready    chan struct{} // closed when nc is set
	closed   chan struct{}

	send sync.Mutex // orders frames on the wire as they are numbered

	mu  sync.Mutex
	ups []func()
}

// Counters are what a Conn lost or refused; they only grow.
type Counters struct {
	SlowConsumer  atomic.Uint64 // messages dropped because this process was too slow
	Disconnects   atomic.Uint64
	BadFrames     atomic.Uint64 // messages on graph subjects that are no frames
	Abandoned     atomic.Uint64 // batches of which a part never came
	HeldDropped   atomic.Uint64 // held messages dropped for want of room
	LostAcks      atomic.Uint64 // windows given up because no acknowledgement came
	StreamErrors  atomic.Uint64 // publications that the stream refused
	Switches      atomic.Uint64 // changes between stream and direct
	BadRequests   atomic.Uint64 // requests and heartbeats that make no sense
	ForeignOrigin atomic.Uint64 // batches refused: origin of another member
}

// ErrDisconnected says that the bus cannot be reached at the moment.
var ErrDisconnected = errors.New("bus not connected")

// Connect opens a connection. An embedded server must answer at once; an address that does
// not answer yet is tried for ever, and OnUp says when it did.
func Connect(opts ConnOptions) (*Conn, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Conn{opts: opts, log: opts.Logger, ready: make(chan struct{}), closed: make(chan struct{})}
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails
	c.instance = binary.BigEndian.Uint64(seed[:])
	if opts.OnUp != nil {
		c.ups = append(c.ups, opts.OnUp)
	}
	options := []nats.Option{
		nats.Name("weft " + opts.Member),
		nats.CustomInboxPrefix(inboxOf(opts.Member)),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.ReconnectBufSize(-1), // what cannot be sent now is not kept in secret
		nats.Timeout(2 * time.Second),
		nats.PingInterval(time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { c.up() }),
		nats.ReconnectHandler(func(*nats.Conn) { c.up() }),
		nats.DisconnectErrHandler(c.down),
		nats.ReconnectErrHandler(c.unreachable),
		nats.ErrorHandler(c.asyncError),
		nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }),
		nats.IgnoreAuthErrorAbort(),
	}
	if opts.Server != nil {
		options = append(options, nats.InProcessServer(opts.Server.ns))
		if opts.Server.users {
			options = append(options, nats.UserInfo(ownUser, opts.Server.password))
		}
	} else {
		c.link = newLink(opts.GiveUp)
		options = append(options, nats.RetryOnFailedConnect(true), nats.SetCustomDialer(c.link))
		config, err := opts.TLS.client()
		if err != nil {
			return nil, err
		}
		if config != nil {
			options = append(options, nats.Secure(config))
		}
		if opts.User != "" {
			options = append(options, nats.UserInfo(opts.User, opts.Password))
		}
	}
	nc, err := nats.Connect(opts.URL, options...)
	c.link.stay()
	if err != nil {
		return nil, fmt.Errorf("connection to the bus: %w", err)
	}
	c.nc = nc
	close(c.ready)
	return c, nil
}

// Member is the name under which this connection speaks.
func (c *Conn) Member() string { return c.opts.Member }

// Counters returns the live counters.
func (c *Conn) Counters() *Counters { return &c.counters }

// Connected says whether the bus can be reached now.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Addr is the address of the server that the connection has, or looks for.
func (c *Conn) Addr() string {
	if c.opts.Server != nil {
		return "in process"
	}
	if url := c.nc.ConnectedUrlRedacted(); url != "" {
		return url
	}
	return "" // not connected
}

// LastError is the last reason why the bus could not be used; nil while it can.
func (c *Conn) LastError() error {
	if c.nc.IsConnected() {
		return nil
	}
	if err := c.nc.LastError(); err != nil {
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	return ErrDisconnected
}

// NotifyUp has f called each time that the connection is back, and at once if it is there.
func (c *Conn) NotifyUp(f func()) {
	c.mu.Lock()
	c.ups = append(c.ups, f)
	c.mu.Unlock()
	if c.Connected() {
		f()
	}
}

func (c *Conn) up() {
	<-c.ready
	c.link.settle(true)
	c.log.Info("bus connected", "member", c.opts.Member)
	c.mu.Lock()
	ups := append([]func(){}, c.ups...)
	c.mu.Unlock()
	for _, f := range ups {
		f()
	}
}

func (c *Conn) down(_ *nats.Conn, err error) {
	c.link.settle(false)
	c.counters.Disconnects.Add(1)
	if err != nil {
		c.log.Warn("bus connection lost; trying again", "member", c.opts.Member, "error", err)
	}
}

// unreachable tells why the bus cannot be reached, and what to look at.
func (c *Conn) unreachable(_ *nats.Conn, err error) {
	if err == nil || !c.faults.first(err.Error()) {
		return
	}
	remedy := "is an analyzer there that listens for agents (--nats-listen)? does --nats name it?"
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
		remedy = "the analyzer refuses these credentials: compare nats.user and nats.password with its nats.credentials"
	}
	c.log.Warn("bus not reached; trying again", "member", c.opts.Member, "url", redact(c.opts.URL), "user", c.opts.User, "error", err, "remedy", remedy)
}

// redact takes a password out of the addresses of servers.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, text := range list {
		if u, err := url.Parse(strings.TrimSpace(text)); err == nil {
			list[i] = u.Redacted()
		} else {
			list[i] = "(not a URL)"
		}
	}
	return strings.Join(list, ",")
}

func (c *Conn) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) && sub != nil {
		c.counters.SlowConsumer.Add(1)
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	if errors.Is(err, nats.ErrPermissionViolation) && c.faults.first(err.Error()) {
		c.log.Warn("the bus does not allow this host to speak", "member", c.opts.Member, "user", c.opts.User, "error", err,
			"remedy", "the user must be the one that the analyzer's nats.credentials name for this host")
	}
	c.log.Debug("bus error", "subject", subject, "error", err)
}

// publish sends one message, or says that it cannot be sent now, or never: ErrTooLarge.
func (c *Conn) publish(subject, reply string, data []byte) error {
	if !c.nc.IsConnected() {
		return ErrDisconnected
	}
	if err := c.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: data}); err != nil {
		return c.refused(len(data), err)
	}
	return nil
}

// Flush waits until the server has taken everything that was published.
func (c *Conn) Flush(ctx context.Context) error { return c.nc.FlushWithContext(ctx) }

// Close ends the connection and waits for its goroutines, a bounded time.
func (c *Conn) Close() {
	c.link.giveUp() // the library would wait for a server that does not answer
	c.nc.Close()
	select {
	case <-c.closed:
	case <-time.After(2 * time.Second):
	}
}

// Instance names this connection: another one, of the same member or not, has another.
func (c *Conn) Instance() string { return strconv.FormatUint(c.instance, 16) }
