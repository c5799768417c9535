package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"
)

// ServerOptions describe the embedded NATS server.
type ServerOptions struct {
	Host        string       // of the analyzer that it belongs to
	Dir         string       // of JetStream's files; "" keeps streams in memory
	Listen      string       // HOST:PORT for agents of other hosts; "" opens no port
	Credentials []Credential // agents that may connect; empty: any, from loopback only
	TLS         TLSFiles     // of the port; CA set demands client certificates
	MaxBytes    int64        // of all streams on disk or in memory, 4 GiB
	Logger      *slog.Logger
}

// Server is a NATS server in this process.
type Server struct {
	opts     ServerOptions
	ns       *server.Server
	password string // of the connections in this process; used when there are users
	users    bool

	mu      sync.Mutex // held while JetStream is started
	jsErr   error      // why JetStream is not there
	scratch string     // directory to remove at the end
	damage  string     // what of the store could not be read
}

// StartServer starts NATS and returns when it takes connections. JetStream that cannot
// start (a full disk) is no error: see [Server.JetStream].
func StartServer(opts ServerOptions) (*Server, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 4 << 30
	}
	s := &Server{opts: opts, password: rand.Text()}
	no := &server.Options{
		ServerName:    "weft-" + Token(opts.Host),
		DontListen:    opts.Listen == "",
		NoSigs:        true,
		MaxPayload:    1 << 20,
		MaxPending:    64 << 20,
		WriteDeadline: 5 * time.Second,
		PingInterval:  10 * time.Second,
		MaxPingsOut:   2,
	}
	if opts.Listen != "" {
		if err := s.listenOptions(no); err != nil {
			return nil, err
		}
	}
	ns, err := server.NewServer(no)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	ns.SetLoggerV2(natsLog{opts.Logger, &repeats{}}, false, false, false)
	s.ns = ns
	ns.Start()
	if !ns.ReadyForConnections(10 * time.Second) {
		s.Stop()
		return nil, errors.New("embedded NATS server not ready within 10 s: see the log, with log.level debug")
	}
	if err := s.StartJetStream(); err != nil {
		opts.Logger.Warn("nothing is persistent: JetStream did not start", "error", err)
	}
	return s, nil
}

func (s *Server) listenOptions(no *server.Options) error {
	host, port, err := net.SplitHostPort(s.opts.Listen)
	if err != nil {
		return fmt.Errorf("address %q for agents: %w: write it as HOST:PORT", s.opts.Listen, err)
	}
	if no.Port, err = strconv.Atoi(port); err != nil {
		return fmt.Errorf("address %q for agents: port %q is no number", s.opts.Listen, port)
	}
	if no.Port == 0 {
		no.Port = server.RANDOM_PORT
	}
	if no.Host = host; host == "" {
		no.Host = "0.0.0.0"
	}
	// The server only logs that a port is taken, so ask first.
	probe, err := net.Listen("tcp", s.opts.Listen)
	if err != nil {
		return fmt.Errorf("address %s for agents: %w: stop what uses it, or choose another with --nats-listen", s.opts.Listen, err)
	}
	probe.Close()
	if no.TLSConfig, err = s.opts.TLS.server(); err != nil {
		return err
	}
	if no.TLSConfig != nil {
		no.TLSVerify = s.opts.TLS.CA != ""
		no.TLSTimeout = 5
	}
	no.Users, no.NoAuthUser = users(s.opts.Host, s.password, s.opts.Credentials)
	s.users = true
	return nil
}

// Addr is the address of the port for agents; "" when there is none.
func (s *Server) Addr() string {
	if s.opts.Listen == "" {
		return ""
	}
	return s.ns.Addr().String()
}

// StartJetStream starts JetStream, again when it had stopped. It does nothing while it runs.
func (s *Server) StartJetStream() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jsErr = s.startJetStream()
	return s.jsErr
}

func (s *Server) startJetStream() error {
	if s.ns.JetStreamEnabled() {
		return nil
	}
	dir := s.opts.Dir
	if dir == "" {
		// Nothing is kept there, but JetStream insists on a directory of its own.
		if s.scratch == "" {
			var err error
			if s.scratch, err = os.MkdirTemp("", "weft-bus-"); err != nil {
				return fmt.Errorf("directory for JetStream: %w", err)
			}
		}
		dir = s.scratch
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("directory for JetStream: %w", err)
	}
	config := &server.JetStreamConfig{
		MaxMemory: s.opts.MaxBytes, MaxStore: s.opts.MaxBytes,
		StoreDir: dir, SyncInterval: 2 * time.Minute,
	}
	before := storedStreams(dir)
	if err := s.ns.EnableJetStream(config); err != nil {
		return fmt.Errorf("JetStream in %s: %w", dir, err)
	}
	return s.setAside(dir, before)
}

// RestartJetStream stops and starts JetStream, which is how it recovers when its disk was full.
func (s *Server) RestartJetStream() error {
	if err := s.ns.ShutdownJetStream(); err != nil {
		return fmt.Errorf("JetStream stop: %w", err)
	}
	return s.StartJetStream()
}

// JetStream returns nil while JetStream runs, else why it does not.
func (s *Server) JetStream() error {
	if s.ns.JetStreamEnabled() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jsErr != nil {
		return s.jsErr
	}
	return errors.New("JetStream switched itself off")
}

// Free says how many bytes the file system of the streams has left; -1 when they are in memory.
func (s *Server) Free() int64 {
	if s.opts.Dir == "" {
		return -1
	}
	var st unix.Statfs_t
	if err := unix.Statfs(s.opts.Dir, &st); err != nil {
		return 0
	}
	return int64(st.Bavail) * st.Bsize
}

// Room returns nil unless the file system of the streams is full; then it says where to
// make room.
func (s *Server) Room() error {
	if free := s.Free(); free >= 0 && free < spareBytes {
		return fmt.Errorf("%w: only %d KiB are free in %s: make room there", ErrFull, free>>10, s.opts.Dir)
	}
	return nil
}

// ErrFull says that the file system of the streams has no room.
var ErrFull = errors.New("the disk is full")

// Stop ends the server; connections are cut. It takes a bounded time.
func (s *Server) Stop() {
	s.ns.Shutdown()
	done := make(chan struct{})
	go func() { s.ns.WaitForShutdown(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		s.opts.Logger.Warn("embedded NATS server did not stop within 5 s")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scratch != "" {
		_ = os.RemoveAll(s.scratch) // empty directories: nothing is lost when they stay
		s.scratch = ""
	}
}

// natsLog turns the server's log into ours; what it notices is detail here. What repeats,
// as when an agent goes on trying a wrong password, is told once a minute.
type natsLog struct {
	log    *slog.Logger
	faults *repeats
}

func (l natsLog) tell(level slog.Level, format string, v []any) {
	if text := fmt.Sprintf(format, v...); l.faults.first(text) {
		l.log.Log(context.Background(), level, "nats: "+text)
	}
}

func (l natsLog) Noticef(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Warnf(format string, v ...any)   { l.tell(slog.LevelInfo, format, v) }
func (l natsLog) Errorf(format string, v ...any)  { l.tell(slog.LevelWarn, format, v) }
func (l natsLog) Fatalf(format string, v ...any)  { l.tell(slog.LevelError, format, v) }
func (l natsLog) Debugf(string, ...any)           {}
func (l natsLog) Tracef(string, ...any)           {}
