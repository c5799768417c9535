package bus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// secured is a hub with two agents that have credentials.
func secured(t *testing.T, tls TLSFiles) *Server {
	return startServer(t, ServerOptions{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", TLS: tls,
		Credentials: []Credential{{Host: "a", Password: "secret-a"}, {Host: "b", Password: "secret-b"}},
	})
}

func TestAgentCannotSpeakForAnotherHost(t *testing.T) {
	server := secured(t, TLSFiles{})
	hub := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	f, in := feed(t, hub, FeedOptions{Stream: StreamOptions{File: true}})
	eventually(t, 5*time.Second, "stream delivers", func() bool { return f.State().Stream })
	url := "nats://" + server.Addr()
	a := connect(t, ConnOptions{Member: "a", URL: url, User: "a", Password: "secret-a"})
	b := connect(t, ConnOptions{Member: "b", URL: url, User: "b", Password: "secret-b"})
	eventually(t, 5*time.Second, "agents are connected", func() bool { return a.Connected() && b.Connected() })

	var asked atomic.Int32
	if _, err := b.OnResync(func(Resync) { asked.Add(1) }); err != nil {
		t.Fatal(err)
	}
	var beats atomic.Int32
	if _, err := hub.OnBeat(func(b Beat) {
		if b.Member == "b" {
			beats.Add(1)
		}
	}); err != nil {
		t.Fatal(err)
	}
	flush(t, b)
	flush(t, hub)

	// Everything that a could try, with the whole freedom of a client.
	liar := publisher(t, a, PublisherOptions{})
	liar.subject = GraphSubject("b")
	send(t, liar, batch("linux@b", 1))
	for subject, data := range map[string]string{
		BeatSubject("b"):                       `{"Member":"b"}`,
		RequestSubject("b", "resync"):          `{"Kind":"resync","From":"analyzer:hub"}`,
		GraphSubject(AnalyzerMember("hub")):    "x",
		"$JS.API.STREAM.PURGE.weft_graph":      "",
		"$JS.API.STREAM.DELETE.weft_graph":     "",
		"$KV.weft_resources.node.x":            "x",
		inboxOf(AnalyzerMember("hub")) + ".x":  "x",
		inboxOf("b") + ".x":                    "+",
		"$SYS.REQ.SERVER.PING":                 "",
		"weft.graph.b.>":                       "x",
		"$JS.API.CONSUMER.CREATE.weft_graph.x": "{}",
	} {
		if err := a.publish(subject, "", []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	// The stream answers wherever a message says: not to where a may not publish itself.
	honest := publisher(t, a, PublisherOptions{})
	send(t, honest, batch("linux@a", 1))
	msg := appendFrameHeader(nil, frame{instance: 99, number: 1})
	for _, reply := range []string{
		"$JS.API.STREAM.PURGE.weft_graph", "$JS.API.STREAM.DELETE.weft_graph",
		RequestSubject("b", "resync"), GraphSubject("b"), BeatSubject("b"),
	} {
		if err := a.publish(GraphSubject("a"), reply, msg); err != nil {
			t.Fatal(err)
		}
	}
	var listens []*nats.Subscription
	for _, subject := range []string{"weft.graph.*", "weft.agent.b.>", "weft.heartbeat.*", inboxOf("b") + ".>", "_INBOX.>", ">"} {
		sub, err := a.nc.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		listens = append(listens, sub)
	}
	flush(t, a)
	send(t, publisher(t, b, PublisherOptions{Acks: true}), batch("linux@b", 1))
	send(t, honest, batch("linux@a", 2))
	eventually(t, 5*time.Second, "batches of the honest arrive", func() bool {
		return len(in.sequences("linux@a")) == 2 && len(in.sequences("linux@b")) == 1
	})
	in.mu.Lock()
	for i, d := range in.list {
		if want := MemberOf(in.got[i].Origin); d.Token != want {
			t.Errorf("a batch of %s came as one of %s", in.got[i].Origin, d.Token)
		}
	}
	in.mu.Unlock()
	if asked.Load() != 0 || beats.Load() != 0 {
		t.Errorf("a acted at b: %d requests, %d heartbeats", asked.Load(), beats.Load())
	}
	for _, sub := range listens {
		if m, err := sub.NextMsg(10 * time.Millisecond); err == nil {
			t.Errorf("a listens to %s", m.Subject)
		}
	}
	js, err := hub.jetStream()
	if err != nil {
		t.Fatal(err)
	}
	info, err := js.StreamInfo("weft_graph")
	if err != nil {
		t.Fatal(err)
	}
	if info.State.FirstSeq != 1 || info.State.Msgs != info.State.LastSeq {
		t.Errorf("the stream was purged: %+v", info.State)
	}
}

func TestReplyOfADirectBatchGoesToItsSenderOnly(t *testing.T) {
	server := startServer(t, ServerOptions{})
	hub := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	f, _ := feed(t, hub, FeedOptions{HoldTime: time.Hour})
	for reply, ok := range map[string]bool{
		inboxOf("a") + ".x.1":    true,
		inboxOf("b") + ".x.1":    false,
		inboxOf("a") + "b.x.1":   false,
		RequestSubject("b", "x"): false,
		"$JS.API.STREAM.DELETE.": false,
	} {
		before := hub.Counters().BadRequests.Load()
		f.acknowledge(senderKey{token: "a"}, reply)
		if refused := hub.Counters().BadRequests.Load() > before; refused == ok {
			t.Errorf("reply to %q: refused %v", reply, refused)
		}
	}
}

func TestAgentsNeedCredentials(t *testing.T) {
	server := secured(t, TLSFiles{})
	for _, try := range []ConnOptions{{}, {User: "a", Password: "wrong"}, {User: "weft-analyzer"}, {User: "weft-loopback"}} {
		try.Member, try.URL = "a", "nats://"+server.Addr()
		c := connect(t, try)
		eventually(t, 5*time.Second, "refusal is known", func() bool {
			return c.nc.LastError() != nil
		})
		if err := c.LastError(); c.Connected() || !errors.Is(err, ErrDisconnected) || !strings.Contains(strings.ToLower(err.Error()), "authorization") {
			t.Errorf("%+v: connected %v, error %v", try, c.Connected(), err)
		}
	}
}

func TestLoopbackWithoutCredentialsIsForAgentsOnly(t *testing.T) {
	server := startServer(t, ServerOptions{Listen: "127.0.0.1:0"})
	hub := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server})
	f, in := feed(t, hub, FeedOptions{})
	eventually(t, 5*time.Second, "stream delivers", func() bool { return f.State().Stream })
	agent := connect(t, ConnOptions{Member: "h1", URL: "nats://" + server.Addr()})
	eventually(t, 5*time.Second, "agent is connected", agent.Connected)
	liar := publisher(t, agent, PublisherOptions{})
	liar.subject = GraphSubject(AnalyzerMember("hub"))
	send(t, liar, batch("api@analyzer:hub", 1))
	send(t, publisher(t, agent, PublisherOptions{Acks: true}), batch("linux@h1", 1))
	eventually(t, 5*time.Second, "batch arrives", func() bool { return len(in.sequences("linux@h1")) == 1 })
	if in.len() != 1 {
		t.Error("an agent spoke for the analyzer")
	}
	js, err := agent.jetStream()
	if err == nil {
		_, err = js.StreamInfo("weft_graph", nats.MaxWait(200*time.Millisecond))
	}
	if err == nil {
		t.Error("an agent can ask JetStream")
	}
}

