package flow

import (
	"bufio"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
)

// LayerMode says what makes two packets the same flow.
type LayerMode uint8

// The layer modes of a capture's LayerKeyMode.
const (
	LayerModeL2 LayerMode = iota // link addresses are part of the key
	LayerModeL3                  // only where there is no network layer
)

// ExtraLayers is the bit mask of a capture's ExtraLayers.
type ExtraLayers uint8

// The layers that are decoded on demand.
const (
	ExtraVRRP   ExtraLayers = 1
	ExtraDNS    ExtraLayers = 2
	ExtraDHCPv4 ExtraLayers = 4
)

// Reason says why a flow is reported.
type Reason uint8

// The reasons of a report.
const (
	Started Reason = iota // the first report of a flow
	Updated               // something was counted since the last report
	Ended                 // it is over: TCP closed it, it expired, or the table closes
	Evicted               // it made room for another
)

// String returns the name of a reason.
func (r Reason) String() string {
	return [...]string{"started", "updated", "ended", "evicted"}[r&3]
}

// Options says how a table counts and reports. The zero value of each field is a default.
type Options struct {
	NodeTID, CaptureID string
	MaxFlows           int           // the most flows live; 0 is those of Budget, or sized from the machine's memory
	Budget             *Budget       // shared with other tables; nil: none
	Update             time.Duration // between updates of a flow; 0 is 60 s, less than 0 never
	Expire             time.Duration // without a packet; 0 is 600 s
	ExpireShort        time.Duration // for ARP and DNS; 0 is 10 s
	LayerMode          LayerMode
	RawPacketLimit     int  // packets kept per flow, within 64 MiB for all; 0 keeps none, less than 0 as many as there is room for
	HeaderSize         int  // bytes kept of each; 0 keeps what was captured
	ExtraTCPMetric     bool // report TCPMetric
	IPDefrag           bool // put IP datagrams together from their fragments; each fragment counts as a packet all the same
	ReassembleTCP      bool // report TCPMetric with the segment counters of Reassembly
	ExtraLayers        ExtraLayers
	Applications       *Applications // nil: the last layer names the application
	// EndsOnly has Report called for Ended and Evicted alone. A flow that TCP ended then waits longer for late
	// acknowledgements, since nobody watches, and its one report has all of its packets.
	EndsOnly bool
	// Report is called by the table's owner, within Add, Advance, Record and Close. f is reused after the call; its strings
	// may be kept. A report has up to 256 KiB of raw packets, or one that is longer; those beyond come in reports of
	// their own, whose LastUpdateMetric counts nothing: Updated behind Started or Updated, and before Ended or Evicted.
	Report func(f *Flow, why Reason)
}

// Durations and bounds of a table.
const (
	startDelay    = int64(time.Second)     // from the first packet to the first report
	closeDelay    = int64(time.Second)     // from the end of TCP to the report: late acknowledgements belong to the flow
	closeDelayEnd = 10 * closeDelay        // the same, where nobody waits for the report
	sweepEvery    = int64(time.Second) / 4 // between two looks at a flow's deadline
	sweepBudget   = 1 << 18                // deadlines looked at in one Advance
	reportBudget  = 1 << 15                // reports in one Advance
	maxDepth      = 8                      // tunnels in one packet
	batchSize     = 64                     // packets whose memory is fetched at once
	longest       = spill - 1              // bytes of a packet on the wire, so that counting it cannot overflow
	never         = math.MaxInt64          // the deadline of a free slot
	flowFootprint = 512                    // bytes a live flow takes, roughly
)

// Table holds the live flows of one ring or file. It belongs to one goroutine.
//
// A flow is an index into slabs that hold no pointers: the hot slab holds what every packet of it changes, the cold slab what its
// start, its reports and TCP's flags change, and deadlines stand on their own, so that looking at all of them is fast.
type Table struct {
	options    Options
	limit      int
	footprint  int   // bytes of a flow, about
	taken      int64 // of the budget
	update     int64
	linger     int64    // for which a flow that TCP ended is still shown, ns
	closeDelay int64    // one of the constants
	expire     [2]int64 // [1] is the short one
	l3         bool

	ledger  Ledger
	decoder decoder
	index   index
	seeds   seeds
	hot     []*[chunkSize]hot
	cold    []*[chunkSize]cold
	due     []*[chunkSize]int64
	free    []uint32
	used    uint32 // slots ever used
	over    int    // flows that were reported for the last time and are still shown
	serial  uint32
	hand    uint32 // of the clock that looks for a victim

	sweepAt   uint32
	sweeping  bool
	lastSweep int64

	segments [2][batchSize]segment
	owners   [2][batchSize]owner // the flow of each segment that carries another
	touched  uint64
	nobody   hot // stands where the index finds no flow; no packet has its key

	names     namer
	fragments fragments
	out       report

	// What only few flows, or only some options, have.
	nested bool        // the batch has tunnels
	lost   []lostOwner // flows that ended during a nested batch
	watch  uint16      // not 0: an option looks into packets
	extras map[uint32]*extra
	held   int           // bytes that the extras hold, about
	defrag *Defragmenter // nil without IPDefrag
	whole  []whole       // datagrams put together from this batch
	// Before this, in ms, flows began that ended. An id is made of the millisecond in which its flow begins: one that begins as early
	// as a flow that ended may be the same again, and needs another.
	named int64
}

