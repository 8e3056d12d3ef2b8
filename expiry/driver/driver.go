package driver

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// ModelExpirySupport is the interface of a backend: it keeps records that
// expire in one store. Package conformance has cases for each numbered rule.
//
// All methods are safe for concurrent use, also by several processes if they
// can share the server. Time is an argument: now is the caller's clock in
// whole milliseconds, and a backend never reads a clock of its own. A record
// is live if it is stored and not expired at now.
//
// A backend measures its own waits with a stopwatch, such as driverkit.Waited.
// What a server does after a request was sent is not measured. The call then
// decides as of its beginning, and only its deadline bounds how late that is.
//
// The caller has validated ids, label values and expiries with package model.
// A backend builds its errors with [model.NewError], or returns errors that
// match a sentinel in another way. The caller adds the operation, the
// backend's name and the id.
//
//   - R1: Every later read, on every node, returns what the last acknowledged
//     write stored.
//   - R2: A record is live until the millisecond before ExpiresAt. From that
//     instant it is gone for every operation, swept or not.
//   - R3: Neither side keeps or changes memory that the other side can see. A
//     backend may keep a value, unchanged, if ValueOwned is set.
//   - R4: Create, update, touch and compare-and-set never bring back a record
//     that was deleted or has expired.
//   - R5: Truncated bytes, foreign bytes and bytes of a newer format are
//     ErrCorrupt for that id alone. Only an upsert overwrites them.
//   - R6: Two stores with different names never share a record.
//   - R7: Every id that model.CheckID accepts is legal and distinct.
//   - R8: A value larger than Description.MaxValue is ErrTooLarge before
//     anything is sent. A value of that size is stored.
//   - R9: A context that ended before anything was sent returns its error
//     alone, and nothing changes.
//   - R10: A context that ends after a write was sent returns its error and
//     ErrUnknown, as soon as the client library notices.
//   - R11: A lost answer is ErrUnknown for a write and ErrUnavailable for a
//     read, never ErrConflict, ErrExists or ErrNotFound.
//   - R12: One call of a driver method sends a write at most once.
//   - R90: Every method checks the request first, then the context, then
//     whether the backend is closed, and returns the first error.
//   - R91: Page and DeleteExpired return ErrInvalid for a limit below 1.
//   - R92: A write with an undeclared label is ErrInvalid.
//   - R94: A context that ends ends the call: within 100 ms of its deadline
//     also if the server does not answer.
//   - R100: A call decides as of now. What the backend itself waits for before
//     it decides, such as a lock, counts: it adds the time that it waited, in
//     whole milliseconds, to now.
//   - R102: A call may end at any of its steps: the step fails, the process dies,
//     or the power is cut. Each record is then whole, as before or as after, in
//     every read on every node. It is as before unless the error is ErrUnknown. The
//     next call goes on, on any node.
//   - R103: A record that the system cannot read, as on a damaged part of a disk,
//     is ErrUnavailable for that id alone. A write of it is carried out or
//     refused, and never takes it for missing. What walks many records goes on
//     without it.
//   - R95: A write moves a record in a listing only if the value that the
//     listing is by changed. All other entries keep their place.
type ModelExpirySupport interface {
	// Get returns the live record with the id.
	//
	//   - R13: The record is complete: id, revision, expiry, labels, value and
	//     encoding, byte for byte.
	//   - R14: An id without a live record is ErrNotFound.
	Get(ctx context.Context, now time.Time, g Get) (model.Record, error)

	// Write stores w.Record if w.Cond holds.
	//
	//   - R15: IfAbsent stores if no live record has the id, else it returns
	//     ErrExists.
	//   - R16: Of many concurrent creates of one id exactly one succeeds.
	//   - R17: IfAbsent replaces an expired record and keeps nothing of it.
	//   - R18: IfPresent replaces the value of a live record, else it returns
	//     ErrNotFound.
	//   - R19: IfMatch replaces it only at the revision Known.Revision.
	//     Another revision is ErrConflict, no live record is ErrNotFound.
	//   - R20: Of many concurrent compare-and-sets at one revision exactly one
	//     succeeds.
	//   - R21: Of Known, only the revision decides. A stale or missing server
	//     version, expiry, label or value changes the cost of the call, not
	//     its result.
	//   - R22: IfAny always stores and keeps nothing of an earlier record.
	//   - R23: Keep.Expiry keeps the expiry in force under IfPresent and
	//     IfMatch.
	//   - R24: Keep.Labels keeps the labels in force under IfPresent and
	//     IfMatch.
	//   - R25: Without Keep, the expiry and labels of w.Record replace those in
	//     force, even if there are none.
	//   - R26: The result is the record now in force, without its value.
	//   - R27: With ErrConflict the result is the record that won, with its
	//     value if the server returned it at no extra cost.
	//   - R28: A failed condition changes nothing.
	//   - R99: With w.Encodings, IfPresent and IfMatch replace only a record of
	//     one of these encodings. Another one is ErrCorrupt and stays.
	//   - R29: ErrInvalid is returned without a condition, without a new
	//     revision, for IfMatch without a known revision, and for Keep under
	//     IfAbsent or IfAny.
	Write(ctx context.Context, now time.Time, w Write) (model.Record, error)

	// Touch changes the expiry of a live record and nothing else.
	//
	//   - R30: TouchSet sets t.ExpiresAt, earlier or later than before.
	//   - R31: TouchExtend never shortens: an earlier time changes nothing.
	//   - R32: TouchExtend leaves a record that never expires as it is.
	//   - R33: TouchClear makes the record never expire.
	//   - R34: Revision, value and labels stay, and a concurrent write is not
	//     undone.
	//   - R35: An id without a live record is ErrNotFound.
	//   - R36: The result is the record without its value, with the expiry in
	//     force.
	//   - R37: A touch without a mode is ErrInvalid.
	//   - R93: IfMatch changes the expiry only at the revision Known.Revision.
	//     Another revision is ErrConflict, no live record is ErrNotFound, and
	//     neither changes anything.
	Touch(ctx context.Context, now time.Time, t Touch) (model.Record, error)

	// Delete removes a live record.
	//
	//   - R38: IfPresent removes any revision, else it returns ErrNotFound.
	//   - R39: IfMatch removes only the revision Known.Revision. Another
	//     revision is ErrConflict, no live record is ErrNotFound.
	//   - R40: Of many concurrent deletes of one record exactly one succeeds.
	//   - R41: Another condition, and IfMatch without a known revision, is
	//     ErrInvalid.
	Delete(ctx context.Context, now time.Time, d Delete) error

	// Page lists live records.
	//
	//   - R42: A record that is live throughout a listing appears in it
	//     exactly once, whatever is written meanwhile.
	//   - R43: A page has at most q.Limit records. It may have fewer or none
	//     before the end: only an empty Next is the end.
	//   - R44: Next stays valid as long as the storage exists.
	//   - R45: A token that no Page of this listing returned is ErrInvalid.
	//   - R46: With q.Label, the listing has exactly the records that bear
	//     q.Value under it, as the last acknowledged writes left them.
	//   - R47: An undeclared label, and a label value without a label, is
	//     ErrInvalid.
	//   - R48: KeysOnly leaves out the values and nothing else.
	//   - R49: Page.Corrupt names a stored record that cannot be read, and the
	//     listing goes on.
	//   - R101: A page ends with the record with which its values reach
	//     PageBytes, and a sweep holds no more values at a time.
	Page(ctx context.Context, now time.Time, q Query) (Page, error)

	// DeleteExpired removes records that had expired at s.Before: those with
	// an ExpiresAt that is not later.
	//
	//   - R50: Expired records are removed physically, with all their index
	//     entries. Others stay.
	//   - R51: At most s.Limit records are removed. More reports whether
	//     expired records may be left.
	//   - R52: Exactly one caller counts each removal, so that many sweepers
	//     share the work.
	//   - R53: OnExpire, if not nil, sees every record before its removal, at
	//     least once, with ID, Revision, ExpiresAt and Labels. A record that
	//     the server has already removed has no revision. OnExpire may call
	//     the backend, so no lock is held around it.
	//   - R54: A record stays if OnExpire returns an error for it, and the
	//     sweep goes on.
	//   - R55: A record that was extended or written meanwhile stays.
	//   - R56: Unknown counts the removals whose answer was lost. The error is
	//     ErrUnknown then, even if other removals failed in other ways, and
	//     the counts are valid.
	DeleteExpired(ctx context.Context, s Sweep) (Swept, error)

	// Describe returns the backend's name, labels, limits and missing
	// features.
	//
	//   - R57: It does no I/O and works after Close.
	Describe() Description

	// Close releases what the backend itself opened.
	//
	//   - R58: It may be repeated, also concurrently, and returns nil.
	//   - R59: Every other method except Describe returns ErrClosed
	//     afterwards.
	//   - R60: A client that the backend did not open stays open.
	Close() error
}
