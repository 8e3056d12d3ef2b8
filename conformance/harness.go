package conformance

import (
	"sync"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
)

// All is the Harness.Cases of a backend that proves every case of the suite.
const All = -1

// Harness tells the suite how to reach a backend. Open is required. The zero
// value of every other field is its default.
type Harness struct {
	// Open returns a backend for the store with the name, with the label
	// "principal" and at least one more declared. The same name opens
	// the same data, so that the suite can open two nodes on one store. A name
	// has 1 to 40 characters of a-z, 0-9 and -. The suite creates the storage.
	// At the end of each case it deletes the storage and closes the backend.
	// Cases ask for records in their last millisecond, by the test's clock. If the
	// backend counts its waits (rule R100), give it a stopwatch that stands still, if
	// it can have one. A wait that takes a millisecond may fail a case else.
	Open func(t testing.TB, name string) driver.ModelExpirySupport

	// Server is the name and version that the server states, for the report.
	// Empty means that there is no server.
	Server string

	// LoseNext makes the next call on b that changes something reach the
	// store and lose its answer. Such calls are Write, Touch, Delete,
	// WriteMany, and the removals of DeleteExpired. A read before them may
	// lose its answer instead. Nil means that the cases on lost answers are
	// reported as not proven.
	LoseNext func(t testing.TB, b driver.ModelExpirySupport)

	// Damage replaces the bytes that are stored under the id, without the
	// backend's help. Nil means that the cases on corrupt records are reported
	// as not proven. That is right only if no such bytes can occur.
	Damage func(t testing.TB, name, id string, data []byte)

	// Unreadable makes the store refuse to give the record with the id, to all nodes,
	// as a damaged part of a disk does or an object that was archived. What it holds
	// stays, and the result ends that. Nil means that the cases on such records are
	// reported as not proven. That is right only if the store gives all records or
	// none.
	Unreadable func(t testing.TB, name, id string) (readable func())

	// Stored returns the bytes that the store itself holds of the record with
	// the id: one Part for each piece that can be changed alone, such as a file
	// or a column. The cases cut them at every length and change each byte.
	// Nil means that these cases are reported as not proven.
	Stored func(t testing.TB, name, id string) []Part

	// Left counts what the store with the name holds: what CreateStorage made,
	// records, fields, index entries, marks, locks, temporary files, and whatever
	// else can stay behind. Zero means that nothing of the store exists.
	// It leaves out only what the backend's documentation says stays. It may
	// sweep first if that says that a sweep removes something. Nil means that
	// the cases on what is left are reported as not proven.
	Left func(t testing.TB, name string) int

	// Occupy puts something that another program could have made into the
	// place of the store with the name, such as a document of another shape
	// into its collection. It returns a function that fails the test unless
	// that is still there, unchanged. Nil means that the cases on foreign
	// things are reported as not proven. That is right only if nobody else can
	// put anything there.
	Occupy func(t testing.TB, name string) (untouched func(t testing.TB))

	// Stall makes the server stop answering the calls on b, without closing
	// its connections. Other backends from Open are served as before. Resume
	// is called before b is closed, and may do nothing. Nil means that the cases on
	// deadlines are reported as not proven. That is right only if no call
	// waits for anything outside of the process.
	Stall func(t testing.TB, b driver.ModelExpirySupport) (resume func())

	// Delay makes the next call on b that takes a lock, or waits for something
	// else of its own before it decides, wait for that. By the stopwatch of the
	// backend it waits for d, and by the test's clock for no time. Nil means that
	// the case on waits is reported as not proven. That is right only if no call
	// waits for a time that matters.
	Delay func(t testing.TB, b driver.ModelExpirySupport, d time.Duration)

	// Interrupt makes a step of a call go wrong: it fails, its node dies there, or
	// the power is cut. Nil means that the cases on interrupted calls are reported
	// as not proven, and so are those on a way that it does not have. That is right
	// only if each call is one step. A store that leaves it to a server or to the
	// file system below what is durable needs no PowerCut.
	Interrupt *Interrupt
	// Stepwise means that DeleteStorage removes one thing after another, so that
	// a create beside it may be left without an index entry until the next
	// DeleteStorage. The backend's documentation must say so. The case on whole
	// records beside DeleteStorage is then reported as not proven.
	Stepwise bool

	// Allow lists the features that the backend may declare absent.
	Allow []driver.Feature

	// Cases is the number of cases that must run, so that no case gets lost.
	// All means every case of the suite: none may be reported as not proven.
	// Zero means any number.
	Cases int

	// loose collects the parts that Stored returned without a checksum.
	loose *sync.Map

	// above wraps the backend of every Store of the suite. It makes the
	// mutants of a store.
	above func(driver.ModelExpirySupport) driver.ModelExpirySupport

	// patience is the time for a call within OnExpire. Zero means ten seconds.
	patience time.Duration

	// leakWait is the time that goroutines get to end. Zero means ten seconds.
	leakWait time.Duration
}

// Part is bytes that a store holds of one record: all of them, or those of one
// field.
type Part struct {
	Name  string // for messages: "file", "column val"
	Bytes []byte // as they are stored

	// Put stores other bytes in their place, without the backend's help. It
	// returns false if the place cannot hold them, such as a text that is not
	// UTF-8.
	Put func(t testing.TB, data []byte) bool

	// Loose says what of the record other bytes may change unnoticed: of
	// "revision", "expiry", "labels", "encoding" and "value", those that no
	// checksum covers. Everything else must then be as it was. Empty means that
	// every change of the bytes is ErrCorrupt. The report names loose parts.
	Loose []string
	// Sized means that a cut and an added byte are ErrCorrupt although the part
	// is loose, because it holds its length.
	Sized bool
	// Unjudged means that a write, touch or delete may miss a change of the part,
	// because it does not look at it. The value is such a part. Reads find it.
	Unjudged bool
}

// bare returns the harness whose functions get the backends that Open returned,
// without the suite's wrapper.
func (h Harness) bare() *Harness {
	out := h
	if h.LoseNext != nil {
		out.LoseNext = func(t testing.TB, b driver.ModelExpirySupport) { t.Helper(); h.LoseNext(t, bare(b)) }
	}
	if h.Stall != nil {
		out.Stall = func(t testing.TB, b driver.ModelExpirySupport) func() { t.Helper(); return h.Stall(t, bare(b)) }
	}
	if h.Delay != nil {
		out.Delay = func(t testing.TB, b driver.ModelExpirySupport, d time.Duration) { t.Helper(); h.Delay(t, bare(b), d) }
	}
	if h.Interrupt != nil {
		in := *h.Interrupt
		in.Arm = func(t testing.TB, b driver.ModelExpirySupport, i Interruption) func() bool {
			t.Helper()
			return h.Interrupt.Arm(t, bare(b), i)
		}
		out.Interrupt = &in
	}
	return &out
}
