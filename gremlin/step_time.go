package gremlin

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/weft-net/weft/graph"
)

// timeSpec is the time of At: a moment that the text names, or one that depends on when the query is asked.
type timeSpec struct {
	absolute time.Time     // zero = relative
	relative time.Duration // to the time of the question

	interval bool
	duration time.Duration
	forever  bool
}

const timeForms = "a time: RFC 3339 ('2026-01-02T15:04:05Z'), RFC 1123 ('Fri, 02 Jan 2026 15:04:05 GMT'), a duration " +
	"before now ('-1m'), seconds or milliseconds since the epoch, or NOW"

// buildAt reads At(time[, duration]).
func buildAt(s *planStep) error {
	s.run = runAt
	s.when = &timeSpec{}
	if err := s.when.readTime(s.call.args[0]); err != nil {
		return err
	}
	if len(s.call.args) == 2 {
		return s.when.readDuration(s.call.args[1])
	}
	return nil
}

func (t *timeSpec) readTime(a arg) error {
	switch {
	case a.kind == argKeyword && a.name == "NOW":
		return nil
	case a.kind == argValue && isNumber(a.value):
		ms, ok := epochMillis(a.value)
		if !ok {
			return argumentError(a, timeForms)
		}
		t.absolute = time.UnixMilli(ms).UTC()
		return nil
	case a.kind == argValue && a.value.Kind() == graph.KindString:
		text := a.value.Str()
		for _, layout := range []string{time.RFC3339Nano, time.RFC1123, time.RFC1123Z} {
			if at, err := time.Parse(layout, text); err == nil && !at.IsZero() && inRange(at) {
				t.absolute = at
				return nil
			}
		}
		if d, err := time.ParseDuration(text); err == nil {
			t.relative = d
			return nil
		}
	}
	return argumentError(a, timeForms)
}

// epochMillis reads seconds, or milliseconds when the number is beyond what seconds will be until 2038.
func epochMillis(v graph.Value) (int64, bool) {
	f := v.Float()
	if v.Kind() == graph.KindInt {
		f = float64(v.Int())
	}
	if math.Abs(f) > 9e15 {
		return 0, false
	}
	switch {
	case math.Abs(f) <= math.MaxInt32:
		return int64(math.Round(f * 1000)), true
	case v.Kind() == graph.KindInt:
		return v.Int(), inRange(time.UnixMilli(v.Int()))
	}
	return int64(f), inRange(time.UnixMilli(int64(f)))
}

// inRange refuses times that do not fit into nanoseconds since the epoch.
func inRange(t time.Time) bool { return t.Year() > 1678 && t.Year() < 2262 }

func (t *timeSpec) readDuration(a arg) error {
	const want = "a duration that is not negative: seconds, a string such as '10m', or FOREVER"
	t.interval = true
	switch {
	case a.kind == argKeyword && a.name == "FOREVER":
		t.forever = true
		return nil
	case a.kind == argValue && isNumber(a.value):
		seconds := a.value.Float()
		if a.value.Kind() == graph.KindInt {
			seconds = float64(a.value.Int())
		}
		if seconds < 0 || seconds > 9e9 {
			return argumentError(a, want)
		}
		t.duration = time.Duration(seconds * float64(time.Second))
		return nil
	case a.kind == argValue && a.value.Kind() == graph.KindString:
		if d, err := time.ParseDuration(a.value.Str()); err == nil && d >= 0 {
			t.duration = d
			return nil
		}
	}
	return argumentError(a, want)
}

// at is the end of the time asked for.
func (t *timeSpec) at(now time.Time) time.Time {
	if !t.absolute.IsZero() {
		return t.absolute
	}
	return now.Add(t.relative)
}

// runAt goes to the graph at a moment, as committed by the end of that millisecond, or to all that lived in an
// interval that ends there. Of an interval that began before the earliest known moment, the rest is answered, with a
// warning that says so.
func runAt(x *exec, i int, s *planStep, in stream) stream {
	at := s.when.at(x.now)
	g := &scope{interval: s.when.interval, to: graph.EndOfMilli(at.UnixMilli())}
	g.from = g.to
	var err error
	if !s.when.interval {
		g.view, err = x.engine.graph.At(g.to)
	} else {
		earliest := x.engine.graph.Earliest()
		g.from = graph.MomentOf(at.Add(-s.when.duration).Truncate(time.Millisecond))
		g.flowsFrom = g.from
		if s.when.forever {
			g.flowsFrom = 1
		}
		if s.when.forever || g.from < earliest && earliest <= g.to {
			g.from = min(earliest, g.to)
			x.warnings = append(x.warnings, "the interval begins at the earliest known moment, "+earliest.Time().UTC().Format(time.RFC3339Nano))
		}
		g.view, err = x.engine.graph.Between(g.from, g.to)
	}
	if err != nil {
		x.fail(i, windowError(err))
		return in
	}
	g.source = g.view
	x.views = append(x.views, g.view)
	return stream{kind: kindGraph, scope: g}
}

// windowError tells a person what can be asked instead. The cause stays reachable with errors.As.
func windowError(err error) error {
	var window *graph.WindowError
	if !errors.As(err, &window) {
		return err
	}
	return &pastError{window: window}
}

// pastError is a *graph.WindowError in words.
type pastError struct{ window *graph.WindowError }

// Error implements error.
func (e *pastError) Error() string {
	return fmt.Sprintf("the graph at %s is not in memory: the earliest known moment is %s",
		e.window.Asked.Time().UTC().Format(time.RFC3339Nano), e.window.Earliest.Time().UTC().Format(time.RFC3339Nano))
}

// Unwrap gives the cause.
func (e *pastError) Unwrap() error { return e.window }
