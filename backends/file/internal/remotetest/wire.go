// Package remotetest lets a test use a backend of another process, over that
// process's standard input and output: the conformance suite then runs across
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
	opCancel // of the call Seq
	opEach   // the answer to an announcement within the call Seq
)

// request is what the client sends. Which fields count depends on Op.
type request struct {
	Seq, Node uint64
	Op        op
	Name      string // of the store
	Ended     fault  // the context's error, where it had ended before the call
	Now       time.Time
	ID        string
	Write     driver.Write
	Touch     driver.Touch
	Cond      driver.Condition
	Prev      model.Record
	Query     driver.Query
	Limit     int
	Each      bool
	Err       string // of an announcement: not empty where it was refused
}

// answer is what the server sends: one for each call, and before it one for
// each announcement of a sweep.
type answer struct {
	Seq       uint64
	Announces bool
	Record    model.Record
	Page      driver.Page
	Swept     driver.Swept
	Count     int
	Desc      driver.Description
	Err       fault
}

// fault is an error on the wire: what its kind is, and its text.
type fault struct {
	Kind                int // 1 and up: an index in kinds
	Text                string
	Canceled, OutOfTime bool
}

var kinds = []error{
	model.ErrUnknown, model.ErrNotFound, model.ErrExists, model.ErrConflict, model.ErrInvalid, model.ErrTooLarge,
	model.ErrCorrupt, model.ErrUnsupported, model.ErrUnavailable, model.ErrClosed,
}

func pack(err error) fault {
	if err == nil {
		return fault{}
	}
	return fault{
		Kind:     slices.Index(kinds, model.Kind(err)) + 1,
		Text:     err.Error(),
		Canceled: errors.Is(err, context.Canceled), OutOfTime: errors.Is(err, context.DeadlineExceeded),
	}
}

func (e fault) unpack() error {
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

// sender writes messages one at a time.
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
