package expiry

import "time"

// Clock tells the time by which records live and die. The zero of every
// option that takes one is the system's clock.
type Clock interface {
	Now() time.Time
}

// ClockFunc makes a function a Clock.
type ClockFunc func() time.Time

// Now calls f.
func (f ClockFunc) Now() time.Time { return f() }

// SystemClock is the clock of the machine.
func SystemClock() Clock { return ClockFunc(time.Now) }
