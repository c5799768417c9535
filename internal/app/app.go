// Package app builds, starts and stops the parts of weft: an analyzer, an agent, or both in
// one process. It is the one place that knows every part.
//
// [New] checks everything that can be checked without starting something: settings, and the
// files and names in them. It reads files and touches nothing. [App.Run] takes the data directory and the
// ports, starts the parts from the bottom up, and stops them in the reverse order when its
// context ends, within a bounded time; it leaves no goroutine behind. Its errors name what
// to do about them. Ready and Addr may be called from any goroutine.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/weft-net/weft/internal/auth"
	"github.com/weft-net/weft/internal/bus"
	"github.com/weft-net/weft/internal/config"
	"github.com/weft-net/weft/internal/probe"
	"github.com/weft-net/weft/internal/probe/table"
)

// Role is what a process is.
type Role string

// The roles.
const (
	AllInOne Role = "allinone" // analyzer and agent in one process
	Analyzer Role = "analyzer"
	Agent    Role = "agent"
)

// agentListen is where an agent serves its state unless told otherwise; an analyzer on the
// same host has config.DefaultListen.
const agentListen = "127.0.0.1:8081"

// Options are what a process is made of.
type Options struct {
	Config  config.Config
	Logger  *slog.Logger
	Role    Role
	Version string
	Now     func() time.Time // time.Now
	Probes  []probe.Spec     // nil: those of the table
}

// App is one process of weft.
type App struct {
	opts     Options
	cfg      config.Config
	log      *slog.Logger
	registry *prometheus.Registry
	checked  checked
	ready    chan struct{}
	addr     atomic.Pointer[string]
	busAddr  atomic.Pointer[string]
}

// checked is what the settings name, read and found good before anything starts.
type checked struct {
	probes      []probe.Spec
	users       *auth.Auth // nil: everybody may do everything
	tls         *tls.Config
	credentials []bus.Credential
}

// New checks the settings and what they name.
func New(opts Options) (*App, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Probes == nil {
		opts.Probes = table.All()
	}
	cfg := opts.Config
	if err := cfg.Resolve(os.Environ()); err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	switch opts.Role {
	case AllInOne, Analyzer:
	case Agent:
		if cfg.NATS.URL == "" {
			return nil, errors.New("agent without an analyzer: name its address with --nats nats://HOST:4222")
		}
		if cfg.Listen == config.DefaultListen {
			cfg.Listen = agentListen
		}
	default:
		return nil, fmt.Errorf("role %q: it is allinone, analyzer or agent", opts.Role)
	}
	a := &App{opts: opts, cfg: cfg, log: opts.Logger, registry: prometheus.NewRegistry(), ready: make(chan struct{})}
	if err := a.check(); err != nil {
		return nil, err
	}
	if err := a.registerProcess(); err != nil {
		return nil, err
	}
	return a, nil
}

// check fills in checked.
func (a *App) check() (err error) {
	if err := bus.CheckHost(a.cfg.Host); err != nil {
		return err
	}
	c := &a.checked
	if a.opts.Role != Analyzer {
		if c.probes, err = a.specs(); err != nil {
			return err
		}
	}
	if a.cfg.Auth.UsersFile != "" && !a.cfg.NoAuth {
		if c.users, err = auth.New(auth.Options{
			UsersFile: a.cfg.Auth.UsersFile, TokenTTL: a.cfg.Auth.TokenTTL, Logger: a.log, Clock: a.opts.Now,
		}); err != nil {
			return err
		}
	}
	if n := a.cfg.NATS; a.opts.Role != Agent && n.URL == "" && n.Credentials != "" {
		if c.credentials, err = bus.ReadCredentials(n.Credentials); err != nil {
			return err
		}
	}
	c.tls, err = auth.TLSFiles{Cert: a.cfg.TLS.Cert, Key: a.cfg.TLS.Key, ClientCA: a.cfg.TLS.ClientCA}.ServerConfig()
	return err
}

func (a *App) registerProcess() error {
	built := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "weft_build_info", Help: "1, with the version that runs.",
		ConstLabels: prometheus.Labels{"version": a.opts.Version, "role": string(a.opts.Role)},
	})
	built.Set(1)
	for _, c := range []prometheus.Collector{
		built, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := a.registry.Register(c); err != nil {
			return fmt.Errorf("process metrics: %w", err)
		}
	}
	return nil
}

// Ready is closed when requests are answered.
func (a *App) Ready() <-chan struct{} { return a.ready }

// Addr is the HOST:PORT of the API; "" before Ready.
func (a *App) Addr() string {
	if p := a.addr.Load(); p != nil {
		return *p
	}
	return ""
}

// BusAddr is the HOST:PORT where agents of other hosts connect; "" when there is none.
func (a *App) BusAddr() string {
	if p := a.busAddr.Load(); p != nil {
		return *p
	}
	return ""
}

// Run starts everything, and works until the context ends. It returns nil then.
func (a *App) Run(ctx context.Context) error {
	a.warnAboutRights()
	var undo stack
	defer undo.all()
	listener, err := a.listen()
	if err != nil {
		return err
	}
	undo.push(func() { _ = listener.Close() }) // closed already when it was served
	if a.opts.Role != Agent && !a.cfg.InMemory() {
		unlock, err := lockDir(a.cfg.DataDir)
		if err != nil {
			return err
		}
		undo.push(unlock)
	}

	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var handler *service
	if a.opts.Role == Agent {
		handler, err = a.startAgentOnly(running, stop, &undo)
	} else {
		handler, err = a.startAnalyzer(running, stop, &undo)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil // the start was given up, which is what failed
		}
		return err
	}
	address := listener.Addr().String()
	a.addr.Store(&address)
	undo.push(a.serve(handler, listener, stop))
	close(a.ready)
	<-running.Done()
	if ctx.Err() == nil {
		return context.Cause(running)
	}
	return nil
}

func (a *App) warnAboutRights() {
	if a.opts.Role != Analyzer && os.Geteuid() != 0 {
		a.log.Warn("not root: only this network namespace is seen; start weft as root to see all of them")
	}
}

func (a *App) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", a.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("API at %s: %w: stop what listens there, or choose another address with --listen", a.cfg.Listen, err)
	}
	return l, nil
}

// service is what is served over HTTP, and how it ends.
type service struct {
	server *http.Server
	wrap   func(net.Listener) net.Listener
	close  func(context.Context) error
}

const (
	httpGrace = 3 * time.Second // for requests under way when the process stops
	apiGrace  = 2 * time.Second // for WebSockets to be told
)

// serve answers requests; what it returns ends that.
func (a *App) serve(s *service, listener net.Listener, stop context.CancelCauseFunc) func() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.server.Serve(s.wrap(listener)); !errors.Is(err, http.ErrServerClosed) {
			stop(fmt.Errorf("API at %s: %w", listener.Addr(), err))
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), apiGrace)
		defer cancel()
		if err := s.close(ctx); err != nil {
			a.log.Debug("WebSockets cut", "error", err)
		}
		ctx, cancel = context.WithTimeout(context.Background(), httpGrace)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			a.log.Debug("requests cut", "error", err)
			_ = s.server.Close() // Shutdown did not get to it
		}
		<-done
	}
}

// stack holds what is to be undone, last first.
type stack struct{ undo []func() }

func (s *stack) push(f func()) { s.undo = append(s.undo, f) }

func (s *stack) all() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		s.undo[i]()
	}
	s.undo = nil
}
