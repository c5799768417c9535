package runner

import (
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/weft-net/weft/internal/capture/spool"
)

// outlet is where flow reports and ledgers go together into the spool.
type outlet struct {
	mu       sync.Mutex
	log      *slog.Logger
	spool    *spool.Spool // nil before Run
	accounts map[string]*account
	dirty    map[string]bool // accounts that lost packets out of the spool since they were written
	books    string          // the number of all accounts together, kept with them
	transit  transit
}

// booksKey is where the spool has the number of the accounts: no account has this key.
const booksKey = "books"

func (o *outlet) number() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.books
}

func (o *outlet) begin(kept *spool.Spool, log *slog.Logger) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spool, o.log, o.dirty = kept, log, map[string]bool{}
	state := kept.State()
	if number, known := state[booksKey]; known {
		o.books = string(number)
		delete(state, booksKey)
	} else {
		o.books = strconv.FormatUint(kept.ID(), 16)
		o.append(nil, []spool.Entry{{Key: booksKey, Value: []byte(o.books)}}, nil)
	}
	for key, data := range state {
		a, err := restore(key, data)
		if err != nil {
			log.Warn("a ledger of an earlier process cannot be read", "capture", key, "error", err)
			continue
		}
		o.accounts[key] = a
	}
}

// account gives the ledger of a capture on a node, a new one if there is none.
func (o *outlet) account(capture, tid string) *account {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := accountKey(capture, tid)
	a := o.accounts[key]
	if a == nil {
		a = &account{key: key, capture: capture}
		o.accounts[key] = a
	}
	return a
}

// forget drops the ledgers of captures that are deleted.
func (o *outlet) forget(gone func(*account) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var entries []spool.Entry
	for key, a := range o.accounts {
		if gone(a) {
			delete(o.accounts, key)
			delete(o.dirty, key)
			entries = append(entries, spool.Entry{Key: key})
		}
	}
	if len(entries) > 0 {
		o.append(nil, entries, nil)
	}
}

// reports keeps encoded flow reports of a ring, and the ledger after them. packets is what they newly counted.
func (o *outlet) reports(r *ring, payload []byte, packets uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := r.tap.account
	a.mu.Lock()
	if part := a.rings[r]; part != nil {
		part.kept += packets
	}
	entry := a.entry()
	a.mu.Unlock()
	o.append(payload, []spool.Entry{entry}, []spool.Cost{{Key: a.key, Packets: packets}})
}

// checkpoint keeps the ledger, with a message that tells of it unless that is empty.
func (o *outlet) checkpoint(a *account, payload []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a.mu.Lock()
	entry := a.entry()
	a.mu.Unlock()
	o.append(payload, []spool.Entry{entry}, nil)
}

// append also writes the ledgers that a call before cost packets. The caller holds mu.
func (o *outlet) append(payload []byte, entries []spool.Entry, costs []spool.Cost) {
	for key := range o.dirty {
		if a := o.accounts[key]; a != nil && key != entries[0].Key {
			a.mu.Lock()
			entries = append(entries, a.entry())
			a.mu.Unlock()
		}
	}
	clear(o.dirty)
	dropped, err := o.spool.Append(payload, entries, costs)
	if err != nil {
		// A ring that outlives the spool has nowhere to put its reports: their packets stay unreported.
		o.log.Warn("flow reports not kept", "error", err)
		return
	}
	for _, c := range dropped {
		if a := o.charged(c.Key); a != nil && c.Packets > 0 {
			a.drop(c.Packets)
			o.dirty[a.key] = true
		}
	}
}

// drain waits until every batch was taken, or the time is over.
func (r *Runner) drain(limit time.Duration) {
	if r.opts.Publish == nil {
		return
	}
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for r.out.spool.Stats().Batches > 0 {
		select {
		case <-deadline.C:
			return
		case <-tick.C:
		}
	}
}