func TestCredentialsFile(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "agents")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list, err := ReadCredentials(write("# agents\n\nh1:one\n fe80::1:two \nh2:$2a$11$abc.DEF/g\n"))
	if err != nil || len(list) != 3 || list[1] != (Credential{"fe80::1", "two"}) || list[2].Password != "$2a$11$abc.DEF/g" {
		t.Errorf("%v, %v", list, err)
	}
	for text, want := range map[string]string{
		"h1\n": "line 1: write HOST:PASSWORD", "\nh1:\n": "line 2", ":x\n": "line 1",
		"h1:a\nh1:b\n": `line 2: host "h1" is there twice`, "a@b:c\n": `line 1: host name "a@b"`,
	} {
		if _, err := ReadCredentials(write(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTLSWithClientCertificates(t *testing.T) {
	ca := newAuthority(t)
	serverFiles, agentFiles := ca.issue("127.0.0.1"), ca.issue("a")
	stranger := newAuthority(t).issue("a")
	server := secured(t, serverFiles)
	hub := connect(t, ConnOptions{Member: AnalyzerMember("hub"), Server: server}) // in process: no TLS needed
	if !hub.Connected() {
		t.Error("the analyzer is not connected")
	}
	dial := func(files TLSFiles) *Conn {
		return connect(t, ConnOptions{Member: "a", URL: "tls://" + server.Addr(), User: "a", Password: "secret-a", TLS: files})
	}
	good := dial(agentFiles)
	eventually(t, 5*time.Second, "agent with a certificate is connected", good.Connected)
	for name, files := range map[string]TLSFiles{
		"none":             {CA: agentFiles.CA},
		"of a stranger":    {Cert: stranger.Cert, Key: stranger.Key, CA: agentFiles.CA},
		"server unknown":   {Cert: agentFiles.Cert, Key: agentFiles.Key, CA: stranger.CA},
		"no authority set": {Cert: agentFiles.Cert, Key: agentFiles.Key},
	} {
		c := dial(files)
		eventually(t, 5*time.Second, name+": refusal is known", func() bool { return c.nc.LastError() != nil })
		if c.Connected() {
			t.Errorf("certificate %s: connected", name)
		}
	}
	if _, err := StartServer(ServerOptions{Host: "hub", Listen: "127.0.0.1:0", TLS: TLSFiles{Cert: "/nowhere", Key: "/nowhere"}}); err == nil || !strings.Contains(err.Error(), "nats.tls.cert") {
		t.Errorf("missing certificate: %v", err)
	}
}

func TestBusyPortNamesTheRemedy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = StartServer(ServerOptions{Host: "hub", Listen: l.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "--nats-listen") {
		t.Errorf("error %v", err)
	}
}

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	ca := &authority{t: t, dir: t.TempDir()}
	ca.cert, ca.key = ca.sign("authority", nil)
	return ca
}

func (ca *authority) sign(name string, ip net.IP) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := ca.cert, ca.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	if ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		ca.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return cert, key
}

func (ca *authority) issue(name string) TLSFiles {
	cert, key := ca.sign(name, net.ParseIP(name))
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	file := func(kind, block string, der []byte) string {
		path := filepath.Join(ca.dir, name+"."+kind)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: block, Bytes: der}), 0o600); err != nil {
			ca.t.Fatal(err)
		}
		return path
	}
	return TLSFiles{
		Cert: file("crt", "CERTIFICATE", cert.Raw), Key: file("key", "EC PRIVATE KEY", der),
		CA: file("ca", "CERTIFICATE", ca.cert.Raw),
	}
}
