package expiry

import (
	"slices"
	"strconv"
	"time"

	"github.com/sojourn-go/sojourn/model"
)

// The functions of this file are the contract's decisions, for backends that
// decide in Go rather than on their server.

// CheckWrite returns ErrInvalid for a write that no state of the store could
// allow: rule R29.
func CheckWrite(w *Write) error {
	switch w.Cond {
	case model.Always, model.Absent:
		if w.KeepExpiry || w.KeepLabels {
			return model.Fault(model.ErrInvalid, "a create or upsert has nothing to keep", nil)
		}
	case model.Live:
	case model.Match:
		if w.Prev.Rev.IsZero() {
			return model.Fault(model.ErrInvalid, "compare-and-set without a revision", nil)
		}
	default:
		return model.Fault(model.ErrInvalid, "a write without a condition", nil)
	}
	if w.Rev.IsZero() {
		return model.Fault(model.ErrInvalid, "a write without a new revision", nil)
	}
	return nil
}

// MaxEncoding is how long the name of an encoding may be in backends, in bytes.
const MaxEncoding = 255

// CheckRecord refuses what a backend that declares those labels could not store
// or find again: ErrTooLarge for a value of more than maxValue bytes, ErrInvalid
// for a long name of an encoding and for a label that is not declared.
func CheckRecord(rec *model.Record, declared []string, maxValue int) error {
	if len(rec.Value) > maxValue {
		return model.Fault(model.ErrTooLarge, "more than "+strconv.Itoa(maxValue)+" bytes", nil)
	}
	if len(rec.Encoding) > MaxEncoding {
		return model.Fault(model.ErrInvalid, "the encoding's name has more than 255 bytes", nil)
	}
	for name := range rec.Labels {
		if !slices.Contains(declared, name) {
			return model.Fault(model.ErrInvalid, "the label is not declared in Options.Labels", nil)
		}
	}
	return nil
}

// CheckTouch returns ErrInvalid for a touch without a mode: rule R37.
func CheckTouch(t *Touch) error {
	switch t.Mode {
	case Set, Extend:
		if t.ExpiresAt.IsZero() {
			return model.Fault(model.ErrInvalid, "a touch without an expiry", nil)
		}
		return nil
	case Clear:
		return nil
	}
	return model.Fault(model.ErrInvalid, "a touch without a mode", nil)
}

// CheckDelete returns ErrInvalid for a delete that no state of the store could
// allow: rule R41.
func CheckDelete(c model.Cond, prev model.Revision) error {
	switch {
	case c == model.Live, c == model.Match && !prev.IsZero():
		return nil
	case c == model.Match:
		return model.Fault(model.ErrInvalid, "a delete at no revision", nil)
	}
	return model.Fault(model.ErrInvalid, "a delete takes live or match", nil)
}

// Judge decides a condition against what is stored under the id: nil,
// ErrNotFound, ErrExists or ErrConflict. Cur is nil where nothing is stored.
func Judge(now time.Time, cur *model.Record, c model.Cond, prev model.Revision) error {
	live := cur != nil && !cur.Expired(now)
	switch c {
	case model.Always:
		return nil
	case model.Absent:
		if live {
			return model.ErrExists
		}
		return nil
	case model.Live, model.Match:
		if !live {
			return model.ErrNotFound
		}
		if c == model.Match && cur.Rev != prev {
			return model.ErrConflict
		}
		return nil
	}
	return model.ErrInvalid
}

// Result is the record that a write whose condition holds leaves in force,
// given what was there: w.Record, with the expiry and labels that it keeps.
// It shares memory with w and cur.
func (w *Write) Result(cur *model.Record) model.Record {
	r := w.Record
	if w.KeepExpiry && cur != nil {
		r.ExpiresAt = cur.ExpiresAt
	}
	if w.KeepLabels && cur != nil {
		r.Labels = cur.Labels
	}
	return r
}

// Result is the expiry that a touch leaves in force, given the one before.
func (t *Touch) Result(cur time.Time) time.Time {
	switch t.Mode {
	case Set:
		return t.ExpiresAt
	case Extend:
		if !cur.IsZero() && t.ExpiresAt.After(cur) {
			return t.ExpiresAt
		}
		return cur
	default:
		return time.Time{}
	}
}

// DeclaredLabels is the Options.Labels of a backend that allows so many, zero
// for any number: nil is "principal", else the names sorted. ErrInvalid for too many of them, a
// name that is none, and a name twice.
func DeclaredLabels(names []string, most int) ([]string, error) {
	if names == nil {
		return []string{"principal"}, nil
	}
	names = slices.Clone(names)
	slices.Sort(names)
	if most > 0 && len(names) > most {
		return names, model.Fault(model.ErrInvalid, "Options.Labels: more than "+strconv.Itoa(most), nil)
	}
	for i, name := range names {
		if err := model.CheckLabelName(name); err != nil {
			return names, err
		}
		if i > 0 && names[i-1] == name {
			return names, model.Fault(model.ErrInvalid, "Options.Labels: a name twice", nil)
		}
	}
	return names, nil
}

// NoLook marks a write's ErrUnknown as one that looking at the record cannot
// decide, so that a Store does not take what it sees for an acknowledgement:
// the write is visible, but a disk that failed to sync it may lose it.
func NoLook(err error) error { return vainError{err} }

type vainError struct{ error }

func (e vainError) Unwrap() error { return e.error }

// Bears reports whether the record belongs to the query's listing: every one
// does without a label.
func (q *Query) Bears(r *model.Record) bool {
	return q.Label == "" || r.Labels[q.Label] == q.Value
}
