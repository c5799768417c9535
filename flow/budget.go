package flow

import "sync/atomic"

// Budget is room for flows that several tables share, so that together they take no more memory than one may. A table takes
// from it as it grows, in chunks of 4096 flows, evicts its own flows when there is no more, and gives all back at Close. The first
// chunk is every table's, whatever the others have. Any goroutine may use a Budget.
type Budget struct {
	most int64
	used atomic.Int64
}

// NewBudget returns room for so many flows; 0 is sized from the machine's memory: an eighth of it, between 64 Ki and 4 Mi
// flows of 512 bytes. A table with ReassembleTCP takes more for each of its flows.
func NewBudget(flows int) *Budget {
	if flows <= 0 {
		flows = flowsForMemory(flowFootprint)
	}
	return &Budget{most: int64(flows)}
}

// Most returns for how many flows there is room.
func (b *Budget) Most() int { return int(b.most) }

// Used returns how much of it tables have now, first chunks included: those may exceed it.
func (b *Budget) Used() int { return int(b.used.Load()) }

// take takes n if there is room, and in any case if it must.
func (b *Budget) take(n int64, must bool) bool {
	if !must && b.used.Load()+n > b.most {
		return false // without a write, since a full table asks again for every new flow
	}
	if b.used.Add(n) > b.most && !must {
		b.used.Add(-n)
		return false
	}
	return true
}

// expand grows the slabs by as many chunks as suit their size, by one if the budget has no more, or not at all.
func (t *Table) expand() bool {
	chunks := growth(len(t.hot))
	if b := t.options.Budget; b != nil {
		one := int64(chunkSize * t.footprint / flowFootprint)
		if !b.take(int64(chunks)*one, len(t.hot) == 0) {
			if chunks == 1 || !b.take(one, false) {
				return false
			}
			chunks = 1
		}
		t.taken += int64(chunks) * one
	}
	t.hot, t.cold, t.due = grow(t.hot, chunks), grow(t.cold, chunks), grow(t.due, chunks)
	return true
}

// release gives the memory of a table without flows back.
func (t *Table) release() {
	t.hot, t.cold, t.due, t.free = nil, nil, nil, nil
	t.used, t.hand, t.sweepAt, t.sweeping = 0, 0, 0, false
	t.index = index{}
	t.index.init(1 << 7)
	if b := t.options.Budget; b != nil {
		b.used.Add(-t.taken)
	}
	t.taken = 0
}
