package flow

import (
	"bytes"
	"container/list"
	"net/netip"
	"slices"
	"time"
)

// Fragment is one fragment of an IP datagram of either version.
type Fragment struct {
	Src, Dst netip.Addr
	Protocol uint8
	ID       uint32
	Offset   int  // of Data in the datagram's payload, in bytes
	More     bool // others follow
	Data     []byte
	Time     int64 // ns since the epoch

	domain uint64 // tells networks apart that may use the same addresses
}

// DefragStats counts fragments, and datagrams by what became of them. A datagram that ended badly is counted under
// the first thing that was wrong with it.
type DefragStats struct {
	Fragments   uint64 // all that were added
	Repeated    uint64 // of those, the ones that were there already
	Late        uint64 // of those, the ones of datagrams that had ended badly
	Whole       uint64 // datagrams put together
	Overlapping uint64 // datagrams given up: two fragments claim the same bytes (RFC 5722 asks for it, for IPv6)
	Malformed   uint64 // datagrams given up: lengths that contradict each other, or too long
	Incomplete  uint64 // datagrams whose rest did not come in time
	Evicted     uint64 // datagrams that made room for others
}

const (
	defragLifetime  = int64(30 * time.Second)
	defragLongest   = 65535 // bytes of a datagram's payload
	defragMost      = 512   // fragments of a datagram
	defragOverhead  = 256   // bytes that a datagram costs besides its data, about
	defragBytesLeft = 4 << 20
)

// Defragmenter puts IP datagrams together from their fragments within a bound of memory. It belongs to one goroutine, holds
// nothing but memory, and never keeps the data that it is given.
type Defragmenter struct {
	limit, held int
	stats       DefragStats
	datagrams   map[defragKey]*list.Element
	order       *list.List // of *defragged, the one that began first in front
}

type defragKey struct {
	src, dst netip.Addr
	protocol uint8
	id       uint32
	domain   uint64
}

// defragged is a datagram on its way.
type defragged struct {
	key   defragKey
	began int64
	parts []defragPart // in order of their offsets
	total int          // bytes of the payload, -1 until the last fragment came
	have  int          // bytes of the payload that came
	dead  bool         // ended badly; kept until its time is over, so that the rest of it is not a datagram of its own
}

type defragPart struct {
	offset int
	data   []byte
}

// NewDefragmenter makes one that holds at most that many bytes; 0 is 4 MiB.
func NewDefragmenter(limit int) *Defragmenter {
	if limit <= 0 {
		limit = defragBytesLeft
	}
	return &Defragmenter{limit: limit, datagrams: make(map[defragKey]*list.Element), order: list.New()}
}

// Add takes a fragment. When the datagram is whole it gives the payload, which is the caller's. bad says that this fragment ended
// its datagram badly, or came too late for it: Skydive's FragmentErrors counts these.
func (d *Defragmenter) Add(f Fragment) (payload []byte, bad bool) {
	d.Expire(f.Time)
	d.stats.Fragments++
	key := defragKey{f.Src, f.Dst, f.Protocol, f.ID, f.domain}
	element := d.datagrams[key]
	if element == nil {
		element = d.order.PushBack(&defragged{key: key, began: f.Time, total: -1})
		d.datagrams[key] = element
		d.held += defragOverhead
	}
	g := element.Value.(*defragged) //nolint:forcetypeassert // the list holds nothing else
	if g.dead {
		d.stats.Late++
		return nil, true
	}
	if counter := g.judge(f, &d.stats); counter != nil {
		*counter++
		if counter == &d.stats.Repeated {
			return nil, false
		}
		d.held -= g.size()
		g.dead, g.parts = true, nil
		d.held += g.size()
		d.trim()
		return nil, true
	}
	d.held += g.put(f)
	if g.have == g.total {
		payload = make([]byte, 0, g.total)
		for _, p := range g.parts {
			payload = append(payload, p.data...)
		}
		d.stats.Whole++
		d.drop(element)
		return payload, false
	}
	d.trim()
	return nil, false
}

// trim drops the oldest datagrams until the bound holds.
func (d *Defragmenter) trim() {
	for d.held > d.limit && d.order.Len() > 0 {
		front := d.order.Front()
		if !front.Value.(*defragged).dead { //nolint:forcetypeassert // the list holds nothing else
			d.stats.Evicted++
		}
		d.drop(front)
	}
}

// judge gives the counter of what is wrong with a fragment, or nil.
func (g *defragged) judge(f Fragment, stats *DefragStats) *uint64 {
	end := f.Offset + len(f.Data)
	at, found := slices.BinarySearchFunc(g.parts, f.Offset, func(p defragPart, offset int) int { return p.offset - offset })
	if found && bytes.Equal(g.parts[at].data, f.Data) && (f.More || end == g.total) {
		return &stats.Repeated
	}
	last := 0
	if n := len(g.parts); n > 0 {
		last = g.parts[n-1].offset + len(g.parts[n-1].data)
	}
	switch {
	case f.Offset < 0 || len(f.Data) == 0 || end > defragLongest || f.More && len(f.Data)%8 != 0 || len(g.parts) == defragMost:
		return &stats.Malformed
	case found, at > 0 && g.parts[at-1].offset+len(g.parts[at-1].data) > f.Offset, at < len(g.parts) && g.parts[at].offset < end:
		return &stats.Overlapping
	case g.total >= 0 && (!f.More || end >= g.total), !f.More && end < last:
		return &stats.Malformed
	}
	return nil
}

// put takes a fragment that fits, and gives the bytes it costs.
func (g *defragged) put(f Fragment) int {
	before := g.size()
	at, _ := slices.BinarySearchFunc(g.parts, f.Offset, func(p defragPart, offset int) int { return p.offset - offset })
	g.parts = slices.Insert(g.parts, at, defragPart{f.Offset, bytes.Clone(f.Data)})
	g.have += len(f.Data)
	if !f.More {
		g.total = f.Offset + len(f.Data)
	}
	return g.size() - before
}

// size is what a datagram costs, in bytes.
func (g *defragged) size() int {
	size := defragOverhead
	for _, p := range g.parts {
		size += len(p.data) + defragOverhead/4
	}
	return size
}

func (d *Defragmenter) drop(element *list.Element) {
	g := d.order.Remove(element).(*defragged) //nolint:forcetypeassert // the list holds nothing else
	delete(d.datagrams, g.key)
	d.held -= g.size()
}

// Expire gives up datagrams that began 30 s before now (in ns since the epoch) and are not whole. Add calls it too.
func (d *Defragmenter) Expire(now int64) {
	for front := d.order.Front(); front != nil; front = d.order.Front() {
		g := front.Value.(*defragged) //nolint:forcetypeassert // the list holds nothing else
		if now-g.began < defragLifetime {
			return
		}
		if !g.dead {
			d.stats.Incomplete++
		}
		d.drop(front)
	}
}

// Close gives up all datagrams that are not whole.
func (d *Defragmenter) Close() {
	for front := d.order.Front(); front != nil; front = d.order.Front() {
		if !front.Value.(*defragged).dead { //nolint:forcetypeassert // the list holds nothing else
			d.stats.Incomplete++
		}
		d.drop(front)
	}
}

// Stats gives what was counted so far.
func (d *Defragmenter) Stats() DefragStats { return d.stats }

// Held gives the bytes held now, about.
func (d *Defragmenter) Held() int { return d.held }
