package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Error is one wrong setting.
type Error struct {
	Key  string // dotted
	From string // what set it: "weft.yaml line 3", "WEFT_LISTEN", "--listen"; empty: the default
	Err  error  // what is wrong with the value, and what to write instead
}

func (e *Error) Error() string {
	if e.From == "" {
		return fmt.Sprintf("setting %s: %v", e.Key, e.Err)
	}
	if e.Key == "" {
		return fmt.Sprintf("%s: %v", e.From, e.Err)
	}
	return fmt.Sprintf("setting %s (%s): %v", e.Key, e.From, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Validate says what is wrong, each with key, value and remedy, joined; nil when
// a server can start with these settings.
func (c Config) Validate() error {
	var v verdict
	c.validateListen(&v)
	c.validateNATS(&v)
	c.validateBounds(&v)
	c.validateFlows(&v)
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		v.fail("log.level", "%q is no level: write debug, info, warn or error", c.Log.Level)
	}
	if !slices.Contains([]string{"text", "json"}, c.Log.Format) {
		v.fail("log.format", "%q is no format: write text or json", c.Log.Format)
	}
	if c.Host != "" && strings.ContainsFunc(c.Host, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("*>/", r) }) {
		v.fail("host", "%q: a name has no spaces, '*', '>' or '/'", c.Host)
	}
	for _, origin := range c.API.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || (u.Path != "" && u.Path != "/") {
			v.fail("api.origins", "%q is no web origin: write it as https://HOST or https://HOST:PORT", origin)
		}
	}
	return errors.Join(v...)
}

type verdict []error

func (v *verdict) fail(key, format string, args ...any) {
	*v = append(*v, &Error{Key: key, Err: fmt.Errorf(format, args...)})
}

func (c Config) validateListen(v *verdict) {
	loopback, err := loopbackAddress(c.Listen)
	switch {
	case err != nil:
		v.fail("listen", "%q: %w: write it as HOST:PORT, for example %s", c.Listen, err, DefaultListen)
	case !loopback && c.Auth.UsersFile == "" && !c.NoAuth:
		v.fail("listen", "%q is not loopback and there are no users: add one with 'weft user add NAME', or serve everyone with --no-auth", c.Listen)
	}
	files(v, "tls.cert", c.TLS.Cert, "tls.key", c.TLS.Key)
	authorities(v, "tls.client-ca", c.TLS.ClientCA)
	if c.TLS.ClientCA != "" && c.TLS.Cert == "" {
		v.fail("tls.client-ca", "%q without a server certificate: also set tls.cert and tls.key", c.TLS.ClientCA)
	}
	readable(v, "auth.users-file", c.Auth.UsersFile)
}

func (c Config) validateNATS(v *verdict) {
	if c.NATS.Listen != "" && c.NATS.URL != "" {
		v.fail("nats.listen", "%q, but nats.url %q names another NATS: set one of them", c.NATS.Listen, redactURLs(c.NATS.URL))
	}
	if c.NATS.Listen != "" {
		loopback, err := loopbackAddress(c.NATS.Listen)
		switch {
		case err != nil:
			v.fail("nats.listen", "%q: %w: write it as HOST:PORT, for example 0.0.0.0:4222", c.NATS.Listen, err)
		case !loopback && c.NATS.Credentials == "":
			v.fail("nats.listen", "%q is not loopback and no agent has credentials: name a file of HOST:PASSWORD lines in nats.credentials", c.NATS.Listen)
		}
	}
	if c.NATS.URL != "" {
		for _, one := range strings.Split(c.NATS.URL, ",") {
			u, err := url.Parse(strings.TrimSpace(one))
			if err != nil || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) || u.Host == "" {
				v.fail("nats.url", "%q is no NATS address: write it as nats://HOST:4222 or tls://HOST:4222", redactURL(one))
			}
		}
	}
	if c.NATS.Password != "" && c.NATS.User == "" {
		v.fail("nats.user", "empty, but nats.password is set: give both")
	}
	readable(v, "nats.credentials", c.NATS.Credentials)
	files(v, "nats.tls.cert", c.NATS.TLS.Cert, "nats.tls.key", c.NATS.TLS.Key)
	authorities(v, "nats.tls.ca", c.NATS.TLS.CA)
	if c.NATS.Replicas < 1 || c.NATS.Replicas > 5 {
		v.fail("nats.replicas", "%d: NATS keeps 1 to 5", c.NATS.Replicas)
	}
}

