package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/pflag"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/config"
	"github.com/weft-net/weft/skydive"
)

// connection is what the client commands share: which analyzer, and as whom. The
// methods ask it once each, and turn what went wrong into what to do about it.
type connection struct {
	sh *shell

	analyzer, username, password string
	caCert, cert, key            string
	insecure, tls                bool
	maxRate                      float64

	partial bool // an analyzer said that its answer is not the whole one
}

func connectionFlags() []string {
	return []string{"analyzer", "username", "password", "cacert", "cert", "key", "insecure"}
}

func (c *connection) addFlags(f *pflag.FlagSet) {
	f.StringVar(&c.analyzer, "analyzer", "", "analyzer to ask: HOST:PORT or URL (environment WEFT_ANALYZER, SKYDIVE_ANALYZER; default "+config.DefaultListen+")")
	f.StringVar(&c.username, "username", "", "user to be (environment WEFT_USERNAME, SKYDIVE_USERNAME)")
	f.StringVar(&c.password, "password", "", "the user's password; better in the environment (WEFT_PASSWORD, SKYDIVE_PASSWORD)")
	f.StringVar(&c.caCert, "cacert", "", "PEM file of the authorities that sign the analyzer's certificate; implies https")
	f.StringVar(&c.cert, "cert", "", "PEM file of the certificate to show to the analyzer; implies https")
	f.StringVar(&c.key, "key", "", "PEM file of that certificate's key")
	f.BoolVar(&c.insecure, "insecure", false, "take any certificate of the analyzer; implies https")
}

// address is the analyzer as the user named it.
func (c *connection) address() string {
	if c.analyzer != "" {
		return c.analyzer
	}
	return orElse(c.sh.getenv("WEFT_ANALYZER", "SKYDIVE_ANALYZER"), config.DefaultListen)
}

// open makes a client; change may adapt its configuration. It talks to nobody yet.
func (c *connection) open(change func(*client.Config)) (*client.Client, error) {
	secure, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	cfg := client.Config{
		Address:    c.address(),
		Username:   orElse(c.username, c.sh.getenv("WEFT_USERNAME", "SKYDIVE_USERNAME")),
		Password:   orElse(c.password, c.sh.getenv("WEFT_PASSWORD", "SKYDIVE_PASSWORD")),
		TLS:        secure,
		ClientType: "weft",
		OnWarning:  c.warn,
	}
	if cfg.Username != "" && cfg.Password == "" && isTerminal(c.sh.in) {
		if cfg.Password, err = c.sh.askPassword(fmt.Sprintf("Password for %s at %s: ", cfg.Username, cfg.Address)); err != nil {
			return nil, err
		}
	}
	if change != nil {
		change(&cfg)
	}
	cl, err := client.New(cfg)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--analyzer: %w", err)}
	}
	return cl, nil
}

// warn shows a warning that came with an answer, and keeps in mind when it says that something is not in it. The header
// has nothing but words: these are those of weft's analyzers, about hosts that are silent and about flows with no source; what may be missing is no failure.
func (c *connection) warn(text string) {
	fmt.Fprintln(c.sh.err, "warning:", printable(text))
	if strings.Contains(text, "are missing") || strings.Contains(text, "the answer is empty") {
		c.partial = true
	}
}

// errPartial is an answer of which some is missing; what is, the warnings say.
var errPartial = errors.New("the answer is not whole: see the warnings above")

// whole is the error of an answer that was printed and is not whole, if so.
func (c *connection) whole() error {
	if c.partial {
		return errPartial
	}
	return nil
}

