package expiry

import "time"

// Clock tells the time that decides which records are live.
type Clock interface {
	Now() time.Time
}

// ClockFunc is a function used as a Clock.
type ClockFunc func() time.Time

// Now calls f.
func (f ClockFunc) Now() time.Time { return f() }

// SystemClock returns the machine's clock.
func SystemClock() Clock { return ClockFunc(time.Now) }
