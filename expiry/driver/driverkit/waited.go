package driverkit

import (
	"context"
	"time"
)

// Waited adds up what a call waits for before it decides, such as a lock or a
// free connection (rule R100). It measures with a stopwatch and reads no time of
// day. The zero Waited has waited for nothing. It is not safe for concurrent use:
// each call has its own.
//
//	var w driverkit.Waited
//	if !lock.Try() {
//		if err := w.During(func() error { return lock.Wait(ctx) }); err != nil {
//			return err
//		}
//	}
//	err := driver.Judge(w.Now(now), …)
type Waited struct {
	// Watch reads a stopwatch that only goes forward. Nil means the system's.
	// Tests set it.
	Watch func() time.Duration

	total time.Duration
}

// During runs wait, returns its error and adds the time that it took. Call it
// only after a first try without waiting: else a process that does not get the
// processor for a moment counts as one that waits.
func (w *Waited) During(wait func() error) error {
	began := w.Read()
	err := wait()
	w.Add(w.Read() - began)
	return err
}

// Pause waits as the function Pause does and counts the wait.
func (w *Waited) Pause(ctx context.Context, attempt int) error {
	return w.During(func() error { return Pause(ctx, attempt) })
}

// Add adds a time that was measured elsewhere.
func (w *Waited) Add(d time.Duration) { w.total += d }

// Since returns what a part of the call has waited for that begins now: all of w, and
// the time since the stopwatch read began, which other parts took.
func (w *Waited) Since(began time.Duration) *Waited {
	part := *w
	part.Add(part.Read() - began)
	return &part
}

// Read reads the stopwatch.
func (w *Waited) Read() time.Duration {
	if w.Watch != nil {
		return w.Watch()
	}
	return time.Since(stopwatch)
}

var stopwatch = time.Now()

// Now returns the time as of which the call decides: its now, and the whole
// milliseconds that it has waited.
func (w *Waited) Now(now time.Time) time.Time {
	return now.Add(w.total.Truncate(time.Millisecond))
}
