package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

var anywhere = netip.MustParseAddr("192.0.2.1")

// clock is a clock that a test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

// hashOf makes a cheap hash.
func hashOf(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func writeUsers(t testing.TB, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newAuth returns an Auth with the administrator ada (secret "engine") and the guest
// gus (secret "visit").
func newAuth(t testing.TB, opts Options) *Auth {
	t.Helper()
	opts.UsersFile = writeUsers(t,
		"# people",
		"",
		"ada:"+hashOf(t, "engine")+":admin",
		"gus:"+hashOf(t, "visit"),
	)
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8082/api", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestWithoutUsersAnyCredentialsAreTaken(t *testing.T) {
	a, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	session, err := a.Login(t.Context(), anywhere, "who", "ever")
	if err != nil || session.Token == "" || session.Role != RoleAdmin {
		t.Fatalf("Login = %+v, %v", session, err)
	}
	id, err := a.Authenticate(request())
	if err != nil || id.Role != RoleAdmin {
		t.Fatalf("Authenticate = %+v, %v", id, err)
	}
}

func TestLoginGivesATokenThatExpires(t *testing.T) {
	c := newClock()
	a := newAuth(t, Options{Clock: c.Now, TokenTTL: time.Hour})
	session, err := a.Login(t.Context(), anywhere, "ada", "engine")
	if err != nil {
		t.Fatal(err)
	}
	if want := c.now.Add(time.Hour); !session.Expires.Equal(want) {
		t.Errorf("expires %v, want %v", session.Expires, want)
	}
	c.advance(59 * time.Minute)
	id, err := a.Authenticate(request(HeaderToken, session.Token))
	if err != nil || id != (Identity{"ada", RoleAdmin}) {
		t.Fatalf("before the end: %+v, %v", id, err)
	}
	c.advance(time.Minute)
	if _, err = a.Authenticate(request(HeaderToken, session.Token)); !errors.Is(err, ErrUnauthenticated) {
		t.Fatalf("after the end: %v", err)
	}
}

func TestWrongCredentials(t *testing.T) {
	a := newAuth(t, Options{})
	for name, c := range map[string][2]string{
		"wrong password": {"ada", "visit"},
		"unknown user":   {"eve", "engine"},
		"empty":          {"", ""},
		"hash as secret": {"ada", a.users.users["ada"].hash},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := a.Login(t.Context(), anywhere, c[0], c[1]); !errors.Is(err, ErrDenied) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestDecoyHashIsARealHash(t *testing.T) {
	if cost, err := bcrypt.Cost([]byte(decoyHash)); err != nil || cost != bcrypt.DefaultCost {
		t.Fatalf("cost %d, %v: an unknown user would be answered faster than a known one", cost, err)
	}
	if err := bcrypt.CompareHashAndPassword([]byte(decoyHash), nil); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		t.Fatal(err)
	}
}

func TestWhereATokenMayBe(t *testing.T) {
	a := newAuth(t, Options{})
	session, err := a.Login(t.Context(), anywhere, "gus", "visit")
	if err != nil {
		t.Fatal(err)
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("gus:visit"))
	for name, r := range map[string]*http.Request{
		"cookie":           request("Cookie", CookieToken+"="+session.Token),
		"bearer":           request("Authorization", "Bearer "+session.Token),
		"raw":              request("Authorization", session.Token),
		"basic":            request("Authorization", basic),
		"header":           request(HeaderToken, session.Token),
		"query":            httptest.NewRequest(http.MethodGet, "/api?x-auth-token="+session.Token, nil),
		"stale cookie too": request("Cookie", CookieToken+"=old", HeaderToken, session.Token),
	} {
		t.Run(name, func(t *testing.T) {
			id, err := a.Authenticate(r)
			if err != nil || id != (Identity{"gus", RoleGuest}) {
				t.Errorf("got %+v, %v", id, err)
			}
		})
	}
	for name, r := range map[string]*http.Request{
		"nothing":      request(),
		"wrong token":  request(HeaderToken, session.Token+"x"),
		"wrong basic":  request("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("gus:x"))),
		"broken basic": request("Authorization", "Basic %%%"),
	} {
		t.Run(name, func(t *testing.T) {
			if id, err := a.Authenticate(r); err == nil {
				t.Errorf("taken as %+v", id)
			}
		})
	}
}

func TestAFormIsLeftToItsHandler(t *testing.T) {
	a := newAuth(t, Options{})
	// What curl -d sends when nobody says otherwise.
	const body = `{"GremlinQuery":"G.V().Has('Name','a%3Bb')"}`
	r := httptest.NewRequest(http.MethodPost, "/api/topology", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("gus:visit")))
	if _, err := a.Authenticate(r); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r.Body); err != nil || string(rest) != body {
		t.Errorf("the handler gets %q, %v", rest, err)
	}
}

func TestGuessingLocksOutOneUserNotAll(t *testing.T) {
	c := newClock()
	a := newAuth(t, Options{Clock: c.Now})
	for range failureBurst {
		_, _ = a.Login(t.Context(), anywhere, "ada", "guess")
	}
	var limited *RateError
	if _, err := a.Login(t.Context(), anywhere, "ada", "engine"); !errors.As(err, &limited) {
		t.Fatalf("ada is free: %v", err)
	}
	if _, err := a.Login(t.Context(), anywhere, "gus", "visit"); err != nil {
		t.Errorf("gus is held back: %v", err)
	}
	table := newFailureTable()
	for i := range failureBurst * networkFactor {
		table.record(anywhere, fmt.Sprint("name", i), c.Now())
	}
	if table.wait(anywhere, "gus", c.Now()) == 0 {
		t.Error("names may be guessed without end")
	}
}

func TestTooManyFailuresFromOneAddress(t *testing.T) {
	c := newClock()
	a := newAuth(t, Options{Clock: c.Now})
	for range failureBurst {
		if _, err := a.Login(t.Context(), anywhere, "ada", "guess"); !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
	}
	var limited *RateError
	if _, err := a.Login(t.Context(), anywhere, "ada", "engine"); !errors.As(err, &limited) {
		t.Fatalf("attempt %d: %v", failureBurst+1, err)
	}
	if limited.RetryAfter != failureEvery {
		t.Errorf("retry after %v, want %v", limited.RetryAfter, failureEvery)
	}
	if _, err := a.Login(t.Context(), netip.MustParseAddr("192.0.2.2"), "ada", "engine"); err != nil {
		t.Errorf("another address: %v", err)
	}
	c.advance(failureEvery)
	if _, err := a.Login(t.Context(), anywhere, "ada", "engine"); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

func TestAddressesOfOneNetworkFailTogether(t *testing.T) {
	table, now := newFailureTable(), newClock().now
	for range failureBurst {
		table.record(netip.MustParseAddr("2001:db8::1"), "ada", now)
	}
	if table.wait(netip.MustParseAddr("2001:db8::2"), "ada", now) == 0 {
		t.Error("a neighbour in the /64 is free")
	}
	if table.wait(netip.MustParseAddr("2001:db8:0:1::1"), "ada", now) != 0 {
		t.Error("another /64 is held back")
	}
	for i := range 3 * failureAddresses {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		table.record(addr, "ada", now)
	}
	if n := len(table.forgive); n > failureAddresses {
		t.Errorf("%d addresses remembered", n)
	}
}

func TestTokensAreBounded(t *testing.T) {
	a := newAuth(t, Options{MaxTokens: 3})
	var tokens []string
	for range 4 {
		session, err := a.Login(t.Context(), anywhere, "ada", "engine")
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, session.Token)
	}
	if _, err := a.Authenticate(request(HeaderToken, tokens[0])); err == nil {
		t.Error("the oldest token is still alive")
	}
	if _, err := a.Authenticate(request(HeaderToken, tokens[1])); err != nil {
		t.Errorf("the second: %v", err)
	}
	a.Logout(tokens[1])
	if _, err := a.Authenticate(request(HeaderToken, tokens[1])); err == nil {
		t.Error("alive after the logout")
	}
}

func TestUsersFileIsReadAgain(t *testing.T) {
	c := newClock()
	var log bytes.Buffer
	a := newAuth(t, Options{Clock: c.Now, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	ada, _ := a.Login(t.Context(), anywhere, "ada", "engine")
	gus, _ := a.Login(t.Context(), anywhere, "gus", "visit")
	gusLine := "gus:" + a.users.users["gus"].hash

	rewrite := func(text string) {
		t.Helper()
		if err := os.WriteFile(a.users.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.advance(reloadEvery)
	}
	rewrite("ada:" + hashOf(t, "new") + ":admin\n" + gusLine + "\n")
	if _, err := a.Authenticate(request(HeaderToken, ada.Token)); err == nil {
		t.Error("the session outlived the password")
	}
	if _, err := a.Authenticate(request(HeaderToken, gus.Token)); err != nil {
		t.Errorf("a session of another user: %v", err)
	}
	if _, err := a.Login(t.Context(), anywhere, "ada", "new"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	rewrite("nonsense")
	if _, err := a.Login(t.Context(), anywhere, "ada", "new"); err != nil {
		t.Errorf("a broken file took the users away: %v", err)
	}
	if !strings.Contains(log.String(), "line 1") {
		t.Errorf("log does not name the line: %s", log.String())
	}
	for _, secret := range []string{"engine", "visit", ada.Token, "$2a$"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestBadUsersFiles(t *testing.T) {
	good := "ada:" + hashOf(t, "x") + ":admin"
	for want, lines := range map[string][]string{
		"line 1: not of the form name:hash:role":    {"ada"},
		"line 2: user \"bob\": not a bcrypt hash":   {good, "bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="},
		"unknown role \"root\": use admin or guest": {"ada:" + hashOf(t, "x") + ":root"},
		"user \"ada\" is there twice":               {good, good},
		"no user in it":                             {"# nobody"},
	} {
		_, err := New(Options{UsersFile: writeUsers(t, lines...)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := New(Options{UsersFile: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestAGuestMayLookAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		object, action string
		guest          bool
	}{
		{"status", ActionRead, true},
		{"topology", ActionRead, true},
		{"node", ActionRead, false},
		{"node", ActionWrite, false},
		{"config", ActionRead, false},
		{ObjectWebSocket, "/ws/subscriber", true},
		{ObjectWebSocket, "/ws/publisher", false},
	} {
		if got := RoleGuest.Allows(c.object, c.action); got != c.guest {
			t.Errorf("guest %s %s: %v", c.action, c.object, got)
		}
		if !RoleAdmin.Allows(c.object, c.action) {
			t.Errorf("admin may not %s %s", c.action, c.object)
		}
		if Role("").Allows(c.object, c.action) {
			t.Errorf("nobody may %s %s", c.action, c.object)
		}
	}
}

func TestLoginEndsWithItsRequest(t *testing.T) {
	a := newAuth(t, Options{})
	for range cap(a.hashing) {
		a.hashing <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Login(ctx, anywhere, "ada", "engine"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestHashPasswordFitsAUsersFile(t *testing.T) {
	hash, err := HashPassword("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := parseUser("ada:" + hash + ":guest"); err != nil {
		t.Error(err)
	}
}
