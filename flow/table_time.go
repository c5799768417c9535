package flow

// Advance reports what is new, due or over at the time now, in ns since the epoch. Call it ten times a second, or as often
// in the time of the packets; one call looks at a bounded number of flows and reports a bounded number, and the next goes on.
func (t *Table) Advance(now int64) {
	if t.defrag != nil {
		t.defrag.Expire(now)
	}
	if !t.sweeping {
		if now-t.lastSweep < sweepEvery && now >= t.lastSweep {
			return
		}
		t.sweeping, t.sweepAt, t.lastSweep = true, 0, now
	}
	reports := 0
	end := min(t.used, t.sweepAt+sweepBudget)
	for t.sweepAt < end {
		chunk := t.due[t.sweepAt>>chunkBits]
		base := t.sweepAt &^ (chunkSize - 1)
		last := min(end-base, chunkSize)
		for i := t.sweepAt - base; i < last; i++ {
			if chunk[i] > now {
				continue
			}
			if t.check(base+i, now) {
				reports++
			}
			if reports >= reportBudget {
				t.sweepAt = base + i + 1
				return
			}
		}
		t.sweepAt = base + last
	}
	if t.sweepAt >= t.used {
		t.sweeping = false
	}
}

// check does what is due with a flow, and reports whether that was a report.
func (t *Table) check(slot uint32, now int64) bool {
	h, c := t.hotAt(slot), t.coldAt(slot)
	if h.flags&hotOver != 0 {
		t.end(slot, Ended, finishOf(h.flags))
		return false
	}
	if h.flags&hotClosed != 0 && now-h.last >= t.closeDelay {
		t.close(slot, now)
		return true
	}
	expire := t.expire[0]
	if h.flags&hotShort != 0 {
		expire = t.expire[1]
	}
	if now-h.last >= expire {
		finish := finishOf(h.flags)
		if finish == NotFinished {
			finish = FinishTimeout
		}
		t.end(slot, Ended, finish)
		return true
	}
	reported := false
	switch {
	case h.flags&hotReported == 0:
		t.report(slot, Started, NotFinished)
		c.reported = now
		reported = true
	case now-c.reported >= t.update:
		c.reported = now
		if t.counted(h, c) {
			t.report(slot, Updated, finishOf(h.flags))
			reported = true
		}
	}
	due := h.last + expire
	if h.flags&hotClosed != 0 {
		due = h.last + t.closeDelay
	}
	*t.dueAt(slot) = max(min(due, c.reported+t.update), now+1)
	return reported
}

// counted reports whether anything was counted since the last report.
func (t *Table) counted(h *hot, c *cold) bool {
	return h.packets != [2]uint32{} || c.packets[0] != c.told[0] || c.packets[1] != c.told[2]
}
