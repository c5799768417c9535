package flow

// reportRoom bounds the raw packets of one report, in bytes: a bus takes messages of a limited size.
const reportRoom = 256 << 10

// rawOverhead is what a raw packet takes in a report beside its data, at most about.
const rawOverhead = 64

// tell hands a flow to Options.Report that has packets to tell. Where they are too many for one report, others bring
// the rest: they count nothing. All of them come before the one that is the flow's last.
func (t *Table) tell(slot uint32, e *extra, why Reason, finish FinishType) {
	over := why == Ended || why == Evicted
	for first := true; ; first = false {
		f, said := t.show(slot, finish), why
		end := len(e.raw)
		if !t.options.EndsOnly {
			end = e.told + fit(e.raw[e.told:], reportRoom)
		}
		last := end == len(e.raw)
		beside := over && !last || !over && !first // not the report that counts
		if beside {
			said = Updated
			f.LastUpdateMetric.empty()
		}
		if beside && over {
			f.FinishType = NotFinished
			if first && t.hotAt(slot).flags&hotReported == 0 {
				said = Started
			}
		}
		f.LastRawPackets = e.raw[e.told:end:end]
		t.options.Report(f, said)
		if e.told = end; last {
			return
		}
	}
}

// fit returns how many packets, one at least, fit into so many bytes.
func fit(packets []RawPacket, room int) int {
	for i := range packets {
		if room -= len(packets[i].Data) + rawOverhead; room < 0 && i > 0 {
			return i
		}
	}
	return len(packets)
}

// empty makes a metric one that counts nothing in its interval.
func (m *Metric) empty() {
	*m = Metric{Start: m.Start, Last: m.Last, RTT: m.RTT}
}
