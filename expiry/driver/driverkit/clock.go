package driverkit

import (
	"fmt"
	"net/http"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// From these differences on, a clock is a warning, and unsafe. Two programs whose
// clocks are off by [ClockUnsafe] in both directions differ by a minute, for which
// sweeps wait by default: one would remove what is live for the other.
const (
	ClockWarning = 2 * time.Second
	ClockUnsafe  = 30 * time.Second
)

// Clock is what a server said about its time, for a Check. A program's own clock
// decides what has expired, so the server's is only a measure for it: programs on
// several machines must agree. CreateStorage refuses no clock but for
// RemovesEarly, since a clock can be set while programs run.
type Clock struct {
	Sent, Got time.Time     // by this program: before the question, and after the answer
	Server    time.Time     // zero: the server told no time
	Step      time.Duration // what the server's answer is rounded down to
	// Removes is how long after its expiry the server itself removes a record, by
	// its own clock. Zero or less: it removes none.
	Removes time.Duration
}

// ReadDate takes the server's time from a Date header of an answer that has just
// come. Another text leaves the clock without one.
func (c *Clock) ReadDate(header string) {
	if at, err := http.ParseTime(header); err == nil {
		c.Server, c.Step = at, time.Second
	}
	c.Got = time.Now()
}

// Ahead returns how far the server's clock is ahead of this program's at least,
// whatever the question and the answer took. It is negative if it is behind.
func (c *Clock) Ahead() time.Duration {
	if ahead := c.Server.Sub(c.Got); ahead > 0 {
		return ahead
	}
	return min(c.Server.Add(c.Step).Sub(c.Sent), 0)
}

// RemovesEarly reports whether the server removes records that are live for this
// program.
func (c *Clock) RemovesEarly() bool {
	return !c.Server.IsZero() && c.Removes > 0 && c.Ahead() >= c.Removes
}

// Finding returns the finding "clock".
func (c *Clock) Finding() driver.Finding {
	const fix = "let NTP set the clocks of this machine and the server's: a program whose clock is ahead ends records early, and its sweeps may remove what is live for others"
	one := driver.Finding{Name: "clock", Seen: "no time of the server", Need: fmt.Sprintf("a server's clock that differs from this one by less than %v", ClockWarning)}
	if c.Server.IsZero() {
		one.Level, one.Fix = driver.CheckUnknown, "compare the clocks of this machine and of others that use the store"
		return one
	}
	ahead := c.Ahead()
	off := ahead.Abs().Truncate(time.Millisecond)
	switch {
	case off == 0:
		one.Seen = "the same time, as far as the answer tells"
	case ahead > 0:
		one.Seen = "a clock that is ahead by " + off.String()
	default:
		one.Seen = "a clock that is behind by " + off.String()
	}
	switch {
	case c.RemovesEarly():
		one.Level, one.Fix = driver.CheckUnsafe, "set the clocks, or a longer Options.GraceTTL: the server removes live records"
	case off >= ClockUnsafe:
		one.Level, one.Fix = driver.CheckUnsafe, fix
	case off >= ClockWarning:
		one.Level, one.Fix = driver.CheckWarning, fix
	}
	return one
}
