package model

import (
	"errors"
	"strconv"
	"strings"
)

// sentinel is a kind of error. It also matches its parent.
type sentinel struct {
	text   string
	parent error
}

func (s *sentinel) Error() string        { return s.text }
func (s *sentinel) Is(target error) bool { return s.parent != nil && target == s.parent }

// The kinds of errors. Match them with [errors.Is]. Every error of a store
// matches exactly one of them, except that ErrUnknown also matches
// ErrUnavailable. If the context ended before anything was sent, the error
// matches only the context's own.
var (
	// ErrNotFound means that no live record has the id. An expired record is
	// not live.
	ErrNotFound error = &sentinel{text: "not found"}
	// ErrExists means that a live record already has the id.
	ErrExists error = &sentinel{text: "already exists"}
	// ErrConflict means that the live record has another revision.
	ErrConflict error = &sentinel{text: "revision conflict"}
	// ErrInvalid means that an argument is invalid. Nothing was sent.
	ErrInvalid error = &sentinel{text: "invalid argument"}
	// ErrTooLarge means that the value is larger than the backend's limit.
	// Nothing was sent.
	ErrTooLarge error = &sentinel{text: "value too large"}
	// ErrCorrupt means that this version cannot read what is stored under the
	// id: it is truncated or foreign, or has another encoding or newer format.
	ErrCorrupt error = &sentinel{text: "corrupt record"}
	// ErrUnsupported means that the backend cannot do this. Its Description has
	// the reason. It also matches errors.ErrUnsupported.
	ErrUnsupported error = &sentinel{text: "unsupported", parent: errors.ErrUnsupported}
	// ErrUnavailable means that the server cannot be reached or refuses to
	// serve. Nothing was applied.
	ErrUnavailable error = &sentinel{text: "unavailable"}
	// ErrUnknown means that the answer was lost. The write may have been
	// applied.
	ErrUnknown error = &sentinel{text: "outcome unknown, may have been applied", parent: ErrUnavailable}
	// ErrClosed means that the store or backend was closed.
	ErrClosed error = &sentinel{text: "closed"}
)

// sentinels has ErrUnknown before the ErrUnavailable that it also matches.
var sentinels = []error{
	ErrUnknown, ErrNotFound, ErrExists, ErrConflict, ErrInvalid, ErrTooLarge,
	ErrCorrupt, ErrUnsupported, ErrUnavailable, ErrClosed,
}

// Kind returns the sentinel that err matches, or nil if it matches none. For an
// ErrUnknown it returns ErrUnknown, which also matches ErrUnavailable.
func Kind(err error) error {
	if err == nil {
		return nil
	}
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return s
		}
	}
	return nil
}

// kindError is an error with a kind, a detail and a cause. The cause's text may
// quote a value, so it is not in the message.
type kindError struct {
	kind   error
	detail string
	cause  error
}

func (e *kindError) Error() string {
	if e.detail == "" {
		return e.kind.Error()
	}
	return e.kind.Error() + ": " + e.detail
}

func (e *kindError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// NewError returns an error of that kind, one of the sentinels, which also
// unwraps to the cause. Its message has the kind and the detail, which must be
// free of values and secrets. The cause's text may quote a value and is not in
// the message. The cause may be nil and must not match another sentinel.
func NewError(kind error, detail string, cause error) error {
	return &kindError{kind: kind, detail: detail, cause: cause}
}

// Error is the error of every method of a store. It has the operation, the
// backend, the record's id and the reason. It matches the sentinel of its kind
// with [errors.Is] and unwraps to the client library's own error. Its text has
// no value and no secret.
type Error struct {
	Op      string // the method: "Get", "Update", …
	Backend string // the backend's name: "redis", "file", …
	ID      string // the record's id, if the call is about one record
	Err     error
}

// Error returns a text of the form: redis: Update "id": revision conflict.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Backend != "" {
		b.WriteString(e.Backend)
		b.WriteString(": ")
	}
	b.WriteString(e.Op)
	if e.ID != "" {
		b.WriteByte(' ')
		b.WriteString(strconv.Quote(e.ID))
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }
