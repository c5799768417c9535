package auth

import (
	"net/netip"
	"sync"
	"time"
)

// An address may fail failureBurst times in a row; one more failure is allowed every
// failureEvery. Addresses of one IPv6 /64 count as one. Successful logins are free.
const (
	failureBurst     = 10
	failureEvery     = 3 * time.Second
	failureAddresses = 10_000
)

// failureTable remembers failed logins as one time an address: the moment at which all
// its failures are forgiven. Its size is bounded; when full, the forgiven go first, and
// if all are fresh, the table starts anew.
type failureTable struct {
	mu      *sync.Mutex
	forgive map[netip.Prefix]time.Time
}

func newFailureTable() failureTable {
	return failureTable{mu: new(sync.Mutex), forgive: make(map[netip.Prefix]time.Time)}
}

// wait returns how long the address has to wait before it may try again.
func (t *failureTable) wait(from netip.Addr, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, failed := t.forgive[networkOf(from)]
	if !failed {
		return 0
	}
	return max(0, until.Sub(now.Add((failureBurst-1)*failureEvery)))
}

func (t *failureTable) record(from netip.Addr, now time.Time) {
	network := networkOf(from)
	t.mu.Lock()
	defer t.mu.Unlock()
	until := t.forgive[network]
	if until.Before(now) {
		until = now
	}
	if len(t.forgive) >= failureAddresses {
		for key, at := range t.forgive {
			if at.Before(now) {
				delete(t.forgive, key)
			}
		}
		if len(t.forgive) >= failureAddresses {
			clear(t.forgive)
		}
	}
	t.forgive[network] = until.Add(failureEvery)
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
