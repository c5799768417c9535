package runner

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/weft-net/weft/flow"
)

// cut is a batch of the spool that the bus does not take whole: what of it goes instead, and what cannot go at all.
// The same batch and limit give the same parts under the same names, so that an analyzer which has them already knows.
type cut struct {
	of    batchName
	parts [][]byte // sent as batches 1 to len(parts) of the spool with the number number
	lost  losses

	number uint64
	acked  []bool
	left   int // parts without an acknowledgement
}

// batchName names a batch.
type batchName struct{ spool, seq uint64 }

// losses are what does not fit into any batch that the bus takes, by account.
type losses struct {
	packets map[string]uint64 // of the wire, with the flows that are lost
	kept    map[string]uint64 // raw packets and messages that flows go without
	flows   uint64
	unclear bool // the batch cannot be read: all that it counts is lost
}

func (l *losses) any() bool { return l.unclear || l.flows > 0 || len(l.kept) > 0 }

// rawRoom is what a raw packet takes beside its data, and pieceRoom what a flow's own frame does, at most.
const (
	rawRoom   = 64
	pieceRoom = 16
)

// cutBatch parts a batch into such of at most so many bytes.
func cutBatch(of batchName, payload []byte, most int) *cut {
	c := &cut{of: of, number: partsNumber(of, most), lost: losses{packets: map[string]uint64{}, kept: map[string]uint64{}}}
	var m flow.Message
	if err := m.DecodeProto(payload); err != nil {
		c.lost.unclear = true
		return c
	}
	var part, one []byte
	add := func() {
		if len(part)+len(one) > most && len(part) > 0 {
			c.parts = append(c.parts, part)
			part = nil
		}
		part = append(part, one...)
	}
	for _, f := range m.Flows {
		for _, piece := range c.pieces(f, most) {
			one = flow.AppendMessageFlow(one[:0], piece)
			add()
		}
	}
	for i := range m.Stats {
		single := flow.Message{Stats: m.Stats[i : i+1]}
		if one = single.AppendProto(one[:0]); len(one) <= most { // else nothing fits: newer ones come
			add()
		}
	}
	if len(part) > 0 {
		c.parts = append(c.parts, part)
	}
	c.acked, c.left = make([]bool, len(c.parts)), len(c.parts)
	return c
}

// pieces are the reports that a report becomes so that each fits: the raw packets are spread over several, as a table
// does it, and what is too long by itself stays behind. The last one counts what the report counted.
func (c *cut) pieces(f *flow.Flow, most int) []*flow.Flow {
	key := accountKey(f.CaptureID, f.NodeTID)
	raw := f.LastRawPackets
	f.LastRawPackets = nil
	size := len(flow.AppendMessageFlow(nil, f))
	if size > most && (f.DNS != nil || f.DHCPv4 != nil || f.VRRPv2 != nil) {
		lose(c.lost.kept, key, 1)
		f.DNS, f.DHCPv4, f.VRRPv2 = nil, nil, nil
		size = len(flow.AppendMessageFlow(nil, f))
	}
	if size > most {
		c.lost.flows++
		if u := f.LastUpdateMetric; u != nil && f.ParentUUID == "" {
			lose(c.lost.packets, key, uint64(u.ABPackets+u.BAPackets))
		}
		lose(c.lost.kept, key, uint64(len(raw)))
		return nil
	}
	room := most - size - pieceRoom
	var groups [][]flow.RawPacket
	var group []flow.RawPacket
	taken := 0
	for _, p := range raw {
		need := len(p.Data) + rawRoom
		if need > room {
			lose(c.lost.kept, key, 1)
			continue
		}
		if taken += need; taken > room {
			groups, group, taken = append(groups, group), nil, need
		}
		group = append(group, p)
	}
	pieces := make([]*flow.Flow, 0, len(groups)+1)
	for _, g := range groups {
		piece := *f
		piece.LastRawPackets, piece.FinishType = g, flow.NotFinished
		if u := f.LastUpdateMetric; u != nil {
			piece.LastUpdateMetric = &flow.Metric{Start: u.Start, Last: u.Last, RTT: u.RTT}
		}
		pieces = append(pieces, &piece)
	}
	f.LastRawPackets = group
	return append(pieces, f)
}

func lose(what map[string]uint64, key string, n uint64) {
	if n > 0 {
		what[key] += n
	}
}

// partsNumber is the number of the spool that the parts of a batch seem to come from.
func partsNumber(of batchName, most int) uint64 {
	h := fnv.New64a()
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], of.spool)
	binary.LittleEndian.PutUint64(b[8:], of.seq)
	binary.LittleEndian.PutUint64(b[16:], uint64(most))
	_, _ = h.Write(b[:]) // never fails
	return h.Sum64()
}
