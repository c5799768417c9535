package auth

import (
	"net/netip"
	"sync"
	"time"
)

// A user may fail failureBurst times in a row from an address; one more failure is allowed
// every failureEvery. All users together may fail networkFactor times as often from there,
// so that one who guesses does not lock out the others behind the same address. Addresses
// of one IPv6 /64 count as one. Successful logins are free.
const (
	failureBurst     = 10
	failureEvery     = 3 * time.Second
	networkFactor    = 10
	failureAddresses = 10_000
)

// failureKey is who failed: a user from a network, or anybody from there.
type failureKey struct {
	network netip.Prefix
	user    string
	anybody bool
}

func keysOf(from netip.Addr, user string) [2]failureKey {
	network := networkOf(from)
	// A name of any length costs the same in the table.
	return [2]failureKey{{network: network, user: user[:min(len(user), 64)]}, {network: network, anybody: true}}
}

// every is how long one failure counts.
func (k failureKey) every() time.Duration {
	if k.anybody {
		return failureEvery / networkFactor
	}
	return failureEvery
}

// allowance is how much failure is borne with: a failure less than the burst.
func (k failureKey) allowance() time.Duration {
	if k.anybody {
		return (failureBurst*networkFactor - 1) * (failureEvery / networkFactor)
	}
	return (failureBurst - 1) * failureEvery
}

// failureTable remembers failed logins as one time a key: the moment at which all its
// failures are forgiven. Its size is bounded; when full, the forgiven go first, and if all
// are fresh, the table starts anew.
type failureTable struct {
	mu      *sync.Mutex
	forgive map[failureKey]time.Time
}

func newFailureTable() failureTable {
	return failureTable{mu: new(sync.Mutex), forgive: make(map[failureKey]time.Time)}
}

// wait returns how long the user has to wait before trying again from the address.
func (t *failureTable) wait(from netip.Addr, user string, now time.Time) (longest time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keysOf(from, user) {
		if until, failed := t.forgive[key]; failed {
			longest = max(longest, until.Sub(now.Add(key.allowance())))
		}
	}
	return longest
}

func (t *failureTable) record(from netip.Addr, user string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keysOf(from, user) {
		until := t.forgive[key]
		if until.Before(now) {
			until = now
		}
		t.makeRoom(now)
		t.forgive[key] = until.Add(key.every())
	}
}

func (t *failureTable) makeRoom(now time.Time) {
	if len(t.forgive) < failureAddresses {
		return
	}
	for key, at := range t.forgive {
		if at.Before(now) {
			delete(t.forgive, key)
		}
	}
	if len(t.forgive) >= failureAddresses {
		clear(t.forgive)
	}
}

func networkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return netip.Prefix{}
	}
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // the length fits the family
	return prefix
}
