package runner

import (
	"testing"

	"github.com/weft-net/weft/flow"
)

// counting is an account whose one ring has counted some packets, kept of them in reports, and lost some.
func counting(counted, kept, lost uint64) (*account, *ring) {
	a, r := &account{key: "c/n", capture: "c"}, &ring{}
	a.join(r)
	a.begin("if", 1000, 0, false, nil)
	a.note(r, flow.Ledger{Received: counted, Counted: counted}, lost)
	a.rings[r].kept = kept
	return a, r
}

// dies gives the account as the next process finds it.
func dies(t *testing.T, a *account) *account {
	t.Helper()
	e := a.entry()
	next, err := restore(e.Key, e.Value)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestDownIsWhatTheInterfaceCountedAndNobodyReported(t *testing.T) {
	for name, test := range map[string]struct {
		face     string
		packets  uint64 // the interface's counter when the ring is open
		seen     uint64 // by the ring by then
		lenient  bool
		since    *uint64
		quiet    uint64 // the counter at the first quiet moment, 0 = none
		down     uint64
		upper    bool
		received uint64
	}{
		"nothing passed":                          {face: "if", packets: 1110, down: 40, received: 110},
		"500 passed":                              {face: "if", packets: 1610, down: 540, received: 610},
		"the ring saw some already":               {face: "if", packets: 1615, seen: 5, down: 540, received: 610},
		"with a filter":                           {face: "if", packets: 1610, lenient: true, down: 540, upper: true, received: 610},
		"with a filter, nothing passed":           {face: "if", packets: 1110, lenient: true, down: 40, received: 110},
		"a quiet moment corrects":                 {face: "if", packets: 1605, quiet: 1610, down: 540, received: 610},
		"a quiet moment corrects downwards":       {face: "if", packets: 1613, quiet: 1610, down: 540, received: 610},
		"another interface":                       {face: "new", packets: 7, down: 40, received: 110},
		"another interface, seen early":           {face: "new", packets: 17, since: new(uint64(7)), down: 50, received: 120},
		"seen early, and a quiet moment corrects": {face: "new", packets: 15, seen: 2, since: new(uint64(7)), quiet: 20, down: 53, received: 123},
		"seen early, with a filter":               {face: "new", packets: 17, lenient: true, since: new(uint64(7)), down: 50, upper: true, received: 120},
		"the same interface, seen early":          {face: "if", packets: 1610, since: new(uint64(1600)), down: 540, received: 610},
		"the counter began anew":                  {face: "if", packets: 7, down: 40, received: 110},
		"the interface cannot be read again":      {face: "", packets: 0, down: 40, received: 110},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := counting(100, 60, 10)
			a = dies(t, a)
			a.begin(test.face, test.packets, test.seen, test.lenient, test.since)
			if test.quiet > 0 {
				a.quiet(test.quiet)
			}
			l, upper := a.ledger()
			if l.Drops[flow.CauseDown] != test.down || l.Received != test.received || l.Counted != 60 || l.Drops[flow.CauseRing] != 10 || !l.Balanced() || upper != test.upper {
				t.Errorf("%+v, upper bound %v", l, upper)
			}
		})
	}
}

func TestDownAddsUpOverDeaths(t *testing.T) {
	a, _ := counting(100, 100, 0)
	for range 5 {
		a = dies(t, a)
		l, _ := a.ledger()
		a.begin("if", 1000+l.Received+10, 0, false, nil)
	}
	if l, _ := a.ledger(); l.Drops[flow.CauseDown] != 50 || !l.Balanced() {
		t.Errorf("%+v", l)
	}
}

func TestQuietMomentsCalibrateAndTellOfDrift(t *testing.T) {
	a, r := counting(100, 0, 0)
	a.quiet(1103) // the first: three passed before the ring saw any
	if a.zero != 1003 || a.drifted != 0 {
		t.Errorf("zero %d, drift %d", a.zero, a.drifted)
	}
	a.note(r, flow.Ledger{Counted: 200}, 0)
	a.quiet(1213)
	if a.zero != 1013 || a.drifted != 10 {
		t.Errorf("zero %d, drift %d", a.zero, a.drifted)
	}
}

func TestDroppedReportsMoveFromCountedToQueue(t *testing.T) {
	a, r := counting(100, 60, 0)
	a.drop(25)
	l, _ := a.ledger()
	if l.Counted != 75 || l.Drops[flow.CauseQueue] != 25 || l.Received != 100 || !l.Balanced() {
		t.Errorf("%+v", l)
	}
	a.leave(r)
	if l, _ = dies(t, a).ledger(); l.Counted != 35 || l.Drops[flow.CauseQueue] != 25 {
		t.Errorf("after a death %+v", l)
	}
}

func TestDamagedPositionIsAnError(t *testing.T) {
	for _, text := range []string{"", "{", `[]`, `{"Received":-1}`} {
		if _, err := restore("c/n", []byte(text)); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}
