// Package remotetest runs a backend in another process for a test. The processes
// talk over standard input and output. So the conformance suite can run across
// two processes.
package remotetest

import (
	"context"
	"encoding/gob"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
)

type op uint8

const (
	opOpen op = iota
	opGet
	opWrite
	opTouch
	opDelete
	opPage
	opSweep
	opCount
	opCreateStorage
	opDeleteStorage
	opDescribe
	opClose
	opCancel    // cancels the call Seq
	opAnnounced // answers the announcement of the call Seq
)

// request is a message of the client. Op decides which fields it uses.
type request struct {
	Seq, Node uint64
	Op        op
	Name      string    // of the store
	Ended     wireError // the context's error if it ended before the call
	Now       time.Time
	Get       driver.Get
	Write     driver.Write
	Touch     driver.Touch
	Delete    driver.Delete
	Query     driver.Query
	Limit     int
	Announces bool   // a sweep has an OnExpire
	Refused   string // why OnExpire refused; empty if it accepted
}

// answer is a message of the server. It sends one for each call, and before that
// one for each announcement of a sweep.
type answer struct {
	Seq       uint64
	Announces bool
	Record    model.Record
	Page      driver.Page
	Swept     driver.Swept
	Count     int
	Desc      driver.Description
	Err       wireError
}

// wireError is an error in a message: its kind and its text.
type wireError struct {
	Kind                int // the index in kinds plus 1; zero if it has no kind
	Text                string
	Canceled, OutOfTime bool
}

var kinds = []error{
	model.ErrUnknown, model.ErrNotFound, model.ErrExists, model.ErrConflict, model.ErrInvalid, model.ErrTooLarge,
	model.ErrCorrupt, model.ErrUnsupported, model.ErrUnavailable, model.ErrClosed,
}

func pack(err error) wireError {
	if err == nil {
		return wireError{}
	}
	return wireError{
		Kind:     slices.Index(kinds, model.Kind(err)) + 1,
		Text:     err.Error(),
		Canceled: errors.Is(err, context.Canceled), OutOfTime: errors.Is(err, context.DeadlineExceeded),
	}
}

func (e wireError) unpack() error {
	var cause error
	switch {
	case e.Canceled:
		cause = context.Canceled
	case e.OutOfTime:
		cause = context.DeadlineExceeded
	}
	switch {
	case e.Kind > 0:
		kind := kinds[e.Kind-1]
		return model.NewError(kind, strings.TrimPrefix(strings.TrimPrefix(e.Text, kind.Error()), ": "), cause)
	case cause != nil || e.Text == "":
		return cause
	}
	return errors.New(e.Text)
}

// sender writes one message at a time.
type sender struct {
	mu  sync.Mutex
	enc *gob.Encoder
}

func newSender(w io.Writer) *sender { return &sender{enc: gob.NewEncoder(w)} }

func (s *sender) send(message any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enc.Encode(message)
}
