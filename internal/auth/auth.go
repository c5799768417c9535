// Package auth says who a request comes from and what that user may do.
//
// Users live in a file of name:hash:role lines with bcrypt hashes, read again when it
// changes. A login gives a random token that expires. Without a users file every
// request is the administrator's, as in Skydive without authentication. Guard keeps web
// pages of other sites away, users or not.
//
// An Auth and a Guard may be used from any goroutine; they start none and need no
// closing. No password, hash or token ever reaches the log.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// ErrDenied is the answer to wrong credentials.
var ErrDenied = errors.New("invalid username or password")

// ErrUnauthenticated is the answer to a request without a valid token.
var ErrUnauthenticated = errors.New("authentication required: log in with POST /login, or send an Authorization header")

// RateError is the answer to a user that failed to log in too often from an address, or to
// an address from which too many logins failed.
type RateError struct {
	RetryAfter time.Duration
}

// Error names the wait.
func (e *RateError) Error() string {
	return fmt.Sprintf("too many failed logins: try again in %s", e.RetryAfter.Round(time.Second))
}

// Options configure New. Zero fields take defaults.
type Options struct {
	UsersFile string        // empty: no users, anybody is the administrator
	TokenTTL  time.Duration // life of a token; default 24 h
	MaxTokens int           // tokens alive at once, the oldest go first; default 10,000
	Logger    *slog.Logger
	Clock     func() time.Time
}

// Identity is a user and the role that decides what it may do.
type Identity struct {
	User string
	Role Role
}

// Session is what a login gives. Without users there is no expiry.
type Session struct {
	Identity
	Token   string
	Expires time.Time
}

// Auth holds users and tokens.
type Auth struct {
	log      *slog.Logger
	clock    func() time.Time
	users    *userFile // nil: no users
	tokens   tokenTable
	failures failureTable
	basic    basicCache
	hashing  chan struct{} // bounds the bcrypt computations at once

	reload sync.Mutex
}

// New reads the users file, if one is named. A file that cannot be read or has a bad
// line is an error that names the line and the remedy.
func New(opts Options) (*Auth, error) {
	if opts.TokenTTL <= 0 {
		opts.TokenTTL = 24 * time.Hour
	}
	if opts.MaxTokens <= 0 {
		opts.MaxTokens = 10_000
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	a := &Auth{
		log:      opts.Logger,
		clock:    opts.Clock,
		tokens:   newTokenTable(opts.TokenTTL, opts.MaxTokens),
		failures: newFailureTable(),
		basic:    newBasicCache(),
		hashing:  make(chan struct{}, 2),
	}
	if opts.UsersFile != "" {
		users, err := openUserFile(opts.UsersFile)
		if err != nil {
			return nil, err
		}
		a.users = users
	}
	return a, nil
}

// Open says that there are no users, so that anybody may do anything.
func (a *Auth) Open() bool { return a.users == nil }

// openIdentity is who everybody is without users, as in Skydive's noauth backend.
var openIdentity = Identity{User: "admin", Role: RoleAdmin}

// Login checks credentials given from an address and returns a new session. Wrong ones
// give ErrDenied, too many wrong ones a *RateError. Without users any credentials do.
func (a *Auth) Login(ctx context.Context, from netip.Addr, user, password string) (Session, error) {
	if a.Open() {
		return Session{Identity: openIdentity, Token: newToken()}, nil
	}
	id, err := a.verify(ctx, from, user, password)
	if err != nil {
		return Session{}, err
	}
	return a.tokens.issue(id, a.clock()), nil
}

// Logout forgets a token.
func (a *Auth) Logout(token string) { a.tokens.revoke(token) }

// verify checks a password, slowly (bcrypt), within the allowance of failures of the user and of the
// address.
func (a *Auth) verify(ctx context.Context, from netip.Addr, user, password string) (Identity, error) {
	if wait := a.failures.wait(from, user, a.clock()); wait > 0 {
		return Identity{}, &RateError{RetryAfter: wait}
	}
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return Identity{}, fmt.Errorf("login: %w", ctx.Err())
	}
	a.refresh()
	role, ok := a.users.check(user, password)
	if !ok {
		a.failures.record(from, user, a.clock())
		a.log.Warn("login refused", "user", user, "from", from.String())
		return Identity{}, ErrDenied
	}
	return Identity{User: user, Role: role}, nil
}

// refresh reads the users file again when it changed, and ends the sessions of users
// that are gone, or whose password or role is another now. A file that has become
// unreadable leaves the old users in place.
func (a *Auth) refresh() {
	a.reload.Lock()
	defer a.reload.Unlock()
	changed, err := a.users.reload(a.clock())
	if err != nil {
		a.log.Error("users file not reloaded, the former users stay", "error", err)
		return
	}
	if len(changed) == 0 {
		return
	}
	a.tokens.revokeUsers(changed)
	a.basic.clear()
	a.log.Info("users file reloaded", "changed", len(changed))
}
