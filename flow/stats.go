package flow

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// AppendProto appends the ledger as the protobuf message flow.Ledger, which is weft's own: flow.proto has its numbers. Causes
// and faults travel by name, those that did not happen not at all.
func (l *Ledger) AppendProto(dst []byte) []byte {
	for i, n := range l.totals() {
		dst = appendInt(dst, ledgerTotals[i], int64(*n)) //nolint:gosec // the inverse of decodeProto
	}
	for i, n := range l.Drops {
		dst = appendNamed(dst, ledgerDrops, Cause(i).String(), n)
	}
	for i, n := range l.Faults {
		dst = appendNamed(dst, ledgerFaults, Fault(i).String(), n)
	}
	return dst
}

// Field numbers of flow.Ledger.
const (
	ledgerDrops  = 8
	ledgerFaults = 9
)

var ledgerTotals = [...]protowire.Number{1, 2, 3, 4, 5, 6, 7}

// totals are the plain numbers of a ledger, in the order of their fields.
func (l *Ledger) totals() [len(ledgerTotals)]*uint64 {
	return [...]*uint64{&l.Received, &l.Counted, &l.CountedBytes, &l.Reported, &l.Flows, &l.FlowsEvicted, &l.FlowsLive}
}

// appendNamed appends a flow.Named: Name 1, Packets 2.
func appendNamed(dst []byte, num protowire.Number, name string, n uint64) []byte {
	if n == 0 {
		return dst
	}
	dst, start := openMessage(dst, num)
	dst = appendText(dst, 1, name)
	dst = appendInt(dst, 2, int64(n)) //nolint:gosec // likewise
	return closeMessage(dst, start)
}

func (l *Ledger) decodeProto(r *wireReader) {
	for r.next() {
		switch {
		case r.tag == ledgerDrops<<3|bytesField:
			decodeNamed(r, causeNames[:], l.Drops[:])
		case r.tag == ledgerFaults<<3|bytesField:
			decodeNamed(r, faultNames[:], l.Faults[:])
		default:
			for i, n := range l.totals() {
				if r.tag == uint64(ledgerTotals[i])<<3|varintField {
					*n = r.n
				}
			}
		}
	}
}

// decodeNamed reads a number into the place of its name. A name that is not known is skipped.
func decodeNamed(r *wireReader, names []string, counts []uint64) {
	count := named{}
	element(r, &count, (*named).decodeProto)
	if i := slices.Index(names, count.name); i >= 0 {
		counts[i] = count.n
	}
}

// named is a number of packets with the name of a cause or a fault.
type named struct {
	name string
	n    uint64
}

func (c *named) decodeProto(r *wireReader) {
	for r.next() {
		switch r.tag {
		case 1<<3 | bytesField:
			c.name = r.text()
		case 2<<3 | varintField:
			c.n = r.n
		}
	}
}