func (c Config) validateBounds(v *verdict) {
	for _, d := range []struct {
		key      string
		is       time.Duration
		least    time.Duration
		zeroToo  bool
		zeroMean string
	}{
		{"auth.token-ttl", c.Auth.TokenTTL, time.Second, false, ""},
		{"graph.window", c.Graph.Window, 0, true, ""},
		{"graph.orphan-age", c.Graph.OrphanAge, 0, true, ""},
		{"graph.expire", c.Graph.Expire, time.Second, true, " (0: never)"},
		{"query.deadline", c.Query.Deadline, time.Millisecond, false, ""},
		{"api.ping-delay", c.API.PingDelay, 10 * time.Millisecond, false, ""},
		{"api.pong-timeout", c.API.PongTimeout, 10 * time.Millisecond, false, ""},
		{"api.header-timeout", c.API.HeaderTimeout, 10 * time.Millisecond, false, ""},
		{"flow.update", c.Flow.Update, time.Second, false, ""},
		{"flow.expire", c.Flow.Expire, time.Second, false, ""},
		{"flow.expire-short", c.Flow.ExpireShort, time.Second, false, ""},
		{"flow.window", c.Flow.Window, 0, true, ""},
		{"flow.query-timeout", c.Flow.QueryTimeout, 10 * time.Millisecond, false, ""},
		{"capture.checkpoint", c.Capture.Checkpoint, 100 * time.Millisecond, false, ""},
		{"probes.sockets.interval", c.Probes.Sockets.Interval, 100 * time.Millisecond, false, ""},
		{"probes.linux.metric-interval", c.Probes.Linux.MetricInterval, 100 * time.Millisecond, false, ""},
	} {
		if d.is < d.least && (d.is != 0 || !d.zeroToo) {
			v.fail(d.key, "%s: at least %s is needed%s", formatDuration(d.is), formatDuration(d.least), d.zeroMean)
		}
	}
	if c.API.PongTimeout <= c.API.PingDelay {
		v.fail("api.pong-timeout", "%s is not longer than api.ping-delay %s: every quiet client would be cut", formatDuration(c.API.PongTimeout), formatDuration(c.API.PingDelay))
	}
	for _, n := range []struct {
		key       string
		is, least int64
	}{
		{"graph.window-bytes", int64(c.Graph.WindowBytes), 0},
		{"graph.orphan-max", int64(c.Graph.OrphanMax), 0},
		{"graph.samples-kept", int64(c.Graph.SamplesKept), 1},
		{"query.max-results", int64(c.Query.MaxResults), 1},
		{"query.concurrent", int64(c.Query.Concurrent), 0},
		{"flow.max-flows", int64(c.Flow.MaxFlows), 0},
		{"flow.window-bytes", int64(c.Flow.WindowBytes), 0},
		{"flow.queue-bytes", int64(c.Flow.QueueBytes), 1 << 20},
		{"capture.ring-bytes", int64(c.Capture.RingBytes), 0},
		{"capture.rings", int64(c.Capture.Rings), 0},
		{"api.max-body", int64(c.API.MaxBody), 1024},
		{"api.max-sockets", int64(c.API.MaxSockets), 1},
		{"api.queue-bytes", int64(c.API.QueueBytes), 1024},
	} {
		if n.is < n.least {
			v.fail(n.key, "%d: at least %d is needed", n.is, n.least)
		}
	}
}

// maxRings is more than any machine has use for: each costs a ring and a table.
const maxRings = 256

func (c Config) validateFlows(v *verdict) {
	if c.Flow.Expire < c.Flow.ExpireShort {
		v.fail("flow.expire-short", "%s is longer than flow.expire %s: ARP and DNS are to go sooner than the rest", formatDuration(c.Flow.ExpireShort), formatDuration(c.Flow.Expire))
	}
	if c.Capture.Rings > maxRings {
		v.fail("capture.rings", "%d: at most %d, one for each processor is enough", c.Capture.Rings, maxRings)
	}
	if least := 64 * KiB; c.Capture.RingBytes > 0 && c.Capture.RingBytes < least {
		v.fail("capture.ring-bytes", "%s: at least %s is needed (0: chosen)", c.Capture.RingBytes, least)
	}
	seen := map[string]string{}
	for _, entry := range c.Flow.ApplicationPorts {
		protocol, rest, _ := strings.Cut(entry, ":")
		port, name, _ := strings.Cut(rest, ":")
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || name == "" || !slices.Contains([]string{"TCP", "UDP", "SCTP"}, protocol) {
			v.fail("flow.application-ports", "%q is no name of a port: write it as TCP:443:HTTPS, with TCP, UDP or SCTP", entry)
			continue
		}
		at := protocol + ":" + strconv.FormatUint(n, 10)
		if former := seen[at]; former != "" && former != name {
			v.fail("flow.application-ports", "%s is %q and %q: give it one name", at, former, name)
		}
		seen[at] = name
	}
}

// loopbackAddress parses HOST:PORT and says whether only this machine reaches it.
// An empty host is every address.
func loopbackAddress(address string) (bool, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if addrErr := (*net.AddrError)(nil); errors.As(err, &addrErr) {
			return false, errors.New(addrErr.Err)
		}
		return false, err
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return false, fmt.Errorf("port %q is not between 0 and 65535", port)
	}
	if host == "localhost" {
		return true, nil
	}
	if host == "" {
		return false, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback(), nil
	}
	return false, nil // another name: where it points is not known here
}

func files(v *verdict, certKey, cert, keyKey, key string) {
	if cert != "" && key == "" {
		v.fail(keyKey, "empty, but %s is set: give both", certKey)
	}
	if key != "" && cert == "" {
		v.fail(certKey, "empty, but %s is set: give both", keyKey)
	}
	certThere := readable(v, certKey, cert)
	if !readable(v, keyKey, key) || !certThere || cert == "" || key == "" {
		return
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		v.fail(certKey, "%s with %s %s: %w: give a certificate and its own key, both in PEM form", cert, keyKey, key, err)
	}
}

// authorities checks a file of certificates.
func authorities(v *verdict, key, path string) {
	if !readable(v, key, path) || path == "" {
		return
	}
	text, err := os.ReadFile(path)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
		err = errors.New("no certificate in it")
	}
	if err != nil {
		v.fail(key, "%s: %w: give the authorities' certificates in PEM form", path, err)
	}
}

func readable(v *verdict, key, path string) bool {
	if path == "" {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		v.fail(key, "%w: name a file that this user may read", err)
		return false
	}
	f.Close()
	return true
}

// redactURLs keeps passwords and tokens in addresses, with commas between, out of what is shown.
func redactURLs(text string) string {
	all := strings.Split(text, ",")
	for i, one := range all {
		all[i] = redactURL(one)
	}
	return strings.Join(all, ",")
}

func redactURL(text string) string {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return "(unreadable URL)"
	}
	if _, password := u.User.Password(); u.User != nil && !password {
		u.User = url.User("xxxxx") // a name alone is a token
	}
	return u.Redacted()
}
