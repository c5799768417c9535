package flow

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
)

// Prefilter holds conditions that a flow must meet to be of interest. They are necessary, not sufficient: a scan leaves out what
// cannot match, and the caller checks what is left. Nil lists admit everything; of a list that is not nil, one must match.
type Prefilter struct {
	Network, NetworkA, NetworkB       []netip.Addr // Network: either end
	Transport, TransportA, TransportB []uint16
	UUID, TrackingID                  []string
	Application                       []string
}

// Scan yields live flows that pass the prefilter, which may be nil. It begins where cursor says, 0 at first, looks at no more than
// budget flows and returns where to go on, and whether all were looked at. Between two calls packets may be added: a flow that
// lives through the whole scan is yielded once, one that begins or ends meanwhile once or not at all. The flow is used again
// after each call of yield; yield returns false to stop.
func (t *Table) Scan(cursor uint64, budget int, pre *Prefilter, yield func(*Flow) bool) (next uint64, done bool) {
	var c conditions
	c.set(pre)
	slot, end := t.scanned(cursor, budget)
	for ; slot < end; slot++ {
		h := t.hotAt(slot)
		if h.key[keyKind] == 0 || !c.hot(h) {
			continue
		}
		if c.ids && !c.cold(t.coldAt(slot)) {
			continue
		}
		f := t.show(slot, finishOf(h.flags))
		if c.pre != nil && c.pre.Application != nil && !slices.Contains(c.pre.Application, f.Application) {
			continue
		}
		if !yield(f) {
			return uint64(slot) + 1, false
		}
	}
	return uint64(slot), slot >= t.used
}

// Count says how many flows a Scan without a prefilter would yield; its cursor and budget are those of Scan.
func (t *Table) Count(cursor uint64, budget int) (flows int, next uint64, done bool) {
	slot, end := t.scanned(cursor, budget)
	for ; slot < end; slot++ {
		if t.hotAt(slot).key[keyKind] != 0 {
			flows++
		}
	}
	return flows, uint64(slot), slot >= t.used
}

// scanned are the slots that a scan looks at.
func (t *Table) scanned(cursor uint64, budget int) (slot, end uint32) {
	slot = uint32(min(cursor, uint64(t.used)))
	return slot, uint32(min(uint64(t.used), uint64(slot)+uint64(max(budget, 1))))
}

// address is an address as keys have it.
type address struct {
	high, low uint64
	family    uint64
}

// conditions is a prefilter in the terms of the table.
type conditions struct {
	pre            *Prefilter
	network        [3][]address // either, A, B; not nil when asked
	uuid, tracking []uint64
	ids            bool
	hotOnly        bool
}

func (c *conditions) set(pre *Prefilter) {
	if pre == nil {
		return
	}
	c.pre = pre
	c.network = [3][]address{keyAddresses(pre.Network), keyAddresses(pre.NetworkA), keyAddresses(pre.NetworkB)}
	c.uuid, c.tracking = parseIDs(pre.UUID), parseIDs(pre.TrackingID)
	c.ids = c.uuid != nil || c.tracking != nil
	c.hotOnly = pre.Network != nil || pre.NetworkA != nil || pre.NetworkB != nil || pre.Transport != nil || pre.TransportA != nil || pre.TransportB != nil
}

// keyAddresses converts addresses; nil stays nil.
func keyAddresses(list []netip.Addr) []address {
	if list == nil {
		return nil
	}
	out := make([]address, 0, len(list))
	for _, a := range list {
		if a.Is4() {
			b := a.As4()
			out = append(out, address{low: uint64(binary.BigEndian.Uint32(b[:])), family: kindIPv4})
			continue
		}
		b := a.As16()
		out = append(out, address{high: binary.BigEndian.Uint64(b[:]), low: binary.BigEndian.Uint64(b[8:]), family: kindIPv6})
	}
	return out
}

// parseIDs converts ids; what is none matches nothing.
func parseIDs(list []string) []uint64 {
	if list == nil {
		return nil
	}
	out := make([]uint64, 0, len(list))
	for _, text := range list {
		if id, err := strconv.ParseUint(text, 16, 64); err == nil && len(text) == 16 {
			out = append(out, id)
		}
	}
	return out
}

// hot checks what the hot part tells: addresses and ports.
func (c *conditions) hot(h *hot) bool {
	if !c.hotOnly {
		return true
	}
	k := &h.key
	swapped := h.flags&uint32(segNetSwapped) != 0
	for i, list := range c.network {
		if list == nil {
			continue
		}
		ok := false
		for _, a := range list {
			if k[keyKind]&a.family == 0 {
				continue
			}
			low := i != 2-b2i(swapped) && k[keyLow] == a.high && k[keyLow+1] == a.low
			high := i != 1+b2i(swapped) && k[keyHigh] == a.high && k[keyHigh+1] == a.low
			if low || high {
				ok = true
				break
			}
		}
		if !ok {
			return false
		}
	}
	return c.ports(h)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ports checks the ports.
func (c *conditions) ports(h *hot) bool {
	p := c.pre
	if p.Transport == nil && p.TransportA == nil && p.TransportB == nil {
		return true
	}
	kind := h.key[keyKind]
	a, b := uint16(h.key[keyLowLink]), uint16(h.key[keyHighLink])
	switch {
	case kind&kindTunnel != 0:
		b = a
	case kind&kindPorts == 0:
		return false
	case h.flags&uint32(segPortSwapped) != 0:
		a, b = b, a
	}
	return (p.Transport == nil || slices.Contains(p.Transport, a) || slices.Contains(p.Transport, b)) &&
		(p.TransportA == nil || slices.Contains(p.TransportA, a)) &&
		(p.TransportB == nil || slices.Contains(p.TransportB, b))
}

// cold checks the ids.
func (c *conditions) cold(x *cold) bool {
	return (c.uuid == nil || slices.Contains(c.uuid, x.ids.flow)) &&
		(c.tracking == nil || slices.Contains(c.tracking, x.ids.tracking))
}
