package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Defaults of Config.
const (
	DefaultAddress     = "127.0.0.1:8082"
	DefaultClientType  = "weft-client"
	DefaultTimeout     = time.Minute
	DefaultMaxResponse = 1 << 30
)

// Config says where the server is and who asks.
type Config struct {
	// Address is host:port (http, or https when TLS is set) or a URL, which may have a path that all others are
	// below. DefaultAddress when empty.
	Address string

	Username string // with Password: the client logs in when it first has to
	Password string
	Token    string // instead of logging in, or until the server refuses it

	TLS        *tls.Config  // for https: roots and client certificates
	HTTPClient *http.Client // instead of one made from TLS; its Transport must allow WebSockets, as http.Transport does

	HostID     string // names this client to WebSockets; made of host name and random digits when empty
	ClientType string // DefaultClientType when empty

	Timeout     time.Duration // of a call whose context has no deadline; DefaultTimeout when 0, none when negative
	MaxResponse int64         // bytes of an answer held in memory; DefaultMaxResponse when 0
	OnWarning   func(string)  // takes what weft remarks on an answer, such as that it knows a part only or that a field is unknown; any goroutine
	Logger      *slog.Logger  // reconnects and the like; silent when nil
}

// Client is a client of one server.
type Client struct {
	base  *url.URL
	http  *http.Client
	owned *http.Transport // of http, when it was made here
	cfg   Config
	log   *slog.Logger

	loginMu sync.Mutex // one login at a time
	tokenMu sync.Mutex
	token   string
}

// New checks the configuration and makes a client. It does not connect.
func New(cfg Config) (*Client, error) {
	if cfg.Address == "" {
		cfg.Address = DefaultAddress
	}
	base, err := parseAddress(cfg.Address, cfg.TLS != nil)
	if err != nil {
		return nil, err
	}
	if cfg.ClientType == "" {
		cfg.ClientType = DefaultClientType
	}
	if cfg.HostID == "" {
		cfg.HostID = newHostID()
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.MaxResponse == 0 {
		cfg.MaxResponse = DefaultMaxResponse
	}
	c := &Client{base: base, http: cfg.HTTPClient, cfg: cfg, log: cfg.Logger, token: cfg.Token}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.http == nil {
		c.owned = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSClientConfig:     cfg.TLS,
			TLSHandshakeTimeout: 10 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     30 * time.Second,
		}
		c.http = &http.Client{Transport: c.owned}
	}
	return c, nil
}

// Close lets go of idle connections. Subscriptions and publishers live on: they are closed by themselves.
func (c *Client) Close() {
	if c.owned != nil {
		c.owned.CloseIdleConnections()
	}
}

// Address gives the URL that all paths are below.
func (c *Client) Address() string { return c.base.String() }

func parseAddress(address string, secure bool) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		scheme := "http"
		if secure {
			scheme = "https"
		}
		address = scheme + "://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w; write host:port or http://host:port", address, errors.Unwrap(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("address %q: scheme %q is neither http nor https", address, u.Scheme)
	}
	if u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("address %q: write host:port or http://host:port, and credentials in their own settings", address)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// newHostID gives a name that no other client has, as a server refuses one that is connected already.
func newHostID() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "client"
	}
	return name + "-" + randomHex(4)
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// withTimeout bounds a call that has no deadline of its own.
func (c *Client) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok || c.cfg.Timeout < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, c.cfg.Timeout, fmt.Errorf("no answer within %v", c.cfg.Timeout))
}
