package session

import (
	"context"
	"errors"

	"github.com/sojourn-go/sojourn/model"
)

// StoreDown decides what becomes of a session that the store could not give:
// an error is what the session's methods return; nil goes on with an anonymous
// session that can only be read, each change of which is ErrReadOnly. It is
// asked once for each session, with the store's error.
type StoreDown func(ctx context.Context, err error) error

// FailClosed is the StoreDown by default: a store that is down never looks
// like a visitor who is not signed in.
func FailClosed(_ context.Context, err error) error { return err }

// Anonymous is a StoreDown for sites whose public pages go on without a store.
func Anonymous(context.Context, error) error { return nil }

// isDown tells a store that does not answer from one that answers with
// something of use to nobody.
func isDown(err error) bool {
	return errors.Is(err, model.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// Degraded returns why the session is read-only and anonymous, by Options.StoreDown, or
// nil.
func (s *Session) Degraded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readOnly
}
