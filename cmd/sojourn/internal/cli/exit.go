package cli

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/model"
)

// The exit codes. They are part of the interface: scripts decide by them.
const (
	exitDone        = 0
	exitFailed      = 1   // a reason without a code of its own
	exitUsage       = 2   // the command line, the environment or a URL
	exitNotFound    = 3   // no live record or session
	exitConflict    = 4   // another writer was first
	exitUnavailable = 5   // the store did not answer
	exitUnknown     = 6   // a change whose outcome cannot be known
	exitCorrupt     = 7   // stored data that cannot be read
	exitUnsupported = 8   // the backend or its server cannot do it
	exitDifferent   = 9   // migrate: the stores differ
	exitWarning     = 10  // doctor: the worst finding is a warning
	exitUnseen      = 11  // doctor: something could not be seen
	exitUnsafe      = 12  // doctor: a promise does not hold
	exitInterrupted = 130 // ended by a signal
)

// exitCodes is the text of the codes for the help.
const exitCodes = `Exit codes:
  0    done
  1    failed for a reason without a code of its own
  2    wrong use: the command line, the environment or a URL
  3    not found: no live record or session
  4    conflict: another writer was first
  5    the store is unavailable
  6    unknown: a change was sent and its answer was lost
  7    stored data cannot be read
  8    unsupported by the backend or its server
  9    migrate: the stores still differ
  10   doctor: the worst finding is a warning
  11   doctor: something could not be seen
  12   doctor: a promise of the store does not hold
  130  ended by a signal`

// codeError is an error with an exit code of its own. With silent, what it has
// to say is already in the output.
type codeError struct {
	code   int
	silent bool
	err    error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// usage returns an error about the command line.
func usage(text string) error { return &codeError{code: exitUsage, err: errors.New(text)} }

// codeOf returns the exit code of an error.
func codeOf(err error) int {
	var own *codeError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &own):
		return own.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	for _, one := range []struct {
		kind error
		code int
	}{
		{model.ErrUnknown, exitUnknown},
		{model.ErrNotFound, exitNotFound},
		{model.ErrConflict, exitConflict}, {model.ErrExists, exitConflict},
		{model.ErrInvalid, exitUsage}, {model.ErrTooLarge, exitUsage},
		{model.ErrCorrupt, exitCorrupt},
		{model.ErrUnsupported, exitUnsupported},
		{model.ErrUnavailable, exitUnavailable}, {context.DeadlineExceeded, exitUnavailable},
	} {
		if errors.Is(err, one.kind) {
			return one.code
		}
	}
	return exitFailed
}
