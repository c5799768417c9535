package graph

import "time"

// Moment is the time at which a batch was committed: nanoseconds since the epoch, strictly monotone within one
// graph. It has nothing to do with the CreatedAt and UpdatedAt of elements, which are their owner's data.
type Moment int64

// forever is the end of a version that has not ended.
const forever Moment = 1<<63 - 1

// MomentOf is the moment of a wall-clock time.
func MomentOf(t time.Time) Moment { return Moment(t.UnixNano()) }

// Time is the wall-clock time of the moment.
func (m Moment) Time() time.Time { return time.Unix(0, int64(m)) }

// Millis is the moment in milliseconds since the epoch, rounded down.
func (m Moment) Millis() int64 {
	ms := int64(m) / int64(time.Millisecond)
	if int64(m)%int64(time.Millisecond) < 0 {
		ms--
	}
	return ms
}

// EndOfMilli is the last moment within a millisecond: At(EndOfMilli(ms)) includes everything committed in it.
func EndOfMilli(ms int64) Moment {
	const perMilli = int64(time.Millisecond)
	if ms >= (1<<63-1)/perMilli {
		return forever - 1
	}
	if ms <= -(1<<63-1)/perMilli {
		return -forever
	}
	return Moment(ms*perMilli + perMilli - 1)
}