// owner names the flow that a tunnel's flows belong to. The batch that found it may evict it: then another serial is in the slot.
type owner struct{ slot, serial uint32 }

// NewTable returns an empty table.
func NewTable(o Options) *Table {
	t := &Table{options: o, limit: o.MaxFlows, l3: o.LayerMode == LayerModeL3, extras: map[uint32]*extra{}}
	footprint := flowFootprint
	if o.RawPacketLimit != 0 || o.ExtraLayers != 0 || o.ReassembleTCP {
		t.watch = 1
	}
	if o.ReassembleTCP {
		footprint += extraFootprint
	}
	t.footprint = footprint
	switch {
	case t.limit > 0:
	case o.Budget != nil:
		t.limit = o.Budget.Most()
	default:
		t.limit = flowsForMemory(footprint)
	}
	if o.IPDefrag {
		t.defrag = NewDefragmenter(0)
	}
	t.update = int64(or(o.Update, time.Minute))
	t.linger, t.closeDelay = t.update, closeDelay
	if o.EndsOnly {
		t.closeDelay = closeDelayEnd
	}
	if o.Update < 0 {
		t.update, t.linger = never/4, 0
	}
	t.expire[0] = int64(or(o.Expire, 10*time.Minute))
	t.expire[1] = int64(or(o.ExpireShort, 10*time.Second))
	t.fragments.init(t.limit)
	for i := range t.seeds {
		t.seeds[i] = rand.Uint64()
	}
	t.names.node = []byte(o.NodeTID)
	t.index.init(1 << 7)
	t.out.init(o)
	return t
}

func or(d, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return d
}

// flowsForMemory returns how many flows of so many bytes fit an eighth of the machine's memory, between 64 Ki and 4 Mi.
func flowsForMemory(footprint int) int {
	const low, high = 1 << 16, 1 << 22
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 1 << 19
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemTotal:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(rest, "kB")))
			if err != nil {
				break
			}
			return min(max(kib*1024/8/footprint, low), high)
		}
	}
	return 1 << 19
}

// Ledger returns what was counted so far.
func (t *Table) Ledger() Ledger {
	l := t.ledger
	l.FlowsLive = uint64(t.live())
	for i, n := range t.decoder.faults {
		l.Faults[i] += n
	}
	if t.defrag != nil {
		s := t.defrag.Stats()
		l.Faults[FaultFragment] += s.Overlapping + s.Malformed
		l.Faults[FaultIncomplete] += s.Incomplete + s.Evicted
	}
	return l
}

func (t *Table) live() int { return int(t.used) - len(t.free) - t.over }

// Add decodes and counts packets of one link type.
func (t *Table) Add(link LinkType, packets []Packet) {
	first := contentOf(link)
	for len(packets) > 0 {
		n := min(len(packets), batchSize)
		t.addBatch(link, first, packets[:n])
		packets = packets[n:]
	}
}

// addBatch counts up to batchSize packets: the outermost segments of all first, then those in their tunnels, level by level.
func (t *Table) addBatch(link LinkType, first content, packets []Packet) {
	segs := t.segments[0][:len(packets)]
	tunnels, kept, bytes := 0, 0, uint64(0)
	for i := range packets {
		s, p := &segs[kept], &packets[i]
		t.decoder.decode(s, p, 0, min(max(p.Length, len(p.Data)), longest), first, t.l3)
		s.packet = uint16(i)
		if s.flags&(segBad|segFragment)|uint16(s.inner) != 0 {
			if s.flags&segBad != 0 {
				continue
			}
			if s.flags&segFragment != 0 {
				t.fragment(s, p, 0)
			}
			if s.inner != contentNone {
				tunnels++
			}
		}
		bytes += uint64(s.length)
		kept++
	}
	t.ledger.Received += uint64(len(packets))
	t.ledger.Drops[CauseDecoder] += uint64(len(packets) - kept)
	t.ledger.Counted += uint64(kept)
	t.ledger.CountedBytes += bytes
	segs = segs[:kept]
	t.nested = tunnels > 0 || len(t.whole) > 0
	t.count(link, packets, segs, t.owners[0][:kept])
	if t.nested {
		if tunnels > 0 {
			t.addTunnels(link, packets, segs, 1)
		}
		t.addWhole()
		t.nested, t.lost = false, t.lost[:0]
	}
}

