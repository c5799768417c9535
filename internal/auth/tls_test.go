package auth

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/weft-net/weft/internal/testenv"
)

func newAuthority(t *testing.T) *testenv.Authority {
	t.Helper()
	ca, err := testenv.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *testenv.Authority, name string) TLSFiles {
	t.Helper()
	cert, key, err := ca.Issue(name)
	if err != nil {
		t.Fatal(err)
	}
	return TLSFiles{Cert: cert, Key: key}
}

func TestWithoutFilesThereIsNoTLS(t *testing.T) {
	if config, err := (TLSFiles{}).ServerConfig(); config != nil || err != nil {
		t.Errorf("%v, %v", config, err)
	}
}

// handshake connects a client to a server and says one word each way; it gives what
// either side found wrong.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		secured := tls.Server(conn, server)
		if err = secured.Handshake(); err == nil {
			_, err = io.WriteString(secured, "x")
		}
		done <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		// With TLS 1.3 a client learns of the refusal of its certificate with the first byte.
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	return <-done, err
}

func TestServerConfig(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	files := issue(t, ours, "server")
	demanding := files
	demanding.ClientCA = ours.Path
	pool := x509.NewCertPool()
	text, err := os.ReadFile(ours.Path)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	pair := func(f TLSFiles) []tls.Certificate {
		p, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{p}
	}
	client, stranger := pair(issue(t, ours, "client")), pair(issue(t, theirs, "stranger"))
	// A client that shows its certificate whether or not the server knows its authority.
	show := func(c []tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c[0], nil }}
	}
	for _, c := range []struct {
		name     string
		server   TLSFiles
		client   *tls.Config
		refusals [2]string // server's, client's
	}{
		{"server's certificate", files, &tls.Config{RootCAs: pool}, [2]string{}},
		{"unknown authority", files, &tls.Config{}, [2]string{"", "unknown authority"}},
		{"TLS 1.2", files, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}, [2]string{}},
		{"TLS 1.1", files, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, [2]string{"unsupported versions", "protocol version"}},
		{"a certificate that nobody demanded", files, show(client), [2]string{}},
		{"no client certificate", demanding, &tls.Config{RootCAs: pool}, [2]string{"didn't provide a certificate", "certificate required"}},
		{"client certificate", demanding, show(client), [2]string{}},
		{"client certificate of a stranger", demanding, show(stranger), [2]string{"unknown authority", "unknown certificate authority"}},
	} {
		config, err := c.server.ServerConfig()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		serverErr, clientErr := handshake(t, config, c.client)
		for i, err := range []error{serverErr, clientErr} {
			want := c.refusals[i]
			if want == "" && err != nil && c.refusals[1-i] == "" || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %s says %v, want %q", c.name, [2]string{"server", "client"}[i], err, want)
			}
		}
	}
}

func TestFilesThatMakeNoTLS(t *testing.T) {
	ca := newAuthority(t)
	one, two := issue(t, ca, "one"), issue(t, ca, "two")
	for name, c := range map[string]struct {
		files TLSFiles
		want  []string
	}{
		"no key":            {TLSFiles{Cert: one.Cert}, []string{"tls.cert", "tls.key"}},
		"no certificate":    {TLSFiles{Key: one.Key}, []string{"tls.cert", "tls.key"}},
		"client's only":     {TLSFiles{ClientCA: ca.Path}, []string{"tls.cert", "tls.key"}},
		"missing file":      {TLSFiles{Cert: one.Cert, Key: "/nowhere/key"}, []string{"/nowhere/key", "no such file"}},
		"key of another":    {TLSFiles{Cert: one.Cert, Key: two.Key}, []string{one.Cert, two.Key, "does not match"}},
		"missing authority": {TLSFiles{Cert: one.Cert, Key: one.Key, ClientCA: "/nowhere/ca"}, []string{"/nowhere/ca", "no such file"}},
		"no authority":      {TLSFiles{Cert: one.Cert, Key: one.Key, ClientCA: one.Key}, []string{one.Key, "no PEM certificate"}},
	} {
		config, err := c.files.ServerConfig()
		if err == nil || config != nil {
			t.Errorf("%s: taken", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: no %q in: %v", name, want, err)
			}
		}
	}
}
