package expiry

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// ModelExpirySupport is what a backend implements: records that expire, kept
// in one store. Programs use [Store] on top of it; the conformance suite tests
// it. Each numbered sentence here and on Store is a rule of the contract and
// has cases in package conformance.
//
// All methods are safe for concurrent use, by any number of processes on one
// store where the server can be shared. Time is an argument: now is the
// caller's clock in whole milliseconds, and a backend never reads its own.
// "Live" means stored and not expired at now.
//
// Arguments were validated by the front; a backend need not repeat the checks
// of package model. Errors are built with [model.Fault] or match a sentinel in
// another way; the front adds the operation, the backend and the id.
//
//   - R1: What one acknowledged write left is what every later read returns,
//     on every node.
//   - R2: A record is live up to the millisecond before ExpiresAt and gone for
//     every operation from that instant on, swept or not.
//   - R3: Neither side keeps or changes memory that the other can see; a
//     backend may keep, unchanged, a value that is Owned.
//   - R4: Create, Update, Touch and compare-and-set never bring back a record
//     that was deleted or has expired.
//   - R5: Bytes that are truncated, foreign or of a newer format are
//     ErrCorrupt for that id alone; nothing but an upsert overwrites them.
//   - R6: Two stores with different names never meet, whatever their ids.
//   - R7: Every id that model.CheckID accepts is legal and distinct.
//   - R8: A value over Description.MaxValue is ErrTooLarge, found before
//     sending; one just under it is stored.
//   - R9: A context that ended before anything was sent gives its error
//     alone, and nothing changed.
//   - R10: A context that ended after sending a write gives its error and
//     ErrUnknown, as soon as the client library heeds it.
//   - R11: A lost answer is ErrUnknown for a write and ErrUnavailable for a
//     read, never ErrConflict, ErrExists or ErrNotFound.
//   - R12: A write is sent at most once for each call of a driver method.
type ModelExpirySupport interface {
	// Get returns the record.
	//
	//   - R13: All of it is there: id, revision, expiry, labels, value,
	//     encoding, byte for byte.
	//   - R14: An id without a live record is ErrNotFound.
	Get(ctx context.Context, now time.Time, id string) (model.Record, error)

	// Write stores w.Record under w.Cond.
	//
	//   - R15: Absent stores if no live record has the id, else ErrExists.
	//   - R16: Of many concurrent creates of one id exactly one succeeds.
	//   - R17: Absent over an expired record replaces it, and nothing of it is
	//     kept.
	//   - R18: Live replaces the value of a live record, else ErrNotFound.
	//   - R19: Match replaces it only at revision Prev.Rev: another revision
	//     is ErrConflict, no live record ErrNotFound.
	//   - R20: Of many concurrent compare-and-sets at one revision exactly one
	//     succeeds.
	//   - R21: Prev.Rev alone decides: a Prev with a stale or empty hint,
	//     expiry, labels or value changes what a call costs, not what it does.
	//   - R22: Always stores whatever was there and keeps nothing of it.
	//   - R23: KeepExpiry keeps the expiry in force under Live and Match.
	//   - R24: KeepLabels keeps the labels in force under Live and Match.
	//   - R25: Without them the record's own expiry and labels replace those
	//     in force, none included.
	//   - R26: The answer is what is now in force, without its value.
	//   - R27: With ErrConflict the answer is the winner, with its value where
	//     the server gave it at no further cost.
	//   - R28: A failed condition changes nothing.
	//   - R29: No condition, Match with a zero Prev.Rev, KeepExpiry or
	//     KeepLabels under Absent or Always: ErrInvalid.
	Write(ctx context.Context, now time.Time, w Write) (model.Record, error)

	// Touch moves the expiry of a live record and nothing else.
	//
	//   - R30: Set gives it t.ExpiresAt, earlier or later than before.
	//   - R31: Extend never shortens: an earlier time changes nothing.
	//   - R32: Extend leaves a record that never expires as it is.
	//   - R33: Clear makes it never expire.
	//   - R34: Revision, value and labels stay; a concurrent write is not
	//     undone.
	//   - R35: An id without a live record is ErrNotFound.
	//   - R36: The answer is the record without its value, with the expiry in
	//     force.
	//   - R37: A mode of zero is ErrInvalid.
	Touch(ctx context.Context, now time.Time, t Touch) (model.Record, error)

	// Delete removes a live record.
	//
	//   - R38: Under Live whatever its revision, else ErrNotFound.
	//   - R39: Under Match only at prev.Rev: another revision is ErrConflict,
	//     no live record ErrNotFound.
	//   - R40: Of many concurrent deletes of one record exactly one succeeds.
	//   - R41: Another condition, or Match with a zero revision: ErrInvalid.
	Delete(ctx context.Context, now time.Time, id string, c model.Cond, prev model.Record) error

	// Page lists live records.
	//
	//   - R42: A record that is live throughout a listing appears in it
	//     exactly once, whatever is written meanwhile.
	//   - R43: A page has at most q.Limit records; fewer, even none, is no
	//     sign of the end: an empty Next is.
	//   - R44: Next stays valid as long as the storage.
	//   - R45: A token that no Page returned is ErrInvalid.
	//   - R46: With q.Label, exactly the records that bear q.Value under it,
	//     as the last acknowledged writes left them.
	//   - R47: An undeclared label is ErrInvalid.
	//   - R48: KeysOnly leaves out the values and nothing else.
	//   - R49: A stored record that cannot be read is named in Page.Corrupt,
	//     and the listing goes on.
	Page(ctx context.Context, now time.Time, q Query) (Page, error)

	// DeleteExpired removes from the store what had expired at before: records
	// with an ExpiresAt that is not later.
	//
	//   - R50: Expired records are removed physically, with all their index
	//     entries; others stay.
	//   - R51: At most limit are removed; More says that there may be more.
	//   - R52: Each removal is counted by exactly one caller, so that many
	//     sweepers share the work.
	//   - R53: each, if not nil, sees every record before its removal, at
	//     least once, with ID, Rev, ExpiresAt and Labels; one that the server
	//     itself has removed already has no Rev. It may use the backend
	//     itself, so no lock is held around it.
	//   - R54: A record for which each returns an error stays; the sweep goes
	//     on.
	//   - R55: A record that was extended or written meanwhile stays.
	//   - R56: Unknown counts removals whose answer was lost; the error is
	//     ErrUnknown then, and the counts stand beside it.
	DeleteExpired(ctx context.Context, before time.Time, limit int, each func(model.Record) error) (Swept, error)

	// Describe returns what the backend is and cannot do.
	//
	//   - R57: It does no I/O and works after Close.
	Describe() Description

	// Close releases what the backend itself made.
	//
	//   - R58: It may be called again, and concurrently, and returns nil.
	//   - R59: Every other method but Describe is ErrClosed afterwards.
	//   - R60: A client that the backend did not make stays open.
	Close() error
}