func (c *connection) tlsConfig() (*tls.Config, error) {
	if (c.cert == "") != (c.key == "") {
		return nil, usagef("--cert and --key: give both")
	}
	if !c.tls && !c.insecure && c.caCert == "" && c.cert == "" {
		return nil, nil
	}
	// The user said so: a test analyzer has a certificate that nobody signed.
	cfg := &tls.Config{InsecureSkipVerify: c.insecure, MinVersion: tls.VersionTLS12} //nolint:gosec // by --insecure only
	if c.caCert != "" {
		pem, err := os.ReadFile(c.caCert)
		if err != nil {
			return nil, fmt.Errorf("--cacert: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--cacert %s: no certificate in PEM form", c.caCert)
		}
	}
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, fmt.Errorf("--cert, --key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// explainError gives an error of the client its exit code, and says what to do about
// those that have a usual remedy.
func (c *connection) explainError(err error) error {
	var answer *client.Error
	var opErr *net.OpError
	var dnsErr *net.DNSError
	var certErr *tls.CertificateVerificationError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, client.ErrUnauthorized):
		return &exitError{exitRefused, fmt.Errorf("analyzer %s does not know this user: give --username and --password, or WEFT_USERNAME and WEFT_PASSWORD (%w)", c.address(), err)}
	case errors.Is(err, client.ErrForbidden):
		return &exitError{exitRefused, fmt.Errorf("analyzer %s does not allow this user to do that: a user of role admin may (%w)", c.address(), err)}
	case errors.Is(err, client.ErrNotFound):
		return &exitError{exitNotFound, reason(err)}
	case errors.As(err, &answer) && (answer.Status == http.StatusBadGateway || answer.Status == http.StatusServiceUnavailable):
		return &exitError{exitUnreachable, fmt.Errorf("analyzer %s is not ready: try again (%w)", c.address(), err)}
	case errors.As(err, &answer) && answer.Status == http.StatusBadRequest && strings.Contains(answer.Message, "HTTPS server"):
		return &exitError{exitUnreachable, fmt.Errorf("analyzer %s speaks TLS: write https://HOST:PORT, and name its authority with --cacert", c.address())}
	case errors.Is(err, client.ErrBadRequest), errors.As(err, &answer) && answer.Status == http.StatusNotAcceptable:
		return &usageError{reason(err)} // a value that this program does not check, or not as strictly
	case errors.As(err, &answer):
		return reason(err)
	case errors.As(err, &opErr) && opErr.Op == "remote error" && strings.Contains(opErr.Err.Error(), "certificate"): // an alert of TLS
		what := "demands a client certificate: show one"
		if c.cert != "" {
			what = "does not take this client certificate: show one of an authority that it knows"
		}
		return &exitError{exitUnreachable, fmt.Errorf("analyzer %s %s with --cert and --key (%w)", c.address(), what, opErr.Err)}
	case errors.As(err, &certErr):
		return &exitError{exitUnreachable, fmt.Errorf("analyzer %s shows a certificate that is not trusted: name its authority with --cacert (%w)", c.address(), certErr.Err)}
	case errors.As(err, &dnsErr):
		return &exitError{exitUnreachable, fmt.Errorf("analyzer %s has no address: name another with --analyzer (%w)", c.address(), dnsErr)}
	case errors.As(err, &opErr) && opErr.Op == "dial":
		return &exitError{exitUnreachable, fmt.Errorf("analyzer %s does not answer: start one with 'weft allinone', or name another with --analyzer (%w)", c.address(), opErr.Err)}
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return &exitError{exitUnreachable, fmt.Errorf("analyzer %s does not speak TLS: leave out --cacert, --cert and --insecure, or name another with --analyzer", c.address())}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &opErr), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &exitError{exitUnreachable, fmt.Errorf("analyzer %s stopped answering: %w", c.address(), err)}
	}
	return err
}

// reason is what the analyzer said, when that is a line that a person can read; the
// request it answers is known to who made it.
func reason(err error) error {
	var answer *client.Error
	if !errors.As(err, &answer) || answer.Message == "" || len(answer.Message) > 2000 || strings.ContainsAny(answer.Message, "<\n") {
		return err
	}
	return errors.New(answer.Message)
}

// with opens a client for one piece of work.
func (c *connection) with(work func(*client.Client) error) error {
	cl, err := c.open(nil)
	if err != nil {
		return err
	}
	defer cl.Close()
	return c.explainError(work(cl))
}

func (c *connection) query(ctx context.Context, expr string) (answer jsontext.Value, err error) {
	err = c.ask(expr, func(cl *client.Client) error {
		raw, err := cl.Query(ctx, expr)
		answer = jsontext.Value(raw)
		return err
	})
	return answer, err
}

// ask is with for a query: one that is written as it must be has failed where it has no answer, and is not wrong.
func (c *connection) ask(expr string, work func(*client.Client) error) error {
	var asked error
	err := c.with(func(cl *client.Client) error {
		asked = work(cl)
		return asked
	})
	var usage *usageError
	if errors.As(err, &usage) && errors.Is(asked, client.ErrBadRequest) && !strings.Contains(err.Error(), "filter: at byte ") {
		if _, wrong := gremlin.Parse(expr); wrong == nil {
			return &exitError{exitFailed, usage.err}
		}
	}
	return err
}

// queryTo copies the answer to a query to w as it comes, and gives how many bytes it has.
func (c *connection) queryTo(ctx context.Context, w io.Writer, expr, accept string) (n int64, err error) {
	err = c.ask(expr, func(cl *client.Client) error {
		out := bufio.NewWriter(w)
		var err error
		n, err = cl.QueryTo(ctx, expr, accept, out)
		return errors.Join(err, out.Flush())
	})
	return n, err
}

func (c *connection) explain(ctx context.Context, expr string) (plan gremlin.Explanation, err error) {
	err = c.ask(expr, func(cl *client.Client) error {
		raw, err := cl.Explain(ctx, expr)
		if err != nil {
			return err
		}
		var answer struct{ Plan *gremlin.Explanation }
		if json.Unmarshal(raw, &answer) != nil || answer.Plan == nil {
			return errors.New("the analyzer answered without a plan: only weft's analyzers can explain")
		}
		plan = *answer.Plan
		return nil
	})
	return plan, err
}

