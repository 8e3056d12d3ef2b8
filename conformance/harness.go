package conformance

import (
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// Harness tells the suite how to reach a backend. Open is required; the zero
// value of every other field is its default.
type Harness struct {
	// Open returns a backend for the store of that name: the same name is the
	// same data, so that the suite can open two nodes on one store. A name is
	// 1 to 40 of a-z 0-9 -. The suite closes what it opened, creates the
	// storage and deletes it at the end of each case.
	Open func(t testing.TB, name string) driver.ModelExpirySupport

	// Server is what the server states of itself, for the report. Empty: there
	// is none.
	Server string

	// LoseNext arranges that the next call on that backend that changes
	// something (Write, Touch, Delete, WriteMany, the removals of a
	// DeleteExpired) reaches the store, but its answer is lost. Whether a read
	// that comes first loses its answer instead is up to the harness. Nil: the
	// cases on lost answers are reported as not proven.
	LoseNext func(t testing.TB, b driver.ModelExpirySupport)

	// Damage replaces what is stored under the id by those bytes, behind the
	// backend's back. Nil: the cases on corrupt records are reported as not
	// proven, which is right only where no such bytes can come about.
	Damage func(t testing.TB, name, id string, data []byte)

	// Allow lists the features that the backend may declare absent.
	Allow []driver.Feature

	// Cases is how many cases must have run, so that none gets lost. Zero: any
	// number.
	Cases int

	// above wraps what a Store of the suite stands on, for planting the bugs of
	// a front.
	above func(driver.ModelExpirySupport) driver.ModelExpirySupport

	// leakWait is how long goroutines have to end; ten seconds by default.
	leakWait time.Duration
}