// Write is a record and when to store it.
type Write struct {
	model.Record
	Cond model.Cond
	Prev model.Record // Match: Prev.Rev decides; the rest only saves trips

	KeepExpiry bool // with Live and Match: ignore Record.ExpiresAt
	KeepLabels bool // with Live and Match: ignore Record.Labels

	// Owned promises that nobody changes the bytes of Value any more, so that
	// a backend may keep them without a copy.
	Owned bool
}

// TouchMode says what a Touch does to the expiry.
type TouchMode uint8

// The modes of Touch.
const (
	_      TouchMode = iota
	Set              // to ExpiresAt
	Extend           // to ExpiresAt where that is later
	Clear            // to never
)

// Touch moves the expiry of one record.
type Touch struct {
	ID        string
	Mode      TouchMode
	ExpiresAt time.Time
	Prev      model.Record // saves trips, decides nothing
}

// Query asks for a page.
type Query struct {
	Label, Value string // both empty: every record
	After        string // the Next of the page before, or empty
	Limit        int    // at least 1
	KeysOnly     bool   // no Value, all the rest
}

// Page is a part of a listing.
type Page struct {
	Records []model.Record
	Corrupt []string // ids, or what is known of them, that could not be read
	Next    string   // empty: the end
}

// Swept says what a DeleteExpired did.
type Swept struct {
	Removed int
	Unknown int  // removals whose answer was lost
	More    bool // the limit was reached
}
