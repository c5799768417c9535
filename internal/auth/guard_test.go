package auth

import (
	"net/http/httptest"
	"testing"
)

func TestGuard(t *testing.T) {
	for _, c := range []struct {
		name, listen   string
		host, origin   string
		site, mode     string
		allowed        bool
		hosts, origins []string
	}{
		{name: "program", listen: "127.0.0.1:8082", host: "127.0.0.1:8082", allowed: true},
		{name: "localhost", listen: "127.0.0.1:8082", host: "localhost:8082", allowed: true},
		{name: "IPv6 loopback", listen: "[::1]:8082", host: "[::1]:8082", allowed: true},
		{name: "no host", listen: "127.0.0.1:8082", host: "", allowed: true},
		{name: "rebound name", listen: "127.0.0.1:8082", host: "evil.example:8082"},
		{name: "another address on loopback", listen: "127.0.0.1:8082", host: "192.0.2.7:8082"},
		{name: "address off loopback", listen: "0.0.0.0:8082", host: "192.0.2.7:8082", allowed: true},
		{name: "rebound name off loopback", listen: "0.0.0.0:8082", host: "evil.example:8082"},
		{name: "configured name", listen: "0.0.0.0:8082", host: "Weft.Example:8082", hosts: []string{"weft.example"}, allowed: true},
		{name: "listen name", listen: "weft.example:8082", host: "weft.example:8082", allowed: true},
		{name: "own page", listen: "127.0.0.1:8082", host: "localhost:8082", origin: "http://localhost:8082", allowed: true},
		{name: "page of another port", listen: "127.0.0.1:8082", host: "localhost:8082", origin: "http://localhost:3000"},
		{name: "page elsewhere", listen: "127.0.0.1:8082", host: "127.0.0.1:8082", origin: "https://evil.example"},
		{name: "sandboxed page", listen: "127.0.0.1:8082", host: "127.0.0.1:8082", origin: "null"},
		{name: "page of a configured origin", listen: "0.0.0.0:8082", host: "10.0.0.1:8082", origin: "https://weft.example", origins: []string{"https://weft.example"}, allowed: true},
		{name: "image on another site", listen: "127.0.0.1:8082", host: "127.0.0.1:8082", site: "cross-site", mode: "no-cors"},
		{name: "link on another site", listen: "127.0.0.1:8082", host: "127.0.0.1:8082", site: "cross-site", mode: "navigate", allowed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/api", nil)
			r.Host = c.host
			for key, value := range map[string]string{"Origin": c.origin, "Sec-Fetch-Site": c.site, "Sec-Fetch-Mode": c.mode} {
				if value != "" {
					r.Header.Set(key, value)
				}
			}
			err := NewGuard(c.listen, c.hosts, c.origins).Check(r)
			if (err == nil) != c.allowed {
				t.Errorf("allowed %v, error %v", c.allowed, err)
			}
		})
	}
}
