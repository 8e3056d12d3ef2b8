package driver

import (
	"errors"
	"slices"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// Condition says when a write or a delete may happen. The zero Condition is
// ErrInvalid.
type Condition uint8

// The conditions. A record is live if it is stored and not expired at the
// call's now.
const (
	_         Condition = iota
	IfAny               // upsert: always
	IfAbsent            // create: no live record has the id
	IfPresent           // update: a live record has the id
	IfMatch             // compare-and-set: the live record has the known revision
)

// String returns "any", "absent", "present" or "match", else "invalid".
func (c Condition) String() string {
	switch c {
	case IfAny:
		return "any"
	case IfAbsent:
		return "absent"
	case IfPresent:
		return "present"
	case IfMatch:
		return "match"
	}
	return "invalid"
}

// Judge decides a condition against the stored record, which is nil if
// nothing is stored. It returns nil, ErrNotFound, ErrExists, ErrConflict, or
// ErrInvalid for an invalid condition.
func Judge(now time.Time, cur *model.Record, c Condition, known model.Revision) error {
	live := cur != nil && !cur.Expired(now)
	switch c {
	case IfAny:
		return nil
	case IfAbsent:
		if live {
			return model.ErrExists
		}
		return nil
	case IfPresent, IfMatch:
		if !live {
			return model.ErrNotFound
		}
		if c == IfMatch && cur.Revision != known {
			return model.ErrConflict
		}
		return nil
	}
	return model.ErrInvalid
}

// Check returns ErrInvalid for a write that no state of the store allows.
func (w *Write) Check() error {
	switch w.Cond {
	case IfAny, IfAbsent:
		if w.Keep.Expiry || w.Keep.Labels {
			return model.NewError(model.ErrInvalid, "a create or upsert cannot keep an expiry or labels", nil)
		}
	case IfPresent:
	case IfMatch:
		if w.Known.Revision.IsZero() {
			return model.NewError(model.ErrInvalid, "a compare-and-set needs the known revision", nil)
		}
	default:
		return model.NewError(model.ErrInvalid, "the write has no condition", nil)
	}
	if w.Record.Revision.IsZero() {
		return model.NewError(model.ErrInvalid, "the write has no new revision", nil)
	}
	return nil
}

// Judge decides the write against the stored record, which is nil if nothing is
// stored. It returns the errors of the function Judge, and ErrCorrupt for a
// record of an encoding that the write must not replace.
func (w *Write) Judge(now time.Time, cur *model.Record) error {
	err := Judge(now, cur, w.Cond, w.Known.Revision)
	if err == nil && cur != nil && !w.Replaces(cur.Encoding) {
		return ErrEncoding()
	}
	return err
}

// ErrEncoding returns the ErrCorrupt of an update over a record of an encoding
// that it must not replace (rule R99).
func ErrEncoding() error {
	return model.NewError(model.ErrCorrupt, "the stored record has an encoding that the update must not replace", nil)
}

// Replaces reports whether the write may replace a live record of that
// encoding.
func (w *Write) Replaces(encoding string) bool {
	return w.Encodings == nil || w.Cond == IfAny || w.Cond == IfAbsent || slices.Contains(w.Encodings, encoding)
}

// Result returns the record that a successful write leaves in force, given
// the stored one, which may be nil: w.Record with the expiry and labels that
// it keeps. Only the server gives a server version, so it has none. It shares
// memory with w and cur.
func (w *Write) Result(cur *model.Record) model.Record {
	r := w.Record
	r.ServerVersion = ""
	if w.Keep.Expiry && cur != nil {
		r.ExpiresAt = cur.ExpiresAt
	}
	if w.Keep.Labels && cur != nil {
		r.Labels = cur.Labels
	}
	return r
}

// Check returns ErrInvalid for a touch that no state of the store allows.
func (t *Touch) Check() error {
	switch t.Cond {
	case 0, IfPresent:
	case IfMatch:
		if t.Known.Revision.IsZero() {
			return model.NewError(model.ErrInvalid, "a touch with IfMatch needs the known revision", nil)
		}
	default:
		return model.NewError(model.ErrInvalid, "a touch takes IfPresent or IfMatch", nil)
	}
	switch t.Mode {
	case TouchSet, TouchExtend:
		if t.ExpiresAt.IsZero() {
			return model.NewError(model.ErrInvalid, "the touch has no expiry", nil)
		}
		return nil
	case TouchClear:
		return nil
	}
	return model.NewError(model.ErrInvalid, "the touch has no mode", nil)
}

// Judge decides the touch against the stored record, which is nil if nothing
// is stored. It returns nil, ErrNotFound or ErrConflict.
func (t *Touch) Judge(now time.Time, cur *model.Record) error {
	if t.Cond == IfMatch {
		return Judge(now, cur, IfMatch, t.Known.Revision)
	}
	return Judge(now, cur, IfPresent, model.Revision{})
}

// Result returns the expiry that a touch leaves in force, given the stored
// one.
func (t *Touch) Result(cur time.Time) time.Time {
	switch t.Mode {
	case TouchSet:
		return t.ExpiresAt
	case TouchExtend:
		if !cur.IsZero() && t.ExpiresAt.After(cur) {
			return t.ExpiresAt
		}
		return cur
	default:
		return time.Time{}
	}
}

// Check returns ErrInvalid for a delete that no state of the store allows.
func (d *Delete) Check() error {
	switch {
	case d.Cond == IfPresent, d.Cond == IfMatch && !d.Known.Revision.IsZero():
		return nil
	case d.Cond == IfMatch:
		return model.NewError(model.ErrInvalid, "a delete with IfMatch needs the known revision", nil)
	}
	return model.NewError(model.ErrInvalid, "a delete takes IfPresent or IfMatch", nil)
}

// Check returns ErrInvalid unless the operation is either a write or a delete,
// and one that some state of the store allows.
func (o BatchOp) Check() error {
	if err := o.checkOne(); err != nil {
		return err
	}
	if o.Write != nil {
		return o.Write.Check()
	}
	return o.Delete.Check()
}

func (o BatchOp) checkOne() error {
	if (o.Write == nil) == (o.Delete == nil) {
		return model.NewError(model.ErrInvalid, "an operation of a batch is either a write or a delete", nil)
	}
	return nil
}

// Bears reports whether the record belongs to the query's listing: it bears
// the label value, or the query has no label.
func (q *Query) Bears(r *model.Record) bool {
	if q.Label == "" {
		return true
	}
	value, ok := r.Labels[q.Label]
	return ok && value == q.Value
}

// MarkUndecidable marks the ErrUnknown of a write whose outcome a read cannot
// decide. Example: the write is visible, but the disk failed to sync it and
// may lose it. expiry.Store then returns ErrUnknown without a read.
func MarkUndecidable(err error) error { return undecidableError{err} }

// IsUndecidable reports whether err was marked by MarkUndecidable.
func IsUndecidable(err error) bool {
	var u undecidableError
	return errors.As(err, &u)
}

type undecidableError struct{ error }

func (e undecidableError) Unwrap() error { return e.error }
