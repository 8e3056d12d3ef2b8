package model

import (
	"errors"
	"strconv"
	"strings"
)

// sentinel is one kind of failure; parent is the broader kind it also matches.
type sentinel struct {
	text   string
	parent error
}

func (s *sentinel) Error() string        { return s.text }
func (s *sentinel) Is(target error) bool { return s.parent != nil && target == s.parent }

// The kinds of failure, to be matched with [errors.Is]. Every error of a store
// matches exactly one of them (ErrUnknown also matches ErrUnavailable), unless
// the context ended before anything was sent: then it matches the context's
// error alone.
var (
	// ErrNotFound: no live record has that id. An expired one is not live.
	ErrNotFound error = &sentinel{text: "not found"}
	// ErrExists: a live record has that id already.
	ErrExists error = &sentinel{text: "already exists"}
	// ErrConflict: the record is live, but at another revision.
	ErrConflict error = &sentinel{text: "revision conflict"}
	// ErrInvalid: the call itself is wrong; nothing was sent.
	ErrInvalid error = &sentinel{text: "invalid argument"}
	// ErrTooLarge: the value is over the backend's limit; nothing was sent.
	ErrTooLarge error = &sentinel{text: "value too large"}
	// ErrCorrupt: what is stored under the id is no record that this version
	// can read: truncated, foreign, of another encoding or a newer format.
	ErrCorrupt error = &sentinel{text: "corrupt record"}
	// ErrUnsupported: the backend says so in its Description, with the reason.
	// It matches errors.ErrUnsupported too.
	ErrUnsupported error = &sentinel{text: "unsupported", parent: errors.ErrUnsupported}
	// ErrUnavailable: the server cannot be reached or refuses to serve.
	// Nothing was applied.
	ErrUnavailable error = &sentinel{text: "unavailable"}
	// ErrUnknown: the answer was lost; the write may have been applied.
	ErrUnknown error = &sentinel{text: "outcome unknown, may have been applied", parent: ErrUnavailable}
	// ErrClosed: the store or backend was closed.
	ErrClosed error = &sentinel{text: "closed"}
)

// sentinels has the narrower kinds first, so that KindOf finds ErrUnknown
// before the ErrUnavailable that it also matches.
var sentinels = []error{
	ErrUnknown, ErrNotFound, ErrExists, ErrConflict, ErrInvalid, ErrTooLarge,
	ErrCorrupt, ErrUnsupported, ErrUnavailable, ErrClosed,
}

// KindOf returns the sentinel that err matches, ErrUnknown before
// ErrUnavailable, or nil where it matches none.
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

// fault is a kind, words about it, and the cause, which is for errors.As only:
// its text may quote a value, so it is not part of the message unless Cause
// says that it is safe.
type fault struct {
	kind   error
	detail string
	cause  error
}

func (f *fault) Error() string {
	if f.detail == "" {
		return f.kind.Error()
	}
	return f.kind.Error() + ": " + f.detail
}

func (f *fault) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}

// Fault returns an error of the given kind (one of the sentinels) that unwraps
// to cause as well. The message is the kind and the detail; the cause's text
// does not appear in it, since it may quote a value. Backends that know their
// cause's text to be free of values and secrets pass it as the detail.
//
// Cause must not match another sentinel.
func NewError(kind error, detail string, cause error) error {
	return &fault{kind: kind, detail: detail, cause: cause}
}

// Error is what every method of a store returns: which operation failed, on
// which backend, for which record, and why. It matches the sentinel of its
// kind with [errors.Is] and unwraps to the client library's own error. No
// value and no secret is in its text.
type Error struct {
	Op      string // the method: "Get", "Update", …
	Backend string // the backend's name: "redis", "file", …
	ID      string // the record's id, where one is concerned
	Err     error
}

// Error has the form: redis: Update "id": revision conflict.
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
