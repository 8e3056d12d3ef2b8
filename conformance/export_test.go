package conformance

import (
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Above returns the harness with f around the backend of every Store of the
// suite: f makes the mutants of a store.
func (h Harness) Above(f func(driver.ModelExpirySupport) driver.ModelExpirySupport) Harness {
	h.above = f
	return h
}

// Patience returns the harness with d as the time for a call within OnExpire.
func (h Harness) Patience(d time.Duration) Harness {
	h.patience = d
	return h
}

// LeakWait returns the harness with d as the time that goroutines get to end.
func (h Harness) LeakWait(d time.Duration) Harness {
	h.leakWait = d
	return h
}

// WrongNumber is the error of a run with another number of cases than wanted.
var WrongNumber = wrongNumber

// Gaps returns a report of cases that did not run.
func Gaps(why string, cases ...Case) Report {
	var g gaps
	for i := range cases {
		g.add(&cases[i], why)
	}
	return Report{Suite: "records", NotProven: len(cases), Unproven: g.all()}
}

// Visit calls at for the steps of a call that are interrupted.
func (i *Interrupt) Visit(turn int, at func(step int) bool) { i.visit(turn, at) }