// addTunnels counts what segments carry, from a depth on, whose owners are in the place of the depth before.
func (t *Table) addTunnels(link LinkType, packets []Packet, segs []segment, depth int) {
	for tunnels := 1; tunnels > 0; depth++ {
		from, to := (depth-1)&1, depth&1
		next := t.segments[to][:0]
		tunnels = 0
		for i := range segs {
			outer := &segs[i]
			if outer.inner == contentNone {
				continue
			}
			if depth > maxDepth {
				t.decoder.faults[FaultDepth]++
				continue
			}
			p := &packets[outer.packet]
			if int(outer.innerAt) >= len(p.Data) {
				t.decoder.faults[FaultTruncated]++
				continue
			}
			next = next[:len(next)+1]
			s := &next[len(next)-1]
			t.decoder.decode(s, p, int(outer.innerAt), int(outer.end), outer.inner, t.l3)
			if s.path == 0 {
				next = next[:len(next)-1] // nothing of it could be read
				continue
			}
			s.packet = outer.packet
			s.key[keyApp] |= uint64(t.owners[from][i].serial)
			t.owners[to][len(next)-1] = t.owners[from][i]
			if s.flags&segFragment != 0 {
				t.fragment(s, p, depth)
			}
			if s.inner != contentNone {
				tunnels++
			}
		}
		segs = next
		t.count(link, packets, segs, t.owners[to][:len(segs)])
	}
}

// count finds or makes the flow of each segment and counts it. owners holds the flows around segments in tunnels, and
// afterwards the own flows of segments that carry others.
func (t *Table) count(link LinkType, packets []Packet, segs []segment, owners []owner) {
	var found [batchSize]*hot
	t.fetch(segs, &found)
	for i := range segs {
		s, h := &segs[i], found[i&(batchSize-1)]
		if h.key.network(&s.key)|h.key.rest(&s.key)|uint64(h.flags&hotClosed) != 0 {
			s.candidate = t.settle(s, &owners[i])
			h = t.hotAt(s.candidate)
		}
		t.observe(s.candidate, h, s)
		if uint16(s.inner)|t.watch != 0 {
			t.keep(s.candidate, s, link, &packets[s.packet])
			owners[i] = owner{s.candidate, h.serial}
		}
	}
}

// fetch finds a flow for each segment that has its hash, and maybe its key. The memory of all is fetched before any is used, so that
// the waits overlap; nothing branches on what the index says, for a wrong guess would wait for that first.
func (t *Table) fetch(segs []segment, found *[batchSize]*hot) {
	touched, seed := t.touched, t.seeds
	for i := range segs {
		s := &segs[i]
		s.hash = s.key.hashRest(s.key.hashNetwork(&seed), &seed)
		touched += t.index.bucketOf(s.hash)[0]
	}
	for i := range segs {
		s := &segs[i]
		s.candidate = t.index.bucketOf(s.hash).candidate(s.hash)
		h := &t.nobody
		if s.candidate < t.used {
			h = t.hotAt(s.candidate)
			if s.tcp&(tcpSYN|tcpFIN|tcpRST) != 0 {
				touched += uint64(t.coldAt(s.candidate).rtt)
			}
		}
		found[i&(batchSize-1)] = h
	}
	for _, h := range found[:min(len(segs), batchSize)] { // a loop of its own, so short that the processor is many turns ahead
		touched += h.key[0] + uint64(h.last)
	}
	t.touched = touched
}

// settle returns the slot of a segment whose candidate is another flow, or one that may be over: the right one, or a new one.
func (t *Table) settle(s *segment, around *owner) uint32 {
	slot := t.find(s.hash, &s.key)
	if slot != noSlot {
		h := t.hotAt(slot)
		if h.flags&hotClosed == 0 || h.flags&hotOver == 0 && (s.flags&segTCP == 0 || s.tcp&(tcpSYN|tcpACK) != tcpSYN) {
			return slot
		}
		t.end(slot, Ended, finishOf(h.flags)) // the ports are used again, or it was reported for the last time
	}
	parent := uint64(0)
	if s.key[keyApp]&0xffffffff != 0 {
		parent = t.ownerID(*around)
	}
	return t.begin(s, parent)
}

// find returns the slot of a key.
func (t *Table) find(hash uint64, k *key) uint32 {
	for it := t.index.lookup(hash); ; {
		slot := it.next(&t.index)
		if slot == noSlot || t.hotAt(slot).key.is(k) {
			return slot
		}
	}
}

// Close reports all live flows as Ended. The table is empty afterwards.
func (t *Table) Close() {
	for slot := range t.used {
		if *t.dueAt(slot) != never {
			t.end(slot, Ended, finishOf(t.hotAt(slot).flags))
		}
	}
	if t.defrag != nil {
		t.defrag.Close()
	}
	t.release()
}
