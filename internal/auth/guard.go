package auth

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Guard keeps web pages of other sites from reaching the server through a visitor's
// browser: by DNS rebinding (the Host header gives it away) and by cross-site requests
// (the Origin and Sec-Fetch headers do). Programs send none of these.
type Guard struct {
	loopbackOnly bool
	names        map[string]bool // of Host; lower case, without port
	origins      map[string]bool // of Origin beside the server's own; lower case
}

// NewGuard returns the guard of a server that listens on an address. Accepted in Host
// are loopback names and addresses; off loopback any IP address (a page cannot rebind
// an address); the listen address' name; and the further hosts. Accepted in Origin are
// the page's own server and the further origins, each of the form https://HOST[:PORT].
func NewGuard(listen string, hosts, origins []string) *Guard {
	g := &Guard{names: map[string]bool{"localhost": true}, origins: map[string]bool{}}
	for _, origin := range origins {
		g.origins[strings.ToLower(strings.TrimSuffix(origin, "/"))] = true
	}
	host := hostOf(listen)
	addr, err := netip.ParseAddr(host)
	g.loopbackOnly = host == "localhost" || (err == nil && addr.Unmap().IsLoopback())
	for _, name := range append([]string{host}, hosts...) {
		if name = strings.ToLower(strings.TrimSuffix(hostOf(name), ".")); name != "" {
			g.names[name] = true
		}
	}
	return g
}

// Check returns why a request must be refused, nil when it may go on.
func (g *Guard) Check(r *http.Request) error {
	if !g.allowed(r.Host) {
		return fmt.Errorf("host %q is not served here: use the address, or add the name to the setting api.hosts", r.Host)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		own := err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
		if !own && !g.origins[strings.ToLower(origin)] {
			return fmt.Errorf("requests from pages of %q are refused: add it to the setting api.origins if they may", origin)
		}
		return nil
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		return fmt.Errorf("requests from pages of other sites are refused")
	}
	return nil
}

// allowed says whether a Host header names this server.
func (g *Guard) allowed(host string) bool {
	if host == "" {
		return true // HTTP/1.0: no browser
	}
	name := strings.ToLower(strings.TrimSuffix(hostOf(host), "."))
	if g.names[name] || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	return !g.loopbackOnly || addr.Unmap().IsLoopback()
}

// hostOf takes the port and an IPv6 address' brackets away.
func hostOf(hostPort string) string {
	if host, _, err := net.SplitHostPort(hostPort); err == nil {
		return host
	}
	return strings.Trim(hostPort, "[]")
}
