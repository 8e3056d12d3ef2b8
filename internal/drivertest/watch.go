package drivertest

import (
	"sync/atomic"
	"time"
)

// StandsStill is the stopwatch for waits of a backend in the suite. A case asks for a
// record in its last millisecond, and a lock or a new connection may take longer.
func StandsStill() time.Duration { return 0 }

// Jumps returns a stopwatch for waits that reads zero, and then always d.
func Jumps(d time.Duration) func() time.Duration {
	var reads atomic.Int64
	return func() time.Duration {
		if reads.Add(1) == 1 {
			return 0
		}
		return d
	}
}
