package bus

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Credential lets the agent of one host connect, and speak for that host only.
type Credential struct {
	Host     string
	Password string // or its bcrypt hash, as printed by "nats server passwd"
}

// ReadCredentials reads a file of HOST:PASSWORD lines; blank lines and those that begin
// with '#' are skipped.
func ReadCredentials(path string) ([]Credential, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("credentials of agents: %w", err)
	}
	defer f.Close()
	var list []Credential
	seen := map[string]bool{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		// A host may hold colons, a bcrypt hash and a sane password do not: the last one divides.
		i := strings.LastIndexByte(line, ':')
		if i <= 0 || i == len(line)-1 {
			return nil, fmt.Errorf("credentials of agents, %s line %d: write HOST:PASSWORD", path, n)
		}
		c := Credential{Host: line[:i], Password: line[i+1:]}
		if err := CheckHost(c.Host); err != nil {
			return nil, fmt.Errorf("credentials of agents, %s line %d: %w", path, n, err)
		}
		if seen[c.Host] {
			return nil, fmt.Errorf("credentials of agents, %s line %d: host %q is there twice: keep one", path, n, c.Host)
		}
		seen[c.Host] = true
		list = append(list, c)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("credentials of agents: %w", err)
	}
	return list, nil
}

const (
	ownUser       = "weft-analyzer" // the connections of the process that runs the server
	anonymousUser = "weft-loopback" // agents without credentials, from loopback only
)

// users are the accounts of the embedded server: its own process may do everything, an
// agent what its host's part asks for. It also names the user of clients without one.
func users(host, password string, agents []Credential) (list []*server.User, noAuth string) {
	list = append(list, &server.User{Username: ownUser, Password: password})
	for _, c := range agents {
		list = append(list, &server.User{
			Username: c.Host, Password: c.Password,
			Permissions: permissions(
				allow(GraphSubject(c.Host), FlowSubject(c.Host), BeatSubject(c.Host)),
				allow(RequestSubject(c.Host, ">"), inboxOf(c.Host)+".>"),
			),
		})
	}
	if len(agents) > 0 {
		return list, ""
	}
	graph := allow(graphPrefix+"*", flowPrefix+"*", beatPrefix+"*")
	graph.Deny = []string{GraphSubject(AnalyzerMember(host)), FlowSubject(AnalyzerMember(host)), BeatSubject(AnalyzerMember(host))}
	list = append(list, &server.User{
		Username:    anonymousUser,
		Password:    password,
		Permissions: permissions(graph, allow(agentPrefix+">", inboxPrefix+">")),
	})
	return list, anonymousUser
}

func allow(subjects ...string) *server.SubjectPermission {
	return &server.SubjectPermission{Allow: subjects}
}

func permissions(publish, subscribe *server.SubjectPermission) *server.Permissions {
	return &server.Permissions{
		Publish:   publish,
		Subscribe: subscribe,
		// An agent answers the requests that it gets, for as long as one may take, in as many parts as the
		// answer has: who asks takes one after the other, and no more than it wants (see ask.go).
		Response: &server.ResponsePermission{MaxMsgs: mostParts, Expires: time.Minute},
	}
}

// TLSFiles are the PEM files of one end of the bus.
type TLSFiles struct {
	Cert, Key string // this end's certificate
	CA        string // who signs the other end's
}

func (t TLSFiles) load() (*tls.Config, *x509.CertPool, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, nil, fmt.Errorf("certificate of the bus: %w: see nats.tls.cert and nats.tls.key", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if t.CA == "" {
		return config, nil, nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, nil, fmt.Errorf("authorities of the bus: %w: see nats.tls.ca", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("authorities of the bus: no certificate in %s: nats.tls.ca wants PEM", t.CA)
	}
	return config, pool, nil
}

// server is the configuration of the embedded server's port; nil without a certificate.
func (t TLSFiles) server() (*tls.Config, error) {
	if t.Cert == "" {
		return nil, nil
	}
	config, pool, err := t.load()
	if err != nil {
		return nil, err
	}
	if pool != nil {
		config.ClientCAs, config.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	return config, nil
}

// client is the configuration of a connection; nil when no file is set.
func (t TLSFiles) client() (*tls.Config, error) {
	if t == (TLSFiles{}) {
		return nil, nil
	}
	config, pool, err := t.load()
	if err != nil {
		return nil, err
	}
	config.RootCAs = pool
	return config, nil
}
