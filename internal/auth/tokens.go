package auth

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"
)

// newToken returns 256 random bits in a form fit for cookies and headers.
func newToken() string {
	var raw [32]byte
	rand.Read(raw[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// tokenTable holds the sessions. It is keyed by the token's SHA-256, so that the time a
// lookup takes tells nothing of the tokens, and memory holds none in clear.
type tokenTable struct {
	ttl time.Duration
	max int

	mu       *sync.Mutex
	sessions map[[sha256.Size]byte]*list.Element // of *tokenEntry
	order    *list.List                          // oldest first, which is also first to expire
}

type tokenEntry struct {
	key     [sha256.Size]byte
	id      Identity
	expires time.Time
}

func newTokenTable(ttl time.Duration, limit int) tokenTable {
	return tokenTable{
		ttl: ttl, max: limit,
		mu: new(sync.Mutex), sessions: make(map[[sha256.Size]byte]*list.Element), order: list.New(),
	}
}

func (t *tokenTable) issue(id Identity, now time.Time) Session {
	token := newToken()
	entry := &tokenEntry{key: sha256.Sum256([]byte(token)), id: id, expires: now.Add(t.ttl)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
	for len(t.sessions) >= t.max {
		t.remove(t.order.Front())
	}
	t.sessions[entry.key] = t.order.PushBack(entry)
	return Session{Identity: id, Token: token, Expires: entry.expires}
}

func (t *tokenTable) lookup(token string, now time.Time) (Identity, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
	element, ok := t.sessions[sha256.Sum256([]byte(token))]
	if !ok {
		return Identity{}, false
	}
	entry := element.Value.(*tokenEntry)
	if !now.Before(entry.expires) { // a clock that jumped back left it out of order
		t.remove(element)
		return Identity{}, false
	}
	return entry.id, true
}

func (t *tokenTable) revoke(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if element, ok := t.sessions[sha256.Sum256([]byte(token))]; ok {
		t.remove(element)
	}
}

func (t *tokenTable) revokeUsers(names []string) {
	gone := make(map[string]bool, len(names))
	for _, name := range names {
		gone[name] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for element := t.order.Front(); element != nil; {
		next := element.Next()
		if gone[element.Value.(*tokenEntry).id.User] {
			t.remove(element)
		}
		element = next
	}
}

func (t *tokenTable) expire(now time.Time) {
	for element := t.order.Front(); element != nil; element = t.order.Front() {
		if now.Before(element.Value.(*tokenEntry).expires) {
			return
		}
		t.remove(element)
	}
}

func (t *tokenTable) remove(element *list.Element) {
	delete(t.sessions, element.Value.(*tokenEntry).key)
	t.order.Remove(element)
}

// Basic credentials come with every request; checking them costs a bcrypt each time.
// The cache remembers, for a minute, a keyed digest of those that were right.
const (
	basicCacheTTL = time.Minute
	basicCacheMax = 1000
)

type basicCache struct {
	key  [32]byte
	mu   *sync.Mutex
	seen map[[sha256.Size]byte]basicEntry
}

type basicEntry struct {
	id      Identity
	expires time.Time
}

func newBasicCache() basicCache {
	c := basicCache{mu: new(sync.Mutex), seen: make(map[[sha256.Size]byte]basicEntry)}
	rand.Read(c.key[:])
	return c
}

func (c *basicCache) digest(user, password string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write([]byte(user))
	mac.Write([]byte{0})
	mac.Write([]byte(password))
	mac.Sum(sum[:0])
	return sum
}

func (c *basicCache) lookup(sum [sha256.Size]byte, now time.Time) (Identity, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.seen[sum]
	return entry.id, ok && now.Before(entry.expires)
}

func (c *basicCache) keep(sum [sha256.Size]byte, id Identity, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) >= basicCacheMax {
		clear(c.seen)
	}
	c.seen[sum] = basicEntry{id: id, expires: now.Add(basicCacheTTL)}
}

func (c *basicCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.seen)
}
