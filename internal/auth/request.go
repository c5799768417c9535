package auth

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"strings"
)

// Where requests carry their token, in the order in which Skydive looks.
const (
	CookieToken       = "authtoken"
	CookiePermissions = "permissions"
	HeaderToken       = "X-Auth-Token"
	FieldToken        = "x-auth-token"
)

// Authenticate returns whose request it is: of the tokens and credentials that it
// carries, the first that is valid counts. ErrUnauthenticated says that there was none,
// ErrDenied that those there were are wrong or out of date.
func (a *Auth) Authenticate(r *http.Request) (Identity, error) {
	if a.Open() {
		return openIdentity, nil
	}
	a.refresh()
	var failure error
	for _, candidate := range credentials(r) {
		id, err := a.try(r, candidate)
		if err == nil {
			return id, nil
		}
		if failure == nil || errors.As(err, new(*RateError)) {
			failure = err
		}
	}
	if failure != nil {
		return Identity{}, failure
	}
	return Identity{}, ErrUnauthenticated
}

// credential is a token, or a name and a password.
type credential struct {
	token          string
	user, password string
}

func credentials(r *http.Request) []credential {
	var found []credential
	if cookie, err := r.Cookie(CookieToken); err == nil && cookie.Value != "" {
		found = append(found, credential{token: cookie.Value})
	}
	if value := r.Header.Get("Authorization"); value != "" {
		found = append(found, parseAuthorization(value))
	}
	if value := r.Header.Get(HeaderToken); value != "" {
		found = append(found, credential{token: value})
	}
	// Not in a form: the body is the handler's, and scripts send JSON under a form's type.
	if value := r.URL.Query().Get(FieldToken); value != "" {
		found = append(found, credential{token: value})
	}
	return found
}

// parseAuthorization takes "Bearer TOKEN", "Basic BASE64", and a bare token.
func parseAuthorization(value string) credential {
	scheme, rest, ok := strings.Cut(value, " ")
	if !ok {
		return credential{token: value}
	}
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return credential{token: rest}
	case strings.EqualFold(scheme, "Basic"):
		raw, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			return credential{token: rest}
		}
		name, password, ok := strings.Cut(string(raw), ":")
		if !ok {
			return credential{token: rest}
		}
		return credential{user: name, password: password}
	}
	return credential{token: value}
}

func (a *Auth) try(r *http.Request, c credential) (Identity, error) {
	now := a.clock()
	if c.token != "" {
		id, ok := a.tokens.lookup(c.token, now)
		if !ok {
			return Identity{}, ErrUnauthenticated
		}
		return id, nil
	}
	sum := a.basic.digest(c.user, c.password)
	if id, ok := a.basic.lookup(sum, now); ok {
		return id, nil
	}
	id, err := a.verify(r.Context(), RemoteAddr(r), c.user, c.password)
	if err != nil {
		return Identity{}, err
	}
	a.basic.keep(sum, id, now)
	return id, nil
}

// RemoteAddr returns the address that the request came from, the zero Addr when it has
// none (a Unix socket). Forwarding headers are not believed.
func RemoteAddr(r *http.Request) netip.Addr {
	addrPort, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addrPort.Addr()
}