func (c *connection) dump(ctx context.Context, w io.Writer) error {
	return c.with(func(cl *client.Client) error {
		out := bufio.NewWriter(w)
		_, err := cl.Dump(ctx, out)
		return errors.Join(err, out.Flush())
	})
}

// get asks for one resource, or for all of a path when the id is empty.
func (c *connection) get(ctx context.Context, path, id string) (text jsontext.Value, err error) {
	err = c.with(func(cl *client.Client) error {
		if id == "" {
			at := strings.LastIndexByte(path, '/')
			path, id = path[:at], path[at+1:]
		}
		raw, err := client.ResourceAt[skydive.RawJSON](cl, path).Get(ctx, id)
		if err == nil {
			text = jsontext.Value(*raw)
		}
		return err
	})
	return text, err
}

func (c *connection) create(ctx context.Context, path string, body []byte, ttl time.Duration) (text jsontext.Value, err error) {
	err = c.with(func(cl *client.Client) error {
		raw := skydive.RawJSON(body)
		made, err := client.ResourceAt[skydive.RawJSON](cl, path).Create(ctx, &raw, ttl)
		if err == nil {
			text = jsontext.Value(*made)
		}
		return err
	})
	return text, err
}

func (c *connection) delete(ctx context.Context, path, id string) error {
	return c.with(func(cl *client.Client) error {
		return client.ResourceAt[skydive.RawJSON](cl, path).Delete(ctx, id)
	})
}

// publication is a connection that writes the graph.
type publication struct {
	conn *connection
	cl   *client.Client
	pub  *client.Publisher
}

// publish connects as TYPE.HOST; what the analyzer refuses is given to refused, from
// another goroutine until flush or close return.
func (c *connection) publish(ctx context.Context, clientType, host string, refused func(*client.PublishError)) (*publication, error) {
	cl, err := c.open(nil)
	if err != nil {
		return nil, err
	}
	if host == "" {
		if host, err = os.Hostname(); err != nil {
			cl.Close()
			return nil, fmt.Errorf("host name: %w: name a publisher with --host", err)
		}
	}
	pub, err := cl.Publish(ctx, client.PublishOptions{
		ClientType: clientType, HostID: host, Persistence: skydive.Persistent, OnError: refused, MaxRate: c.maxRate,
	})
	if err != nil {
		cl.Close()
		if errors.Is(err, client.ErrConflict) {
			return nil, fmt.Errorf("another publisher is connected as %s.%s: wait for it to end, or choose another name with --host (%w)", clientType, host, err)
		}
		return nil, c.explainError(err)
	}
	return &publication{conn: c, cl: cl, pub: pub}, nil
}

// send queues one message; it waits when the analyzer is slower.
func (p *publication) send(ctx context.Context, msgType string, obj []byte) error {
	return p.conn.explainError(p.pub.Send(ctx, msgType, obj))
}

// flushWithin bounds the wait for the acknowledgement of all that was sent.
const flushWithin = 5 * time.Minute

// flush returns when everything that was sent is visible to everyone.
func (p *publication) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, flushWithin, fmt.Errorf("nothing within %s", flushWithin))
	defer cancel()
	_, err := p.pub.Flush(ctx)
	return p.conn.explainError(err)
}

// close ends the connection; after flush it has nothing more to wait for.
func (p *publication) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = p.pub.Close(ctx) // what it would say, flush has said
	p.cl.Close()
}

// edgesOf says which of the edges the graph has.
func (c *connection) edgesOf(ctx context.Context, ids []string) (there map[string]bool, err error) {
	quoted := make([]string, len(ids))
	for i, id := range ids {
		quoted[i] = gremlinString(id)
	}
	err = c.with(func(cl *client.Client) error {
		edges, err := cl.QueryEdges(ctx, "G.E().Has('@ID', WITHIN("+strings.Join(quoted, ", ")+"))")
		there = make(map[string]bool, len(edges))
		for _, e := range edges {
			there[e.ID] = true
		}
		return err
	})
	return there, err
}

// gremlinString is a text as a string of a query.
func gremlinString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + "'"
}

// listen prints messages until the context ends, which is how a user ends it.
func (c *connection) listen(ctx context.Context, filter string, sync bool) error {
	cl, err := c.open(func(cfg *client.Config) { cfg.Logger = slog.New(sideHandler{sh: c.sh, name: "weft listen"}) })
	if err != nil {
		return err
	}
	defer cl.Close()
	sub, err := cl.Subscribe(ctx, client.SubscribeOptions{Filter: filter, Sync: sync})
	if err != nil {
		return c.explainError(err)
	}
	defer sub.Close()
	out := lineWriter{bufio.NewWriter(c.sh.out)}
	for {
		ev, err := sub.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return c.explainError(err)
		}
		if ev.Type == client.EventLost {
			c.sh.note("weft listen: changes were lost here; with --sync-request the whole graph would make up for them")
		}
		if ev.Message == nil {
			continue
		}
		if err := out.message(ev.Message); err != nil {
			return err
		}
	}
}
